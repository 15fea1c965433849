"""Generate pages from the published runs: README.md, the log, the model cards, figures, and badges."""

import json
import re
import statistics
from pathlib import Path

from cifar100.errors import UserError
from cifar100.files import load_json, write_text
from cifar100.recipes import RECIPES
from cifar100.report.describe import format_accuracy, format_mean, format_times, list_accuracies
from cifar100.report.hand_in import GITHUB, LOG, NOTEBOOK, load_details, load_handed, render_list, render_submission
from cifar100.report.published import group_by_recipe, is_published, load_published
from cifar100.report.reported import ASKED_FOR, REPORTED, list_levels
from cifar100.report.run_pages import render_card, render_section
from cifar100.runs.run import Run

Groups = dict[str, list[Run]]  # from `published.group_by_recipe`
OWN = ("resnet56_200", "resnet56_multistep")  # the recipe of the notebook: the first one with a run
CURVES, STRIP = "curves.png", "assets/grad_cam.png"  # of each recipe; of the network of the notebook
COLAB = "https://colab.research.google.com"
BADGE = re.compile(r"(<!-- badge -->\n).*?(<!-- end of badge -->)", re.DOTALL)
BOOTSTRAP = re.compile(r'^REPOSITORY = ".*?"', re.MULTILINE)  # in a cell of the notebook
LOG_TITLE = """# Training logs

Every epoch of every published run, generated from `output/<recipe>/seed<k>/` by `python -m cifar100 report`.
Training loss and accuracy are measured during the epoch, on augmented images; the test images are not augmented.
The line with the hardware includes the precision of training, which depends on the machine (`--precision`).
"""


def write_all(root: Path, notebooks: bool = True) -> list[Path]:
    """Update the figures and pages; without the notebooks if one of them is running, which its editor would notice.
    Returns the files that have changed."""
    runs, drawn = load_published(root / "output"), []
    pages = render_all(root, runs)
    if is_old(root / LOG, pages[root / LOG]) or not all((run.folder.parent / CURVES).is_file() for run in runs):
        drawn = save_curves(choose_shown(runs, load_handed(root)))
        pages = render_all(root, runs)  # the README shows only curves that exist
    if not notebooks:
        pages = {path: text for path, text in pages.items() if path.suffix != ".ipynb"}
    changed = [path for path, text in pages.items() if is_old(path, text)]
    for path in changed:
        write_text(path, pages[path])
    # Cards of runs that were deleted, or trained again and not yet evaluated
    stale = sorted(set((root / "output").glob("*/MODEL_CARD.md")) - set(pages))
    for path in stale:
        path.unlink()
    return [*drawn, *changed, *stale]


def is_old(path: Path, text: str) -> bool:
    """Whether the file does not have this text."""
    return not path.exists() or path.read_text(encoding="utf-8") != text


def render_all(root: Path, runs: list[Run]) -> dict[Path, str]:
    """Every generated file and its text. runs: all in root/output. A submission shows only the user's own runs."""
    handed, address = load_handed(root), load_details(root)["repository"]
    shown = [run for run in runs if not handed or run.folder == handed.folder or not is_published(run)]
    groups, readme = group_by_recipe(shown), root / "README.md"
    blocks = {
        "headline": render_headline(groups),
        "figures": render_figures(groups, root),
        "results": render_results(groups),
        "hand in": render_list(root),
    }
    text = insert_address(readme.read_text(encoding="utf-8"), address, NOTEBOOK)
    for name, content in blocks.items():
        text = replace_block(text, name, content)
    log = [LOG_TITLE, *map(render_section, shown)]
    if handed:
        log.insert(1, f"## Submission\n\n{render_submission(handed.recipe, groups.get(handed.recipe.name, []), root)}")
    evaluated = choose_shown([run for run in runs if "evaluation" in run.metrics], handed)
    return {
        root / LOG: "\n".join(log),
        readme: text,
        **{path: render_notebook(path, address) for path in sorted(root.glob("*.ipynb"))},
        **{run.folder.parent / "MODEL_CARD.md": render_card(run) for run in evaluated},
    }


def choose_shown(runs: list[Run], handed: Run | None) -> list[Run]:
    """The run of each recipe that its card and curves are of: the one that is handed in, else the lowest seed of the
    user's own, else the lowest published one."""
    name = handed and handed.folder
    ordered = sorted(reversed(runs), key=lambda run: (run.folder == name, not is_published(run)))  # the last one counts
    return list({run.recipe.name: run for run in ordered}.values())


def render_headline(groups: Groups) -> str:
    """The table on the first screen: the notebook's network, the most accurate one, and two fast ones."""
    best = max(groups, key=lambda name: statistics.mean(list_accuracies(groups[name])), default="")
    words = {find_own(groups): "The notebook's network", best: "The most accurate"}
    words |= {"resnet18_fast": "ResNet-18, fast", "sprint": "The quickest on two CPU cores"}
    lines = [
        "| recipe | top-1 on the test set | the report it starts from (best epoch) | training time |",
        "| --- | --- | --- | --- |",
    ]
    for name in filter(groups.get, words):
        seeds = ", ".join(f"{accuracy:.2%}" for accuracy in list_accuracies(groups[name]))
        each = f": {seeds}" if len(groups[name]) > 1 else ""
        report = f"{REPORTED[name].best:.2%}" if name in REPORTED else "-"
        accuracy = f"**{format_mean(groups[name])}**{each}"
        lines.append(f"| {words[name]}: `{name}` | {accuracy} | {report} | {format_times(groups[name])} |")
    machines = {run.metrics["hardware"].replace(", cpu", "") for name in words for run in groups.get(name, [])}
    return "\n".join([*lines, "", f"Hardware: {'; '.join(sorted(machines))}.", ""])


