"""python -m tests.faults.supply: the tests with the newest releases, with the oldest allowed ones, and known holes.

Each environment is made anew and takes some gigabytes and minutes, which is why `make faults` does not do this.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Quick, and with IMPORTS they use or import every package that requirements.txt names.
TESTS = (
    *("tests/test_model.py", "tests/test_recipe.py", "tests/dataset", "tests/explain", "tests/eda"),
    *("tests/evaluation/test_metrics.py", "tests/inference/test_pictures.py"),
    *("tests/training/test_optimizers.py", "tests/training/test_lr_finder.py"),
)
IMPORTS = (
    "-c",
    "import torchsummary, cifar100.demo.page, cifar100.notebook.execution",
)  # the latter for gradio and jupyter
TRAIN = ("-m", "cifar100", "train", "smoke", "--data", "sample", "--epochs", "0.2", "--device", "cpu")


def read_requirements() -> list[str]:
    """The lines of requirements.txt that name a package."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith(("#", "-"))]


def lower_bounds(requirements: list[str]) -> list[str]:
    """Each requirement with the oldest release that it allows, as pip's constraints."""
    return [re.sub(r">=\s*([^,;\s]+).*", r"==\1", requirement) for requirement in requirements]


def make_environment(folder: Path, constraints: list[str]) -> Path:
    """A fresh virtual environment with what requirements.txt names and pytest. Returns its python. Raises
    CalledProcessError if pip finds no releases that fit together and fit this Python."""
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    (folder / "constraints.txt").write_text("\n".join(constraints) + "\n")
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    wanted = ["-r", ROOT / "requirements.txt", "pytest>=8", "hypothesis>=6"]
    subprocess.run([*install, *wanted, "-c", folder / "constraints.txt"], check=True)
    return python


def try_environment(name: str, constraints: list[str]) -> bool:
    """Whether it can be installed, a run trains there, and the quick tests pass."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            python = make_environment(Path(folder) / "environment", constraints)
            subprocess.run([python, *TRAIN, "--output", Path(folder) / "output"], cwd=ROOT, check=True)
            subprocess.run([python, *IMPORTS], cwd=ROOT, check=True)
            subprocess.run([python, "-m", "pytest", "-p", "no:cacheprovider", *TESTS], cwd=ROOT, check=True)
        except subprocess.CalledProcessError as error:
            print(f"{name}: failed, exit code {error.returncode} of {' '.join(map(str, error.cmd))}", flush=True)
            return False
    print(f"{name}: installed, trained and tested", flush=True)
    return True


def audit() -> bool:
    """Whether no release that is installed here has a known hole. True, too, where nobody can be asked: it says so."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        own = Path(folder) / ("Scripts" if sys.platform == "win32" else "bin")
        frozen = subprocess.run(
            [sys.executable, "-m", "pip", "freeze"], capture_output=True, text=True, check=True
        ).stdout
        named = [line.partition("+")[0] for line in frozen.splitlines() if "==" in line and " @ " not in line]
        (Path(folder) / "frozen.txt").write_text("\n".join(named) + "\n")
        try:
            subprocess.run([own / "python", "-m", "pip", "install", "--quiet", "pip-audit"], check=True)
        except subprocess.CalledProcessError:
            print("audit: pip-audit cannot be installed here; nothing was checked", flush=True)
            return True
        command = [own / "pip-audit", "--no-deps", "--disable-pip", "-r", Path(folder) / "frozen.txt"]
        done = subprocess.run(command, capture_output=True, text=True)
    if "Found " in done.stderr or "No known vulnerabilities" in done.stderr:
        print(done.stdout + done.stderr, flush=True)
        unknown = done.stdout.count("could not be audited")
        print(f"audit: {len(named) - unknown} of {len(named)} packages could be looked up from here", flush=True)
        return done.returncode == 0
    reason = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
    print(
        f"audit: the service with the advisories cannot be asked from here ({reason}); nothing was checked", flush=True
    )
    return True


def main() -> int:
    checks = {
        "newest": lambda: try_environment("newest releases", []),
        "lowest": lambda: try_environment("lower bounds", lower_bounds(read_requirements())),
        "audit": audit,
    }
    parser = argparse.ArgumentParser(prog="python -m tests.faults.supply", description=__doc__)
    parser.add_argument("checks", nargs="*", choices=[*checks, []], help="all of them if none is named")
    chosen = parser.parse_args().checks or list(checks)
    return 0 if all([checks[name]() for name in chosen]) else 1


if __name__ == "__main__":
    sys.exit(main())
