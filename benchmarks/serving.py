"""How a trained network serves: the demo's page to several visitors at once, `predict_batch` with picture files."""

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import visitors
from cifar100.demo.answers import TOP
from cifar100.demo.examples import load_drawings
from cifar100.device import describe_machine
from cifar100.errors import UserError
from cifar100.evaluation.logits import OpenRun, evaluate, open_run
from cifar100.files import ROOT
from cifar100.inference import Predictor, load_predictor
from cifar100.runs.find import find_run

WARM_UP = 4  # uploads of each client, before the server's memory is read first
PART, ROUNDS = 1_000, 7  # images whose rate is measured, and how often


@dataclass(frozen=True)
class PageFigures:
    """What the clients of the page saw. Memory and open files are the server's; None where there is no /proc."""

    clients: int  # each sends its next picture when it has its answer
    uploads: int
    lost: int  # without an answer
    wrong: int  # with another first class, or another probability, than `predict` gives
    reasons: list[str]  # why uploads were lost
    median_seconds: float  # of an answer, from the upload to the last of its three pictures
    worst_seconds: float
    uploads_per_second: float
    warm_memory_mb: float | None  # after the warm-up
    final_memory_mb: float | None
    warm_open_files: int | None
    final_open_files: int | None


@dataclass(frozen=True)
class FileFigures:
    """A run's own test images as PNG files. Accuracies are 0..1; rates are images/s, medians, for PART images."""

    images: int
    accuracy: float  # of `predict_batch` on the files
    recorded_accuracy: float  # in metrics.json
    evaluate_rate: float
    array_rate: float  # of `predict_batch`, images in memory
    file_rate: float  # of `predict_batch`, images in files


@dataclass(frozen=True)
class Serving:
    run: str
    hardware: str
    torch: str
    commit: str | None
    page: PageFigures
    files: FileFigures

    def to_dict(self) -> dict:
        return asdict(self)


def measure_serving(
    folder: str | Path, data: str | None = None, clients: int = 8, uploads: int = 200, device: str | None = None
) -> Serving:
    """Measure a run as a demo and as an API: some minutes. The machine should have nothing else to do.

    Raises UserError as `open_run` does, or if the page does not start or answers no upload at all.
    """
    if min(clients, uploads) < 1:
        raise UserError(f"Name one client and one upload or more, not {clients} and {uploads}.")
    folder = find_run(folder)
    opened, predictor = open_run(folder, data, device), load_predictor(folder, device)
    with visitors.temporary_folder() as temporary:
        page = measure_page(opened, predictor, temporary, clients, uploads)
        files = measure_files(opened, predictor, temporary)
    return Serving(folder.as_posix(), **describe_machine(predictor.device), page=page, files=files)


def measure_page(opened: OpenRun, predictor: Predictor, folder: Path, clients: int, uploads: int) -> PageFigures:
    """Start the demo, let clients send it pictures, and compare. folder: for all files that this takes."""
    drawings = np.stack([np.asarray(drawing) for drawing in load_drawings().values()])
    first = visitors.write_uploads(drawings, WARM_UP * clients, folder / "warm_up")
    pictures = visitors.write_uploads(opened.data.images, uploads, folder / "uploads")
    expected = predictor.predict_batch(pictures, TOP)
    model = str(opened.run.folder.resolve())
    command = [sys.executable, "-m", "cifar100", "demo", model, "--device", str(predictor.device)]
    with visitors.start_page(command, ROOT, folder / "server") as (address, process):
        connected = [visitors.connect(address, folder / "downloads") for _ in range(clients)]
        visitors.ask_all(connected, first, model)
        warm = visitors.read_memory(process), visitors.count_open_files(process)
        start = time.perf_counter()
        answers = visitors.ask_all(connected, pictures, model)
        seconds = time.perf_counter() - start
        final = visitors.read_memory(process), visitors.count_open_files(process)
    answered = [(answer, own) for answer, own in zip(answers, expected) if answer.shares]
    reasons = sorted({answer.reason for answer in answers} - {""})
    if not answered:
        raise UserError(
            f"The page answered no upload ({reasons[0]}): try `python -m cifar100 demo {opened.run.folder}`."
        )
    waited = [answer.seconds for answer, _ in answered]
    return PageFigures(
        clients=clients,
        uploads=uploads,
        lost=uploads - len(answered),
        wrong=sum(not visitors.is_right(answer.shares, own) for answer, own in answered),
        reasons=reasons,
        median_seconds=round(statistics.median(waited), 3),
        worst_seconds=round(max(waited), 3),
        uploads_per_second=round(len(answered) / seconds, 2),
        warm_memory_mb=warm[0],
        final_memory_mb=final[0],
        warm_open_files=warm[1],
        final_open_files=final[1],
    )


