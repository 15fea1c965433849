"""python -m cifar100: train, evaluate, report and execute notebooks from the command line."""

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cifar100.errors import UserError
from cifar100.files import ROOT
from cifar100.recipe import CHANGEABLE, Recipe
from cifar100.recipes import RECIPES, find_recipe
from cifar100.report import pages as report
from cifar100.report.repository import save_address
from cifar100.runs import run as runs
from cifar100.training import series as queue

if TYPE_CHECKING:  # it imports torch, for which `recipes` does not wait
    from cifar100.parallel.group import Group

BACKENDS = ("auto", "off", "inductor", "aot_eager", "eager", "capture")  # of torch.compile; a CUDA graph
MEASUREMENTS = {  # of `bench`, beside that of a recipe's parts; some minutes each
    "peers": "two networks beside the plain public way of writing them",
    "growth": "time and memory of an epoch as images and batch grow (default: smoke)",
    "layers": "each layer's multiply-adds and time",
    "ablation": "the training step with one measure for speed taken away, or one more tried",
    "serving": "a run's page with eight visitors at once, and its accuracy from picture files",
}
PRECISIONS = ("auto", "float32", "bfloat16", "float16")
TRAINING = ("data", "output", "device", "num_workers", "compile", "precision", "resume", "holdout")  # as `fit` has them


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m cifar100", description="Train and examine networks on CIFAR-100.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, run, text: str, example: str) -> argparse.ArgumentParser:
        epilog = f"Example: {example}"
        command = commands.add_parser(name, help=text, description=text, epilog=epilog)
        command.set_defaults(run=run)
        return command

    def add_device(command: argparse.ArgumentParser) -> None:
        command.add_argument("--device", help="cpu, cuda, cuda:1 or mps; the best there is if left away")

    def add_data(command: argparse.ArgumentParser) -> None:
        command.add_argument("--data", metavar="FOLDER", help="where CIFAR-100 lies, or sample for the embedded sample")

    def add_output(command: argparse.ArgumentParser) -> None:
        command.add_argument(
            "--output", default="output", metavar="FOLDER", help="where runs are kept (default: output)"
        )

    def add_speed(command: argparse.ArgumentParser) -> None:
        command.add_argument(
            "--num-workers", type=int, help="processes that prepare batches (default: as many as serve)"
        )
        command.add_argument(
            "--compile",
            default="auto",
            choices=BACKENDS,
            help="torch.compile's backend, or capture for a CUDA graph (default: auto)",
        )
        command.add_argument(
            "--precision",
            default="auto",
            choices=PRECISIONS,
            help="of products in training (default: the fastest here)",
        )

    command = add("recipes", list_recipes, "List the recipes and what they have reached.", "python -m cifar100 recipes")
    add_output(command)

    command = add(
        "train", train, "Train recipes to the end.", "python -m cifar100 train smoke --data sample --epochs 2"
    )
    command.add_argument("recipe", metavar="RECIPE", nargs="?", help=", ".join(RECIPES))
    command.add_argument("--all", action="store_true", help="all recipes that have no finished run yet")
    several = command.add_mutually_exclusive_group()
    several.add_argument("--seeds", type=int, nargs="+", metavar="SEED", help="one run for each of these seeds")
    command.add_argument(
        "--devices", nargs="+", metavar="DEVICE", help="several runs at once, one on each (default: on all CUDA GPUs)"
    )
    command.add_argument("--skip-finished", action="store_true", help="leave finished runs alone, resume the others")
    command.add_argument("--minutes", type=float, help="stop before so many minutes are over")
    several.add_argument("--seed", type=int, help="instead of the recipe's")
    for field, kind in {"epochs": float, "batch_size": int, "lr": float, "weight_decay": float}.items():
        command.add_argument(f"--{field.replace('_', '-')}", type=kind, help="instead of the recipe's")
    command.add_argument("--resume", action="store_true", help="continue a run that was cut off")
    command.add_argument(
        "--holdout", action="store_true", help="train on nine tenths of the training set and evaluate on the rest"
    )
    for add_options in (add_data, add_output, add_device, add_speed):
        add_options(command)

    command = add("evaluate", evaluate, "Evaluate finished runs.", "python -m cifar100 evaluate output/sprint")
    command.add_argument("folders", metavar="RUN", nargs="+", help="a run's folder, or a recipe's")
    several = command.add_mutually_exclusive_group()
    several.add_argument("--write", action="store_true", help="add all that is measured to metrics.json, with figures")
    several.add_argument("--compare", action="store_true", help="print a table of the runs and their differences")
    command.add_argument("--batch-size", type=int, default=500, help="images at a time (default: 500)")
    add_data(command)
    add_device(command)

    example = "python -m cifar100 predict output/sprint my_picture.jpg"
    command = add("predict", predict, "Name what is in pictures.", example)
    command.add_argument("model", metavar="RUN", help="a run's folder, a recipe's, or a file of weights")
    command.add_argument("pictures", metavar="IMAGE", nargs="+", help="PNG, JPEG and other picture files")
    command.add_argument("--top", type=int, default=5, metavar="K", help="answers for each picture (default: 5)")
    command.add_argument("--json", action="store_true", help="print JSON instead of a table")
    add_device(command)

    example = "python -m cifar100 demo output/sprint --port 8000"
    command = add("demo", demo, "Serve a page to this machine that names what is in pictures.", example)
    command.add_argument(
        "model", metavar="RUN", nargs="?", help="a run's folder, a recipe's, or a file of weights (default: all runs)"
    )
    command.add_argument("--port", type=int, help="of 127.0.0.1 (default: the first free one from 7860 on)")
    for add_options in (add_output, add_device):
        add_options(command)

    example = "python -m cifar100 export-space output/sprint space"
    command = add("export-space", export_space, "Write a run as a Hugging Face Space.", example)
    command.add_argument("model", metavar="RUN", help="a run's folder, or a recipe's")
    command.add_argument("folder", metavar="FOLDER", type=Path, help="a new or empty one, or an earlier export")
    command.add_argument("--push", metavar="USER/NAME", help="upload it to this Space with your own token, too")

    example = "python -m cifar100 export-onnx output/sprint"
    command = add("export-onnx", write_onnx, "Write a network as an ONNX file.", example)
    command.add_argument("folder", metavar="RUN", help="a run's folder, or a recipe's")
    command.add_argument("--to", metavar="FILE", type=Path, help="instead of network.onnx in the recipe's folder")

    example = "python -m cifar100 corruptions output/sprint --images 2000"
    command = add("corruptions", corruptions, "Measure how accuracy falls as the test pictures get worse.", example)
    command.add_argument("folder", metavar="RUN", help="a run's folder, or a recipe's")
    command.add_argument("--images", type=int, default=10_000, help="test images, the first so many (default: all)")
    for add_options in (add_data, add_device):
        add_options(command)

    example = "python -m cifar100 duplicates output/sprint"
    command = add("duplicates", duplicates, "Find test images that nearly repeat a training image.", example)
    command.add_argument("folder", metavar="RUN", help="a run whose features are compared, too")
    command.add_argument("--to", metavar="FILE", type=Path, help="instead of the project's own list")
    for add_options in (add_data, add_device):
        add_options(command)

    example = "python -m cifar100 report --run output/sprint"
    command = add("report", write_report, "Render training_logs.md and the README's tables.", example)
    command.add_argument("--run", dest="folder", metavar="RUN", help="print this run's section instead")
    command.add_argument("--repository", metavar="OWNER/NAME", help="keep this address: for the badge and for Colab")

    example = "python -m cifar100 find-lr resnet56_multistep"
    command = add("find-lr", find_lr, "Find a learning rate for a recipe by a range test.", example)
    command.add_argument("recipe", metavar="RECIPE", help=", ".join(RECIPES))
    command.add_argument("--start-lr", type=float, default=1e-4, help="first rate (default: 0.0001)")
    command.add_argument("--end-lr", type=float, default=1.0, help="last rate (default: 1)")
    command.add_argument("--steps", type=int, default=200, help="number of steps (default: 200)")
    for add_options in (add_data, add_output, add_device):
        add_options(command)

    example = "python -m cifar100 notebook CIFAR100_ResNet.ipynb --to output/sample"
    command = add("notebook", run_notebooks, "Execute notebooks from top to bottom.", example)
    command.add_argument("paths", metavar="NOTEBOOK", nargs="+", type=Path)
    command.add_argument("--to", metavar="FOLDER", type=Path, help="write them there (default: where they are)")
    add_data(command)

    command = add("bench", bench, "Measure speed and size on this machine.", "python -m cifar100 bench smoke")
    command.add_argument("what", metavar="RECIPE", nargs="?", help="a recipe, or with --serving a run's folder")
    kinds = command.add_mutually_exclusive_group()
    for name, text in MEASUREMENTS.items():
        kinds.add_argument(f"--{name}", dest="kind", action="store_const", const=name, default="parts", help=text)
    command.add_argument("--json", action="store_true", help="print JSON instead of a table")
    command.add_argument("--write", action="store_true", help="keep the figures in OUTPUT/bench, for the pages")
    for add_options in (add_data, add_output, add_device, add_speed):
        add_options(command)
    return parser


