"""The commands of `python -m cifar100`, their options and their output.

A command's docstring is its help. Slow packages are imported when it runs, so that `--help` is quick.
"""

import json
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from datetime import date
from glob import glob

from cifar100.errors import UserError, printable
from cifar100.evaluation.corruptions import measure_corruptions, table_file
from cifar100.files import ROOT, check_writable, strip_quotes, user_path
from cifar100.recipe import CHANGEABLE
from cifar100.recipes import RECIPES, find_recipe
from cifar100.report.describe import format_accuracy
from cifar100.report.hand_in import load_details, pack, render_list, save_details
from cifar100.report.pages import write_all
from cifar100.report.published import group_by_recipe, load_published
from cifar100.report.run_pages import render_section
from cifar100.runs.find import find_run, find_seeds
from cifar100.runs.run import Run

COMMANDS: dict[str, tuple[Callable[[Namespace], None], tuple]] = {}  # name -> (function, options)


def command(*options):
    """Register a function as a command with these options."""

    def register(run: Callable[[Namespace], None]):
        COMMANDS[run.__name__.replace("_", "-")] = (run, options)
        return run

    return register


def option(*names: str, **settings) -> Callable[[ArgumentParser], object]:
    """An option with the arguments of `add_argument`; call it with the parser."""
    return lambda parser: parser.add_argument(*names, **settings)


# The details of a submission, and the options that several commands share
DETAILS = {"name": "TEXT", "course": "TEXT", "repository": "OWNER/NAME", "space": "USER/NAME", "assistants": "TEXT"}
RECIPE = option("recipe", metavar="RECIPE", help=", ".join(RECIPES))
RUN = option("folder", metavar="RUN", type=user_path, help="folder of a run, or of a recipe (for its lowest seed)")
DATA = option("--data", metavar="FOLDER", help="folder with CIFAR-100, or sample for the synthetic sample")
OUTPUT = option(
    "--output", metavar="FOLDER", type=user_path, default="output", help="folder of all runs (default: output)"
)
DEVICE = option("--device", help="cpu, cuda, cuda:1 or mps (default: the fastest available)")
WORKERS = option("--num-workers", type=int, help="processes that prepare batches (default: chosen for the device)")
COMPILE = option("--no-compile", dest="compile", action="store_false", help="do not compile the training step on a GPU")
PRECISIONS = ("auto", "float32", "bfloat16", "float16")
PRECISION = option(
    "--precision", default="auto", choices=PRECISIONS, help="precision of training (default: the fastest here)"
)


@command(OUTPUT)
def recipes(options: Namespace) -> None:
    """List the recipes and their accuracy. Example: recipes"""
    groups = group_by_recipe(load_published(options.output))
    print(f"{'recipe':28}{'network':10}{'epochs':>7}{'batch':>7}  final test accuracy")
    for name, recipe in RECIPES.items():
        reached = format_accuracy(groups[name]) if name in groups else "no finished run"
        print(f"{name:28}{recipe.network:10}{recipe.epochs:7g}{recipe.batch_size:7}  {reached}")


@command(
    RECIPE,
    option("--seeds", "--seed", type=int, nargs="+", metavar="SEED", help="random seeds; one run for each"),
    *(
        option(f"--{name}", type=float, help="override the value of the recipe")
        for name in ("epochs", "lr", "weight-decay")
    ),
    option("--batch-size", type=int, help="override the value of the recipe"),
    option("--resume", action="store_true", help="continue an interrupted run; keep a finished one"),
    option("--holdout", action="store_true", help="evaluate on a tenth of the training set, which is held out"),
    *(DATA, OUTPUT, DEVICE, WORKERS, COMPILE, PRECISION),
)
def train(options: Namespace) -> None:
    """Train a recipe. Example: train smoke --data sample --epochs 2"""
    changes = {name: value for name, value in vars(options).items() if name in CHANGEABLE and value is not None}
    seeds = [{"seed": seed} for seed in dict.fromkeys(options.seeds or ())] or [{}]
    chosen = [find_recipe(options.recipe, **changes | seed) for seed in seeds]
    from tqdm import tqdm

    from cifar100.parallel import joined
    from cifar100.runs.history import format_record
    from cifar100.train import fit

    def show(batches, epoch: int, steps: int):
        return tqdm(batches, f"Epoch {epoch}", steps, leave=False, unit="batch", disable=None)  # only in a terminal

    names = ("data", "output", "device", "num_workers", "compile", "precision", "resume", "holdout")
    settings = {name: getattr(options, name) for name in names}
    with joined() as group:
        for recipe in chosen:
            for record in fit(recipe, **settings, group=group, progress=None if group.rank else show):
                if group.rank == 0:
                    print(format_record(record, recipe.epochs), flush=True)


