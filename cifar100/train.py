"""Train a recipe: one generator that yields a record an epoch and leaves a finished run behind."""

import json
import math
import platform
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torchvision.transforms import v2

from cifar100 import runs
from cifar100.augment import make_generator, to_input
from cifar100.batch_augment import BatchAugmentation
from cifar100.compiled import LossStep
from cifar100.data import FINE_NAMES, Images, is_sample, load_split, stratified_holdout
from cifar100.device import autocast_dtype, choose_device, current_commit, describe_hardware, keep_freed_memory
from cifar100.errors import UserError
from cifar100.loader import TrainingLoader
from cifar100.optim import make_optimizers, make_schedulers
from cifar100.recipe import Augmentation, Recipe
from cifar100.runs import EpochRecord
from cifar100.weights import load_checkpoint, load_weights, make_network, save_checkpoint, save_weights

# Wraps an epoch's batches: (batches, epoch, steps in it, steps before it, steps of the run) -> batches
Progress = Callable[[Iterable, int, int, int, int], Iterable]


class Trainer:
    """All that changes while a recipe trains, and what feeds it."""

    def __init__(self, recipe: Recipe, network: nn.Module, loader: TrainingLoader, device: torch.device):
        self.recipe, self.network, self.loader, self.device = recipe, network, loader, device
        self.total_steps = math.ceil(recipe.epochs * len(loader))
        self.augmentation = BatchAugmentation(recipe.augmentation, recipe.seed, loader.count)
        self.optimizers = make_optimizers(network, recipe)
        self.schedulers = make_schedulers(self.optimizers, recipe, len(loader))
        self.average = None
        if recipe.ema_decay:
            update = get_ema_multi_avg_fn(recipe.ema_decay)
            self.average = AveragedModel(network, multi_avg_fn=update, use_buffers=True)
        dtype = autocast_dtype(device)
        self.scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
        self.loss_step = LossStep(network, dtype, recipe.label_smoothing, recipe.batch_size, device)
        self.lr = 0.0  # SGD's rate in the latest step

    @property
    def result(self) -> nn.Module:
        """The network that is evaluated and saved: the averaged one where the recipe averages."""
        return self.average.module if self.average else self.network

    def steps_in(self, epoch: int) -> int:
        """Steps of an epoch, counted from 1; the last may be cut short."""
        return min(len(self.loader), self.total_steps - (epoch - 1) * len(self.loader))

    @property
    def epochs(self) -> int:
        return math.ceil(self.total_steps / len(self.loader))

    def images_seen(self) -> int:
        """Training images in all steps of the run, repeats included."""
        whole, rest = divmod(self.total_steps, len(self.loader))
        return whole * self.loader.count + rest * self.loader.batch_size

    def parts(self) -> list:
        """All that has a state_dict, in a fixed order."""
        averages = [self.average] if self.average else []
        return [self.network, *averages, *self.optimizers, *self.schedulers, self.scaler]


def train_one_epoch(trainer: Trainer, epoch: int, progress: Progress | None = None) -> tuple[float, float]:
    """Train for an epoch, counted from 1. Returns the mean loss and the top-1 accuracy (0..1) over
    its images, as they were seen; a mixed image counts for the label with the larger share.

    Raises UserError, with epoch and step, if a loss is not finite.
    """
    recipe, device = trainer.recipe, trainer.device
    # torch's own generator is left to dropout and to mixing. A seed for each epoch makes them
    # depend on neither what ran before nor an interruption.
    torch.manual_seed(make_generator(recipe.seed, epoch, 3).initial_seed())
    trainer.network.train()
    if recipe.augmentation.pipeline == "device":
        trainer.augmentation.start_epoch(epoch, device)
    steps, done = trainer.steps_in(epoch), (epoch - 1) * len(trainer.loader)
    losses, sizes = torch.zeros(steps, device=device), torch.zeros(steps, device=device)
    correct = torch.zeros((), dtype=torch.int64, device=device)
    check_every = 1 if device.type == "cpu" else 50  # reading a GPU's loss waits for the GPU
    batches = (batch for batch, _ in zip(trainer.loader.epoch(epoch), range(steps)))
    if progress:
        batches = progress(batches, epoch, steps, done, trainer.total_steps)
    for step, (images, labels, indices) in enumerate(batches):
        inputs = make_inputs(trainer, images, indices, recipe.resolution((done + step) / trainer.total_steps))
        losses[step], hits = train_step(trainer, *mix(inputs, labels, recipe.augmentation))
        sizes[step] = len(labels)
        correct += hits
        if (step + 1) % check_every == 0 or step + 1 == steps:
            wrong = (~losses[: step + 1].isfinite()).nonzero()
            if len(wrong):
                raise UserError(
                    f"The loss is not a finite number in epoch {epoch}, step {wrong[0].item() + 1}: lower the "
                    "learning rate and start again, or resume from the last epoch, which is kept."
                )
    return ((losses.double() * sizes).sum() / sizes.sum()).item(), (correct / sizes.sum()).item()


