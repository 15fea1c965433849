"""Evaluate finished runs.

Example: python -m cifar100 evaluate output/sprint
"""

from argparse import ArgumentParser, Namespace

from cifar100.commands.options import add_data, add_device
from cifar100.errors import UserError
from cifar100.runs.run import find_run


def add_options(command: ArgumentParser) -> None:
    command.add_argument("folders", metavar="RUN", nargs="+", help="a run's folder, or a recipe's")
    several = command.add_mutually_exclusive_group()
    several.add_argument("--write", action="store_true", help="add all that is measured to metrics.json, with figures")
    several.add_argument("--compare", action="store_true", help="print a table of the runs and their differences")
    command.add_argument("--batch-size", type=int, default=500, help="images at a time (default: 500)")
    add_data(command)
    add_device(command)


def run(options: Namespace) -> None:
    from cifar100.evaluation import summary
    from cifar100.evaluation.logits import evaluate_run
    from cifar100.evaluation.metrics import summarise_predictions

    folders = [find_run(folder) for folder in options.folders]
    if len(folders) > 1 and not options.compare:
        raise UserError("Name one run, or say --compare.")
    results = [evaluate_run(folder, options.data, options.device, options.batch_size) for folder in folders]
    if options.compare:
        print("\n".join(summary.compare(results)))
        return
    (result,) = results
    run = result.run
    recorded = [run.recorded["final"][f"{run.split}_{name}"] for name in ("accuracy", "loss")]
    print(f"{run.folder}: {len(run.images):,} {run.split} images, one view each")
    print(f"top-1 accuracy {result.accuracy:.2%}, loss {result.loss:.4f}")
    print("metrics.json says {:.2%}, loss {:.4f}".format(*recorded))
    figures = summary.assess(result) if options.write else summarise_predictions(result.logits, run.images.fine)
    print("\n".join(summary.describe_summary(figures)))
    if options.write:
        summary.save_assessment(result, figures)
        print(f"Written: {run.folder / 'metrics.json'}", *summary.save_evaluation_figures(result), sep="\n")