def list_recipes(options: argparse.Namespace) -> None:
    finished: dict[str, list[float]] = {}
    for folder in report.find_published(options.output):
        finished.setdefault(folder.parent.name, []).append(runs.load_metrics(folder)["final"]["test_accuracy"])
    print(f"{'recipe':24}{'network':10}{'epochs':>7}{'batch':>7}  final test accuracy")
    for name, recipe in RECIPES.items():
        result = report.format_spread(finished[name]) if name in finished else "no finished run here"
        print(f"{name:24}{recipe.network:10}{recipe.epochs:7g}{recipe.batch_size:7}  {result}")


def train(options: argparse.Namespace) -> None:
    if "WORLD_SIZE" in os.environ:  # torch, when it is imported, reads how much to say of connections that break
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    from cifar100.parallel.group import joined

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does
    try:
        with joined() as group:
            train_chosen(options, group)
    except KeyboardInterrupt:
        print("\nStopped. Finished epochs are kept, if there are any: continue with --resume.")
        sys.exit(130)


def train_chosen(options: argparse.Namespace, group: "Group") -> None:
    if bool(options.recipe) == options.all:
        raise UserError("Name one recipe, or say --all.")
    changes = {f: getattr(options, f) for f in CHANGEABLE if getattr(options, f) is not None}
    seeds = dict.fromkeys(options.seeds or [changes.pop("seed", 0)])
    if options.all:
        chosen = list(queue.list_all(seeds, **changes))
    else:
        chosen = [find_recipe(options.recipe, **changes | {"seed": seed}) for seed in seeds]
    queue.check_minutes(options.minutes)
    devices = choose_devices(options, group, len(chosen))
    if devices:
        spread_runs(options, chosen, devices)
        return
    queue.train_all(
        chosen,
        minutes=options.minutes,
        skip_finished=options.all or options.skip_finished,
        say=say if group.rank == 0 else lambda text: None,
        group=group,
        **{name: getattr(options, name) for name in TRAINING},
    )


