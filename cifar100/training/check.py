"""What works on a machine, and what a training will use there: computed and compared, not assumed."""

import os
import platform
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from cifar100.dataset import cifar
from cifar100.dataset.augment_batch import BatchAugmentation
from cifar100.dataset.augment_image import ImageAugmentation
from cifar100.dataset.cifar import Images, find_folder, find_split, is_sample, load_split
from cifar100.dataset.loader import TrainingLoader
from cifar100.device import (
    choose_device,
    choose_precision,
    convolves_rightly,
    current_commit,
    describe_hardware,
    has_bfloat16,
    name_precision,
)
from cifar100.errors import brief
from cifar100.evaluation.logits import evaluate
from cifar100.recipe import Recipe
from cifar100.recipes import RECIPES
from cifar100.training.speed import draw_noise, whole_batches
from cifar100.training.trainer import Trainer, make_trainer, train_one_epoch

# A short course with a whole schedule: after the first of the six epochs of `smoke` a network has learned nothing yet.
COURSE = replace(RECIPES["smoke"], epochs=3)
# What it reaches on the sample on a CPU in float32. In bfloat16 it was 3.103, 2.952 and 0.124.
REFERENCE = {"train loss": 3.095, "test loss": 2.941, "test accuracy": 0.115}
TOLERANCE = {"train loss": 0.15, "test loss": 0.25, "test accuracy": 0.05}
GREY_LEVELS = 4.0  # by which means and deviations of two augmented copies of the same pictures may differ
NEEDED_GB = 1.0  # of a disk, for data and runs; of a GPU's memory, for the smallest recipes

STEPS = {
    "off": "plain steps",
    "inductor": "compiled steps, once they were compared with the plain ones",
}


@dataclass(frozen=True)
class Finding:
    """A row of the table."""

    what: str
    works: bool
    text: str

    def __str__(self) -> str:
        return f"{self.what:22}{'yes' if self.works else 'NO':5}{self.text}"


def format_findings(findings: Iterable[Finding]) -> str:
    """A table for the screen."""
    return "\n".join(map(str, findings))


def list_choices(
    device: str | None = None, data: str | Path | None = None, output: str | Path = "output"
) -> list[Finding]:
    """The short form, within some seconds: what a training would use here. Raises UserError if the device is not
    there."""
    chosen = choose_device(device)
    rows = [
        Finding("versions", True, describe_versions()),
        Finding("device", True, describe_hardware(chosen)),
        *([attempt("memory", lambda: judge_memory(chosen))] if chosen.type == "cuda" else []),
        attempt("precision", lambda: judge_precision(chosen)),
        attempt("disk", lambda: judge_disk([Path(output), find_folder(data)])),
        attempt("data", lambda: judge_data(data)),
    ]
    for name in ("sprint", "resnet56_multistep"):
        rows.append(attempt(name, lambda name=name: (True, describe_use(RECIPES[name], chosen))))
    return rows


def check(
    device: str | None = None, data: str | Path | None = None, output: str | Path = "output"
) -> Iterator[Finding]:
    """Try everything that a training needs, in about a minute, and yield what was found, row by row. Ends with the rows
    of `list_choices`. Raises UserError if the device is not there."""
    choices = list_choices(device, data, output)
    chosen = choose_device(device)
    training, held = load_split("train", "sample"), load_split("test", "sample")
    trainer = make_trainer(COURSE, training, chosen)
    yield attempt("compiled step", lambda: try_compiled(trainer))
    yield attempt("training", lambda: try_course(trainer, held))
    yield attempt("augmentation", lambda: compare_pipelines(training.take(np.arange(1000)), chosen))
    yield attempt("worker processes", lambda: try_workers(training.take(np.arange(128)), chosen))
    yield from choices


def attempt(what: str, work: Callable[[], tuple[bool, str]]) -> Finding:
    """The finding of some work, also where it fails."""
    try:
        return Finding(what, *work())
    except Exception as error:  # of whatever kind: to find it is what this is for
        return Finding(what, False, f"{type(error).__name__}: {brief(error)}")


def describe_versions() -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "torchvision", "numpy", "albumentations"))
    commit, _, changes = (current_commit() or "unknown").partition("+")
    system = f"{platform.system()} {platform.machine()}"
    state = f"commit {commit[:7]}" + (" with changes" if changes else "")
    return f"Python {platform.python_version()}, {packages}; {system}; {state}"


def judge_memory(device: torch.device) -> tuple[bool, str]:
    free, total = (count / 1e9 for count in torch.cuda.mem_get_info(device))
    text = f"{free:.1f} of {total:.1f} GB are free"
    enough = free >= NEEDED_GB
    return (
        enough,
        text if enough else f"{text}: close what else uses the GPU (nvidia-smi lists it), or say --device cpu",
    )


def judge_precision(device: torch.device) -> tuple[bool, str]:
    name = name_precision(choose_precision(device))
    if has_bfloat16(device) and not convolves_rightly(torch.bfloat16):
        return False, f"{name}, since this torch computes bfloat16 wrongly here: a newer one may put that right"
    why = {"bfloat16": "which it computes quickly", "float16": "with scaled gradients, since it is older than bfloat16"}
    return True, f"{name}, {why.get(name, 'the only one that is quick here')}"


