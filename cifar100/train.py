"""Train a recipe, from its first step to the finished run, on one page.

From top to bottom: `fit` is the run, `build` what it starts from, `train_one_epoch` what happens in an epoch,
`evaluate` how the network is judged after it, `save_checkpoint` what an interrupted run goes on from, and `finish` what
a run leaves. Example: `for record in fit(RECIPES["smoke"], data="sample"): print(record)`
"""

import io
import itertools
import json
import math
import platform
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from cifar100.dataset.augment_batch import BatchAugmentation, mix
from cifar100.dataset.augment_image import make_generator, to_input
from cifar100.dataset.cifar import Images, is_sample, load_evaluation_set, load_training_set
from cifar100.dataset.loader import TrainingLoader
from cifar100.device import (
    advise_on_memory,
    choose_device,
    choose_precision,
    current_commit,
    describe_hardware,
    keep_freed_memory,
    name_precision,
)
from cifar100.errors import UserError
from cifar100.files import write_bytes, write_text
from cifar100.network import load_weights, make_network, save_weights
from cifar100.parallel import ALONE, Group
from cifar100.recipe import Recipe
from cifar100.runs.find import run_folder
from cifar100.runs.history import EpochRecord, format_seconds, save_history
from cifar100.runs.place import claim, take_place
from cifar100.runs.run import WEIGHTS, Run, is_finished, main_hardware, make_metrics, note_epoch, save_recipe
from cifar100.training.forward import Forward, Say, compile_forward, make_forward
from cifar100.training.optimizers import make_optimizers
from cifar100.training.schedules import make_scheduler
from cifar100.training.small_convolution import use_products

Progress = Callable[[Iterable, int, int], Iterable]  # (batches, epoch, number of steps) -> batches


@dataclass
class Training:
    """What changes while a recipe trains, what feeds it, and its records so far."""

    recipe: Recipe
    network: nn.Module
    compute_loss: Forward  # (inputs, targets) -> (mean loss, logits)
    optimizers: list[Optimizer]  # SGD, and Muon where the recipe has it
    schedulers: list[LRScheduler]
    scaler: torch.amp.GradScaler  # scales the loss in float16; does nothing in other precisions
    loader: TrainingLoader
    augmentation: BatchAugmentation
    total_steps: int  # of the run; the number of epochs may be fractional
    device: torch.device
    hardware: str  # that computes, and its precision
    group: Group
    commit: str | None  # read at the start, because the files may change during the run
    history: list[EpochRecord] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=lambda: {"training": 0.0, "evaluation": 0.0})
    machines: list[dict] = field(default_factory=list)  # {"hardware": text, "epochs": [first, last]}


def fit(
    recipe: Recipe,
    *,
    data: str | Path | None = None,
    output: str | Path = "output",
    device: str | None = None,
    num_workers: int | None = None,
    compile: bool = True,
    precision: str = "auto",
    resume: bool = False,
    holdout: bool = False,
    network: nn.Module | None = None,
    progress: Progress | None = None,
    say: Say = print,
    group: Group = ALONE,
) -> Iterator[EpochRecord]:
    """A generator: train the recipe, yield a record after each epoch, and leave the finished run in its folder.

    data: a folder, "sample", or None (see `load_split`). num_workers: None chooses for the device. compile: compile the
    training step on a GPU. precision: see `choose_precision`. resume: continue after the last finished epoch; a
    finished run is not trained again. holdout: train on nine tenths of the training set and evaluate on the rest.
    network: trained instead of the recipe's own. group: the processes that train this run; each of them calls `fit`.
    On Ctrl-C the KeyboardInterrupt passes through; the checkpoint holds the last finished epoch, and `resume=True`
    continues after it. Raises UserError if the input is invalid, or if an unfinished run would be overwritten.
    """
    writes = group.rank == 0  # only this process touches `output` and prints
    say = say if writes else lambda text: None
    device = choose_device(device, group.local_rank if group.size > 1 else None)
    if group.local_rank > 0:  # the first process of each machine downloads, the others wait, then read
        group.wait()
    training_set, evaluation_set = load_training_set(data, holdout), load_evaluation_set(data, holdout)
    if group.local_rank == 0:
        group.wait()
    folder = run_folder(recipe, output, is_sample(data), holdout)
    epochs, split = math.ceil(recipe.epochs), "validation" if holdout else "test"

    # `claim` locks the folder and, unless it is to be resumed, refuses an unfinished run.
    claimed = claim(folder, resume) if writes else nullcontext()
    with claimed as running, advise_on_memory(recipe):
        unfinished = writes and (running / "checkpoint.pt").exists()
        checkpoint = group.broadcast((running / "checkpoint.pt").read_bytes() if unfinished else None)
        finished = writes and resume and not unfinished and is_finished(folder, recipe)
        if history := group.broadcast(Run.load(folder).history if finished else None):
            say(f"{folder} is already finished. To train it again, omit --resume.")
            yield from history
            return
        training = build(recipe, training_set, device, num_workers, compile, precision, network, say, group)
        if checkpoint:
            load_checkpoint(training, checkpoint, folder)
            say(f"Continuing after epoch {len(training.history)}.")
        yield from training.history[: epochs - 1]  # the last record waits until the run is finished

        for epoch in range(len(training.history) + 1, epochs + 1):
            start = time.perf_counter()
            train_loss, train_accuracy, lr = train_one_epoch(training, epoch, progress)
            trained = time.perf_counter()
            if epoch == epochs and writes:  # the last record is of the saved weights, maybe float16
                save_weights(running / WEIGHTS, training.network, recipe)
                load_weights(running / WEIGHTS, training.network)
            sharing = group if epoch < epochs else ALONE  # at the end rank 0 alone has these weights
            loss, accuracy = evaluate(training.network, evaluation_set, sharing)
            record = EpochRecord(epoch, lr, train_loss, train_accuracy, loss, accuracy, split)
            training.history.append(record)
            training.seconds["training"] += trained - start
            training.seconds["evaluation"] += time.perf_counter() - trained
            note_epoch(training.machines, training.hardware, epoch)
            if writes:
                save_history(running, training.history)
                save_checkpoint(running / "checkpoint.pt", training)
            if epoch == 1:
                took = format_seconds(time.perf_counter() - start)
                say(f"The first of {epochs} epochs took {took}.")
            if epoch < epochs:
                yield record

        if writes:
            finish(training, running, "sample" if is_sample(data) else "CIFAR-100")
            take_place(folder)
        yield training.history[-1]