@command(
    RUN,
    option("--write", action="store_true", help="save the results in metrics.json"),
    *(DATA, DEVICE),
)
def evaluate(options: Namespace) -> None:
    """Evaluate a finished run. Example: evaluate output/sprint"""
    from cifar100.evaluation.logits import evaluate_run
    from cifar100.evaluation.metrics import summarise_predictions
    from cifar100.evaluation.summary import describe_evaluation, save_evaluation, summarise_evaluation

    result = evaluate_run(find_run(options.folder), options.data, options.device)
    if options.write:
        summary = summarise_evaluation(result)
        save_evaluation(result, summary)
        print(f"Written: {result.run.folder / 'metrics.json'}")
    else:
        summary = summarise_predictions(result.logits, result.data.fine)
    print(*describe_evaluation(result.run, summary), sep="\n")


@command(
    RUN,
    option("images", metavar="IMAGE", nargs="+", type=strip_quotes, help="JPEG, PNG, WebP, GIF or BMP files"),
    option("--top", type=int, default=5, metavar="K", help="classes per image (default: 5)"),
    option("--confidence", type=float, metavar="P", help="print the prediction set at this confidence, e.g. 0.9"),
    option("--json", action="store_true", help="print JSON instead of a table"),
    DEVICE,
)
def predict(options: Namespace) -> None:
    """Classify images. Example: predict output/sprint my_image.jpg --confidence 0.9"""
    from cifar100.inference import load_predictor
    from cifar100.inference.predictor import check_top

    check_top(options.top)
    predictor, by_set = load_predictor(options.folder, options.device), options.confidence is not None
    if by_set and predictor.answering is None:
        raise UserError(f"{options.folder} has not been evaluated: run `python -m cifar100 evaluate RUN --write`.")
    # On Windows the shell does not expand patterns such as *.jpg; a file may be named photo[1].jpg.
    expand = [[text] if os.path.exists(text) else sorted(glob(text)) or [text] for text in options.images]
    images = [path for paths in expand for path in paths]
    answers = {}
    for path, answer in zip(images, predictor.answer_batch(images, options.confidence if by_set else 0.9)):
        classes = answer.ranking[: answer.set_size if by_set else options.top]
        answers[path] = {"doubt": answer.doubt, "classes": [own._asdict() for own in classes]}
    if options.json:
        print(json.dumps(answers, indent=2))
        return
    for path, answer in answers.items():
        print(": ".join(filter(None, (printable(path), answer["doubt"]))))
        for own in answer["classes"]:
            print(f"    {own['probability']:7.2%}  {own['class_name'].replace('_', ' ')}")


@command(
    option("model", metavar="RUN", nargs="?", type=user_path, help="a run (default: one of each recipe)"),
    option("--port", type=int, help="port (default: the first free one from 7860 on)"),
    *(OUTPUT, DEVICE),
)
def demo(options: Namespace) -> None:
    """Open a web page on this machine that classifies images. Example: demo output/sprint --port 8000"""
    # The page needs no proxy, because it is local. Gradio creates its HTTP client when it is imported.
    os.environ |= {"NO_PROXY": "*", "no_proxy": "*"}
    from cifar100.demo.answers import find_models
    from cifar100.demo.page import serve

    page = serve(find_models(options.model, options.output), options.device, options.port)
    print(f"The page is at {page.local_url} (stop it with Ctrl-C)", flush=True)
    page.block_thread()


@command(
    RUN,
    *(option(f"--{name}", metavar=form, help="saved in submission.json") for name, form in DETAILS.items()),
    option("--to", metavar="FILE", type=user_path, default="hand_in.zip", help="default: hand_in.zip"),
)
def hand_in(options: Namespace) -> None:
    """Pack the zip file to hand in, and list what is missing. Example: hand-in output/sprint --name Ada"""
    from cifar100.demo.space import make_contents

    folder = find_run(options.folder).resolve()
    if folder.parents[1] != ROOT / "output":
        place = ROOT / "output/RECIPE/seedN"
        raise UserError(f"{folder} is not {place}: copy its recipe's folder there, and name that one.")
    if not group_by_recipe([Run.load(folder)]):
        raise UserError(f"{folder} has other settings than its recipe: enter them in cifar100/recipes.py first.")
    check_writable(options.to)
    given = {name: getattr(options, name) for name in DETAILS}
    save_details(run="/".join(folder.parts[-2:]), date=load_details()["date"] or f"{date.today()}", **given)
    print(*(f"Updated: {path}" for path in write_all(ROOT)), sep="\n")
    names = pack(ROOT, options.to, make_contents(folder))
    print(f"\n{options.to} ({options.to.stat().st_size / 1e6:.1f} MB):", *names, sep="\n    ")
    print(f"\nWhat is done, and what is missing:\n\n{render_list(ROOT)}", end="")


