"""Train a recipe: one generator that yields a record an epoch and leaves a finished run behind."""

import json
import math
import platform
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cifar100 import runs
from cifar100.augment import BatchAugmentation, make_generator, to_input
from cifar100.data import Images, is_sample, load_split, stratified_holdout
from cifar100.device import autocast_dtype, choose_device, current_commit, describe_hardware, keep_freed_memory
from cifar100.errors import UserError
from cifar100.loader import TrainingLoader
from cifar100.optim import make_optimizers, make_schedulers
from cifar100.recipe import Recipe
from cifar100.runs import EpochRecord
from cifar100.weights import load_checkpoint, load_weights, make_network, save_checkpoint, save_weights

# Wraps an epoch's batches: (batches, epoch, steps in it, steps before it, steps of the run) -> batches
Progress = Callable[[Iterable, int, int, int, int], Iterable]


@dataclass
class Trainer:
    """All that changes while a recipe trains, and what feeds it."""

    recipe: Recipe
    network: nn.Module
    loader: TrainingLoader
    device: torch.device

    def __post_init__(self):
        self.total_steps = math.ceil(self.recipe.epochs * len(self.loader))
        self.lr = 0.0  # SGD's rate in the latest step
        self.augmentation = BatchAugmentation(self.recipe, self.loader.count)
        self.optimizers = make_optimizers(self.network, self.recipe)
        self.schedulers = make_schedulers(self.optimizers, self.recipe, self.total_steps)
        self.dtype = autocast_dtype(self.device)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)

    def steps_in(self, epoch: int) -> int:
        """Steps of an epoch, counted from 1; the last may be cut short."""
        return min(len(self.loader), self.total_steps - (epoch - 1) * len(self.loader))

    def parts(self) -> list:
        """All that has a state_dict, in a fixed order."""
        return [self.network, *self.optimizers, *self.schedulers, self.scaler]


def train_one_epoch(trainer: Trainer, epoch: int, progress: Progress | None = None) -> tuple[float, float]:
    """Train for an epoch, counted from 1. Returns the mean loss and the top-1 accuracy (0..1) over
    its images, as they were seen.

    Raises UserError, with epoch and step, if a loss is not finite.
    """
    recipe, device = trainer.recipe, trainer.device
    # The only draws from torch's own generator are dropout's. A seed for each epoch makes them
    # depend on neither what ran before nor an interruption.
    torch.manual_seed(make_generator(recipe.seed, epoch, 3).initial_seed())
    trainer.network.train()
    trainer.augmentation.start_epoch(epoch, device)
    steps, done = trainer.steps_in(epoch), (epoch - 1) * len(trainer.loader)
    losses, sizes = torch.zeros(steps, device=device), torch.zeros(steps, device=device)
    correct = torch.zeros((), dtype=torch.int64, device=device)
    check_every = 1 if device.type == "cpu" else 50  # reading a GPU's loss waits for the GPU
    batches = (batch for batch, _ in zip(trainer.loader.epoch(epoch), range(steps)))
    if progress:
        batches = progress(batches, epoch, steps, done, trainer.total_steps)
    for step, (images, labels, indices) in enumerate(batches):
        inputs = trainer.augmentation(images, indices, recipe.resolution((done + step) / trainer.total_steps))
        loss, hits = train_step(trainer, inputs, labels)
        losses[step], sizes[step] = loss, len(labels)
        correct += hits
        if (step + 1) % check_every == 0 or step + 1 == steps:
            wrong = (~losses[: step + 1].isfinite()).nonzero()
            if len(wrong):
                raise UserError(
                    f"The loss is not a finite number in epoch {epoch}, step {wrong[0].item() + 1}: lower the "
                    "learning rate and start again, or resume from the last epoch, which is kept."
                )
    return ((losses.double() * sizes).sum() / sizes.sum()).item(), (correct / sizes.sum()).item()


