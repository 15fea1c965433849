"""All that is rendered from the published runs: which files these are, and writing them anew."""

from pathlib import Path

from cifar100.files import write_text
from cifar100.report.model_card import render_card
from cifar100.report.readme import (
    OVERVIEW,
    group_by_recipe,
    insert_benches,
    render_figures,
    render_headline,
    render_results,
    replace_block,
)
from cifar100.report.repository import insert_address, load_address, render_notebook
from cifar100.report.training_log import render_logs
from cifar100.runs.find import find_published
from cifar100.runs.run import Run


def load_published(output: str | Path = "output") -> list[Run]:
    """The published runs, recipes in the order of RECIPES, then seeds. Raises UserError if one of them is damaged."""
    return [Run.load(folder) for folder in find_published(output)]


def write_all(root: Path) -> list[Path]:
    """Draw and render the project's files anew. Returns those that have changed."""
    runs, logs = load_published(root / "output"), root / "training_logs.md"
    anew = not logs.exists() or logs.read_text(encoding="utf-8") != render_logs(runs)
    drawn = draw_curves(root, runs, anew)  # first: the README shows what there is
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
    """Each rendered file of the project and its text. runs: all that lie in root/output."""
    readme, address, groups = root / "README.md", load_address(root), group_by_recipe(runs)
    text = insert_address(readme.read_text(encoding="utf-8"), address, "CIFAR100_ResNet.ipynb")
    text = replace_block(text, "headline", render_headline(groups))
    text = replace_block(text, "figures", render_figures(groups, root))
    text = replace_block(text, "results", render_results(groups))
    pages = {page: page.read_text(encoding="utf-8") for page in sorted((root / "docs").glob("*.md"))}
    return {
        root / "training_logs.md": render_logs(runs),
        **{page: insert_benches(words, root / "output") for page, words in (pages | {readme: text}).items()},
        **{path: render_notebook(path, address) for path in sorted(root.glob("*.ipynb"))},
        **render_cards(runs),
    }


def render_cards(runs: list[Run]) -> dict[Path, str]:
    """The model card of each recipe: of the lowest seed that was evaluated in full."""
    evaluated = {run.folder.parent / "MODEL_CARD.md": run for run in reversed(runs) if "evaluation" in run.metrics}
    return {path: render_card(run) for path, run in evaluated.items()}


def draw_curves(root: Path, runs: list[Run], anew: bool) -> list[Path]:
    """Draw the pages' figures where they are wanted anew, or one of them is missing. Returns the files."""
    from cifar100.report.curves import CURVES, save_curves  # here, because it imports matplotlib

    wanted = [run.folder.parent / CURVES for run in runs]
    wanted += [root / OVERVIEW] if group_by_recipe(runs) else []  # in which only recipes as they are have a place
    return save_curves(runs, root) if anew or not all(path.is_file() for path in wanted) else []
