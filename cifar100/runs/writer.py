"""What a run writes while it grows. Where several processes train it together, the first writes for all."""

import functools
import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from torch import nn

from cifar100.errors import UserError
from cifar100.files import write_text
from cifar100.parallel.group import Group
from cifar100.recipe import Recipe
from cifar100.runs import place
from cifar100.runs.checkpoint import load_checkpoint, save_checkpoint
from cifar100.runs.find import running_folder
from cifar100.runs.history import EpochRecord, save_history
from cifar100.runs.run import Run, is_finished, make_metrics, save_recipe
from cifar100.runs.weights import load_weights, save_weights


def by_first(method: Callable) -> Callable:
    """The method, done by the first process alone: all get what it returns, or end with its UserError."""

    @functools.wraps(method)
    def done(self, *arguments, **options):
        return self.group.first(lambda: method(self, *arguments, **options))

    return done


class RunWriter:
    """Holds a run's place, below `output`, from `open` to `close`, and writes beside it until `finish`."""

    def __init__(self, recipe: Recipe, folder: Path, group: Group, output: str | Path):
        self.recipe, self.folder, self.group, self.output = recipe, folder, group, output
        self.running = running_folder(folder)
        self.held = ExitStack()

    @by_first
    def open(self, resume: bool) -> bool:
        """Claim the place. Returns whether an unfinished run lies there. Raises UserError if it is not to be
        resumed."""
        self.held.enter_context(place.claim(self.folder, self.output))
        unfinished = (self.running / "checkpoint.pt").exists()
        if unfinished and not resume:
            raise UserError(
                f"{self.running} holds an unfinished run: continue it with --resume, or delete that folder."
            )
        return unfinished

    def close(self) -> None:
        """Let go of the place. Asks nobody: another process may have failed."""
        self.held.close()

    @by_first
    def load_finished(self) -> list[EpochRecord] | None:
        """The epochs of a run of this recipe that has finished already."""
        return Run.load(self.folder).history if is_finished(self.folder, self.recipe) else None

    @by_first
    def load_checkpoint(self) -> dict:
        """Raises UserError if it is damaged or from another recipe."""
        return load_checkpoint(self.running / "checkpoint.pt", self.recipe)

    @by_first
    def start(self, history: list[EpochRecord]) -> None:
        """Write the settings, and the epochs so far anew: a crash may have torn them."""
        save_recipe(self.running, self.recipe)
        if history:
            save_history(self.running, history)

    @by_first
    def keep_weights(self, network: nn.Module) -> None:
        """Save the result, and give the network what was saved: the file may hold it in less precision."""
        save_weights(self.running / "weights.safetensors", network, self.recipe)
        load_weights(self.running / "weights.safetensors", network)

    @by_first
    def keep_epoch(self, state: dict, history: list[EpochRecord]) -> None:
        """Replace the checkpoint, and the history."""
        save_checkpoint(self.running / "checkpoint.pt", state)
        save_history(self.running, history)

    @by_first
    def finish(self, history: list[EpochRecord], **facts) -> None:
        """Complete the run, and let it take its place. facts: see `make_metrics`."""
        save_history(self.running, history)  # so that the checksum is of what this process holds
        metrics = make_metrics(self.recipe, history, self.running, **facts)
        write_text(self.running / "metrics.json", json.dumps(metrics, indent=2) + "\n")
        place.take_place(self.folder)
