"""The demo under visitors of whom a third send garbage."""

import io
import json
import random
import re
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from benchmarks.visitors import count_open_files, read_memory, start_page
from cifar100.demo.examples import load_drawings
from tests.faults.damage import make_run
from tests.faults.hostile import SCRIPT, make_png
from tests.faults.tally import Tally
from tests.inference import costly

ROOT = Path(__file__).resolve().parents[2]
CLIENTS = 16
SECONDS = 120  # after which a request counts as one that hangs
GROWTH = 150  # MB that the server may have gained after the warm-up: answers wait an hour, pictures pass through
UNEXPECTED = re.compile(r"^[\w.]+(?:Error|Exception)(?:: .*)?$", re.MULTILINE)  # the end of a traceback in the log


@dataclass(frozen=True)
class Page:
    """A demo in a process of its own."""

    address: str
    model: str
    process: int
    own: Path  # all of its files: log, uploads, what else it calls temporary

    def ask(self, payload, model) -> str:
        """The stream of events that answers a call of `predict` with these in place of a picture and a network."""
        call = f"{self.address}gradio_api/call/predict"
        reply = httpx.post(call, json={"data": [payload, model]}, timeout=SECONDS)
        reply.raise_for_status()
        return httpx.get(f"{call}/{reply.json()['event_id']}", timeout=SECONDS).text

    def upload(self, content: bytes, name: str = "picture.png") -> dict:
        """Upload a file. Returns how a call names it."""
        reply = httpx.post(f"{self.address}gradio_api/upload", files={"files": (name, content)}, timeout=SECONDS)
        reply.raise_for_status()
        return {"path": reply.json()[0], "meta": {"_type": "gradio.FileData"}}

    def show(self, content: bytes, name: str = "picture.png") -> list | None:
        """The classes and probabilities of a picture, None if the page refuses it."""
        events = self.ask(self.upload(content, name), self.model)
        if not events.startswith("event: complete"):
            return None
        return json.loads(events.partition("data: ")[2])[0]["confidences"]


@contextmanager
def serve(root: Path) -> Iterator[Page]:
    """The demo of a small run."""
    run = make_run(root)
    own, temporary = root / "server", root / "temporary"
    temporary.mkdir()
    command = [sys.executable, "-m", "cifar100", "demo", str(run), "--device", "cpu"]
    with start_page(command, ROOT, own, environment={"TMPDIR": str(temporary)}) as (address, process):
        yield Page(address.rstrip("/") + "/", str(run), process, own)


