"""What a Run All of the main notebook does: its parameters, whether it trains or loads, and what it publishes."""

import os
import tempfile
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch

from cifar100.dataset.cifar import is_sample, name_data, strip_quotes
from cifar100.device import choose_device
from cifar100.errors import UserError
from cifar100.evaluation.logits import evaluate_run
from cifar100.evaluation.summary import save_evaluation, summarise_evaluation
from cifar100.explain.gradient_flow import without_shortcuts
from cifar100.files import write_bytes
from cifar100.network import make_network
from cifar100.recipe import Recipe
from cifar100.recipes import find_recipe
from cifar100.report.hand_in import render_submission
from cifar100.report.pages import write_all
from cifar100.report.published import group_by_recipe, is_published, load_published
from cifar100.runs.find import RUN_FILES, has_weights, run_folder, running_folder
from cifar100.runs.history import EpochRecord, format_record, load_history, save_history
from cifar100.runs.place import claim, take_place
from cifar100.runs.run import Run, is_finished
from cifar100.train import fit

OUTPUT = Path("output")  # what the project publishes: the notebook runs in the project's folder
PLAIN = OUTPUT / "resnet56_multistep/without_shortcuts"  # what chapter 4 compares with the published run
MOUNTED = ("MyDrive", "Shareddrives")  # folders that Google Drive has where it is mounted, and nobody makes by hand


@dataclass(frozen=True)
class Session:
    recipe: Recipe
    device: torch.device
    output: Path  # of runs and figures
    trains: bool
    image: Path | None  # the image of one's own that is classified in the end

    @property
    def run(self) -> Path:
        """The folder of the run that is trained or loaded."""
        return run_folder(self.recipe, self.output, is_sample())

    @property
    def unfinished(self) -> bool:
        """Whether there is a checkpoint to go on from."""
        return (running_folder(self.run) / "checkpoint.pt").exists()

    def __str__(self) -> str:
        does = "will be trained" if self.trains else "was trained before and will be loaded"
        return f"{self.recipe.name}, seed {self.recipe.seed}, {does}, on {self.device}.\nThe run: {self.run}"


def start_session(
    started: Path, recipe: str, train: str = "auto", seed: int = 0, data: str = "", output: str = "", picture: str = ""
) -> Session:
    """Check the notebook's parameters and decide. started: the folder that relative paths start from.

    "auto" trains where there is a GPU, and on the sample, where `smoke` takes the recipe's place; elsewhere it loads a
    finished run, one's own before the published one. With a GPU one's own is loaded, too, so that Run All may be
    repeated, but not a published one.
    Raises UserError if a parameter is wrong, or if nothing can be loaded and nothing may be trained.
    """
    if train not in ("auto", "yes", "no"):
        raise UserError(f"TRAIN must be auto, yes or no, not {train!r}.")
    choose_data(data, started)
    sample, device, own = is_sample(), choose_device(), absolute(output, started) or OUTPUT
    check_mounted(own)
    chosen, image = find_recipe("smoke" if sample else recipe, seed=seed), absolute(picture, started)
    if image and not image.is_file():
        raise UserError(f"PICTURE was not found: {image}. Give its full path, or leave PICTURE empty.")

    may_train = train == "yes" or train == "auto" and (sample or device.type != "cpu")
    for place in [] if train == "yes" else [own] if sample else [own, OUTPUT]:
        folder = run_folder(chosen, place, sample)
        if is_finished(folder, chosen) and has_weights(folder):
            if not (may_train and is_published(Run.load(folder))):
                return Session(chosen, device, place, False, image)
    if may_train:
        return Session(chosen, device, own, True, image)
    raise UserError(
        f"{chosen.name}, seed {seed}, has no finished run with weights and these settings in {own}, and nothing is "
        "trained without a GPU or with TRAIN set to no: set TRAIN to yes, or choose another RECIPE or SEED."
    )


def absolute(path: str, started: Path) -> Path | None:
    """A path as a user writes it; a relative one counts from the folder `started`. None if it is empty."""
    text = os.path.expanduser(strip_quotes(path))
    return Path(os.path.abspath(started / text)) if text else None


def choose_data(data: str, started: Path) -> None:
    """Let every later cell read this folder, or the "sample"; if it is empty, what CIFAR100_DATA names."""
    if named := name_data(data):
        os.environ["CIFAR100_DATA"] = named if named == "sample" else str(absolute(named, started))


def check_mounted(folder: Path) -> None:
    """Raises UserError if the folder lies on a Google Drive that is not mounted: what is written there is lost with the
    machine. An empty /content/drive is no Drive."""
    drive, places = Path("/content/drive"), [folder, *folder.parents]
    missing = [place for place in places if place.name in MOUNTED and not place.is_dir()]
    if missing or (drive in places and not any((drive / name).is_dir() for name in MOUNTED)):
        raise UserError(f"OUTPUT is {folder}, but no Google Drive is mounted there: mount it and run this cell again.")


def load_without_shortcuts(recipe: Recipe) -> list[EpochRecord]:
    """The recipe's first ten epochs without shortcuts, from history.csv in PLAIN. If it is not there they are trained
    now, from the recipe's own weights and on its images; what else `fit` writes is thrown away."""
    if not (PLAIN / "history.csv").exists():
        with tempfile.TemporaryDirectory() as temporary:
            network, history = without_shortcuts(make_network(recipe)), []
            for record in islice(fit(recipe, output=temporary, network=network), 10):
                history.append(record)
                print(format_record(record, 10))
        save_history(PLAIN, history)
    return load_history(PLAIN)


def render_result(recipe: Recipe) -> str:
    """The block at the top of the notebook, in Markdown: whose work it is, and what the published runs have reached."""
    return render_submission(recipe, group_by_recipe(load_published()).get(recipe.name, []))


def publish(session: Session) -> list[Path]:
    """Evaluate the run in full, unless that was done; copy it and its figures into the project's output, if they lie
    elsewhere; and render README, training_logs.md and model cards from there. On the sample nothing is done.

    Returns the rendered files that changed. Raises UserError if an unfinished run is in the project's own output.
    """
    if is_sample():
        return []
    run, home = session.run, run_folder(session.recipe, OUTPUT)
    if "evaluation" not in Run.load(run).metrics:
        result = evaluate_run(run)
        save_evaluation(result, summarise_evaluation(result))
    if home.resolve() != run.resolve():
        with claim(home) as running:  # refuses to replace an unfinished run
            for name in RUN_FILES:
                write_bytes(running / name, (run / name).read_bytes())
            take_place(home)
        for path in [*run.parent.glob("*.png"), *run.parent.glob("*.csv")]:
            write_bytes(home.parent / path.name, path.read_bytes())
    return write_all(Path.cwd(), notebooks=False)
