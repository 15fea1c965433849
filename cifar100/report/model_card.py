"""A run's model card, rendered from what the run has left (Mitchell et al. 2019, "Model Cards for Model Reporting",
arXiv:1810.03993)."""

from pathlib import Path

from jinja2 import UndefinedError

from cifar100.dataset.cifar import SIZES
from cifar100.errors import UserError
from cifar100.evaluation.corruptions import find_table
from cifar100.report.describe import describe_recipe
from cifar100.report.template import fill_in
from cifar100.runs.history import format_seconds
from cifar100.runs.run import Run

TEMPLATE = Path(__file__).with_name("model_card.md.jinja")


def render_card(run: Run, hub: bool = False) -> str:
    """The card of a run that `evaluate --write` has evaluated. hub: with the metadata that the Hugging Face Hub reads
    where it goes there as the README.md of a model's weights. Raises UserError if the evaluation lacks something."""
    try:
        evaluation = run.metrics["evaluation"]
        known = {name: accuracy for name, accuracy in evaluation["per_class"].items() if accuracy is not None}
        ranked = [f"{name} {accuracy:.0%}" for name, accuracy in sorted(known.items(), key=lambda item: item[1])]
        pairs = [f"{a} and {b} ({count})" for a, b, count in evaluation["confused_pairs"][:5]]
        return fill_in(
            TEMPLATE,
            hub=hub,
            run=run,
            recipe=run.recipe,
            settings=describe_recipe(run.recipe),
            time=format_seconds(run.metrics["seconds"]),
            hardware=run.machines,
            held_out=run.split == "validation",
            all_images=SIZES["train"],
            e=evaluation,
            damaged=[table for official in (False, True) if (table := find_table(run, official))],
            best=", ".join(ranked[:-6:-1]).replace("_", " "),
            worst=", ".join(ranked[:5]).replace("_", " "),
            pairs=", ".join(pairs).replace("_", " "),
        )
    except (UndefinedError, AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"The evaluation in {run.folder / 'metrics.json'} is not whole ({error!r}): run `python -m cifar100 "
            f"evaluate {run.folder.as_posix()} --write`."
        ) from error
