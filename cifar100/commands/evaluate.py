"""Evaluate finished runs.

Example: python -m cifar100 evaluate output/sprint
"""

from argparse import ArgumentParser, Namespace

from cifar100.commands.options import add_data, add_device
from cifar100.errors import UserError
from cifar100.runs.find import find_run


def add_options(command: ArgumentParser) -> None:
    command.add_argument("folders", metavar="RUN", nargs="+", help="a run's folder, or a recipe's")
    several = command.add_mutually_exclusive_group()
    several.add_argument("--write", action="store_true", help="add all that is measured to metrics.json, with figures")
    several.add_argument("--compare", action="store_true", help="print a table of the runs and their differences")
    command.add_argument("--batch-size", type=int, default=500, help="images at a time (default: 500)")
    add_data(command)
    add_device(command)


def run(options: Namespace) -> None:
    from cifar100.evaluation.logits import evaluate_run
    from cifar100.evaluation.metrics import summarise_predictions
    from cifar100.evaluation.summary import save_evaluation, summarise_evaluation
    from cifar100.report.evaluation import compare, describe_summary, save_evaluation_figures

    folders = [find_run(folder) for folder in options.folders]
    if len(folders) > 1 and not options.compare:
        raise UserError("Name one run, or say --compare.")
    results = [evaluate_run(folder, options.data, options.device, options.batch_size) for folder in folders]
    if options.compare:
        print("\n".join(compare(results)))
        return
    (result,) = results
    run, final = result.run, result.run.metrics["final"]
    summary = summarise_evaluation(result) if options.write else summarise_predictions(result.logits, result.data.fine)
    written = []
    if options.write:  # before anything is said, since who reads may stop reading
        save_evaluation(result, summary)
        written = [f"Written: {run.folder / 'metrics.json'}", *save_evaluation_figures(result)]
    print(f"{run.folder}: {len(result.data):,} {run.split} images, one view each")
    print(f"top-1 accuracy {result.accuracy:.2%}, loss {result.loss:.4f}")
    print(f"metrics.json says {final[f'{run.split}_accuracy']:.2%}, loss {final[f'{run.split}_loss']:.4f}")
    print(*describe_summary(summary), *written, sep="\n")
