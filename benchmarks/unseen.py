"""How well a recipe tells photographs of things that it has never seen: it is trained without two superclasses, and
asked about their test images."""

from collections.abc import Callable

import numpy as np
import torch

from cifar100.dataset.cifar import COARSE_NAMES, Images, load_split, readable
from cifar100.device import choose_device, describe_hardware
from cifar100.evaluation.logits import compute_both, score
from cifar100.evaluation.summary import tell_apart
from cifar100.recipe import Recipe
from cifar100.training.trainer import make_trainer, train_one_epoch

LEFT_OUT = ("medium_mammals", "people")  # one with many relatives among the rest, one with none


def measure_unseen(recipe: Recipe, data: str | None, device: str | None, say: Callable[[str], None]) -> dict:
    """Train the recipe without LEFT_OUT and measure what `tell_apart` does, with their test images as strangers."""
    chosen = choose_device(device)
    training, test = load_split("train", data), load_split("test", data)
    numbers = [COARSE_NAMES.index(name) for name in LEFT_OUT]
    trainer = make_trainer(recipe, select(training, numbers, inside=False), chosen)
    trainer.choose_products()
    trainer.choose_step("auto", say)
    for epoch in range(1, trainer.epochs + 1):
        loss, accuracy = train_one_epoch(trainer, epoch)
        say(f"Epoch [{epoch}/{trainer.epochs}] - Train Loss: {loss:.4f}, Train Acc: {accuracy:.2%}")
    known = select(test, numbers, inside=False)
    both = compute_both(trainer.result, known.images)
    strangers = {
        readable(COARSE_NAMES[number]): compute_both(trainer.result, select(test, [number], inside=True).images)
        for number in numbers
    }
    _, accuracy = score(torch.from_numpy(both[0]), torch.from_numpy(known.fine))
    return {
        "recipe": recipe.name,
        "hardware": f"{describe_hardware(chosen)}, {trainer.precision}",
        "accuracy": round(accuracy, 6),
        **tell_apart(both, known.fine, strangers),
    }


def select(images: Images, superclasses: list[int], inside: bool) -> Images:
    """Those that are in the superclasses, or those that are not."""
    return images.take(np.flatnonzero(np.isin(images.coarse, superclasses) == inside))


def format_unseen(figures: dict) -> str:
    lines = [f"{figures['recipe']} without {' and '.join(figures['kinds'])}: {figures['accuracy']:.2%} of the others"]
    for kind, own in figures["kinds"].items():
        lines.append(
            f"{kind}: AUROC {own['auroc']:.3f}, {own['refused']:.1%} refused while {figures['passing']:.1%} of the "
            f"known pass; AUROC of the cosine alone {own['auroc_of_cosine']:.3f}, of the energy alone "
            f"{own['auroc_of_energy']:.3f}"
        )
    return "\n".join(lines)


def render_unseen(figures: dict) -> str:
    """In Markdown, for the model card of the recipe."""
    lines = [
        f"Photographs of things that it has never seen: the recipe trained without {' and '.join(figures['kinds'])} "
        f"(right in {figures['accuracy']:.2%} of the other test images), and asked about their test images:\n",
        "| pictures | AUROC | of the cosine alone | of the energy alone | noticed |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for kind, own in figures["kinds"].items():
        areas = " | ".join(show(own.get(name), ".3f") for name in ("auroc", "auroc_of_cosine", "auroc_of_energy"))
        lines.append(f"| {kind} ({own['pictures']:,}) | {areas} | {show(own.get('refused'), '.2%')} |")
    return "\n".join(lines) + "\n"


def show(value: float | None, form: str) -> str:
    """A number, or a dash for what was not measured: figures of earlier releases have each score alone."""
    return "-" if value is None else format(value, form)