def train_step(trainer: Trainer, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """One step of all optimizers. Returns the mean loss and the number of correct predictions."""
    with torch.autocast(trainer.device.type, trainer.dtype, enabled=trainer.dtype != torch.float32):
        logits = trainer.network(inputs)
    loss = F.cross_entropy(logits.float(), labels, label_smoothing=trainer.recipe.label_smoothing)
    for optimizer in trainer.optimizers:
        optimizer.zero_grad()
    trainer.scaler.scale(loss).backward()
    for optimizer in trainer.optimizers:
        trainer.scaler.step(optimizer)
    trainer.scaler.update()
    trainer.lr = trainer.optimizers[0].param_groups[0]["lr"]
    for scheduler in trainer.schedulers:
        scheduler.step()
    return loss.detach(), (logits.argmax(1) == labels).sum()


@torch.no_grad()
def predict_logits(network: nn.Module, images: Tensor, batch_size: int = 500) -> Tensor:
    """images: (N, 32, 32, 3) uint8 on the network's device -> logits (N, classes) float32. One view an image."""
    network.eval()
    return torch.cat([network(to_input(batch)).float() for batch in images.split(batch_size)])


def evaluate(network: nn.Module, data: Images, device: torch.device, batch_size: int = 500) -> tuple[float, float]:
    """The mean cross-entropy and the top-1 accuracy (0..1) over all images, in float32."""
    labels = torch.from_numpy(data.fine).to(device)
    logits = predict_logits(network, torch.from_numpy(data.images).to(device), batch_size)
    return F.cross_entropy(logits.double(), labels).item(), (logits.argmax(1) == labels).double().mean().item()


def load_data(data: str | Path | None, holdout: bool) -> tuple[Images, Images]:
    """The images to train on and those to evaluate on: the two splits, or with `holdout` two parts
    of the training split, a tenth held out; the test split is not read then."""
    training = load_split("train", data)
    if not holdout:
        return training, load_split("test", data)
    kept, held = stratified_holdout(training.fine, len(training) // 10)
    return training.take(kept), training.take(held)


def fit(
    recipe: Recipe,
    *,
    data: str | Path | None = None,
    output: str | Path = "output",
    device: str | None = None,
    num_workers: int = 0,
    resume: bool = False,
    holdout: bool = False,
    progress: Progress | None = None,
) -> Iterator[EpochRecord]:
    """Train the recipe, yielding a record after each epoch, and leave the finished run in its
    folder when the last one is drawn.

    data: a folder, "sample", or None (see `load_split`). resume: continue from the last finished
    epoch, if there is one; a run that has finished is not trained again. holdout: train on nine tenths of the training set and evaluate on the rest.
    Raises UserError if anything asked for is not there, and if an unfinished run would be lost.
    """
    if num_workers < 0:
        raise UserError(f"The number of workers must be 0 or more, not {num_workers}.")
    chosen = choose_device(device)
    folder = runs.run_folder(recipe, output, is_sample(data), holdout)
    split = "validation" if holdout else "test"
    training, held = load_data(data, holdout)
    with runs.claim(folder) as running:
        if resume and not (running / "checkpoint.pt").exists() and runs.is_finished(folder, recipe):
            yield from runs.load_history(folder)
            return
        if chosen.type == "cpu":
            keep_freed_memory()
        loader = TrainingLoader(training, recipe.batch_size, recipe.seed, chosen, num_workers)
        trainer = Trainer(recipe, make_network(recipe).to(chosen), loader, chosen)
        checkpoint, history, seconds = running / "checkpoint.pt", [], {"training": 0.0, "evaluation": 0.0}
        commit = current_commit()  # now: the files may change while the run goes on
        if checkpoint.exists() and not resume:
            raise UserError(f"{running} holds an unfinished run: continue it with --resume, or delete that folder.")
        if checkpoint.exists():
            state = load_checkpoint(checkpoint, recipe)
            for part, part_state in zip(trainer.parts(), state["parts"]):
                part.load_state_dict(part_state)
            history, seconds = [EpochRecord(**record) for record in state["history"]], state["seconds"]
            commit = state["commit"]
            yield from history
        else:
            if hasattr(trainer.network, "fit_stem"):
                trainer.network.fit_stem(to_input(torch.from_numpy(training.images[:5000]).to(chosen)))
            runs.save_recipe(running, recipe)
        epochs = -(-trainer.total_steps // len(loader))
        for epoch in range(len(history) + 1, epochs + 1):
            start = time.perf_counter()
            train_loss, train_accuracy = train_one_epoch(trainer, epoch, progress)
            trained = time.perf_counter()
            if epoch == epochs:  # the last line of the log is that of the saved weights
                save_weights(running / "weights.safetensors", trainer.network, recipe)
                load_weights(running / "weights.safetensors", trainer.network)
            loss, accuracy = evaluate(trainer.network, held, chosen)
            seconds["training"] += trained - start
            seconds["evaluation"] += time.perf_counter() - trained
            history.append(EpochRecord(epoch, trainer.lr, train_loss, train_accuracy, loss, accuracy, split))
            save_checkpoint(
                checkpoint,
                {
                    "recipe": recipe.to_dict(),
                    "epoch": epoch,
                    "parts": [part.state_dict() for part in trainer.parts()],
                    "history": [vars(record) for record in history],
                    "seconds": seconds,
                    "versions": versions(),
                    "commit": commit,
                },
            )
            runs.save_history(running, history)
            if epoch < epochs:
                yield history[-1]
        facts = {"data": "sample" if is_sample(data) else "CIFAR-100", "commit": commit}
        finish(trainer, history, seconds, facts, folder)
        yield history[-1]


def finish(trainer: Trainer, history: list[EpochRecord], seconds: dict, facts: dict, folder: Path) -> None:
    """Complete the run that grew beside its folder, and let it take the folder's place."""
    running = runs.running_folder(folder)
    metrics = runs.make_metrics(
        trainer.recipe,
        history,
        running,
        seconds=round(sum(seconds.values()), 1),
        images_per_second=round(images_seen(trainer) / seconds["training"], 1),
        hardware=describe_hardware(trainer.device),
        versions=versions(),
        **facts,
    )
    runs.write_text(running / "metrics.json", json.dumps(metrics, indent=2) + "\n")
    runs.publish(folder)


def images_seen(trainer: Trainer) -> int:
    """Training images in all steps of the run, repeats included."""
    whole, rest = divmod(trainer.total_steps, len(trainer.loader))
    return whole * trainer.loader.count + rest * trainer.loader.batch_size


def versions() -> dict[str, str]:
    return {"python": platform.python_version(), "torch": str(torch.__version__), "numpy": numpy.__version__}
