"""python -m cifar100: train, evaluate and report from the command line."""

import argparse
import math
import os
import signal
import sys
from pathlib import Path

from cifar100 import report, runs
from cifar100.errors import UserError
from cifar100.recipe import CHANGEABLE, RECIPES, find_recipe

BACKENDS = ("auto", "off", "inductor", "aot_eager", "eager")  # of torch.compile
ROOT = Path(__file__).resolve().parent.parent


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m cifar100", description="Train and examine networks on CIFAR-100.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, run, text: str, example: str) -> argparse.ArgumentParser:
        command = commands.add_parser(
            name,
            help=text,
            description=text,
            epilog=f"Example: {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.set_defaults(run=run)
        return command

    def add_data(command: argparse.ArgumentParser) -> None:
        command.add_argument(
            "--data", metavar="FOLDER", help='where CIFAR-100 lies, or "sample" for the embedded sample'
        )
        command.add_argument("--device", help="cpu, cuda, cuda:1 or mps; the best there is if left away")

    command = add(
        "recipes", list_recipes, "List the recipes, and what they have reached.", "python -m cifar100 recipes"
    )
    command.add_argument("--output", default="output", metavar="FOLDER", help="where the runs lie (default: output)")

    command = add(
        "train", train, "Train a recipe to the end.", "CIFAR100_DATA=sample python -m cifar100 train smoke --epochs 2"
    )
    command.add_argument("recipe", metavar="RECIPE", help=", ".join(RECIPES))
    add_data(command)
    command.add_argument("--output", default="output", metavar="FOLDER", help="where runs are kept (default: output)")
    for field, kind in zip(CHANGEABLE, (int, float, int, float, float)):
        command.add_argument(f"--{field.replace('_', '-')}", type=kind, help="instead of the recipe's")
    command.add_argument(
        "--num-workers", type=int, help="processes that prepare the batches (default: as many as serve)"
    )
    command.add_argument("--compile", default="auto", choices=BACKENDS, help="torch.compile's backend (default: auto)")
    command.add_argument("--resume", action="store_true", help="continue a run that was cut off")
    command.add_argument(
        "--holdout", action="store_true", help="train on nine tenths of the training set and evaluate on the rest"
    )

    command = add("evaluate", evaluate, "Evaluate a finished run.", "python -m cifar100 evaluate output/sprint")
    command.add_argument("folder", metavar="RUN", help="a run's folder, or a recipe's")
    add_data(command)
    command.add_argument("--batch-size", type=int, default=500, help="images at a time (default: 500)")

    command = add(
        "report",
        write_report,
        "Render training_logs.md and the README's tables.",
        "python -m cifar100 report --run output/sprint",
    )
    command.add_argument("--run", dest="folder", metavar="RUN", help="print this run's section instead")
    return parser


def list_recipes(options: argparse.Namespace) -> None:
    finished: dict[str, list[float]] = {}
    for folder in report.find_published(options.output):
        finished.setdefault(folder.parent.name, []).append(runs.load_metrics(folder)["final"]["test_accuracy"])
    print(f"{'recipe':24}{'network':10}{'epochs':>7}{'batch':>7}  final test accuracy")
    for name, recipe in RECIPES.items():
        result = report.format_spread(finished[name]) if name in finished else "not trained yet"
        print(f"{name:24}{recipe.network:10}{recipe.epochs:7g}{recipe.batch_size:7}  {result}")


def train(options: argparse.Namespace) -> None:
    recipe = find_recipe(
        options.recipe, **{f: getattr(options, f) for f in CHANGEABLE if getattr(options, f) is not None}
    )
    from cifar100.data import is_sample
    from cifar100.progress import Progress, format_record
    from cifar100.train import fit

    folder = runs.run_folder(recipe, options.output, is_sample(options.data), options.holdout)
    if (folder / "recipe.json").exists() and runs.load_recipe(folder) != recipe:
        print(f"{folder} holds a finished run with other settings; this one takes its place when it has finished.")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does
    records = fit(
        recipe,
        data=options.data,
        output=options.output,
        device=options.device,
        num_workers=options.num_workers,
        compile=options.compile,
        resume=options.resume,
        holdout=options.holdout,
        progress=Progress(recipe),
    )
    try:
        for record in records:
            print(format_record(record, math.ceil(recipe.epochs)), flush=True)
    except KeyboardInterrupt:
        kept = (runs.running_folder(folder) / "checkpoint.pt").exists()
        print(
            "\nStopped. "
            + ("The finished epochs are kept: continue with --resume." if kept else "No epoch was finished.")
        )
        sys.exit(130)
    print(f"Finished: {folder}")


def evaluate(options: argparse.Namespace) -> None:
    from cifar100.evaluation import evaluate_run

    result = evaluate_run(runs.find_run(options.folder), options.data, options.device, options.batch_size)
    print(f"{result.folder}: {result.count:,} {result.split} images, one view each")
    print(f"top-1 accuracy {result.accuracy:.2%}, loss {result.loss:.4f}")
    print(f"metrics.json says {result.recorded_accuracy:.2%}, loss {result.recorded_loss:.4f}")


def write_report(options: argparse.Namespace) -> None:
    if options.folder:
        print(report.render_run(runs.find_run(options.folder)), end="")
        return
    for path in report.write_all(ROOT) or ["Nothing: every rendered text"]:
        print(f"{path} is up to date.")


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0, or 2 after a message that says what to do."""
    options = make_parser().parse_args(arguments)
    try:
        options.run(options)
        return 0
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 2


if __name__ == "__main__":
    sys.exit(main())
