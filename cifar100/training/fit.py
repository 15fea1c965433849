"""Train a recipe: one generator that yields a record an epoch and leaves a finished run behind."""

import json
import math
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy
import torch

from cifar100.dataset.cifar import Images, is_sample, load_training_and_held
from cifar100.device import current_commit, describe_hardware
from cifar100.errors import UserError
from cifar100.evaluation.logits import evaluate
from cifar100.files import write_text
from cifar100.parallel.cuda_graph import choose_step
from cifar100.parallel.group import ALONE, Group
from cifar100.recipe import Recipe
from cifar100.runs import place as publish
from cifar100.runs import run as runs
from cifar100.runs.machines import find_main, note_epoch
from cifar100.runs.run import EpochRecord
from cifar100.runs.weights import load_checkpoint, load_weights, save_checkpoint, save_weights
from cifar100.training.trainer import AFTER_A_LOSS, Trainer, WrapBatches, make_trainer, train_one_epoch


@dataclass
class Log:
    """What a run has to tell so far, kept in its checkpoint. seconds: of training and of evaluation."""

    commit: str | None
    history: list[EpochRecord] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=lambda: {"training": 0.0, "evaluation": 0.0})
    machines: list[dict] = field(default_factory=list)  # see `machines.note_epoch`


def fit(
    recipe: Recipe,
    *,
    data: str | Path | None = None,
    output: str | Path = "output",
    device: str | None = None,
    num_workers: int | None = None,
    compile: str = "auto",
    precision: str = "auto",
    resume: bool = False,
    holdout: bool = False,
    progress: WrapBatches | None = None,
    say: Callable[[str], None] = print,
    group: Group = ALONE,
) -> Iterator[EpochRecord]:
    """Train the recipe, yielding a record after each epoch, and leave the finished run in its
    folder when the last one is drawn.

    data: a folder, "sample", or None (see `load_split`). num_workers, compile, precision: None and "auto" for what
    serves on the device (see `TrainingLoader`, `LossStep`, `choose_precision`); `say` is told what was chosen.
    resume: continue from the last finished epoch, if there is one; a finished run is not trained
    again. holdout: train on nine tenths of the training set and evaluate on the rest. group: the
    processes that train this run together, each of which calls `fit`; the first alone touches `output`.
    Raises UserError if anything asked for is not there, and if an unfinished run would be lost.
    """
    say = say if group.rank == 0 else lambda text: None
    chosen = group.each(lambda: group.choose_device(device))
    folder = runs.run_folder(recipe, output, is_sample(data), holdout)
    running = runs.running_folder(folder)
    training, held = group.each_machine_first(lambda: load_training_and_held(data, holdout))
    group.each(lambda: group.check_batches(recipe, len(training)))
    with ExitStack() as place:
        unfinished = group.first(lambda: take_place(place, folder, resume))
        if resume and not unfinished and group.first(lambda: runs.is_finished(folder, recipe)):
            say(f"{folder} is finished already. Without resuming it is trained again.")
            yield from group.first(lambda: runs.load_history(folder))
            return
        trainer = make_trainer(recipe, training, chosen, num_workers, precision, group)
        choose_step(trainer, compile, say)
        # The commit is asked for now: the files may change while the run goes on.
        log = load_progress(trainer, running) if unfinished else Log(current_commit())
        if unfinished:
            say(f"Continuing after epoch {len(log.history)}, from the checkpoint; history.csv is written anew from it.")
            group.first(lambda: runs.save_history(running, log.history))
        group.first(lambda: runs.save_recipe(running, recipe))
        done = len(log.history) == trainer.epochs  # cut off between its last checkpoint and its end
        if done:  # the checkpoint is sealed, the weights beside it are not yet
            group.first(lambda: keep_weights(trainer, running / "weights.safetensors"))
        yield from log.history[: -1 if done else None]
        for epoch in range(len(log.history) + 1, trainer.epochs + 1):
            run_epoch(trainer, epoch, held, "validation" if holdout else "test", log, running, progress)
            if epoch < trainer.epochs:
                yield log.history[-1]
        group.first(lambda: finish(trainer, log, folder, "sample" if is_sample(data) else "CIFAR-100"))
        yield log.history[-1]