def choose_devices(options: argparse.Namespace, group: "Group", count: int) -> list[str]:
    """The devices over which so many runs are spread; none where they follow one another."""
    from torch import cuda

    if options.devices and (group.size > 1 or options.device):
        raise UserError("--devices starts a process on each device: use it without torchrun, and without --device.")
    if options.devices or group.size > 1 or options.device or count < 2 or cuda.device_count() < 2:
        return options.devices or []
    return [f"cuda:{number}" for number in range(cuda.device_count())]


def spread_runs(options: argparse.Namespace, chosen: list[Recipe], devices: list[str]) -> None:
    from cifar100.device import choose_device
    from cifar100.parallel.spread import Spread

    for device in dict.fromkeys(options.devices or []):
        choose_device(device)
    given = {name: getattr(options, name) for name in (*CHANGEABLE, *TRAINING) if name not in ("seed", "device")}
    given["skip_finished"] = options.all or options.skip_finished
    arguments = []
    for name, value in given.items():
        if value is not None and value is not False:  # 0 workers are a wish
            arguments += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    Spread(chosen, devices, arguments, options.minutes, say).run()


def say(text: str) -> None:
    """One line, in one piece, though several threads may print."""
    print(text + "\n", end="", flush=True)


def evaluate(options: argparse.Namespace) -> None:
    from cifar100.evaluation import summary as assessment
    from cifar100.evaluation.logits import evaluate_run
    from cifar100.evaluation.metrics import summarise_predictions

    folders = [runs.find_run(folder) for folder in options.folders]
    if len(folders) > 1 and not options.compare:
        raise UserError("Name one run, or say --compare.")
    results = [evaluate_run(folder, options.data, options.device, options.batch_size) for folder in folders]
    if options.compare:
        print("\n".join(assessment.compare(results)))
        return
    (result,) = results
    run = result.run
    recorded = [run.recorded["final"][f"{run.split}_{name}"] for name in ("accuracy", "loss")]
    print(f"{run.folder}: {len(run.images):,} {run.split} images, one view each")
    print(f"top-1 accuracy {result.accuracy:.2%}, loss {result.loss:.4f}")
    print("metrics.json says {:.2%}, loss {:.4f}".format(*recorded))
    summary = assessment.assess(result) if options.write else summarise_predictions(result.logits, run.images.fine)
    print("\n".join(assessment.describe_summary(summary)))
    if options.write:
        assessment.save_assessment(result, summary)
        print(f"Written: {run.folder / 'metrics.json'}", *assessment.save_evaluation_figures(result), sep="\n")


