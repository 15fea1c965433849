"""Files that want to do harm: code in pickles, archives that climb out of their folder, bombs, script in names,
links."""

import io
import json
import os
import pickle
import resource
import shutil
import struct
import sys
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import save

from cifar100.dataset import cifar as data
from cifar100.errors import UserError
from cifar100.files import write_text
from cifar100.inference import load_predictor
from cifar100.inference.pictures import MAX_PIXELS, open_picture
from cifar100.inference.safe_opening import open_safely
from cifar100.recipes import SMOKE
from cifar100.report.training_log import render_run
from cifar100.runs.checkpoint import load_checkpoint, seal
from cifar100.runs.history import load_history
from cifar100.runs.place import claim
from cifar100.runs.run import load_metrics, load_recipe, save_recipe
from cifar100.network import make_network, save_weights
from tests.faults.children import fork
from tests.faults.damage import Late, deadline, make_run
from tests.faults.tally import Tally
from tests.inference import costly

MEGABYTES = 100  # that refusing one picture may take; measured: 3, where two of them hold 300
SCRIPT = "<script>alert(1)</script>"


class Code:
    """Pickled, it makes a folder wherever it is opened."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def refuse(read: Callable) -> str:
    """ "refused" if it ends in a UserError, within the deadline."""
    try:
        with deadline():
            read()
    except UserError:
        return "refused"
    except Late:
        return "it hangs"
    except BaseException as error:
        return f"it raises {error!r}"
    return "it was taken"


def open_code(root: Path) -> Tally:
    """Pickles with code, where a checkpoint, weights or a data file is expected, sealed as our own are."""
    tally, mark = Tally("code in pickles"), root / "mark"
    archive = io.BytesIO()
    torch.save({"recipe": SMOKE.to_dict(), "parts": Code(mark)}, archive)
    contents = {"zip": archive.getvalue(), "sealed": seal(archive.getvalue()), "pickle": pickle.dumps(Code(mark))}
    readers = {
        "checkpoint.pt": lambda path: load_checkpoint(path, SMOKE),
        "weights.pth": lambda path: load_predictor(path, "cpu"),
        "cifar-100-python/test": lambda path: data.load_split("test", path.parents[1]),
    }
    for name, read in readers.items():
        for kind, content in contents.items():
            path = root / "code" / kind / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            outcome = refuse(lambda read=read, path=path: read(path))
            tally.note("its code ran" if mark.exists() else outcome, f"{name} as {kind}")
    return tally


def make_archive(*members: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("cifar-100-binary")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        archive.addfile(link)
    return buffer.getvalue()


def open_archives(root: Path) -> Tally:
    """Archives under the official names with members that climb out, links, and 300 MB of zeros in 300 kB."""
    tally, folder = Tally("hostile archives"), root / "archives" / "data"
    folder.mkdir(parents=True)
    contents = {
        "climbing": make_archive(("../escaped", b"x"), ("cifar-100-binary/../../escaped", b"x")),
        "absolute": make_archive((str(root / "archives/escaped"), b"x")),
        "bomb": make_archive(("cifar-100-binary/test.bin", bytes(300_000_000))),
        "no archive": b"\x1f\x8b" + bytes(100),
    }
    for kind, content in contents.items():
        for name in ("cifar-100-binary.tar.gz", "cifar-100-python.tar.gz"):
            (folder / name).write_bytes(content)
            outcome = refuse(lambda: data.load_split("test", folder))
            (folder / name).unlink()
            escaped = [path for path in (root / "archives").rglob("*") if path != folder]
            tally.note(f"it left {escaped}" if escaped else outcome, f"{name}: {kind}")
    return tally


def make_png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A grey PNG by its header alone, and what else is put into it."""
    header = (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    parts = [header, *chunks, (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    whole = [
        struct.pack(">I", len(own)) + kind + own + struct.pack(">I", zlib.crc32(kind + own)) for kind, own in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(whole)


def peak() -> float:
    """The most memory that this process has had so far, in MB."""
    unit = 1e6 if sys.platform == "darwin" else 1e3  # macOS says it in bytes, Linux in kB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def open_alone(writer: Connection, content: bytes) -> None:
    """Open a picture, and tell how that ended and how many MB it took. For a process of its own: one that has had more
    before would not notice."""
    before = peak()
    writer.send((refuse(lambda: open_picture(content)), peak() - before))


def open_bombs(root: Path) -> Tally:
    """Small files that say that they are large pictures, or unpack to a lot beside the picture."""
    tally, zeros = Tally("picture bombs"), zlib.compress(bytes(300_000_000), 9)
    buffer = io.BytesIO()
    Image.new("1", (MAX_PIXELS // 1000, 1001)).save(buffer, "TIFF", compression="group4")
    bombs = {
        "size": make_png(2**31 - 1, 2**31 - 1),
        "text": make_png(8, 8, (b"zTXt", b"Comment\0\0" + zeros)),
        "international text": make_png(8, 8, (b"iTXt", b"Comment\0\1\0\0\0" + zeros)),
        "gif": b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b"," + bytes(9) + b"\x02\x00;",
        "tiff": buffer.getvalue(),
        "ppm": b"P5 100000 100000 255\n" + bytes(100),
    } | {kind: make() for kind, make in costly.REFUSED_AT_ONCE.items()}
    for kind, content in bombs.items():
        process, reader = fork(open_alone, content)
        try:
            outcome, taken = reader.recv()
            tally.note(f"it took {taken:.0f} MB" if taken > MEGABYTES else outcome, kind)
        except EOFError:  # the system may end what takes too much
            tally.note("its process died", kind)
        process.join()
    return tally


def open_costly(root: Path) -> Tally:
    """Pictures whose headers say nothing of what they cost, as the demo opens them."""
    tally = Tally("costly pictures")
    for make in (costly.make_long_comment, costly.make_many_chunks):
        tally.note(refuse(lambda make=make: open_safely(make())), make.__name__)
    largest = open_safely(costly.make_largest())  # and the largest that is taken still is
    tally.note("unharmed" if largest.shape == (32, 32, 3) else "it was refused", "largest")
    return tally


def open_nested(root: Path) -> Tally:
    """JSON so deep that its reader runs out of stack, and tables with fields beyond all measure."""
    tally = Tally("nested and endless text")
    deep = "[" * 100_000
    nested = '{"augmentation": {"scale": ' + "[" * 600 + "]" * 600 + "}}"
    for name, text, read in (
        ("recipe.json", deep, load_recipe),
        ("recipe.json", nested, load_recipe),
        ("recipe.json", json.dumps(SMOKE.to_dict() | {"epochs": 10**400}), load_recipe),
        ("metrics.json", deep, load_metrics),
        ("metrics.json", '{"sha256": ' + deep, load_metrics),
        ("history.csv", "epoch,lr\n" + "1" * 300_000, load_history),
        ("history.csv", "epoch\0,lr\n1,\0", load_history),
    ):
        folder = make_run(root / "nested")
        (folder / name).write_text(text)
        tally.note(refuse(lambda read=read, folder=folder: read(folder)), f"{name} {text[:20]}")
        shutil.rmtree(root / "nested")
    return tally


def show_script(root: Path) -> Tally:
    """HTML in everything of a run that is rendered as Markdown: it is refused before."""
    tally = Tally("script in names")
    changes = {"hardware": SCRIPT, "commit": SCRIPT, "versions": {"torch": SCRIPT}, "recipe": SCRIPT, "data": SCRIPT}
    changes |= {"evaluation": {"per_class": {SCRIPT: 0.5}}}
    for name, value in changes.items():
        folder = make_run(root / "script")
        metrics = json.loads((folder / "metrics.json").read_text()) | {name: value}
        write_text(folder / "metrics.json", json.dumps(metrics))
        tally.note(refuse(lambda folder=folder: render_run(folder)), f"metrics.json {name}")
        shutil.rmtree(root / "script")
    folder = make_run(root / "script")
    named = replace(SMOKE, name=SCRIPT)
    save_recipe(folder, named)
    save_weights(folder / "weights.safetensors", make_network(named), named)
    tally.note(refuse(lambda: render_run(folder)), "recipe.json name")
    shutil.rmtree(root / "script")
    return tally


def load_metadata(root: Path) -> Tally:
    """Weights alone, whose metadata name classes by script, no text at all, or JSON without end."""
    tally, tensors = Tally("script and nested text in weights"), make_network(SMOKE).state_dict()
    settings = json.dumps(SMOKE.to_dict())
    for kind, text in {
        "script": f'{{"recipe": {settings}, "classes": {json.dumps([SCRIPT] * 100)}}}',
        "numbers": f'{{"recipe": {settings}, "classes": {list(range(100))}}}',
        "no recipe": '{"recipe": [], "classes": []}',
        "endless number": f'{{"recipe": {settings.replace(": 6,", ": 1" + "0" * 400 + ",")}, "classes": []}}',
        "nested": "[" * 100_000,
        "nested recipe": '{"recipe": ' + "[" * 100_000,
    }.items():
        path = root / "alone.safetensors"
        path.write_bytes(save({name: value.contiguous() for name, value in tensors.items()}, {"cifar100": text}))
        tally.note(refuse(lambda path=path: load_predictor(path, "cpu")), kind)
    return tally


def load_kinds(root: Path) -> Tally:
    """Weights alone, of numbers or shapes that the network does not have."""
    tally, tensors = Tally("weights of another kind"), make_network(SMOKE).state_dict()
    text = json.dumps({"recipe": SMOKE.to_dict(), "classes": [str(k) for k in range(100)]})
    for name in ("head.weight", next(name for name in tensors if name.endswith("tracked"))):
        for kind in (torch.int8, torch.bool, torch.complex64, torch.float64, None):
            value = tensors[name][None] if kind is None else tensors[name].to(kind)
            whole = {key: own.contiguous() for key, own in (tensors | {name: value}).items()}
            path = root / "kind.safetensors"
            path.write_bytes(save(whole, {"cifar100": text}))
            tally.note(refuse(lambda path=path: load_predictor(path, "cpu")), f"{name} {kind}")
    return tally


def read_contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def take_places(root: Path) -> Tally:
    """Links, pipes and devices in the place of a run, and garbage that says it is a whole one: a run that begins is
    refused, the finished one stays, and so does what the links lead to."""
    tally, outside = Tally("links, pipes and garbage in a run's place"), root / "outside"
    outside.mkdir()
    for name in ("a.txt", "metrics.json", "checkpoint.pt"):
        (outside / name).write_text("dear")
    makers = {
        "link": lambda path: path.symlink_to(outside),
        "device": lambda path: path.symlink_to("/dev/zero"),
        "pipe": os.mkfifo,
        "garbage": lambda path: (path.mkdir(), (path / "metrics.json").write_text("garbage")),
    }
    for name in ("seed0.running", "seed0.replaced", ".seed0.lock"):
        for kind, make in makers.items():
            if kind == "garbage" and name != "seed0.running":
                continue
            folder = make_run(root / "place")
            make(folder.with_name(name))
            before = read_contents(outside), read_contents(folder)
            outcome = refuse(lambda folder=folder: enter(folder, root / "place/output"))
            changed = (read_contents(outside), read_contents(folder)) != before
            tally.note("something was changed" if changed else outcome, f"{name} {kind}")
            shutil.rmtree(root / "place")
    return tally


def enter(folder: Path, output: Path) -> None:
    with claim(folder, output):
        pass


SUITES = (
    *(open_code, open_archives, open_bombs, open_costly, open_nested, show_script, load_metadata, load_kinds),
    take_places,
)


def try_all(root: Path) -> list[Tally]:
    return [suite(root) for suite in SUITES]
