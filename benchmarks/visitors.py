"""A page in a process of its own, and clients that send it pictures and judge its answers."""

import os
import queue
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from gradio_client import Client, handle_file
from huggingface_hub import constants
from PIL import Image

from cifar100.dataset.cifar import readable
from cifar100.errors import UserError
from cifar100.inference import Prediction

SIZES = ((32, 32), (640, 480), (768, 1024), (1600, 1200))  # width and height of uploads
PATIENCE = 120  # seconds after which an upload counts as lost
TOLERANCE = 1e-5  # of a probability: threads in another number change its last digit


class Answer(NamedTuple):
    seconds: float  # from the upload to the last of the answer's pictures
    shares: dict[str, float]  # the page's classes and their probabilities; empty if the upload was lost
    reason: str = ""  # why it was lost


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that ends with the block and takes all temporary files of this process: gradio_client leaves a folder
    behind for each picture that it fetches."""
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory() as name:
        tempfile.tempdir = name
        try:
            yield Path(name)
        finally:
            tempfile.tempdir = before


def write_uploads(images: np.ndarray, count: int, folder: Path) -> list[Path]:
    """Pictures as people have them: images (N, H, W, 3) uint8, enlarged to SIZES, PNG and JPEG by turns."""
    folder.mkdir()
    paths = [folder / f"{k}.{('png', 'jpg')[k % 2]}" for k in range(count)]
    for k, path in enumerate(paths):
        image = Image.fromarray(images[k % len(images)]).resize(SIZES[k // 2 % len(SIZES)], Image.Resampling.BICUBIC)
        image.save(path, compress_level=1)  # of PNG: quicker, no smaller
    return paths


@contextmanager
def start_page(
    command: list[str], folder: Path, own: Path, environment: dict[str, str] | None = None
) -> Iterator[tuple[str, int]]:
    """A page in a process of its own, until the block ends: the address that it prints, and the process's number.

    folder: where it starts; own: a new folder for its log and its uploads; environment: variables beside those of this
    process, which have the last word. Raises UserError if it ends by itself.
    """
    own.mkdir()
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "GRADIO_"))}
    variables = clean | {"GRADIO_TEMP_DIR": str(own / "uploads"), "PYTHONUNBUFFERED": "1"} | (environment or {})
    with open(own / "log", "w") as log:
        process = subprocess.Popen(command, cwd=folder, env=variables, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        found = (re.search(r"http://\S+", line) for line in process.stdout)
        address = next(filter(None, found), None)
        if address is None:
            reason = ((own / "log").read_text().strip().splitlines() or ["it says nothing"])[-1].rstrip(".")
            raise UserError(f"The page does not start ({reason}): try `python {' '.join(command[1:])}` in {folder}.")
        yield address[0], process.pid
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def connect(address: str, downloads: Path) -> Client:
    """A client of the page that keeps the pictures of its answers in `downloads`, as a browser does."""
    constants.HF_HUB_DISABLE_TELEMETRY = True  # it would tell Hugging Face of each client; the page calls nobody
    return Client(address, verbose=False, download_files=downloads, analytics_enabled=False)


def ask_all(clients: list[Client], pictures: list[Path], model: str) -> list[Answer]:
    """The answers to the pictures, in their order. A client takes the next picture when it has its answer."""
    free: queue.SimpleQueue = queue.SimpleQueue()
    for client in clients:
        free.put(client)

    def take_turn(picture: Path) -> Answer:
        client = free.get()
        try:
            return ask(client, picture, model)
        finally:
            free.put(client)

    with ThreadPoolExecutor(len(clients)) as pool:
        return list(pool.map(take_turn, pictures))


def ask(client: Client, picture: Path, model: str) -> Answer:
    """Upload a picture and wait for the whole answer."""
    start = time.perf_counter()
    try:
        label = client.submit(handle_file(str(picture)), model, api_name="/predict").result(PATIENCE)[0]
    except Exception as error:  # whatever it was: this client has no answer
        return Answer(time.perf_counter() - start, {}, f"{type(error).__name__}: {error}".splitlines()[0])
    return Answer(time.perf_counter() - start, {row["label"]: row["confidence"] for row in label["confidences"]})


def is_right(shares: dict[str, float], expected: list[Prediction], tolerance: float = TOLERANCE) -> bool:
    """Whether the page shows what `predict` says: the first class, and each class with its probability."""
    probabilities = {readable(answer.class_name): answer.probability for answer in expected}
    return (
        shares.keys() == probabilities.keys()
        and next(iter(shares)) == next(iter(probabilities))
        and all(abs(shares[name] - probability) <= tolerance for name, probability in probabilities.items())
    )


def read_memory(process: int) -> float | None:
    """What a process keeps in memory, in MB; None where the system does not say so."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
        return round(int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024 / 1e6, 1)
    except (OSError, TypeError):
        return None


def count_open_files(process: int) -> int | None:
    try:
        return len(os.listdir(f"/proc/{process}/fd"))
    except OSError:
        return None
