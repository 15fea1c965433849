"""The log and the model card (Mitchell et al. 2019, arXiv:1810.03993) of a run, from Jinja templates."""

import json
from pathlib import Path

import jinja2

from cifar100.evaluation.corruptions import find_table
from cifar100.report.describe import describe_recipe
from cifar100.report.reported import REPORTED
from cifar100.runs.history import format_record, format_seconds
from cifar100.runs.run import Run

SECTION, CARD = (Path(__file__).with_name(f"{name}.md.jinja") for name in ("training_log", "model_card"))
FILTERS = {
    "percent": "{:.2%}".format,
    "count": "{:,}".format,
    "nats": "{:.4f}".format,
    "quoted": lambda text: json.dumps(text, ensure_ascii=False),
}


def fill_in(template: Path, **values) -> str:
    """Render a template. Raises jinja2.UndefinedError if a value is missing."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    environment.filters |= FILTERS
    return environment.from_string(template.read_text(encoding="utf-8")).render(values)


def render_section(run: Run) -> str:
    """The settings, the results, and every epoch."""
    return fill_in(
        SECTION,
        run=run,
        settings=describe_recipe(run.recipe),
        best=run.history[run.metrics["best"]["epoch"] - 1],
        reached=", ".join(f"{float(t):.0%} in epoch {k}" for t, k in run.metrics["reached"].items() if k),
        time=format_seconds(run.metrics["seconds"]),
        report=REPORTED.get(run.recipe.name),
        epochs="\n".join(format_record(record, len(run.history)) for record in run.history),
    )


def render_card(run: Run, hub: bool = False) -> str:
    """The model card of a run, after `evaluate --write`. hub: with the metadata for the Hugging Face Hub."""
    evaluation = run.metrics["evaluation"]
    known = sorted((accuracy, name) for name, accuracy in evaluation["per_class"].items() if accuracy is not None)
    ranked = [f"{name} {accuracy:.0%}".replace("_", " ") for accuracy, name in known]
    pairs = [f"{a} and {b} ({count})".replace("_", " ") for a, b, count in evaluation["confused_pairs"][:5]]
    return fill_in(
        CARD,
        hub=hub,
        run=run,
        settings=describe_recipe(run.recipe),
        time=format_seconds(run.metrics["seconds"]),
        e=evaluation,
        table=find_table(run),
        best=", ".join(ranked[:-6:-1]),
        worst=", ".join(ranked[:5]),
        pairs=", ".join(pairs),
    )