def judge_disk(folders: list[Path]) -> tuple[bool, str]:
    texts, good = [], True
    for folder in folders:
        there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
        free, writable = shutil.disk_usage(there).free / 1e9, os.access(there, os.W_OK)
        good &= writable and free >= NEEDED_GB
        texts.append(f"{free:.1f} GB free for {folder}" + ("" if writable else ", which is not writable"))
    return good, "; ".join(texts)


def judge_data(data: str | Path | None) -> tuple[bool, str]:
    """Reads what is there, and downloads nothing."""
    if is_sample(data):
        return True, "the embedded sample"
    folder, named = find_folder(data), data or os.environ.get("CIFAR100_DATA")
    found = {split: find_split(split, folder) for split in cifar.SIZES}
    if None not in found.values():
        counts = {split: len(images) for split, images in found.items()}
        return True, f"{counts['train']:,} + {counts['test']:,} images in {folder}, with the official checksums"
    if named:
        return False, f"{folder} holds no CIFAR-100"
    return True, f"none in {folder} yet: the first training run downloads it"


def describe_use(recipe: Recipe, device: torch.device) -> str:
    """What a training of the recipe takes here, as `auto` chooses it."""
    trainer, said = make_trainer(recipe, draw_noise(recipe.batch_size), device), []
    trainer.choose_step("auto", said.append)
    workers = trainer.loader.num_workers
    batches = f"batches from {workers} processes" if workers else "batches made beside the network"
    step = STEPS[trainer.step_record()["kind"]]
    return f"is trained on {device.type}, in {trainer.precision}, with {step} and {batches}"


def try_compiled(trainer: Trainer) -> tuple[bool, str]:
    """Compare the compiled step with the plain one; where it is not what `auto` takes, it is put away afterwards. On a
    CPU it is traced only, not translated to C++, which takes longer than all the rest."""
    step, said = trainer.loss_step, []
    used = trainer.device.type == "cuda"
    trainer.network.train()
    step.compile("auto" if used else "aot_eager", said.append)
    # Not the trainer's own scaler, whose first gradients may overflow, as it expects.
    scaler = torch.amp.GradScaler(trainer.device.type, init_scale=1024.0, enabled=trainer.scaler.is_enabled())
    proven = step.compiled is not None and step.is_proven(*next(whole_batches(trainer)), scaler)
    text = f"computes what the plain step does ({step.backend})" if proven else said[-1]
    if not used:
        step.compiled = None
        text += f"; not used on {trainer.device.type}"
    return proven, text


def try_course(trainer: Trainer, held: Images) -> tuple[bool, str]:
    """Train COURSE and compare what it reaches with what a CPU did."""
    for epoch in range(1, trainer.epochs + 1):
        train_loss, _ = train_one_epoch(trainer, epoch)
    test_loss, test_accuracy = evaluate(trainer.result, held, trainer.device)
    return judge_course({"train loss": train_loss, "test loss": test_loss, "test accuracy": test_accuracy})


def judge_course(reached: dict[str, float]) -> tuple[bool, str]:
    good = all(abs(value - REFERENCE[name]) <= TOLERANCE[name] for name, value in reached.items())
    numbers = ", ".join(f"{name} {value:.3f} ({REFERENCE[name]:.3f})" for name, value in reached.items())
    return good, f"three epochs on the sample, beside a CPU's in float32: {numbers}"


def compare_pipelines(data: Images, device: torch.device) -> tuple[bool, str]:
    """Augment the same pictures image by image and in one batch, and compare the channels' means and deviations."""
    augmentation = RECIPES["resnet56_multistep"].augmentation
    by_image = ImageAugmentation(augmentation, 0)
    one = np.stack([by_image(image, 1, index) for index, image in enumerate(data.images)]).astype(np.float32)
    in_batches = BatchAugmentation(replace(augmentation, pipeline="device"), 0, len(data))
    in_batches.start_epoch(1, device)
    images, indices = torch.from_numpy(data.images).to(device), torch.arange(len(data), device=device)
    two = in_batches.augment(images, indices).float().cpu().numpy()
    statistics = [np.stack([images.mean((0, 1, 2)), images.std((0, 1, 2))]) for images in (one, two)]
    furthest = float(np.abs(statistics[0] - statistics[1]).max())
    text = f"means and deviations of the two pipelines' channels differ by {furthest:.1f} grey levels at most"
    return furthest <= GREY_LEVELS, text


def try_workers(data: Images, device: torch.device) -> tuple[bool, str]:
    """Let two processes prepare the batches of an epoch, and compare them with this process's own."""
    recipe = replace(RECIPES["resnet56_multistep"], batch_size=64)
    own, theirs = ([batch[0].cpu() for batch in TrainingLoader(data, recipe, device, n).epoch(1)] for n in (0, 2))
    same = len(own) == len(theirs) and all(torch.equal(a, b) for a, b in zip(own, theirs))
    return same, "two processes prepare the same batches as this one" if same else "two processes prepare other batches"
