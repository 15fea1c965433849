"""python -m tests.faults: every suite in its full form, then a table, output/bench/faults.json and docs/reliability.md."""

import argparse
import json
import platform
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import torch

from cifar100.device import describe_hardware
from cifar100.figures.reliability import plot_long_run
from cifar100.figures.style import save_figure
from cifar100.files import load_json, write_text
from cifar100.progress import format_seconds
from tests.faults import crashes, damage, hostile, long_run, serving
from tests.faults.tally import Tally, render_table

ROOT = Path(__file__).resolve().parents[2]
RESULTS, FIGURE, PAGE = (
    ROOT / "output/bench/faults.json",
    ROOT / "output/bench/long_run.png",
    ROOT / "docs/reliability.md",
)
START, END = "<!-- faults -->\n", "<!-- end of faults -->"


def run_all(root: Path, damages: int, requests: int, minutes: float) -> tuple[list[Tally], dict]:
    """Every suite. Returns the tallies and the samples of the long run; with 0 minutes, of the last one."""
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
    if minutes:
        samples = long_run.run_long(root / "long", minutes)
    else:
        samples = load_json(RESULTS)["long_run"] if RESULTS.exists() else {}
    if samples:
        keep(long_run.judge_all(samples))
    return tallies, samples


def render_page(text: str, results: dict) -> str:
    """docs/reliability.md with the table of the last run between its markers."""
    block = (
        f"{results['date']}, {results['hardware']}, Python {results['python']}, torch {results['torch']}, "
        f"{format_seconds(results['seconds'])}:\n\n{render_table(results['suites'])}"
    )
    if results["long_run"]:
        minutes = max(sample[0] for sample in results["long_run"]["training"])
        block += f"\n![Memory and open files over {minutes:.0f} minutes of training and of serving.](../output/bench/long_run.png)\n"
    before, _, rest = text.partition(START)
    return before + START + block + END + rest.partition(END)[2]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="Break things, and see what is lost.")
    parser.add_argument(
        "--minutes", type=float, default=10, help="of the long run (default: 10; 0: keep the figures of the last one)"
    )
    parser.add_argument("--damages", type=int, default=600, help="ways to damage each kind of file (default: 600)")
    parser.add_argument("--requests", type=int, default=500, help="to the demo (default: 500)")
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
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    write_text(RESULTS, json.dumps(results, indent=1) + "\n")
    if samples:
        save_figure(plot_long_run(samples), FIGURE)
    write_text(PAGE, render_page(PAGE.read_text(encoding="utf-8"), results))
    return 1 if any(tally.lost for tally in tallies) else 0


if __name__ == "__main__":
    sys.exit(main())
