"""Files of a finished run, checkpoints and data files with bytes flipped, cut, doubled or written over.

Every reader must either say in a sentence that the file is damaged, or give the very values of the undamaged one. What
metrics.json alone knows can only be checked for its kind and range: see UNCHECKED.
"""

import hashlib
import io
import json
import shutil
import signal
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from cifar100.runs.checkpoint import load_checkpoint, save_checkpoint
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cifar100.dataset import cifar as data
from cifar100.demo.answers import describe_model
from cifar100.errors import UserError
from cifar100.files import write_text
from cifar100.inference import load_predictor
from cifar100.network import load_network, make_network, save_weights
from cifar100.recipes import SMOKE
from cifar100.report.pages import load_published
from cifar100.report.training_log import render_run
from cifar100.runs.find import RUN_FILES, run_folder
from cifar100.runs.history import EpochRecord, load_history, save_history
from cifar100.runs.run import load_metrics, load_recipe, make_metrics, save_recipe
from cifar100.training import fit as train
from tests.faults.children import few
from tests.faults.tally import Tally

# Measured or descriptive: nothing else in a run says them again. Their kind and range are checked.
UNCHECKED = ("seconds", "images_per_second", "hardware", "versions", "commit", "sha256", "evaluation")
SECONDS = 20  # after which a reader counts as one that hangs
EVALUATION = {"images": 40, "top1": 0.25, "top5": 0.5, "nll": 3.25, "per_class": {"apple": 0.5, "bear": None}}


def make_run(root: Path) -> Path:
    """A finished run's folder with the recipe's first weights and a made-up history, in root/output/smoke."""
    folder = run_folder(SMOKE, root / "output")
    folder.mkdir(parents=True)
    history = [EpochRecord(k, 0.05 / k, 4.5 - k / 7, 0.1 * k, 4.25 - k / 9, 0.125 * k) for k in range(1, 7)]
    save_recipe(folder, SMOKE)
    save_history(folder, history)
    save_weights(folder / "weights.safetensors", make_network(SMOKE), SMOKE)
    facts = {"data": "CIFAR-100", "seconds": 61.5, "images_per_second": 128.5, "hardware": "abacus, 2 threads"}
    metrics = make_metrics(SMOKE, history, folder, versions={"torch": "2.5"}, commit="0" * 40, **facts)
    write_text(folder / "metrics.json", json.dumps(metrics | {"evaluation": EVALUATION}, indent=2) + "\n")
    return folder


def digest(tensors: dict) -> str:
    whole = hashlib.sha256()
    for name, value in tensors.items():
        whole.update(name.encode() + value.numpy().tobytes())
    return whole.hexdigest()


def readers_of_a_run(folder: Path) -> dict[str, Callable]:
    """Everything that takes values from a finished run for good, by name."""

    def checked(metrics: dict) -> dict:
        return {name: value for name, value in metrics.items() if name not in UNCHECKED}

    def section() -> list[str]:  # of training_logs.md; the line with time and hardware aside
        return [line for line in render_run(folder).splitlines() if "training images/s" not in line]

    def predictor() -> tuple:
        loaded = load_predictor(folder, "cpu")
        return loaded.classes, digest(loaded.network.state_dict())

    return {
        "load_recipe": lambda: load_recipe(folder),
        "load_history": lambda: load_history(folder),
        "load_metrics": lambda: checked(load_metrics(folder)),
        "report": section,
        "table": lambda: [checked(run.metrics) for run in load_published(folder.parents[1])],
        "evaluate": lambda: digest(load_network(folder).state_dict()),
        "predict": predictor,
        "demo": lambda: describe_model("smoke", folder),
        "predict with a file": lambda: digest(
            load_predictor(folder / "weights.safetensors", "cpu").network.state_dict()
        ),
    }


def make_checkpoint(folder: Path) -> dict[str, Callable]:
    """A checkpoint with what a trainer has at its start, and its reader."""
    network = make_network(SMOKE)
    state = {"recipe": SMOKE.to_dict(), "history": [], "seconds": {"training": 1.5}, "versions": train.versions()}
    save_checkpoint(folder / "checkpoint.pt", state | {"parts": {"network": network.state_dict()}})

    def read():
        loaded = load_checkpoint(folder / "checkpoint.pt", SMOKE)
        return digest(loaded.pop("parts")["network"]), loaded

    return {"resume": read}


