"""All that is rendered from the published runs: which files these are, and writing them anew."""

from pathlib import Path

from cifar100.files import write_text
from cifar100.report.hand_in import NOTEBOOK, load_handed, render_list, render_submission
from cifar100.report.model_card import render_card
from cifar100.report.published import group_by_recipe, is_published, load_published
from cifar100.report.readme import CURVES, render_figures, render_headline, render_results, replace_block
from cifar100.report.submission import insert_address, load_details, render_notebook
from cifar100.report.training_log import render_logs
from cifar100.runs.run import Run


def write_all(root: Path) -> list[Path]:
    """Draw and render the project's files anew. Returns those that have changed."""
    runs, logs = load_published(root / "output"), root / "training_logs.md"
    drawn, wanted = [], [run.folder.parent / CURVES for run in runs]
    text = logs.read_text(encoding="utf-8") if logs.exists() else ""
    if text != render_all(root, runs)[logs] or not all(path.is_file() for path in wanted):
        from cifar100.report.curves import save_curves  # here, because it imports torch and matplotlib

        drawn = save_curves(runs)  # first: the README shows what there is
    pages = render_all(root, runs)
    changed = [path for path in pages if not path.exists() or path.read_text(encoding="utf-8") != pages[path]]
    for path in changed:
        write_text(path, pages[path])
    # Of runs that are gone, or were trained anew and not yet evaluated.
    stale = sorted(set((root / "output").glob("*/MODEL_CARD.md")) - set(pages))
    for path in stale:
        path.unlink()
    return [*drawn, *changed, *stale]


def render_all(root: Path, runs: list[Run]) -> dict[Path, str]:
    """Each rendered file of the project and its text. runs: all that lie in root/output. What is handed in shows a
    user's own runs alone."""
    handed, address = load_handed(root), load_details(root)["repository"]
    shown = [run for run in runs if not handed or run.folder == handed.folder or not is_published(run)]
    groups, readme = group_by_recipe(shown), root / "README.md"
    own = [run for run in shown if handed and run.recipe.name == handed.recipe.name]
    submission = f"## Submission\n\n{render_submission(handed.recipe, own, root)}" if handed else ""
    text = insert_address(readme.read_text(encoding="utf-8"), address, NOTEBOOK)
    blocks = {
        "headline": render_headline(groups),
        "figures": render_figures(groups, root),
        "results": render_results(groups),
        "hand in": render_list(root),
    }
    for name, content in blocks.items():
        text = replace_block(text, name, content)
    return {
        root / "training_logs.md": render_logs(shown, submission),
        readme: text,
        **{path: render_notebook(path, address) for path in sorted(root.glob("*.ipynb"))},
        **render_cards(runs),
    }


def render_cards(runs: list[Run]) -> dict[Path, str]:
    """The model card of each recipe: of the lowest seed that was evaluated in full."""
    evaluated = {run.folder.parent / "MODEL_CARD.md": run for run in reversed(runs) if "evaluation" in run.metrics}
    return {path: render_card(run) for path, run in evaluated.items()}
