"""What a Run All of the main notebook is about: which recipe, and whether it is trained here or loaded."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from cifar100 import publish, report, runs
from cifar100.data import is_sample
from cifar100.device import choose_device
from cifar100.errors import UserError
from cifar100.progress import Progress
from cifar100.recipe import Recipe, find_recipe
from cifar100.runs import EpochRecord
from cifar100.train import fit

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
        return runs.run_folder(self.recipe, self.output, is_sample())

    @property
    def figures(self) -> Path:
        """The folder of the recipe's figures."""
        return self.run.parent

    def records(self, say: Callable[[str], None] = print) -> Iterator[EpochRecord]:
        """A record an epoch: while it trains, or from the finished run. `say` is told which."""
        if self.trains:
            unfinished = runs.running_folder(self.run).exists()
            say(f"Training {self.recipe.name} on {self.device}.")
            yield from fit(
                self.recipe, output=self.output, resume=unfinished, progress=Progress(self.recipe, say=say), say=say
            )
            return
        metrics = runs.load_metrics(self.run)
        say(f"Loaded {self.run}, trained on {metrics['hardware']}. Nothing is trained here.")
        yield from runs.load_history(self.run)

    def publish(self) -> list[Path]:
        """Bring the run and its figures into the project's own output, if they lie elsewhere, and render README and
        training_logs.md from there. Returns the rendered files that changed. On the sample nothing is done."""
        if is_sample():
            return []
        own = runs.run_folder(self.recipe, OUTPUT)
        if own.resolve() != self.run.resolve():
            with publish.claim(own) as running:
                shutil.copytree(self.run, running, dirs_exist_ok=True)
                publish.publish(own)
            for path in [*self.figures.glob("*.png"), *self.figures.glob("*.csv")]:
                shutil.copy(path, own.parent)
        return report.write_all(Path.cwd())


def start_session(environment: Mapping[str, str] = os.environ) -> Session:
    """Read CIFAR100_RECIPE, CIFAR100_TRAIN and CIFAR100_OUTPUT and decide.

    "auto" trains where there is a GPU, and on the sample; elsewhere it loads the published run, and where the
    default recipe has none, that of `sprint`. A finished run in a folder of one's own is never trained again,
    so that Run All after a disconnection goes on where it stopped.
    Raises UserError if a value is unknown, or if nothing can be loaded and nothing may be trained.
    """
    wish, named = environment.get("CIFAR100_TRAIN") or "auto", environment.get("CIFAR100_RECIPE")
    if wish not in WISHES:
        raise UserError(f"CIFAR100_TRAIN must be one of {', '.join(WISHES)}, not {wish!r}.")
    output, device, sample = (
        Path(environment.get("CIFAR100_OUTPUT") or OUTPUT).expanduser(),
        choose_device(),
        is_sample(),
    )
    recipe = find_recipe(named or ("smoke" if sample else "resnet56_multistep"))

    def finished(which: Recipe) -> bool:
        return runs.is_finished(runs.run_folder(which, output, sample), which)

    if wish == "yes":
        return Session(recipe, device, output, True, "It trains, because CIFAR100_TRAIN is yes.")
    published = output == Path(OUTPUT) and not sample
    if finished(recipe) and (wish == "no" or device.type == "cpu" or not published):
        reason = "It loads a finished run" + (": there is no GPU here." if device.type == "cpu" and published else ".")
        return Session(recipe, device, output, False, reason)
    if wish == "auto" and (device.type != "cpu" or sample):
        why = "the sample is small" if sample else f"there is a GPU ({device})"
        return Session(recipe, device, output, True, f"It trains, because {why}.")
    sprint = find_recipe("sprint")
    if not named and finished(sprint):
        reason = f"There is no finished run of {recipe.name}: it loads that of sprint."
        return Session(sprint, device, output, False, reason)
    raise UserError(
        f"There is no finished run of {recipe.name} in {output}" + (" and no GPU" if wish == "auto" else "") + ": set "
        "CIFAR100_TRAIN=yes to train it here, or CIFAR100_RECIPE=sprint for a recipe that a CPU trains."
    )
