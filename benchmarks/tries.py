"""What was tried for `resnet56_fast`: each of its numbers changed alone, half of its epochs, on the hold-out."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from cifar100.dataset.cifar import is_sample
from cifar100.recipe import Recipe
from cifar100.recipes import RESNET56_FAST
from cifar100.runs.find import run_folder
from cifar100.runs.history import format_record
from cifar100.runs.run import Run
from cifar100.training.fit import fit

EPOCHS = 24
CHANGES: dict[str, tuple[str, dict]] = {
    "base": ("as it is", {}),
    "batch512": ("batches of 512", {"batch_size": 512}),
    "muon005": ("half of Muon's rate, 0.05", {"muon_lr": 0.05}),
    "muon02": ("twice Muon's rate, 0.2", {"muon_lr": 0.2}),
    "momentum09": ("Muon's momentum 0.9 instead of 0.6", {"muon_momentum": 0.9}),
    "smooth0": ("no label smoothing", {"label_smoothing": 0.0}),
    "cutout8": ("a hole of 8x8 pixels", {"augmentation": replace(RESNET56_FAST.augmentation, cutout=8)}),
    "pixels24": ("pictures of 24x24 pixels for the first 40 %", {"resolutions": ((0.4, 24),)}),
}


def make_try(name: str) -> Recipe:
    """The recipe with one of CHANGES, named after it."""
    return replace(RESNET56_FAST, name=f"try_{name}", epochs=EPOCHS, **CHANGES[name][1])


def measure_tries(output: str | Path, data: str | None, device: str | None, say: Callable[[str], None]) -> dict:
    """Train them all on nine tenths of the training set, and measure them on the rest. The runs are kept in
    `output`/tries: one that is finished is not trained again, one that was cut off goes on."""
    output, figures = Path(output) / "tries", {}
    for name, (text, _) in CHANGES.items():
        recipe = make_try(name)
        for record in fit(recipe, data=data, output=output, device=device, holdout=True, resume=True, say=say):
            say(f"{text}: {format_record(record, EPOCHS)}")
        run = Run.load(run_folder(recipe, output, is_sample(data), holdout=True))
        last, hardware = run.history[-1], run.metrics["hardware"]
        figures[text] = {"train": last.train_accuracy, "validation": last.eval_accuracy, "hardware": hardware}
    return {"epochs": EPOCHS, "tries": figures}


def format_tries(figures: dict) -> str:
    lines = [f"{'':45}{'validation':>12}{'training':>12}"]
    for text, own in figures["tries"].items():
        lines.append(f"{text:45}{own['validation']:12.2%}{own['train']:12.2%}")
    return "\n".join(lines)


def render_tries(figures: dict) -> str:
    """In Markdown, the first being what the others are compared with."""
    tries = figures["tries"]
    first = next(iter(tries.values()))["validation"]
    hardware = ", ".join(dict.fromkeys(own["hardware"] for own in tries.values()))
    lines = [
        f"{figures['epochs']} epochs on nine tenths of the training set, on {hardware}:\n",
        "| `resnet56_fast` | accuracy on the hold-out | difference | training accuracy |",
        "| --- | ---: | ---: | ---: |",
    ]
    for text, own in tries.items():
        difference = f"{100 * (own['validation'] - first):+.2f}"
        lines.append(f"| {text} | {own['validation']:.2%} | {difference} | {own['train']:.2%} |")
    return "\n".join(lines) + "\n"