def make_data(folder: Path, name: str) -> Callable:
    """A data file of 40 pictures in one of the official layouts, for once with the official checksum, and its
    reader."""
    images = few()["test"]
    planar = images.images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    records = np.concatenate([images.coarse[:, None], images.fine[:, None], planar], axis=1).astype(np.uint8).tobytes()
    content = records
    if name.endswith(".gz"):
        buffer, info = io.BytesIO(), tarfile.TarInfo("cifar-100-binary/test.bin")
        info.size = len(records)
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            archive.addfile(info, io.BytesIO(records))
        content = buffer.getvalue()
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    algorithm, _ = data.CHECKSUMS[name]
    official = algorithm, hashlib.new(algorithm, content).hexdigest()

    def read():
        before = data.CHECKSUMS[name]
        data.CHECKSUMS[name] = official
        try:
            loaded = data.load_split("test", folder)
        finally:
            data.CHECKSUMS[name] = before
        return [part.tobytes() for part in (loaded.images, loaded.fine, loaded.coarse)]

    return read


@st.composite
def damages(draw, size: int, digits: tuple[int, ...]):
    """A change of a file of so many bytes, as (what, place, value). digits: where it holds decimal digits."""
    kinds = ["flip", "write", "cut", "drop", "double", "zeros"] + ["digit"] * 4 * bool(digits)
    kind = draw(st.sampled_from(kinds))
    place = draw(st.sampled_from(digits)) if kind == "digit" else draw(st.integers(0, size - 1))
    value = draw(st.integers(0, {"flip": 7, "digit": 9}.get(kind, 255)))
    return kind, place, value


def apply(content: bytes, damage: tuple[str, int, int]) -> bytes:
    kind, place, value = damage
    before, here, after = content[:place], content[place], content[place + 1 :]
    return {
        "flip": lambda: before + bytes([here ^ (1 << value)]) + after,
        "write": lambda: before + bytes([value]) + after,
        "digit": lambda: before + b"%d" % value + after,
        "cut": lambda: before,
        "drop": lambda: before + content[place + 1 + value :],
        "double": lambda: content[: place + 1 + value] + content[place:],
        "zeros": lambda: before + bytes(len(content[place : place + value + 1])) + content[place + value + 1 :],
    }[kind]()


class Late(BaseException):
    """No Exception: a reader that turns every one of those into a UserError must not catch this one."""


@contextmanager
def deadline() -> Iterator[None]:
    """Raises Late in what takes longer than SECONDS."""

    def ring(number, frame):
        raise Late

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def judge(readers: dict[str, Callable], expected: dict) -> str:
    """Let all readers read a damaged file: "refused" if one of them says so, "unharmed" if all give what they should,
    else what went wrong."""
    refused = False
    for name, read in readers.items():
        try:
            with deadline():
                value = read()
        except UserError as error:
            refused = True
            if "\n" in str(error).strip() or len(str(error)) > 2000:
                return f"{name} says more than a sentence: {error}"
        except Late:
            return f"{name} hangs"
        except BaseException as error:  # what a user would see as a traceback
            return f"{name} raises {error!r}"
        else:
            if value != expected[name]:
                return f"{name} takes a wrong value for good"
    return "refused" if refused else "unharmed"


def damage_file(path: Path, readers: dict[str, Callable], count: int, tally: Tally) -> None:
    """Damage one file in `count` ways, each time from its good state, and let the readers judge."""
    good, expected = path.read_bytes(), {name: read() for name, read in readers.items()}
    text = path.suffix in (".json", ".csv")
    digits = tuple(k for k, byte in enumerate(good) if 48 <= byte <= 57) if text else ()

    @settings(
        max_examples=count, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(damages(len(good), digits))
    def try_one(damage):
        damaged = apply(good, damage)
        if damaged == good:
            return
        path.write_bytes(damaged)
        tally.note(judge(readers, expected), f"{path.name} {damage}")

    try:
        try_one()
    finally:
        path.write_bytes(good)


def damage_all(root: Path, count: int) -> list[Tally]:
    """Every kind of file, `count` ways each."""
    folder = make_run(root)
    readers, tallies = readers_of_a_run(folder), []
    for name in RUN_FILES:
        tallies.append(Tally(f"damaged {name}"))
        damage_file(folder / name, readers, count, tallies[-1])
    tallies.append(Tally("damaged checkpoint.pt"))
    damage_file(root / "checkpoint.pt", make_checkpoint(root), count, tallies[-1])
    tallies.append(Tally("damaged data files"))
    for name in ("cifar-100-binary/test.bin", "cifar-100-binary.tar.gz"):
        place = root / name.partition("/")[0].replace(".", "_")
        damage_file(place / name, {"load_split": make_data(place, name)}, count // 2, tallies[-1])
    shutil.rmtree(root / "output")
    return tallies
