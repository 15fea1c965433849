"""Downloads from servers on this machine that are fast, slow, lying, hanging, or break off."""

import io
import os
import re
import signal
import sys
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread, Timer

import numpy as np
import pytest
from PIL import Image

from cifar100.dataset import cifar, download, official
from cifar100.errors import UserError
from tests.dataset.test_cifar import LAYOUTS, accept, as_records

ARCHIVE = "cifar-100-python.tar.gz"
PIECE = 20_000  # bytes that a slow server sends every twentieth of a second: 400 kB/s


class Answer(BaseHTTPRequestHandler):
    """Sends the server's content, from where it is asked to, in the server's own way."""

    def do_GET(self):
        server = self.server
        server.asked.append(self.headers.get("Range"))
        content = server.contents.get(self.path)
        if content is None:
            self.send_error(404)
            return
        if server.leads_to:
            self.send_response(302)
            self.send_header("Location", server.leads_to)
            self.end_headers()
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "bytes=0-"))[1]) * server.continues
        if start and start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if server.length != "none":
            self.send_header("Content-Length", str(server.length or len(content) - start))
        self.end_headers()
        if server.hangs_after == 0:
            server.over.wait(20)
        stop = len(content) if len(server.asked) > server.cuts else start + server.cut_after
        for place in range(start, stop, PIECE):
            self.wfile.write(content[place : min(place + PIECE, stop)])
            if server.slow:
                time.sleep(0.05)
            if server.hangs_after and place >= server.hangs_after:
                server.over.wait(20)

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except OSError:  # the client has left
            self.close_connection = True

    def log_message(self, *_):
        pass