def measure_files(opened: OpenRun, predictor: Predictor, folder: Path) -> FileFigures:
    """Name the run's test images, written as PNG files, and compare with its evaluation in accuracy and speed."""
    (folder / "images").mkdir()
    paths = [folder / f"images/{k}.png" for k in range(len(opened.data))]
    for path, image in zip(paths, opened.data.images):
        Image.fromarray(image).save(path, compress_level=1)
    named = [own[0].class_id for own in predictor.predict_batch(paths, top_k=1)]
    accuracy = float(np.mean(named == opened.data.fine))
    part = opened.data.take(np.arange(min(PART, len(paths))))
    rates = measure_rates(
        {
            "evaluate_rate": lambda: evaluate(predictor.network, part, predictor.device),
            "array_rate": lambda: predictor.predict_batch(part.images),
            "file_rate": lambda: predictor.predict_batch(paths[: len(part)]),
        },
        len(part),
    )
    return FileFigures(
        len(paths), round(accuracy, 6), opened.run.metrics["final"][f"{opened.run.split}_accuracy"], **rates
    )


def measure_rates(works: dict[str, Callable], images: int) -> dict[str, float]:
    """Images per second of each, the median of ROUNDS by turns, so that all see the same machine; the first is not
    counted."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(ROUNDS + 1):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - start)
    return {name: round(images / statistics.median(own[1:]), 1) for name, own in seconds.items()}


def format_serving(figures: dict) -> str:
    """A table for the screen, from `Serving.to_dict`."""
    page, files = PageFigures(**figures["page"]), FileFigures(**figures["files"])
    rows = {
        "uploads": f"{page.uploads} from {page.clients} clients at once: {page.lost} lost, {page.wrong} wrong",
        "an answer": f"{page.median_seconds:.2f} s (median), {page.worst_seconds:.2f} s (worst), "
        f"{page.uploads_per_second:.1f} a second",
        "server": format_change(page.warm_memory_mb, page.final_memory_mb, "MB resident")
        + ", "
        + format_change(page.warm_open_files, page.final_open_files, "open files"),
        "accuracy": (
            f"{files.accuracy:.2%} of {files.images:,} PNG files, {files.recorded_accuracy:.2%} in metrics.json"
        ),
        "evaluate": f"{files.evaluate_rate:,.0f} images/s",
        "predict_batch": f"{files.array_rate:,.0f} images/s of arrays ({files.array_rate / files.evaluate_rate:.0%}), "
        f"{files.file_rate:,.0f} of PNG files ({files.file_rate / files.evaluate_rate:.0%})",
    }
    lines = [f"{name:16}{text}" for name, text in rows.items()]
    return "\n".join(
        [f"{figures['run']} on {figures['hardware']}", *lines, *(f"Lost: {text}" for text in page.reasons)]
    )


def format_change(warm: float | None, final: float | None, unit: str) -> str:
    return f"unknown {unit}" if warm is None else f"{warm:,.0f} {unit} after a warm-up, {final:,.0f} at the end"


def describe_serving(figures: dict) -> str:
    """The README's sentences, a line each. figures: as `Serving.to_dict` gives them."""
    page, files = figures["page"], figures["files"]
    exactly = files["accuracy"] == files["recorded_accuracy"]
    equal = "exactly" if exactly else f"not {files['recorded_accuracy']:.2%}"
    arrays, pictures = (files[name] / files["evaluate_rate"] for name in ("array_rate", "file_rate"))
    memory = page["warm_memory_mb"] and (
        f"The server keeps {page['warm_memory_mb']:,.0f} MB in memory after a warm-up, {page['final_memory_mb']:,.0f} "
        f"MB at the end, and {page['warm_open_files']} files open, {page['final_open_files']} at the end."
    )
    lines = (
        f"{page['clients']} clients that ask the page at once, on {figures['hardware']}, wait "
        f"{page['median_seconds']:.1f} s for an answer (median; {page['worst_seconds']:.1f} s at worst).",
        f"Of {page['uploads']} different uploads {page['lost'] or 'none'} were lost, and {page['wrong'] or 'none'} "
        "were answered otherwise than `predict` answers.",
        memory,
        f"`predict_batch` names {files['accuracy']:.2%} of the {files['images']:,} test images rightly from PNG "
        f"files, {equal} as in the run's evaluation;",
        f"it reaches {arrays:.0%} of the evaluation's images/s from arrays, and {pictures:.0%} from PNG files.",
    )
    return "".join(f"{line}\n" for line in lines if line)
