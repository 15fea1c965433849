"""python -m tests.faults: every suite in its full form, then a table, output/bench/faults.json and
docs/reliability.md."""

import argparse
import json
import platform
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import torch
from tests.faults.memory import plot_long_run

from cifar100.device import describe_hardware
from cifar100.figures.style import save_figure
from cifar100.files import write_text
from cifar100.runs.history import format_seconds
from tests.faults import crashes, damage, hostile, long_run, serving
from tests.faults.tally import Tally, render_table

ROOT = Path(__file__).resolve().parents[2]
RESULTS, FIGURE, PAGE = (
    ROOT / "output/bench/faults.json",
    ROOT / "output/bench/long_run.png",
    ROOT / "docs/reliability.md",
)
FULL = {"damages": 600, "requests": 500, "minutes": 10}  # smaller runs leave the page as it is
START, END = "<!-- faults -->\n", "<!-- end of faults -->"


def run_all(root: Path, damages: int, requests: int, minutes: float) -> tuple[list[Tally], dict]:
    """Every suite, with 0 minutes without the long run. Returns the tallies and the samples of the long run."""
    tallies: list[Tally] = []

    def keep(*done: Tally) -> None:
        for tally in done:
            print(f"{tally.name}: {tally.tried:,} tried, {len(tally.lost)} lost", flush=True)
            print(*(f"    {case}" for case in tally.lost), sep="\n", end="\n" if tally.lost else "", flush=True)
        tallies.extend(done)

    stage = crashes.set_stage(root)
    keep(crashes.kill_and_resume(stage, crashes.list_moments(stage)))
    keep(crashes.stop_and_resume(stage, 10))
    keep(crashes.fill_the_disk(stage), crashes.write_where_nobody_can(stage), crashes.train_twice_at_once(stage))
    keep(*damage.damage_all(root / "damage", damages))
    keep(*hostile.try_all(root / "hostile"))
    keep(serving.visit(root / "visit", requests))
    samples = long_run.run_long(root / "long", minutes) if minutes else {}
    if samples:
        keep(long_run.judge_all(samples, minutes))
    return tallies, samples


def render_page(text: str, results: dict) -> str:
    """docs/reliability.md with the table of the last run between its markers."""
    block = (
        f"{results['date']}, {results['hardware']}, Python {results['python']}, torch {results['torch']}, "
        f"{format_seconds(results['seconds'])}:\n\n{render_table(results['suites'])}"
    )
    if sampled := [own for own in results["long_run"].values() if own]:
        minutes = max(own[-1][0] for own in sampled)
        words = f"Memory and open files over {minutes:.0f} minutes of training and of serving."
        block += f"\n![{words}](../output/bench/long_run.png)\n"
    before, _, rest = text.partition(START)
    return before + START + block + END + rest.partition(END)[2]


def save(results: dict) -> None:
    """Write the results, the figure of the long run and the page."""
    write_text(RESULTS, json.dumps(results, indent=1) + "\n")
    if sampled := {name: own for name, own in results["long_run"].items() if own}:
        save_figure(plot_long_run(sampled), FIGURE)
    write_text(PAGE, render_page(PAGE.read_text(encoding="utf-8"), results))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="Break things, and see what is lost.")
    parser.add_argument("--minutes", type=float, help="of the long run (default: %(default)s; 0: without it)")
    parser.add_argument("--damages", type=int, help="ways to damage each kind of file (default: %(default)s)")
    parser.add_argument("--requests", type=int, help="to the demo (default: %(default)s)")
    parser.set_defaults(**FULL)
    options = parser.parse_args()
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for part in ("damage", "hostile", "visit", "long"):
            (root / part).mkdir()
        tallies, samples = run_all(root, options.damages, options.requests, options.minutes)
    results = {
        "date": date.today().isoformat(),
        "hardware": describe_hardware(torch.device("cpu")),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "seconds": round(time.monotonic() - start, 1),
        "suites": [tally.to_dict() for tally in tallies],
        "long_run": samples,
    }
    print("\n" + render_table(results["suites"]))
    if all(getattr(options, name) >= size for name, size in FULL.items()):
        save(results)
    else:
        sizes = ", ".join(f"{size} {name}" for name, size in FULL.items())
        print(f"Nothing is written: {PAGE.name} shows full runs alone ({sizes}).")
    return 1 if any(tally.lost for tally in tallies) else 0


if __name__ == "__main__":
    sys.exit(main())