def build(
    recipe: Recipe,
    training_set: Images,
    device: torch.device,
    num_workers: int | None = None,
    compile: bool = True,
    precision: str = "auto",
    network: nn.Module | None = None,
    say: Say = print,
    group: Group = ALONE,
) -> Training:
    """The training before its first step. Raises UserError as `TrainingLoader` does."""
    if device.type == "cpu":
        keep_freed_memory()
    dtype = choose_precision(device, precision)
    network = (network or make_network(recipe)).to(device)
    if recipe.network == "sprint":  # its stem whitens patches of the training images
        network.fit_stem(to_input(torch.from_numpy(training_set.images[:5000]).to(device)))
    if device.type == "cpu" and dtype == torch.bfloat16:  # small convolutions as matrix products
        use_products(network)
    loader = TrainingLoader(training_set, recipe, device, num_workers, group)
    compute_loss = make_forward(group.wrap(network), dtype, recipe.label_smoothing, device)
    # For the short `sprint`, compiling takes longer than it saves; SyncBatchNorm communicates within a step.
    if compile and device.type == "cuda" and recipe.network != "sprint" and group.size == 1:
        compute_loss = compile_forward(compute_loss, recipe.batch_size, say)
    optimizers = make_optimizers(network, recipe, dtype)
    schedulers = [make_scheduler(optimizer, recipe, len(loader)) for optimizer in optimizers]
    scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
    augmentation = BatchAugmentation(recipe.augmentation, recipe.seed, loader.count)
    total_steps = math.ceil(recipe.epochs * len(loader))
    count = f"{group.size} x " if group.size > 1 else ""
    hardware = f"{count}{describe_hardware(device)}, {name_precision(dtype)}"
    parts = (network, compute_loss, optimizers, schedulers, scaler, loader, augmentation, total_steps)
    return Training(recipe, *parts, device, hardware, group, current_commit())


def train_one_epoch(
    training: Training,
    epoch: int,
    progress: Progress | None = None,
) -> tuple[float, float, float]:
    """Train for an epoch, counted from 1. Returns the mean loss and top-1 accuracy (0..1) over
    its augmented images, while the weights changed, and SGD's rate in the last step. A mixed
    image counts for the label with the larger share. Raises UserError if a loss is not finite.
    """
    recipe, device = training.recipe, training.device
    # torch's own generator serves dropout and CutMix alone. Every epoch gives it a new seed:
    # an interruption changes nothing. The 3 separates this use of the seed from the others.
    rank = training.group.rank
    key = (recipe.seed, epoch, 3, rank) if rank else (recipe.seed, epoch, 3)
    torch.manual_seed(make_generator(*key).initial_seed())
    training.network.train()
    training.augmentation.start_epoch(epoch, device)
    done = (epoch - 1) * len(training.loader)
    steps = min(len(training.loader), training.total_steps - done)
    losses, sizes = torch.zeros(steps, device=device), torch.zeros(steps)
    correct = torch.zeros((), dtype=torch.int64, device=device)
    batches = itertools.islice(training.loader.epoch(epoch), steps)
    if progress:
        batches = progress(batches, epoch, steps)

    for step, (images, labels, indices) in enumerate(batches):
        pixels = recipe.resolution((done + step) / training.total_steps)
        inputs = make_inputs(training, images, indices, pixels)
        inputs, targets = mix(inputs, labels, recipe.augmentation)

        for optimizer in training.optimizers:
            optimizer.zero_grad()
        # the cross-entropy, with the recipe's label smoothing: training/forward.py
        loss, logits = training.compute_loss(inputs, targets)
        training.scaler.scale(loss).backward()
        for optimizer in training.optimizers:
            training.scaler.step(optimizer)
        training.scaler.update()
        lr = training.optimizers[0].param_groups[0]["lr"]  # of SGD
        for scheduler in training.schedulers:
            scheduler.step()

        losses[step], sizes[step] = loss.detach(), len(labels)
        hard_labels = targets if targets.ndim == 1 else targets.argmax(1)
        correct += (logits.argmax(1) == hard_labels).sum()
        seldom = step % 50 == 0 or step + 1 == steps  # reading the losses makes a GPU wait
        if seldom and not losses[: step + 1].isfinite().all():
            place = f"step {step + 1} of epoch {epoch}, or before"
            raise UserError(f"The loss is not finite at {place}: lower the learning rate.")

    loss = losses.cpu().double() @ sizes.double()
    sums = torch.stack((loss, correct.cpu().double(), sizes.sum().double()))
    loss, correct, count = training.group.sum(sums).tolist()
    return loss / count, correct / count, lr


