"""The demo behind proxies that lead nowhere, among visitors of whom half send garbage: the others are answered, and no
file is left behind."""

import io
import random
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import pytest

from cifar100.demo.answers import load_drawings
from tests.conftest import ROOT, make_run
from tests.demo.pages import SECONDS, call, shares, start_page, upload
from tests.inference import costly


def make_garbage(page: str, model: str, image: bytes) -> dict:
    """Requests that the page must refuse, by name. Each gives whether it was refused."""

    def shown(content, name="image.png"):
        return lambda: shares(call(page, upload(page, content, name), model)) is None

    def asked(file, model=model):
        return lambda: call(page, file() if callable(file) else file, model).startswith("event: error")

    def posted(place, **request):
        return lambda: httpx.post(page + place, timeout=SECONDS, **request).status_code >= 400

    def hang_up():
        """Promise more than is sent, and go."""
        parts = urlsplit(page)
        with socket.create_connection((parts.hostname, parts.port), timeout=SECONDS) as connection:
            connection.sendall(b"POST /gradio_api/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nhalf")
        return httpx.get(page, timeout=SECONDS).status_code == 200

    return {
        "script": shown(b"<script>alert(1)</script>", "<script>.png"),
        "noise": shown(random.Random(0).randbytes(5000)),
        "half an image": shown(image[: len(image) // 2]),
        "a bomb": shown(costly.promise(50_000, 50_000)),
        "a file of the server": asked({"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}),
        "no file": asked(5),
        "no network": asked(lambda: upload(page, image), None),
        "too large": posted("gradio_api/upload", files={"files": ("large.png", bytes(21_000_000))}),
        "no JSON": posted("gradio_api/call/predict", content=b"{" * 1000),
        "hang up": hang_up,
    }


DEAD = "127.0.0.1:9"
PROXIES = {"http_proxy": f"http://{DEAD}", "HTTPS_PROXY": f"http://{DEAD}", "ALL_PROXY": f"socks5://{DEAD}"}


@pytest.mark.skipif(sys.platform == "win32", reason="the server ends without a signal there, and keeps its files")
def test_visitors_are_answered_among_garbage_and_nothing_is_left(tmp_path):
    run, own, buffer = make_run(tmp_path / "output"), tmp_path / "own", io.BytesIO()
    load_drawings()["clock"].save(buffer, "PNG")
    image, before = buffer.getvalue(), set(ROOT.iterdir())
    command = [sys.executable, "-m", "cifar100", "demo", str(run), "--device", "cpu"]
    with start_page(command, ROOT, own, **PROXIES) as page:
        expected = shares(call(page, upload(page, image), str(run)))
        garbage = make_garbage(page, str(run), image)
        names = [*garbage, *[""] * 5]

        def visit(name: str) -> str | None:
            """What went wrong."""
            if name:
                return None if garbage[name]() else f"{name} was taken"
            return None if shares(call(page, upload(page, image), str(run))) == expected else "another answer"

        with ThreadPoolExecutor(8) as pool:
            assert list(filter(None, pool.map(visit, names))) == []
        assert visit("") is None
    assert [path for path in own.rglob("*") if path.is_file()] == [own / "log"]
    assert set(ROOT.iterdir()) - before <= {ROOT / "__pycache__", ROOT / ".pytest_cache"}