@command(
    RUN,
    option("target", metavar="FOLDER", type=user_path, help="a new or empty folder, or an earlier export"),
    option("--push", metavar="USER/NAME", help="upload it to this public Space, with your own Hugging Face token"),
)
def export_space(options: Namespace) -> None:
    """Export a run as a Hugging Face Space. Example: export-space output/sprint space"""
    from cifar100.demo import space

    token = space.check_push(options.push) if options.push else None  # before anything is written
    files = space.export_space(options.folder, options.target)
    print(f"{options.target}: {len(files)} files. Try it with `python app.py` in that folder.")
    if token:
        print(f"Uploading to the Space {options.push}; this replaces its folders cifar100 and output.", flush=True)
        print(f"The Space is at {space.push_space(options.target, options.push, token)}")


@command(RUN, option("--to", metavar="FILE", type=user_path, help="default: network.onnx in the recipe's folder"))
def export_onnx(options: Namespace) -> None:
    """Export a network as an ONNX file. Example: export-onnx output/sprint"""
    from cifar100.inference import onnx_export

    folder = find_run(options.folder)
    path = options.to or folder.parent / "network.onnx"
    onnx_export.export_onnx(folder, path)
    print(f"Written: {path}, {path.stat().st_size / 1e6:.1f} MB")


@command(
    RUN, option("--images", type=int, default=10_000, help="number of test images to use (default: all)"), DATA, DEVICE
)
def corruptions(options: Namespace) -> None:
    """Measure accuracy on corrupted images. Example: corruptions output/sprint"""
    folder = find_run(options.folder)
    table = measure_corruptions(folder, options.data, options.device, options.images)
    print(f"{folder}: accuracy {table.clean:.2%} on {table.images:,} images; mean of five severities:")
    print("\n".join(f"{name:18}{mean:8.2%}" for name, mean in table.means.items()))
    print(f"By severity: {table_file(folder)}")


@command(
    option(
        "--run", dest="folder", metavar="RUN", type=user_path, help="only print the log of a run, or of a recipe's runs"
    ),
    option("--repository", metavar="OWNER/NAME", help="save this address for the badge and for Colab"),
)
def report(options: Namespace) -> None:
    """Update training_logs.md, the README's tables and the model cards. Example: report --repository OWNER/NAME"""
    if options.folder:
        folders = find_seeds(options.folder) or [options.folder]
        print("\n".join(render_section(Run.load(folder)) for folder in folders), end="")
        return
    save_details(repository=options.repository)
    print("\n".join(f"Updated: {path}" for path in write_all(ROOT)) or "Everything is up to date.")


@command(
    RECIPE,
    option("--start-lr", type=float, default=1e-4, help="first rate (default: 0.0001)"),
    option("--end-lr", type=float, default=10.0, help="last rate (default: 10)"),
    option("--steps", type=int, default=200, help="number of steps (default: 200)"),
    *(DATA, OUTPUT, DEVICE),
)
def find_lr(options: Namespace) -> None:
    """Find a learning rate for a recipe with a range test. Example: find-lr resnet56_multistep"""
    from cifar100.dataset.cifar import is_sample
    from cifar100.figures import plot_lr_curve, save_figure
    from cifar100.lr_finder import find_recipe_lr

    recipe, rates = find_recipe(options.recipe), (options.start_lr, options.end_lr, options.steps)
    curve, path = find_recipe_lr(recipe, options.data, options.output, options.device, *rates)
    figure = plot_lr_curve(curve, recipe.lr, recipe.name, is_sample(options.data))
    save_figure(figure, path.with_suffix(".png"))
    print(f"{recipe.name}: {curve.suggestion:.3g} ({curve.method}). {curve.reason} The recipe uses {recipe.lr:g}.")
    print(f"Curve and figure: {path}, {path.with_suffix('.png')}")


@command(RECIPE, DEVICE, WORKERS, COMPILE)
def bench(options: Namespace) -> None:
    """Measure the speed of a recipe on this machine. Example: bench smoke"""
    from cifar100.bench import run_bench

    print(run_bench(find_recipe(options.recipe), options.device, options.num_workers, options.compile))


@command(DATA, OUTPUT, DEVICE)
def check(options: Namespace) -> None:
    """Print what a training run would use on this machine, for bug reports. Example: check"""
    from cifar100.check import check

    rows = list(check(options.device, options.data, options.output))
    print("\n".join(f"{what:16}{'yes' if works else 'NO':5}{text}" for what, works, text in rows))
    if failed := [what for what, works, _ in rows if not works]:
        raise UserError(f"Not all requirements are met: correct {', '.join(failed)} (see the table).")
