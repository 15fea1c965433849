"""Check an exported Space as Hugging Face would run it: alone, in a virtual environment of nothing but its own
requirements.

python checks/space.py [RUN]    # output/sprint if it is left out; exit code 1 if it answers otherwise than the project
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from benchmarks.visitors import ask, connect, is_right, start_page, temporary_folder, write_uploads  # noqa: E402
from cifar100.demo.examples import load_drawings  # noqa: E402
from cifar100.demo.space import INDEX, export_space  # noqa: E402
from cifar100.errors import UserError  # noqa: E402
from cifar100.inference import Prediction  # noqa: E402
from cifar100.runs.find import find_run  # noqa: E402
from cifar100.runs.run import load_recipe  # noqa: E402

PICTURES = 12  # two of each drawing
TOLERANCE = 1e-4  # of a probability: the Space's torch may be another build
GIGABYTES = {True: 4, False: 12}  # that the environment takes at most, with the index of CPU builds and without it


def check_space(run: Path, folder: Path) -> bool:
    """Whether the run's Space answers as the run does. folder: an empty one for all of it."""
    space = folder / "space"
    print(f"{len(export_space(run, space))} files exported from {run}", flush=True)
    python = install(space / "requirements.txt", folder / "environment")
    drawings = np.stack([np.asarray(drawing) for drawing in load_drawings().values()])
    pictures = write_uploads(drawings, PICTURES, folder / "pictures")
    expected, model = predict(run, pictures), load_recipe(run).name
    right = []
    with start_page([str(python), "app.py"], space, folder / "server") as (address, _):
        client = connect(address, folder / "downloads")
        for picture in pictures:
            answer = ask(client, picture, model)
            right.append(is_right(answer.shares, expected[picture], TOLERANCE))
            print(describe_answer(picture, answer.shares, expected[picture], right[-1]), answer.reason, flush=True)
    return all(right)


def install(requirements: Path, folder: Path) -> Path:
    """Make a virtual environment of just these requirements and return its Python. Raises UserError if the disk is too
    full, or pip fails."""
    lines = requirements.read_text().splitlines()
    reachable = is_reachable(INDEX.split()[-1])
    if not reachable:
        print(
            "The index of torch's CPU builds is out of reach: its line is dropped. The default index's torch takes 5 "
            "GB."
        )
        lines.remove(INDEX)
    free = shutil.disk_usage(folder.parent).free / 1e9
    print(f"{free:.0f} GB free, up to {GIGABYTES[reachable]} GB needed for:", ", ".join(lines), flush=True)
    if free < GIGABYTES[reachable]:
        raise UserError(f"{folder.parent} has no room for the environment: free some, or set TMPDIR to another disk.")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    wanted = folder / "requirements.txt"
    wanted.write_text("\n".join([*lines, ""]))
    command = [str(python), "-m", "pip", "install", "--quiet", "--no-cache-dir", "-r", str(wanted)]
    if subprocess.run(command).returncode:
        raise UserError("pip cannot install the Space's requirements: its words are above.")
    return python


def is_reachable(address: str) -> bool:
    try:
        with urlopen(address, timeout=20):
            return True
    except OSError:  # urllib's own errors are among them
        return False


def predict(run: Path, pictures: list[Path]) -> dict[Path, list[Prediction]]:
    """What `python -m cifar100 predict` says of each picture."""
    command = [sys.executable, "-m", "cifar100", "predict", str(run.resolve()), *map(str, pictures), "--json"]
    said = subprocess.run([*command, "--device", "cpu"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return {Path(name): [Prediction(**answer) for answer in own["classes"]] for name, own in json.loads(said).items()}


def describe_answer(picture: Path, shares: dict[str, float], expected: list[Prediction], right: bool) -> str:
    shown = next(iter(shares.items()), ("nothing", 0.0))
    wanted = expected[0].class_name.replace("_", " "), expected[0].probability
    words = [f"{name} {probability:.6f}" for name, probability in (shown, wanted)]
    return f"{picture.name:8} Space: {words[0]:28} project: {words[1]:28} {'equal' if right else 'DIFFERENT'}"


def main() -> int:
    """The exit code: 0, 1 after a difference, or 2 after a message that says what to do."""
    try:
        run = find_run(sys.argv[1] if len(sys.argv) > 1 else ROOT / "output/sprint")
        with temporary_folder() as folder:
            right = check_space(run, folder)
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    print("The Space answers as the project does." if right else "The Space answers otherwise than the project.")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
