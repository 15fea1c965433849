"""training_logs.md: the submission, where there is one, and every epoch of every published run."""

from collections.abc import Iterable
from pathlib import Path

from cifar100.report.describe import describe_changes, describe_recipe
from cifar100.report.reported import REPORTED
from cifar100.report.template import fill_in
from cifar100.runs.history import format_record, format_seconds
from cifar100.runs.run import Run

SECTION = Path(__file__).with_name("training_log.md.jinja")
TITLE = """# Training logs

Every epoch of every published run, rendered from `output/<recipe>/seed<k>/` by `python -m cifar100 report`.
Training figures are taken while the network learns, on augmented images; the test figures are plain.
The hardware line ends with the precision of training, which each machine chooses (`--precision`).
"""


def render_logs(runs: Iterable[Run], submission: str = "") -> str:
    """The page's text. submission: what stands at its top, as `hand_in.render_submission` gives it."""
    return "\n".join([TITLE, *filter(None, [submission]), *map(render_section, runs)])


def render_run(folder: str | Path) -> str:
    """The section of one run. Raises UserError if a file of it is missing or damaged."""
    return render_section(Run.load(folder))


def render_section(run: Run) -> str:
    """Settings, what was reached, and every epoch."""
    return fill_in(
        SECTION,
        run=run,
        recipe=run.recipe,
        changes=describe_changes(run.recipe),
        settings=describe_recipe(run.recipe),
        final=run.history[-1],
        best=run.history[run.metrics["best"]["epoch"] - 1],
        reached=", ".join(f"{float(t):.0%} in epoch {k}" for t, k in run.metrics["reached"].items() if k),
        time=format_seconds(run.metrics["seconds"]),
        hardware=run.machines,
        report=REPORTED.get(run.recipe.name),
        epochs="\n".join(format_record(record, len(run.history)) for record in run.history),
    )