def make_inputs(trainer: Trainer, images: Tensor, indices: Tensor, pixels: int) -> Tensor:
    """The network's input from a batch of the loader, augmented where the loader has not done so."""
    if trainer.recipe.augmentation.pipeline == "device":
        return trainer.augmentation(images, indices, pixels)
    return to_input(images, pixels)


def mix(inputs: Tensor, labels: Tensor, augmentation: Augmentation) -> tuple[Tensor, Tensor]:
    """Mix the images of a batch by CutMix or mixup, where the augmentation says so.

    Returns the inputs and the targets: (N,) labels where the recipe never mixes, else the
    (N, classes) share of each label, one kind for all batches of a run.
    """
    kinds = ((v2.CutMix, augmentation.cutmix_alpha), (v2.MixUp, augmentation.mixup_alpha))
    mixers = [kind(alpha=alpha, num_classes=len(FINE_NAMES)) for kind, alpha in kinds if alpha]
    if not mixers:
        return inputs, labels
    if torch.rand(()) >= augmentation.mix_probability:
        return inputs, F.one_hot(labels, len(FINE_NAMES)).to(inputs.dtype)
    return mixers[int(torch.randint(len(mixers), ()))](inputs, labels)


def train_step(trainer: Trainer, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """One step of all optimizers. Returns the mean loss and the number of correct predictions."""
    loss, logits = trainer.loss_step(inputs, targets, trainer.scaler)
    for optimizer in trainer.optimizers:
        trainer.scaler.step(optimizer)
    trainer.scaler.update()
    trainer.lr = trainer.optimizers[0].param_groups[0]["lr"]
    for scheduler in trainer.schedulers:
        scheduler.step()
    if trainer.average:
        trainer.average.update_parameters(trainer.network)
    labels = targets if targets.ndim == 1 else targets.argmax(1)
    return loss, (logits.argmax(1) == labels).sum()


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


@dataclass
class Log:
    """What a run has to tell so far. seconds: of training and of evaluation."""

    commit: str | None
    history: list[EpochRecord] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=lambda: {"training": 0.0, "evaluation": 0.0})


def fit(
    recipe: Recipe,
    *,
    data: str | Path | None = None,
    output: str | Path = "output",
    device: str | None = None,
    num_workers: int | None = None,
    compile: str = "auto",
    resume: bool = False,
    holdout: bool = False,
    progress: Progress | None = None,
    say: Callable[[str], None] = print,
) -> Iterator[EpochRecord]:
    """Train the recipe, yielding a record after each epoch, and leave the finished run in its
    folder when the last one is drawn.

    data: a folder, "sample", or None (see `load_split`). num_workers, compile: None and "auto" for
    what serves on the device (see `TrainingLoader`, `LossStep`); `say` is told what was chosen.
    resume: continue from the last finished epoch, if there is one; a finished run is not trained
    again. holdout: train on nine tenths of the training set and evaluate on the rest.
    Raises UserError if anything asked for is not there, and if an unfinished run would be lost.
    """
    chosen = choose_device(device)
    folder = runs.run_folder(recipe, output, is_sample(data), holdout)
    training, held = load_data(data, holdout)
    with runs.claim(folder) as running:
        unfinished = (running / "checkpoint.pt").exists()
        if unfinished and not resume:
            raise UserError(f"{running} holds an unfinished run: continue it with --resume, or delete that folder.")
        if resume and not unfinished and runs.is_finished(folder, recipe):
            yield from runs.load_history(folder)
            return
        trainer = make_trainer(recipe, training, chosen, num_workers)
        trainer.loss_step.compile(compile, say)
        # The commit is asked for now: the files may change while the run goes on.
        log = load_progress(trainer, running) if unfinished else Log(current_commit())
        runs.save_recipe(running, recipe)
        yield from log.history
        for epoch in range(len(log.history) + 1, trainer.epochs + 1):
            run_epoch(trainer, epoch, held, "validation" if holdout else "test", log, running, progress)
            if epoch < trainer.epochs:
                yield log.history[-1]
        finish(trainer, log, folder, "sample" if is_sample(data) else "CIFAR-100")
        yield log.history[-1]