def find_own(groups: Groups) -> str:
    """The recipe of the notebook; "" if there are no runs."""
    return next(filter(groups.get, (*OWN, *groups)), "")


def render_figures(groups: Groups, root: Path) -> str:
    """The Grad-CAM strip and the curves of the notebook's recipe, if they exist."""
    name = find_own(groups)
    figures = {  # width in pixels, so that both fit on the first screen
        STRIP: (830, "Four test images, each beside the Grad-CAM heatmap of its predicted class."),
        f"output/{name}/{CURVES}": (830, f"Loss, top-1 accuracy and learning rate of {name} over its epochs."),
    }
    shown = {path: own for path, own in figures.items() if (root / path).is_file()}
    return "".join(f'<img src="{path}" width="{wide}" alt="{words}">\n\n' for path, (wide, words) in shown.items())


def render_results(groups: Groups) -> str:
    """A row per recipe with the mean of its seeds and the numbers of its report; and the list of reports."""
    lines = ["| recipe | epochs | top-1 | its report | time |", "| --- | ---: | ---: | --- | --- |"]
    for name, runs in groups.items():
        report = REPORTED[name].describe() if name in REPORTED else "-"
        accuracy, epochs = format_accuracy(runs), f"{RECIPES[name].epochs:g}"
        lines.append(f"| `{name}` | {epochs} | **{accuracy}** | {report} | {format_times(runs)} |")
    means = {name: statistics.mean(list_accuracies(runs)) for name, runs in groups.items()}
    missed = [f"`{name}` ({mean:.2%})" for name, mean in means.items() if mean < ASKED_FOR]
    count = f"{len(means) - len(missed)} of" if missed else "each of"
    target = f"The course asks for {ASKED_FOR:.0%}. The mean of {count} these {len(means)} recipes reaches it"
    target += f", all but {', '.join(missed)}." if missed else "."
    names = {report.title: [] for report in REPORTED.values()}
    for name, report in REPORTED.items():
        names[report.title].append(f"`{name}`")
    reports = "; ".join(f"{', '.join(starting)}: {title}" for title, starting in names.items())
    reports = f"Reports by others, each with the recipes that start from it: {reports}."
    return "\n".join([*lines, "", target, "", reports, ""])


def replace_block(text: str, name: str, content: str) -> str:
    """Replace the text between <!-- name --> and <!-- end of name -->. Raises UserError unless there is just one such
    place."""
    start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    text, count = re.subn(f"{start}.*?{end}", lambda _: start + content + end, text, flags=re.DOTALL)
    if count != 1:
        raise UserError(f"README.md must have one line {start.strip()} and, below it, one {end}: add them.")
    return text


def insert_address(text: str, address: str, notebook: str) -> str:
    """Insert the Colab badge, if the address is on GitHub, and the notebook's REPOSITORY into Markdown or code."""
    name = address.removeprefix(GITHUB)
    link = f"[![Open in Colab]({COLAB}/assets/colab-badge.svg)]({COLAB}/github/{name}/blob/main/{notebook})\n"
    text = BADGE.sub(lambda found: found[1] + (link if name != address else "") + found[2], text)
    return BOOTSTRAP.sub(lambda _: f"REPOSITORY = {json.dumps(address)}", text)


def render_notebook(path: Path, address: str) -> str:
    """The notebook's text with this address; unchanged if it has it already. Raises UserError if it is damaged."""
    text, notebook, changed = path.read_text(encoding="utf-8"), load_json(path), False
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        cell["source"] = insert_address(source, address, path.name).splitlines(keepends=True)
        changed |= source != "".join(cell["source"])
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n" if changed else text


def save_curves(runs: list[Run]) -> list[Path]:
    """Save the curves of each run beside its folder. Returns the files."""
    from cifar100.figures import plot_history, save_figure  # here, because matplotlib is slow to import

    paths = []
    for run in runs:
        name = run.recipe.name
        title = f"{name}, seed {run.recipe.seed}: {run.history[-1].eval_accuracy:.2%} after {len(run.history)} epochs"
        paths.append(run.folder.parent / CURVES)
        save_figure(plot_history(run.history, run.recipe, title, list_levels(name), sample=False), paths[-1])
    return paths


def draw_overview(groups: Groups):
    """The figure of the accuracies of the recipes and of their reports."""
    from cifar100.figures import plot_overview

    reported = {name: REPORTED[name].best for name in groups if name in REPORTED}
    accuracies = {name: list_accuracies(runs) for name, runs in groups.items()}
    return plot_overview(accuracies, reported, ASKED_FOR)