@contextmanager
def serving(content, path=f"/{ARCHIVE}", **manner):
    """A server, and its address in `address`. manner: slow, hangs_after (bytes), cuts (connections that break) after
    cut_after bytes, continues (whether it knows ranges), length (that it claims), leads_to."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        server.daemon_threads = True
        server.contents = content if isinstance(content, dict) else {path: content}
        server.asked, server.over = [], Event()
        usual = {"slow": False, "hangs_after": None, "cuts": 0, "cut_after": 300_000, "continues": True, "length": None}
        for name, value in (usual | {"leads_to": None} | manner).items():
            setattr(server, name, value)
        server.address = f"http://127.0.0.1:{server.server_port}{path}"
        Thread(target=server.serve_forever, args=[0.01]).start()
        try:
            yield server
        finally:  # a thread that is left would spin on the closed socket, and slow every test behind it
            server.over.set()
            server.shutdown()


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """What counts as the official archive: 1.2 MB. The current folder is an empty one; waiting is short."""
    images = np.random.default_rng(0).integers(0, 256, (400, 32, 32, 3), np.uint8)
    content = LAYOUTS[ARCHIVE](images)
    accept(monkeypatch, ARCHIVE, content)
    for name, value in {"PATIENCE": 0.4, "SILENCE": 0.5, "PAUSES": (0.01, 0.01)}.items():
        monkeypatch.setattr(download, name, value)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.chdir(tmp_path)
    return content


def fetch(monkeypatch, *servers):
    """Download from these servers in turn; returns what was said."""
    said = []
    monkeypatch.setattr(download, "SOURCES", tuple(server.address for server in servers))
    download.download(Path("data"), said.append)
    assert list(Path("data").iterdir()) == [Path("data", ARCHIVE)]
    return said


def test_a_download_is_the_untouched_archive(archive, monkeypatch):
    with serving(archive) as server:
        said = fetch(monkeypatch, server)
        assert Path("data", ARCHIVE).read_bytes() == archive and len(server.asked) == 1
        assert said == [f"Downloading CIFAR-100 from 127.0.0.1:{server.server_port}."]
        assert len(cifar.load_split("test")) == 400 and len(server.asked) == 1  # it is found from now on


def test_a_slow_source_is_left_for_the_next_and_it_is_said_why(archive, monkeypatch):
    with serving(archive, slow=True) as slow, serving(archive) as fast:
        start = time.monotonic()
        said = fetch(monkeypatch, slow, fast)
        assert time.monotonic() - start < 2  # alone it would take three seconds
    assert len(said) == 2
    assert re.search(r"from 127.0.0.1:\d+, since 127.0.0.1:\d+ gave only 0\.[34]\d MB/s\.$", said[1])


def test_where_all_are_slow_the_fastest_goes_on_where_it_stopped(archive, monkeypatch):
    with serving(archive, slow=True) as first, serving(archive, slow=True, hangs_after=100_000) as second:
        said = fetch(monkeypatch, first, second)
        assert len(first.asked) == 2 and int(re.search(r"\d+", first.asked[1])[0]) > PIECE
        assert "No source is quick" in said[2] and f"going on with 127.0.0.1:{first.server_port}" in said[2]


def test_a_broken_connection_goes_on_where_it_stopped(archive, monkeypatch):
    with serving(archive, cuts=3) as server:
        fetch(monkeypatch, server)
        assert server.asked == [None, "bytes=300000-", "bytes=600000-", "bytes=900000-"]


def test_a_server_without_ranges_begins_anew(archive, monkeypatch):
    with serving(archive, cuts=1, continues=False) as server:
        fetch(monkeypatch, server)
        assert server.asked == [None, "bytes=300000-"]


def test_a_file_whose_length_is_not_told(archive, monkeypatch):
    with serving(archive, length="none") as server:
        fetch(monkeypatch, server)


USELESS = {
    "a page": ({"content": b"\n<!DOCTYPE html><html>Welcome to our wireless network</html>"}, "a web page in place of"),
    "rubbish": ({"content": bytes(2_000_000)}, "something else than the data"),
    "a changed byte": ({"change": lambda c: c[:-9] + b"x" + c[-8:]}, "checksum is not the official one"),
    "too short": ({"change": lambda c: c[:-9]}, "checksum is not the official one"),
    "shorter than it says": ({"length": 1_500_000}, "checksum is not the official one"),
    "cut by its length": ({"length": 900_000}, "checksum is not the official one"),
    "without end": ({"change": lambda c: c + bytes(300_000), "most": 1_300_000}, "more than there is of CIFAR-100"),
    "nothing there": ({"path": "/elsewhere"}, "404"),
    "a loop": ({"leads_to": f"/{ARCHIVE}"}, "infinite loop"),
    "an address of ours": ({"leads_to": "file:///etc/hostname"}, "file:///etc/hostname' is not allowed"),
    "no address": ({"leads_to": "http://[/"}, "broke off"),
    "silence": ({"hangs_after": 0}, "broke off"),
    "silence later": ({"hangs_after": 60_000}, "broke off"),
    "a byte at a time": ({"cuts": 10**6, "cut_after": 1}, "broke off"),
}


def useless(archive, monkeypatch, kind):
    """A server that has no CIFAR-100."""
    manner = dict(USELESS[kind][0])
    if "most" in manner:
        monkeypatch.setattr(official, "MOST_BYTES", manner.pop("most"))
    content = manner.pop("content", None) or manner.pop("change", bytes)(archive)
    if "length" in manner and manner["length"] > len(archive):
        content = content[:-1] + b"x"  # complete, and wrong
    return serving(content, **manner)


@pytest.mark.parametrize("kind", USELESS)
def test_a_useless_source_is_left_for_the_next(archive, monkeypatch, kind):
    with useless(archive, monkeypatch, kind) as server, serving(archive) as good:
        address = f"http://127.0.0.1:{server.server_port}/{ARCHIVE}"
        server.address = address
        start = time.monotonic()
        said = fetch(monkeypatch, server, good)
        assert USELESS[kind][1] in said[-1] and time.monotonic() - start < 5
        assert Path("data", ARCHIVE).read_bytes() == archive


@pytest.mark.parametrize("kind", ["a page", "a changed byte", "a loop", "silence", "silence later"])
def test_where_no_source_serves_one_sentence_says_so_and_nothing_is_left(archive, monkeypatch, kind):
    with useless(archive, monkeypatch, kind) as server:
        monkeypatch.setattr(download, "SOURCES", (f"http://127.0.0.1:{server.server_port}/{ARCHIVE}",))
        with pytest.raises(UserError, match=f"{USELESS[kind][1]}.* by hand .*CIFAR100_DATA=sample") as caught:
            cifar.load_split("test")
        assert "\n" not in str(caught.value) and not Path("data").exists()


def test_a_folder_that_was_there_stays(archive, monkeypatch):
    Path("data").mkdir()
    Path("data/mine.txt").write_text("mine")
    with useless(archive, monkeypatch, "rubbish") as server:
        monkeypatch.setattr(download, "SOURCES", (server.address,))
        with pytest.raises(UserError):
            cifar.load_split("test")
    assert [path.name for path in Path("data").iterdir()] == ["mine.txt"]


def test_an_interrupt_leaves_nothing(archive, monkeypatch):
    with serving(archive, slow=True) as server:
        monkeypatch.setattr(download, "SOURCES", (server.address,))
        Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            cifar.load_split("test")
    assert server.asked == [None] and not Path("data").exists()


def test_a_full_disk_is_said_and_no_other_source_is_asked(archive, monkeypatch):
    """Files of this process may not grow beyond 500 kB for a moment, which is how a full disk or a quota shows."""
    import resource  # not on Windows

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with serving(archive) as server, serving(archive) as other:
        monkeypatch.setattr(download, "SOURCES", (server.address, other.address))
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, before[1]))
        try:
            with pytest.raises(UserError, match="could not be written to data .*free some space on its disk"):
                cifar.load_split("test")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert not Path("data").exists() and other.asked == []


def test_a_variable_puts_addresses_in_front(archive, monkeypatch):
    with serving(archive) as own, serving(archive) as usual:
        monkeypatch.setenv("CIFAR100_URL", own.address)
        fetch(monkeypatch, usual)
        assert len(own.asked) == 1 and usual.asked == []
    for wrong in ("ftp://127.0.0.1/cifar", "data/cifar.tar.gz", "http://[", "http://"):
        monkeypatch.setenv("CIFAR100_URL", wrong)
        with pytest.raises(UserError, match="CIFAR100_URL holds .*let it begin with https://"):
            download.download(Path("elsewhere"))
    assert not Path("elsewhere").exists()


def test_on_a_terminal_a_bar_shows_bytes_and_rate(archive, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    with serving(archive, cuts=1) as server:
        fetch(monkeypatch, server)
    assert re.search(r"127.0.0.1:\d+: +\d+%.*1.2\dM.*B/s\]", sys.stderr.getvalue())


def test_elsewhere_lines_do(archive, monkeypatch):
    monkeypatch.setattr(download, "FIRST_LINE", 0.5)
    with serving(archive, slow=True) as server:
        said = fetch(monkeypatch, server)
    lines = [line for line in said if line.endswith("s to go")]
    assert 1 <= len(lines) <= 3 and all(re.match(r"1 of 1 MB, 0\.[34]\d MB/s, \d s to go", line) for line in lines)


def as_parquet(images, fine, coarse, column="img"):
    """As the Hub's uoft-cs/cifar100 has them."""
    import pyarrow
    from pyarrow import parquet

    pictures = []
    for number, image in enumerate(images):
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "PNG")
        pictures.append({"bytes": buffer.getvalue(), "path": f"{number}.png"})
    columns = {column: pictures, "fine_label": fine, "coarse_label": coarse}
    buffer = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), buffer)
    return buffer.getvalue()