def make_trainer(recipe: Recipe, training: Images, device: torch.device, num_workers: int | None = None) -> Trainer:
    """A trainer before its first step."""
    if device.type == "cpu":
        keep_freed_memory()
    network = make_network(recipe).to(device)
    if hasattr(network, "fit_stem"):
        network.fit_stem(to_input(torch.from_numpy(training.images[:5000]).to(device)))
    return Trainer(recipe, network, TrainingLoader(training, recipe, device, num_workers), device)


def run_epoch(
    trainer: Trainer, epoch: int, held: Images, split: str, log: Log, running: Path, progress: Progress | None
) -> None:
    """Train and evaluate, and keep checkpoint and history."""
    start = time.perf_counter()
    train_loss, train_accuracy = train_one_epoch(trainer, epoch, progress)
    trained = time.perf_counter()
    if epoch == trainer.epochs:  # the last line of the log is that of the saved weights
        save_weights(running / "weights.safetensors", trainer.result, trainer.recipe)
        load_weights(running / "weights.safetensors", trainer.result)
    loss, accuracy = evaluate(trainer.result, held, trainer.device)
    log.seconds["training"] += trained - start
    log.seconds["evaluation"] += time.perf_counter() - trained
    log.history.append(EpochRecord(epoch, trainer.lr, train_loss, train_accuracy, loss, accuracy, split))
    save_progress(trainer, log, running)
    runs.save_history(running, log.history)


def save_progress(trainer: Trainer, log: Log, running: Path) -> None:
    """Write the checkpoint from which `load_progress` continues."""
    state = asdict(log) | {
        "recipe": trainer.recipe.to_dict(),
        "parts": [part.state_dict() for part in trainer.parts()],
        "versions": versions(),
    }
    save_checkpoint(running / "checkpoint.pt", state)


def load_progress(trainer: Trainer, running: Path) -> Log:
    """Bring a fresh trainer to where the checkpoint was written. Raises UserError if the
    checkpoint is damaged or from another recipe."""
    state = load_checkpoint(running / "checkpoint.pt", trainer.recipe)
    for part, part_state in zip(trainer.parts(), state["parts"], strict=True):
        part.load_state_dict(part_state)
    return Log(state["commit"], [EpochRecord(**record) for record in state["history"]], state["seconds"])


def finish(trainer: Trainer, log: Log, folder: Path, data: str) -> None:
    """Complete the run that grew beside its folder, and let it take the folder's place."""
    running = runs.running_folder(folder)
    metrics = runs.make_metrics(
        trainer.recipe,
        log.history,
        running,
        data=data,
        seconds=round(sum(log.seconds.values()), 1),
        images_per_second=round(trainer.images_seen() / log.seconds["training"], 1),
        hardware=describe_hardware(trainer.device),
        versions=versions(),
        commit=log.commit,
    )
    runs.write_text(running / "metrics.json", json.dumps(metrics, indent=2) + "\n")
    runs.publish(folder)


def versions() -> dict[str, str]:
    return {"python": platform.python_version(), "torch": str(torch.__version__), "numpy": numpy.__version__}
