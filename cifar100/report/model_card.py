"""A run's model card, rendered from what the run has left (Mitchell et al. 2019, "Model Cards for Model Reporting",
arXiv:1810.03993)."""

import json
from pathlib import Path

from jinja2 import UndefinedError

from cifar100.dataset.cifar import SIZES
from cifar100.errors import UserError
from cifar100.evaluation.corruptions import find_table
from cifar100.report.describe import describe_recipe
from cifar100.report.template import fill_in
from cifar100.runs.history import format_seconds
from cifar100.runs.machines import describe_machines
from cifar100.runs.run import Run

TEMPLATE = Path(__file__).with_name("model_card.md.jinja")


def render_card(run: Run) -> str:
    """The card of a run that `evaluate --write` has evaluated. Raises UserError if the evaluation lacks something."""
    try:
        return fill_in(TEMPLATE, **list_values(run))
    except (UndefinedError, AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"The evaluation in {run.folder / 'metrics.json'} is not whole ({error!r}): run `python -m cifar100 "
            f"evaluate {run.folder.as_posix()} --write`."
        ) from error


def list_values(run: Run) -> dict:
    """What the template names."""
    evaluation = run.metrics["evaluation"]
    known = {name: accuracy for name, accuracy in evaluation["per_class"].items() if accuracy is not None}
    ranked = [f"{name} {accuracy:.0%}" for name, accuracy in sorted(known.items(), key=lambda item: item[1])]
    pairs = [f"{a} and {b} ({count})" for a, b, count in evaluation["confused_pairs"][:5]]
    return {
        "recipe": run.recipe,
        "data": describe_data(run),
        "settings": describe_recipe(run.recipe),
        "command": run.command,
        "time": format_seconds(run.metrics["seconds"]),
        "hardware": describe_machines(run.metrics),
        "torch": run.metrics["versions"]["torch"],
        "logged": run.history[-1].eval_accuracy,
        "split": "held-out" if run.split == "validation" else "test",
        "e": evaluation,
        "damaged": [table for official in (False, True) if (table := find_table(run, official))],
        "unseen": find_unseen(run),
        "fitted": describe_fit(run),
        "best": ", ".join(ranked[:-6:-1]).replace("_", " "),
        "worst": ", ".join(ranked[:5]).replace("_", " "),
        "pairs": ", ".join(pairs).replace("_", " "),
    }


def find_unseen(run: Run) -> str:
    """What `python -m benchmarks unseen` has measured of the recipe; nothing if it has not, and for a run on other
    images."""
    path = run.folder.parent.parent / "bench" / "unseen.json"
    if (
        run.split != "test"
        or run.sample
        or not path.is_file()
        or json.loads(path.read_text(encoding="utf-8"))["recipe"] != run.recipe.name
    ):
        return ""
    return path.with_suffix(".md").read_text(encoding="utf-8")


def describe_fit(run: Run) -> str:
    """The images that what makes answers of logits comes from."""
    count = f"the {run.metrics['evaluation']['images']:,}"
    if run.split == "validation":
        return f"{count} images that were held out of the training set"
    return f"{count} test images, because no training image was held out"


def describe_data(run: Run) -> str:
    """What the network learned from. A hold-out's images are those that the evaluation was taken on."""
    if run.sample:
        return "the embedded sample, a look-alike of CIFAR-100 that the program draws, and nothing else"
    if run.split == "validation":
        held = run.metrics["evaluation"]["images"]
        return (
            f"{SIZES['train'] - held:,} of the {SIZES['train']:,} training images of CIFAR-100 (Krizhevsky 2009), and "
            f"nothing else; the other {held:,} were held out"
        )
    return f"the {SIZES['train']:,} training images of CIFAR-100 (Krizhevsky 2009), all of them, and nothing else"