def make_inputs(training: Training, images: Tensor, indices: Tensor, pixels: int) -> Tensor:
    """The network's input from a batch of the loader, augmented where the loader has not done so."""
    if training.recipe.augmentation.pipeline == "device":
        return training.augmentation(images, indices, pixels)
    return to_input(images, pixels)


@torch.no_grad()
def evaluate(network: nn.Module, data: Images, group: Group = ALONE) -> tuple[float, float]:
    """Mean cross-entropy and top-1 accuracy (0..1): one view an image, no mixed precision."""
    network.eval()
    images, labels = (group.share(torch.from_numpy(part)) for part in (data.images, data.fine))
    batches = images.to(next(network.parameters()).device).split(500)
    logits = torch.cat([network(to_input(batch)).float() for batch in batches]).cpu().double()
    loss = F.cross_entropy(logits, labels, reduction="sum")
    correct = (logits.argmax(1) == labels).sum()
    loss, correct = group.sum(torch.stack((loss, correct.double()))).tolist()
    return loss / len(data), correct / len(data)


def save_checkpoint(path: Path, training: Training) -> None:
    """All that the next epoch depends on. No random states: every epoch starts from seeds of its own."""
    checkpoint = {
        "recipe": training.recipe.to_json(),
        "network": training.network.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in training.optimizers],
        "schedulers": [scheduler.state_dict() for scheduler in training.schedulers],
        "scaler": training.scaler.state_dict(),
        "history": [asdict(record) for record in training.history],
        "seconds": training.seconds,
        "machines": training.machines,
        "commit": training.commit,
    }
    content = io.BytesIO()
    torch.save(checkpoint, content)
    write_bytes(path, content.getvalue())


def load_checkpoint(training: Training, content: bytes, folder: Path) -> None:
    """Bring a fresh training to where it was saved. Raises UserError if it is damaged or of another recipe."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if archive.testzip():  # compares the checksums, which torch.load does not
                raise ValueError("a wrong checksum")
        checkpoint = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        same = Recipe.from_json(checkpoint["recipe"]) == training.recipe
    except Exception as error:  # damaged bytes can raise any exception
        raise UserError(f"The checkpoint of {folder} is damaged: delete {folder.name}.running, start again.") from error
    if not same:
        way_out = f"resume with the same options, or delete {folder.name}.running"
        raise UserError(f"The checkpoint of {folder} is from a recipe with other settings: {way_out}.")
    training.network.load_state_dict(checkpoint["network"])
    parts = (*training.optimizers, *training.schedulers)
    for part, state in zip(parts, checkpoint["optimizers"] + checkpoint["schedulers"]):
        part.load_state_dict(state)
    training.scaler.load_state_dict(checkpoint["scaler"])
    training.history = [EpochRecord(**record) for record in checkpoint["history"]]
    training.seconds, training.machines = checkpoint["seconds"], checkpoint["machines"]
    training.commit = checkpoint["commit"]


def finish(training: Training, running: Path, data: str) -> None:
    """Write what a finished run leaves beside its weights and history.csv: recipe.json and metrics.json."""
    whole_epochs, rest = divmod(training.total_steps, len(training.loader))
    images = whole_epochs * training.loader.count + rest * training.recipe.batch_size
    machines = training.machines
    facts = {
        "data": data,
        "seconds": max(0.1, round(sum(training.seconds.values()), 1)),
        "images_per_second": round(images / training.seconds["training"], 1),
        "hardware": main_hardware(machines),
        **({"machines": machines} if len(machines) > 1 else {}),
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": numpy.__version__},
        "commit": training.commit,
    }
    save_recipe(running, training.recipe)
    metrics = make_metrics(training.recipe, training.history, running, **facts)
    write_text(running / "metrics.json", json.dumps(metrics, indent=2) + "\n")