def predict(options: argparse.Namespace) -> None:
    from cifar100.inference import load_predictor

    predictor = load_predictor(options.model, options.device)
    answers = predictor.predict_batch(options.pictures, top_k=options.top)
    if options.json:
        rows = {path: [answer._asdict() for answer in own] for path, own in zip(options.pictures, answers)}
        print(json.dumps(rows, indent=2))
        return
    for path, own in zip(options.pictures, answers):
        print(path)
        for answer in own:
            print(f"    {answer.probability:7.2%}  {answer.class_name.replace('_', ' ')}")


def demo(options: argparse.Namespace) -> None:
    from cifar100.demo.answers import find_models
    from cifar100.demo.page import serve

    page = serve(find_models(options.model, options.output), options.device, options.port)
    print(f"The page is at {page.local_url} (Ctrl-C ends it)", flush=True)
    page.block_thread()


def export_space(options: argparse.Namespace) -> None:
    from cifar100.demo import space

    token = None
    if options.push:
        print(f"Write {options.folder}. {space.describe_push(options.push)}", flush=True)
        token = space.load_token()
    files = space.export_space(options.model, options.folder)
    size = sum(path.stat().st_size for path in files) / 1e6
    print(f"{options.folder}: {len(files)} files, {size:.1f} MB. Try it there with `python app.py`.", flush=True)
    if token:
        print(f"The Space is at {space.push_space(options.folder, options.push, token)}")


def write_onnx(options: argparse.Namespace) -> None:
    from cifar100.inference.onnx_export import export_onnx

    run = runs.find_run(options.folder)
    path = options.to or run.parent / "network.onnx"
    export_onnx(run, path)
    print(f"Written: {path}, {path.stat().st_size / 1e6:.1f} MB")


def corruptions(options: argparse.Namespace) -> None:
    from cifar100.evaluation.corruptions import SEVERITIES, measure_corruptions, table_file
    from cifar100.figures import plot_corruptions, save_figure

    folder = runs.find_run(options.folder)
    table = measure_corruptions(folder, options.data, options.device, options.images)
    picture = table_file(folder).with_suffix(".png")
    save_figure(plot_corruptions(table.accuracies, table.clean), picture)
    print(f"{folder}: {table.images:,} images, accuracy {table.clean:.2%} as they are")
    print(f"{'severity':12}" + "".join(f"{severity:>8}" for severity in SEVERITIES))
    for name, values in table.accuracies.items():
        print(f"{name:12}" + "".join(f"{value:8.1%}" for value in values))
    print(f"Table and figure: {table_file(folder)}, {picture}")


def duplicates(options: argparse.Namespace) -> None:
    from cifar100.evaluation.near_duplicates import COMMITTED, find_run_duplicates, save_pairs

    pairs, path = (
        find_run_duplicates(runs.find_run(options.folder), options.data, options.device),
        options.to or COMMITTED,
    )
    save_pairs(pairs, path)
    exact = sum(pair.kind == "exact" for pair in pairs)
    print(f"{len(pairs)} test images repeat a training image, {exact} of them exactly. Written: {path}")


def write_report(options: argparse.Namespace) -> None:
    if options.folder:
        print(report.render_run(runs.find_run(options.folder)), end="")
        return
    if options.repository:
        save_address(ROOT, options.repository)
    changed = report.write_all(ROOT)
    print("\n".join(f"{path} is rendered anew." for path in changed) or "Everything was up to date.")


def find_lr(options: argparse.Namespace) -> None:
    from cifar100.figures import plot_lr_curve, save_figure
    from cifar100.training.lr_finder import find_recipe_lr

    recipe = find_recipe(options.recipe)
    curve, path = find_recipe_lr(
        recipe, options.data, options.output, options.device, options.start_lr, options.end_lr, options.steps
    )
    picture = path.with_suffix(".png")
    save_figure(plot_lr_curve(curve, recipe.lr, recipe.name), picture)
    print(f"{recipe.name}: {curve.suggestion:.3g}, by {curve.method}. {curve.reason} The recipe uses {recipe.lr:g}.")
    print(f"Curve and picture: {path}, {picture}")


def run_notebooks(options: argparse.Namespace) -> None:
    from cifar100.notebook.execution import execute_notebook

    environment = {"CIFAR100_DATA": options.data} if options.data else {}
    for path in options.paths:
        target = options.to / path.name if options.to else path
        execute_notebook(path, target, environment)
        print(f"\nThe executed notebook: {target}")


def bench(options: argparse.Namespace) -> None:
    from benchmarks import command

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends its processes, as Ctrl-C does
    command.run(options.kind, options, say_aside)


def say_aside(text: str) -> None:
    """To the screen, past whatever reads the output."""
    print(text, file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0, or 2 after a message that says what to do."""
    options = make_parser().parse_args(arguments)
    try:
        options.run(options)
        return 0
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 2


if __name__ == "__main__":
    sys.exit(main())