@pytest.fixture
def pictures(archive, monkeypatch):
    """Ten pictures in each split, which count as the official ones."""
    images = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), np.uint8)
    parts = {"train": images[:10], "test": images[10:]}
    for split, part in parts.items():
        accept(monkeypatch, f"cifar-100-binary/{split}.bin", as_records(part))
    return parts


def hub(pictures, **fields):
    content = {f"/{split}.parquet": as_parquet(part, [4] * 10, [1] * 10) for split, part in pictures.items()}
    return serving(content | fields, "/{split}.parquet")


def test_parquet_files_become_the_official_ones(pictures, monkeypatch):
    with hub(pictures) as server:
        monkeypatch.setattr(download, "SOURCES", (server.address,))
        for split, part in pictures.items():
            np.testing.assert_array_equal(cifar.load_split(split).images, part)
        assert len(server.asked) == 2
    assert sorted(str(path) for path in Path("data").rglob("*.*")) == [
        "data/cifar-100-binary/test.bin",
        "data/cifar-100-binary/train.bin",
    ]


@pytest.mark.parametrize("damage", ["another picture", "another size", "no column", "a damaged file", "another label"])
def test_parquet_files_with_anything_else_are_refused(pictures, monkeypatch, damage):
    train = pictures["train"]
    files = {
        "another picture": lambda: as_parquet(train ^ 1, [4] * 10, [1] * 10),
        "another size": lambda: as_parquet(np.zeros((10, 64, 64, 3), np.uint8), [4] * 10, [1] * 10),
        "no column": lambda: as_parquet(train, [4] * 10, [1] * 10, column="image"),
        "a damaged file": lambda: as_parquet(train, [4] * 10, [1] * 10)[:-100],
        "another label": lambda: as_parquet(train, [400] * 10, [1] * 10),
    }
    with hub(pictures, **{"/train.parquet": files[damage]()}) as server:
        monkeypatch.setattr(download, "SOURCES", (server.address,))
        with pytest.raises(UserError, match="cannot be used|does not come out as the official one"):
            cifar.load_split("test")
    assert not Path("data").exists()


def test_without_pyarrow_parquet_files_are_left_out(pictures, archive, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with serving({}, "/{split}.parquet") as server, serving(archive) as good:
        said = fetch(monkeypatch, server, good)
        assert server.asked == [] and "need `pip install pyarrow`" in said[1]


def test_the_published_sources():
    assert download.SOURCES[0] == official.URL and len(set(download.SOURCES)) == 3
    assert all(address.startswith("https://") for address in download.SOURCES)