def take_place(place: ExitStack, folder: Path, resume: bool) -> bool:
    """Claim the run's folder until `place` is closed. Returns whether an unfinished run lies there. Raises UserError
    if it is not to be resumed."""
    running = place.enter_context(publish.claim(folder))
    unfinished = (running / "checkpoint.pt").exists()
    if unfinished and not resume:
        raise UserError(f"{running} holds an unfinished run: continue it with --resume, or delete that folder.")
    return unfinished


def run_epoch(
    trainer: Trainer, epoch: int, held: Images, split: str, log: Log, running: Path, progress: WrapBatches | None
) -> None:
    """Train and evaluate, and keep checkpoint and history."""
    group = trainer.group
    start = time.perf_counter()
    train_loss, train_accuracy = train_one_epoch(trainer, epoch, progress)
    trained = time.perf_counter()
    if epoch == trainer.epochs:  # the last line of the log is that of the saved weights
        group.first(lambda: keep_weights(trainer, running / "weights.safetensors"))
        group.copy_first(trainer.result)  # which is rounded now, where the file is
    loss, accuracy = evaluate(trainer.result, held, trainer.device, group=group)
    if not math.isfinite(loss):
        raise UserError(f"The loss is no longer a finite number in epoch {epoch}: {AFTER_A_LOSS}")
    log.seconds["training"] += trained - start
    log.seconds["evaluation"] += time.perf_counter() - trained
    log.history.append(EpochRecord(epoch, trainer.lr, train_loss, train_accuracy, loss, accuracy, split))
    note_epoch(log.machines, name_hardware(trainer), epoch)
    group.first(lambda: save_progress(trainer, log, running))


def keep_weights(trainer: Trainer, path: Path) -> None:
    """Save the result, and go on with it as it was saved: the file may hold it in less precision."""
    save_weights(path, trainer.result, trainer.recipe)
    load_weights(path, trainer.result)


def save_progress(trainer: Trainer, log: Log, running: Path) -> None:
    """Write the checkpoint from which `load_progress` continues, and the history."""
    state = asdict(log) | {
        "recipe": trainer.recipe.to_dict(),
        "parts": {name: part.state_dict() for name, part in trainer.parts().items()},
        "versions": versions(),
    }
    save_checkpoint(running / "checkpoint.pt", state)
    runs.save_history(running, log.history)


def load_progress(trainer: Trainer, running: Path) -> Log:
    """Bring a fresh trainer to where the checkpoint was written. The first process reads it for all. Raises
    UserError if the checkpoint is damaged or from another recipe."""
    path = running / "checkpoint.pt"
    state = trainer.group.first(lambda: load_checkpoint(path, trainer.recipe))
    try:
        for name, part in trainer.parts().items():
            part.load_state_dict(state["parts"][name])
        history = [EpochRecord(**record) for record in state["history"]]
        # Checkpoints of earlier releases do not say it.
        machines = state.get("machines") or [{"hardware": "unknown hardware", "epochs": [1, len(history)]}]
        return Log(state["commit"], history, state["seconds"], machines)
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(f"The checkpoint {path} does not fit its recipe: delete {running} and train again.") from error


def finish(trainer: Trainer, log: Log, folder: Path, data: str) -> None:
    """Complete the run that grew beside its folder, and let it take the folder's place."""
    running = runs.running_folder(folder)
    runs.save_history(running, log.history)  # so that the checksum is of what this process holds
    several = {"machines": log.machines} if len(log.machines) > 1 else {}
    metrics = runs.make_metrics(
        trainer.recipe,
        log.history,
        running,
        data=data,
        seconds=round(sum(log.seconds.values()), 1),
        images_per_second=round(trainer.images_seen() / log.seconds["training"], 1),
        hardware=find_main(log.machines),
        versions=versions(),
        commit=log.commit,
        **several,
    )
    write_text(running / "metrics.json", json.dumps(metrics, indent=2) + "\n")
    publish.publish(folder)


def name_hardware(trainer: Trainer) -> str:
    """Where the trainer computes, and in which precision: as the log names it."""
    count = f"{trainer.group.size} x " if trainer.group.size > 1 else ""
    return f"{count}{describe_hardware(trainer.device)}, {trainer.precision}"


def versions() -> dict[str, str]:
    return {"python": platform.python_version(), "torch": str(torch.__version__), "numpy": numpy.__version__}
