"""Downloads from a hub on this machine that is sound, slow, lying, silent, or breaks off."""

import io
import os
import re
import signal
import time
import zlib
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread, Timer

import numpy as np
import pytest
from huggingface_hub import constants
from PIL import Image

from cifar100.dataset import cifar, official
from cifar100.errors import UserError
from tests.dataset.test_cifar import accept, make_files

IMAGES = np.random.default_rng(0).integers(0, 256, (400, 32, 32, 3), np.uint8)
SPLITS = {"train": IMAGES[:200], "test": IMAGES[200:]}
HUB = f"/datasets/{official.REPOSITORY}/resolve/main/cifar100/"
PIECE = 20_000  # bytes


class Answer(BaseHTTPRequestHandler):
    """Sends a file as the hub does, from where it is asked to, in the server's own way."""

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        server = self.server
        if self.command == "GET":
            server.asked.append((self.path, self.headers.get("Range")))
            server.on_request()
        content = server.contents.get(self.path)
        if content is None:
            return self.send_error(404)
        start = int(re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "bytes=0-"))[1])
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.send_header("ETag", f'"{zlib.crc32(content)}"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.end_headers()
        if self.command == "HEAD":
            return None
        if server.silent:
            server.over.wait(20)
        server.cuts -= 1
        for place in range(start, len(content) if server.cuts < 0 else start + 3 * PIECE, PIECE):
            self.wfile.write(content[place : place + PIECE])
            time.sleep(server.pause)
        if server.cuts >= 0:
            self.close_connection = True

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except OSError:  # the client has left
            self.close_connection = True

    def log_message(self, *_):
        pass


@contextmanager
def serving(contents, *, pause=0.0, cuts=0, silent=False):
    """A server of {path: content}, and its address. pause: seconds between two pieces; cuts: connections that break."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        server.daemon_threads = True
        server.contents, server.pause, server.cuts, server.silent = contents, pause, cuts, silent
        server.asked, server.over, server.on_request = [], Event(), lambda: None
        server.address = f"http://127.0.0.1:{server.server_port}"
        Thread(target=server.serve_forever, args=[0.01]).start()
        try:
            yield server
        finally:
            server.over.set()
            server.shutdown()


def as_parquet(images):
    """As the hub has them."""
    import pyarrow
    from pyarrow import parquet

    rows = []
    for image in images:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "PNG")
        rows.append({"bytes": buffer.getvalue(), "path": None})
    table = {"img": rows, "fine_label": [4] * len(images), "coarse_label": [1] * len(images)}
    buffer = io.BytesIO()
    parquet.write_table(pyarrow.table(table), buffer)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def parquet_files():
    return {f"{HUB}{split}-00000-of-00001.parquet": as_parquet(images) for split, images in SPLITS.items()}


@pytest.fixture(scope="module")
def made():
    return make_files(SPLITS)


@pytest.fixture(autouse=True)
def place(made, tmp_path, monkeypatch):
    """An empty working folder, and libraries that do not wait long."""
    accept(monkeypatch, made)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", PIECE)
    monkeypatch.setattr(official, "ARCHIVE", "http://127.0.0.1:9/cifar-100-binary.tar.gz")  # where nobody answers
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.3)


def check_data(made):
    """Both splits load, and the data folder holds the official binary files and nothing else."""
    for split, images in SPLITS.items():
        np.testing.assert_array_equal(cifar.load_split(split).images, images)
    found = {path.relative_to("data").as_posix(): path.read_bytes() for path in Path("data").rglob("*.*")}
    assert found == {name: content for name, content in made.items() if name.endswith(".bin")}


def test_the_hubs_parquet_files_become_the_official_ones_over_a_connection_that_breaks(
    made, parquet_files, monkeypatch, capfd
):
    with serving(parquet_files, cuts=1) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        check_data(made)
        assert [part for _, part in hub.asked] == [None, f"bytes={3 * PIECE}-", None]
    assert "Downloading CIFAR-100 from the Hugging Face Hub" in capfd.readouterr().err


def test_where_the_hub_is_silent_the_authors_archive_serves(made, monkeypatch):
    name = "cifar-100-binary.tar.gz"
    with serving({f"/{name}": made[name]}) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)  # it has no such data set
        monkeypatch.setattr(official, "ARCHIVE", f"{server.address}/{name}")
        for split, images in SPLITS.items():
            np.testing.assert_array_equal(cifar.load_split(split).images, images)
    assert Path("data", name).read_bytes() == made[name]


PAGE = b"<html>Welcome to our network</html>"
LIES = {
    "nothing there": (dict.fromkeys, {}, ""),
    "another image": (lambda files: {path: as_parquet(IMAGES[:200] ^ 1) for path in files}, {}, "not the official"),
    "cut off": (lambda files: {path: content[:-100] for path, content in files.items()}, {}, ""),
    "a web page": (lambda files: dict.fromkeys(files, PAGE), {}, ""),
    "silence": (dict, {"silent": True}, "timed out"),
}


@pytest.mark.parametrize("kind", LIES)
def test_what_the_hub_does_not_give_is_said_in_one_sentence_and_nothing_is_left(parquet_files, monkeypatch, kind):
    change, manner, words = LIES[kind]
    with serving(change(parquet_files), **manner) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        with pytest.raises(
            UserError,
            match=f"CIFAR-100 could not be downloaded from either source .*{words}.* by hand .*CIFAR100_DATA=sample",
        ) as caught:
            cifar.load_split("test")
    assert "\n" not in str(caught.value) and not Path("data").exists()


def test_an_interrupt_leaves_nothing_and_the_next_download_is_sound(made, parquet_files, monkeypatch):
    with serving(parquet_files, pause=0.1) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        interrupt = Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
        hub.on_request = interrupt.start
        with pytest.raises(KeyboardInterrupt):
            cifar.load_split("test")
        assert not Path("data").exists()
        hub.pause, hub.on_request = 0.0, lambda: None
        check_data(made)


def test_a_full_disk_ends_in_one_sentence(parquet_files, monkeypatch):
    """Files of this process may not grow beyond a limit for a moment, which is how a full disk or a quota shows."""
    import resource  # not on Windows

    with serving(parquet_files) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
        try:
            with pytest.raises(UserError, match="free some space on its disk"):
                cifar.load_split("test")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not any(path.is_file() for path in Path("data").rglob("*"))
