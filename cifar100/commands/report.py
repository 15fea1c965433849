"""Render training_logs.md, the README's tables and the model cards.

Example: python -m cifar100 report --run output/sprint
"""

from argparse import ArgumentParser, Namespace

from cifar100.files import ROOT
from cifar100.report.pages import write_all
from cifar100.report.submission import save_details
from cifar100.report.training_log import render_run
from cifar100.runs.find import find_run


def add_options(command: ArgumentParser) -> None:
    command.add_argument("--run", dest="folder", metavar="RUN", help="print this run's section instead")
    command.add_argument("--repository", metavar="OWNER/NAME", help="keep this address: for the badge and for Colab")


def run(options: Namespace) -> None:
    if options.folder:
        print(render_run(find_run(options.folder)), end="")
        return
    save_details(repository=options.repository)
    changed = write_all(ROOT)
    print("\n".join(f"{path} is rendered anew." for path in changed) or "Everything was up to date.")