def make_garbage(page: Page, picture: bytes) -> dict[str, Callable]:
    """Requests that the page must refuse, by name. Each returns whether it was refused, or raises an HTTP error."""

    def named(path) -> Callable:
        payload = {"path": path, "meta": {"_type": "gradio.FileData"}}
        return lambda: refused(payload, page.model)

    def refused(*data) -> bool:
        """Whether the answer is an error with a sentence."""
        events = page.ask(*data)
        return events.startswith("event: error") and '"error": null' not in events

    def bare(path) -> Callable:
        return lambda: refused({"path": path}, page.model)

    def asked(model) -> Callable:
        return lambda: refused(page.upload(picture), model)

    def shown(content: bytes, name: str = "picture.png") -> Callable:
        return lambda: page.show(content, name) is None

    def post(place: str, **request) -> Callable:
        return lambda: httpx.post(page.address + place, timeout=SECONDS, **request).status_code >= 400

    def hang_up() -> bool:
        """Promise more than is sent, and go: the page goes on."""
        parts = urlsplit(page.address)
        with socket.create_connection((parts.hostname, parts.port), timeout=SECONDS) as connection:
            lines = ["POST /gradio_api/upload HTTP/1.1", "Host: x", "Content-Length: 100000", "", "half"]
            connection.sendall("\r\n".join(lines).encode())
        return httpx.get(page.address, timeout=SECONDS).status_code == 200

    random_bytes = random.Random(0).randbytes(5000)
    return {
        "text": shown(SCRIPT.encode(), f"{SCRIPT}.png"),
        "noise": shown(random_bytes),
        "empty": shown(b""),
        "half a picture": shown(picture[: len(picture) // 2]),
        "a bomb": shown(make_png(50_000, 50_000)),
        "a gif of 4 gigapixels": shown(b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b"," + bytes(9)),
        "a file of the server": named("/etc/passwd"),
        "a path that climbs": named("../../../../etc/passwd"),
        "a file that is not said to be one": bare("/etc/passwd"),
        "a device": bare("/dev/zero"),
        "a folder of the server": bare("/tmp"),
        "no file at all": lambda: refused([5], page.model),
        "a costly picture": shown(costly.make_long_comment(), "comment.gif"),
        "a picture in loops": shown(costly.make_many_scans()),
        "an address": named("http://127.0.0.1:9/cat.png"),
        "no network": asked(None),
        "a list of networks": asked([page.model]),
        "a network that is none": asked("../../../../etc/passwd"),
        "too large": post("gradio_api/upload", files={"files": ("large.png", bytes(21_000_000))}),
        "several pictures": post("gradio_api/upload", files=[("files", ("a.png", bytes(7_000_000)))] * 3),
        "no JSON": post("gradio_api/call/predict", content=b"{" * 1000),
        "no such call": post("gradio_api/call/train", json={"data": []}),
        "hang up": hang_up,
    }


def attempt(name: str, garbage: dict[str, Callable], page: Page, picture: bytes, expected: list) -> str:
    """One request, good if its name is "": how it ended."""
    try:
        if not name:
            return "unharmed" if page.show(picture) == expected else "another answer than before"
        return "refused" if garbage[name]() else "it was taken"
    except httpx.HTTPStatusError:
        return "refused" if name else "a good picture was refused"
    except Exception as error:
        return f"{error!r}"


def count_files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def list_names() -> set[Path]:
    """What lies in the folder in which the server has started; Python's own cache aside."""
    return {path for path in ROOT.iterdir() if path.name != "__pycache__"}


def visit(root: Path, requests: int = 500, seed: int = 0) -> Tally:
    """Send requests by CLIENTS at once, a third of them garbage. The page must answer the others as before, go on,
    keep its memory, and leave no file outside its own cache (which it empties within the hour)."""
    tally, buffer = Tally(f"requests to the demo, {CLIENTS} clients at once"), io.BytesIO()
    load_drawings()["clock"].save(buffer, "PNG")
    picture, names = buffer.getvalue(), list_names()
    with serve(root) as page:
        run_files = count_files(root / "output")
        expected = page.show(picture)
        garbage = make_garbage(page, picture)
        kinds = random.Random(seed).sample(list(garbage), len(garbage))
        order = ["" if k % 3 else kinds[k // 3 % len(kinds)] for k in range(requests)]
        with ThreadPoolExecutor(CLIENTS) as pool:
            warm = list(pool.map(lambda name: attempt(name, garbage, page, picture, expected), [""] * 2 * CLIENTS))
            memory, files = read_memory(page.process), count_open_files(page.process)
            outcomes = list(pool.map(lambda name: attempt(name, garbage, page, picture, expected), order))
        for name, outcome in zip(["warm-up"] * len(warm) + order, warm + outcomes):
            tally.note(outcome, name or "a good picture")
        time.sleep(1)
        if attempt("", garbage, page, picture, expected) != "unharmed":
            tally.note("the page no longer answers")
        if memory and read_memory(page.process) - memory > GROWTH:
            tally.note(f"memory grew from {memory} to {read_memory(page.process)} MB")
        if files and count_open_files(page.process) > files + CLIENTS:
            tally.note(f"open files grew from {files} to {count_open_files(page.process)}")
        left = count_files(root) - count_files(page.own) - run_files
        left |= list_names() - names
        if left:
            tally.note(f"files were left behind: {left}")
        if errors := UNEXPECTED.findall((page.own / "log").read_text()):
            tally.note(f"the log has tracebacks: {set(errors)}")
    return tally
