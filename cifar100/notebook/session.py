"""What a Run All of the main notebook is about: which recipe, and whether it is trained here or loaded."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from cifar100.dataset.cifar import is_sample
from cifar100.device import choose_device
from cifar100.errors import UserError
from cifar100.evaluation.logits import evaluate_run
from cifar100.evaluation.summary import save_evaluation, summarise_evaluation
from cifar100.files import write_bytes
from cifar100.lr_finder import LrCurve, curve_file, find_recipe_lr, load_curve
from cifar100.recipe import Recipe
from cifar100.recipes import find_recipe
from cifar100.report.pages import write_all
from cifar100.runs.find import RUN_FILES, has_weights, run_folder, running_folder
from cifar100.runs.history import EpochRecord
from cifar100.runs.machines import describe_machines
from cifar100.runs.place import claim, take_place
from cifar100.runs.run import Run, is_finished
from cifar100.train import fit
from cifar100.training.progress import Progress

OUTPUT = "output"  # where the project keeps what it publishes
WISHES = ("auto", "yes", "no")


@dataclass(frozen=True)
class Session:
    recipe: Recipe
    device: torch.device
    output: Path  # of runs and figures; on the sample, output/sample is meant by it
    trains: bool
    reason: str  # why it trains, or does not: a sentence

    @property
    def run(self) -> Path:
        """The run's folder."""
        return run_folder(self.recipe, self.output, is_sample())

    @property
    def figures(self) -> Path:
        """The folder of the recipe's figures."""
        return self.run.parent

    def describe_result(self) -> str:
        """What the finished run has reached; that there is none yet, where it is trained here."""
        if self.trains:
            return "Chapter 7 trains it; its result is in chapter 8."
        final = Run.load(self.run).metrics["final"]
        return (
            f"Result: {final['test_accuracy']:.2%} top-1 on the test set after {final['epoch']} epochs "
            f"(training {final['train_accuracy']:.2%})."
        )

    def find_lr(self, recipe: Recipe, say: Callable[[str], None] = print) -> LrCurve:
        """The recipe's range test: as it is kept, unless a training is to begin here, else measured. `say` is told
        which."""
        path = curve_file(recipe, self.output, is_sample())
        if path.exists() and not self.trains:
            say(f"Loaded {path}.")
            return load_curve(path)
        curve, path = find_recipe_lr(recipe, output=self.output, steps=40 if is_sample() else 200)
        say(f"Measured, and kept as {path}.")
        return curve

    def records(self, say: Callable[[str], None] = print) -> Iterator[EpochRecord]:
        """A record an epoch: while it trains, or from the finished run. `say` is told which."""
        if self.trains:
            unfinished = (running_folder(self.run) / "checkpoint.pt").exists()
            say(f"Training {self.recipe.name} on {self.device}.")
            yield from fit(
                self.recipe, output=self.output, resume=unfinished, progress=Progress(self.recipe, say=say), say=say
            )
            return
        run = Run.load(self.run)
        say(f"Loaded {run.folder}, trained on {describe_machines(run.metrics)}. Nothing is trained here.")
        yield from run.history

    def publish(self) -> list[Path]:
        """Evaluate the run in full, where that was not done yet; bring it and its figures into the project's own
        output, if they lie elsewhere; and render README, training_logs.md and model cards from there.

        Returns the rendered files that changed. On the sample nothing is done. Raises UserError if an unfinished run
        is in the way.
        """
        if is_sample():
            return []
        if "evaluation" not in Run.load(self.run).metrics:
            result = evaluate_run(self.run)
            save_evaluation(result, summarise_evaluation(result))
        own = run_folder(self.recipe, OUTPUT)
        if own.resolve() != self.run.resolve():
            self.bring_home(own)
        return write_all(Path.cwd())

    def bring_home(self, own: Path) -> None:
        """Copy the run to its place in the project, whole or not at all, and its figures."""
        with claim(own, OUTPUT) as running:
            if (running / "checkpoint.pt").exists():
                raise UserError(f"{running} holds an unfinished run: finish it with --resume, or delete that folder.")
            # metrics.json comes last: it is what tells a whole run from a part of one.
            for name in sorted(RUN_FILES, key=lambda name: name == "metrics.json"):
                write_bytes(running / name, (self.run / name).read_bytes())
            take_place(own)
        for path in [*self.figures.glob("*.png"), *self.figures.glob("*.csv")]:
            write_bytes(own.parent / path.name, path.read_bytes())


def start_session() -> Session:
    """Read CIFAR100_RECIPE, CIFAR100_TRAIN, CIFAR100_OUTPUT and CIFAR100_DATA and decide.

    "auto" trains where there is a GPU, and on the sample; elsewhere it loads the finished run, one's own before the
    published one. With "auto" a finished run in a folder of one's own is not trained again, so that Run All after a
    disconnection goes on where it stopped.
    Raises UserError if a value is unknown, or if nothing can be loaded and nothing may be trained.
    """
    wish = os.environ.get("CIFAR100_TRAIN") or "auto"
    if wish not in WISHES:
        raise UserError(f"CIFAR100_TRAIN must be one of {', '.join(WISHES)}, not {wish!r}.")
    output, sample = Path(os.environ.get("CIFAR100_OUTPUT") or OUTPUT).expanduser(), is_sample()
    device = choose_device()
    recipe = find_recipe(os.environ.get("CIFAR100_RECIPE") or ("smoke" if sample else "resnet56_multistep"))

    if wish == "yes":  # whatever lies there, damaged or not
        return Session(recipe, device, output, True, "It trains, because CIFAR100_TRAIN is yes.")
    gpu = device.type != "cpu"
    may_train = wish == "auto" and (gpu or sample)
    own = [output] if sample or output != Path(OUTPUT) else []
    places = own if may_train else [output, *([] if sample else [Path(OUTPUT)])]

    finished = [place for place in places if is_finished(run_folder(recipe, place, sample), recipe)]
    usable = [place for place in finished if has_weights(run_folder(recipe, place, sample))]
    if usable:
        why = ": there is no GPU here." if wish == "auto" and not may_train else "."
        return Session(recipe, device, usable[0], False, f"It loads a finished run{why}")
    if may_train:
        why = "the sample is small" if sample else f"there is a GPU ({device})"
        return Session(recipe, device, output, True, f"It trains, because {why}.")
    lacks = "was published without its weights" if finished else f"has no finished run in {output}"
    raise UserError(
        f"{recipe.name} {lacks}" + (", and there is no GPU" if wish == "auto" else "") + ": set CIFAR100_TRAIN=yes to "
        "train it here, with CIFAR100_RECIPE=sprint if that is a CPU, or leave out CIFAR100_RECIPE."
    )
