"""A page in a process of its own, and those who ask it."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from gradio_client import Client
from huggingface_hub import constants

SECONDS = 120  # after which a request counts as one that hangs


@contextmanager
def start_page(command: list[str], folder: Path, own: Path, **environment: str) -> Iterator[str]:
    """The address that a page prints, until the block ends. folder: where it starts; own: a new folder for its log and
    what it calls temporary; environment: variables beside those of this process."""
    own.mkdir()
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "GRADIO_"))}
    variables = clean | {"TMPDIR": str(own), "PYTHONUNBUFFERED": "1"} | environment
    with open(own / "log", "w") as log:
        process = subprocess.Popen(command, cwd=folder, env=variables, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        found = (re.search(r"http://\S+", line) for line in process.stdout)
        address = next(filter(None, found), None)
        assert address, (own / "log").read_text()
        yield address[0].rstrip("/") + "/"
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def connect(address: str) -> Client:
    constants.HF_HUB_DISABLE_TELEMETRY = True  # it would tell Hugging Face of each client; the page calls nobody
    return Client(address, verbose=False, analytics_enabled=False)


def call(address: str, *data) -> str:
    """The stream of events that answers a call of `predict` with these values, whatever they are."""
    place = f"{address}gradio_api/call/predict"
    reply = httpx.post(place, json={"data": data}, timeout=SECONDS)
    reply.raise_for_status()
    return httpx.get(f"{place}/{reply.json()['event_id']}", timeout=SECONDS).text


def upload(address: str, content: bytes, name: str = "image.png") -> dict:
    """Upload a file. Returns how a call names it."""
    reply = httpx.post(f"{address}gradio_api/upload", files={"files": (name, content)}, timeout=SECONDS)
    reply.raise_for_status()
    return {"path": reply.json()[0], "meta": {"_type": "gradio.FileData"}}


def shares(events: str) -> list[tuple[str, float]] | None:
    """The classes and probabilities of an answer, None if it is a refusal."""
    if not events.startswith("event: complete"):
        return None
    return [(row["label"], row["confidence"]) for row in json.loads(events.partition("data: ")[2])[0]["confidences"]]
