"""Train a recipe: one generator that yields a record an epoch and leaves a finished run behind."""

import math
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy
import torch

from cifar100.dataset.cifar import Images, is_sample, load_training_and_held
from cifar100.device import WRONG_BFLOAT16, current_commit, describe_hardware, has_bfloat16
from cifar100.errors import UserError
from cifar100.evaluation.logits import evaluate
from cifar100.parallel.group import ALONE, Group
from cifar100.recipe import Recipe
from cifar100.runs.checks import make_plain
from cifar100.runs.find import run_folder
from cifar100.runs.history import EpochRecord
from cifar100.runs.machines import find_main, note_epoch
from cifar100.runs.writer import RunWriter
from cifar100.training.trainer import (
    AFTER_A_LOSS,
    Trainer,
    WrapBatches,
    advise_on_memory,
    make_trainer,
    train_one_epoch,
)


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
    training, held = group.each_machine_first(lambda: load_training_and_held(data, holdout))
    group.each(lambda: group.check_batches(recipe, len(training)))
    folder = run_folder(recipe, output, is_sample(data), holdout)
    with closing(RunWriter(recipe, folder, group, output)) as writer:
        unfinished = writer.open(resume)
        finished = writer.load_finished() if resume and not unfinished else None
        if finished:
            say(f"{folder} is finished already. Without resuming it is trained again.")
            yield from finished
            return
        trainer = make_trainer(recipe, training, chosen, num_workers, precision, group)
        trainer.choose_step(compile, say)
        if precision == "auto" and trainer.precision == "float32" and has_bfloat16(chosen):
            say(f"{WRONG_BFLOAT16}: it is trained in float32, which takes longer; a newer torch may put that right.")
        if not unfinished:
            trainer.choose_products()
            if trainer.products:
                names = ", ".join(trainer.products)
                say(f"Computed as matrix products, which is quicker here: {names}.")
        # The commit is asked for now: the files may change while the run goes on.
        log = continue_from(trainer, writer) if unfinished else Log(current_commit())
        if unfinished:
            say(f"Continuing after epoch {len(log.history)}, from the checkpoint; history.csv is written anew from it.")
        writer.start(log.history)
        done = len(log.history) == trainer.epochs  # cut off between its last checkpoint and its end
        if done:  # the checkpoint is sealed, the weights beside it are not yet
            writer.keep_weights(trainer.result)
        yield from log.history[: -1 if done else None]
        for epoch in range(len(log.history) + 1, trainer.epochs + 1):
            run_epoch(trainer, epoch, held, "validation" if holdout else "test", log, writer, progress)
            if epoch < trainer.epochs:
                yield log.history[-1]
        writer.finish(log.history, data="sample" if is_sample(data) else "CIFAR-100", **list_facts(trainer, log))
        yield log.history[-1]


def run_epoch(
    trainer: Trainer, epoch: int, held: Images, split: str, log: Log, writer: RunWriter, progress: WrapBatches | None
) -> None:
    """Train and evaluate, and keep checkpoint and history."""
    start = time.perf_counter()
    train_loss, train_accuracy = train_one_epoch(trainer, epoch, progress)
    trained = time.perf_counter()
    if epoch == trainer.epochs:  # the last line of the log is that of the saved weights
        writer.keep_weights(trainer.result)
        trainer.group.copy_first(trainer.result)  # which is rounded now, where the file is
    with advise_on_memory(trainer.recipe):
        loss, accuracy = evaluate(trainer.result, held, trainer.device, group=trainer.group)
    if not math.isfinite(loss):
        raise UserError(f"The loss is no longer a finite number in epoch {epoch}: {AFTER_A_LOSS}")
    log.seconds["training"] += trained - start
    log.seconds["evaluation"] += time.perf_counter() - trained
    log.history.append(EpochRecord(epoch, trainer.lr, train_loss, train_accuracy, loss, accuracy, split))
    note_epoch(log.machines, name_hardware(trainer), epoch)
    writer.keep_epoch(make_state(trainer, log), log.history)


def make_state(trainer: Trainer, log: Log) -> dict:
    """What a checkpoint holds, from which `continue_from` goes on."""
    return asdict(log) | {
        "recipe": trainer.recipe.to_dict(),
        "parts": {name: part.state_dict() for name, part in trainer.parts().items()},
        "versions": versions(),
        "step": trainer.step_record(),
        "products": trainer.products,
    }


def continue_from(trainer: Trainer, writer: RunWriter) -> Log:
    """Bring a fresh trainer to where the checkpoint was written. Raises UserError if the checkpoint is damaged or from
    another recipe."""
    state = writer.load_checkpoint()
    try:
        for name, part in trainer.parts().items():
            part.load_state_dict(state["parts"][name])
        trainer.recall_step(state.get("step"))
        trainer.use_products(state.get("products", {}))  # not measured anew: another choice would give other bits
        history = [EpochRecord(**record) for record in state["history"]]
        # Checkpoints of earlier releases do not say it.
        machines = state.get("machines") or [{"hardware": "unknown hardware", "epochs": [1, len(history)]}]
        return Log(state["commit"], history, state["seconds"], machines)
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(
            f"The checkpoint in {writer.running} does not fit its recipe: delete that folder and train again."
        ) from error


def list_facts(trainer: Trainer, log: Log) -> dict:
    """What metrics.json says beside what follows from the history."""
    facts = {
        "seconds": max(0.1, round(sum(log.seconds.values()), 1)),
        "images_per_second": round(trainer.images_seen() / log.seconds["training"], 1),
        "hardware": find_main(log.machines),
        "versions": versions(),
        "commit": log.commit,
    }
    return facts | ({"machines": log.machines} if len(log.machines) > 1 else {})


def name_hardware(trainer: Trainer) -> str:
    """Where the trainer computes, and in which precision: as the log names it."""
    count = f"{trainer.group.size} x " if trainer.group.size > 1 else ""
    return make_plain(f"{count}{describe_hardware(trainer.device)}, {trainer.precision}")


def versions() -> dict[str, str]:
    return {"python": platform.python_version(), "torch": str(torch.__version__), "numpy": numpy.__version__}
