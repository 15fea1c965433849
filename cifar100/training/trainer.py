"""One epoch of training: the steps that turn images into weights."""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from cifar100.dataset.augment_batch import BatchAugmentation, mix
from cifar100.dataset.augment_image import make_generator, to_input
from cifar100.dataset.cifar import Images
from cifar100.dataset.loader import TrainingLoader
from cifar100.device import choose_precision, describe_hardware, is_out_of_memory, keep_freed_memory, name_precision
from cifar100.errors import UserError
from cifar100.parallel.group import ALONE, Group
from cifar100.recipe import Recipe
from cifar100.runs.weights import make_network
from cifar100.training.optimizers import make_optimizers
from cifar100.training.schedules import make_schedulers
from cifar100.training.small_convolution import Choice, choose_products, use_products
from cifar100.training.step import LossStep
from model import SprintNet

# Wraps an epoch's batches: (batches, epoch, steps in it, steps before it, steps of the run) -> batches
WrapBatches = Callable[[Iterable, int, int, int, int], Iterable]

AFTER_A_LOSS = "lower the learning rate and start again, or resume from the last epoch, which is kept."


class Trainer:
    """All that changes while a recipe trains, and what feeds it."""

    def __init__(
        self,
        recipe: Recipe,
        network: nn.Module,
        loader: TrainingLoader,
        device: torch.device,
        precision: str = "auto",
        group: Group = ALONE,
    ):
        self.recipe, self.network, self.loader, self.device, self.group = recipe, network, loader, device, group
        dtype = choose_precision(device, precision)
        # First, since it gives all processes the same parameters: what follows may copy them.
        self.loss_step = LossStep(network, dtype, recipe.label_smoothing, recipe.batch_size, device, group)
        self.total_steps = math.ceil(recipe.epochs * len(loader))
        self.augmentation = BatchAugmentation(recipe.augmentation, recipe.seed, loader.count)
        self.optimizers = make_optimizers(network, recipe, dtype)
        self.schedulers = make_schedulers(self.optimizers, recipe, len(loader))
        self.average = None
        if recipe.ema_decay:
            update = get_ema_multi_avg_fn(recipe.ema_decay)
            self.average = AveragedModel(network, multi_avg_fn=update, use_buffers=True)
        self.scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
        self.lr = 0.0  # SGD's rate in the latest step
        self.products: Choice = {}  # layers that compute by products: see small_convolution.py

    def choose_step(self, backend: str, say: Callable[[str], None] = print) -> None:
        """Let a backend of torch.compile have the step. "auto" is none for `sprint`, whose run ends before a compiler
        would have paid, and else as `LossStep.compile` has it. What was chosen is said."""
        self.loss_step.compile("off" if backend == "auto" and self.recipe.network == "sprint" else backend, say)

    def choose_products(self) -> None:
        """Let those convolutions compute by products that this processor computes quicker so; the first process
        measures for all. On other devices, and in a compiled step, the libraries' serve."""
        if self.device.type == "cpu" and self.loss_step.backend == "off":
            sides = sorted({32, *(pixels for _, pixels in self.recipe.resolutions)})
            batch, dtype = self.recipe.batch_size // self.group.size, self.loss_step.dtype
            self.use_products(self.group.first(lambda: choose_products(self.network, batch, sides, dtype)))

    def use_products(self, choice: Choice) -> None:
        """Take over what was chosen, here or in a run's first part."""
        self.products = choice
        use_products(self.network, choice)

    @property
    def result(self) -> nn.Module:
        """The network that is evaluated and saved: the averaged one where the recipe averages."""
        return self.average.module if self.average else self.network

    @property
    def precision(self) -> str:
        """In which convolutions and matrix products are computed: bfloat16, float16 or float32."""
        return name_precision(self.loss_step.dtype)

    def step_record(self) -> dict:
        """Which kind of step was chosen, on which machine, whether it was compared with the plain one and why it was
        refused, if so: as the checkpoint keeps it."""
        step = self.loss_step
        machine = f"{describe_hardware(self.device)}, {self.precision}, torch {torch.__version__}"
        return {"kind": step.backend, "machine": machine, "proven": bool(step.proven), "refused": step.refused}

    def recall_step(self, record: dict | None) -> None:
        """Take over the record of a run's first part: what was refused there is not tried again on the same machine, so
        that the run goes on as it began. What was proven is proven anew, since it is compiled anew."""
        own = self.step_record()
        if record and record["refused"] and not own["refused"]:
            if all(record[name] == own[name] for name in ("kind", "machine")):
                self.loss_step.give_up(record["refused"])

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

    def parts(self) -> dict:
        """All that has a state, by name."""
        named = {"network": self.network} | ({"average": self.average} if self.average else {})
        named |= {f"optimizer{k}": optimizer for k, optimizer in enumerate(self.optimizers)}
        named |= {f"scheduler{k}": scheduler for k, scheduler in enumerate(self.schedulers)}
        return named | ({"scaler": self.scaler} if self.scaler.is_enabled() else {})


def make_trainer(
    recipe: Recipe,
    training: Images,
    device: torch.device,
    num_workers: int | None = None,
    precision: str = "auto",
    group: Group = ALONE,
) -> Trainer:
    """A trainer before its first step. precision: see `choose_precision`. Raises UserError if a GPU has too little
    memory."""
    if device.type == "cpu":
        keep_freed_memory()
    with advise_on_memory(recipe):  # another program may have filled it
        network = make_network(recipe).to(device)
        if isinstance(network, SprintNet):
            network.fit_stem(to_input(torch.from_numpy(training.images[:5000]).to(device)))
        loader = group.each(lambda: TrainingLoader(training, recipe, device, num_workers, group))
        return Trainer(recipe, network, loader, device, precision, group)


def train_one_epoch(trainer: Trainer, epoch: int, progress: WrapBatches | None = None) -> tuple[float, float]:
    """Train for an epoch, counted from 1. Returns the mean loss and the top-1 accuracy (0..1) over
    its images, as they were seen; a mixed image counts for the label with the larger share. With
    several processes they are those of all, and so is the error.

    Raises UserError, with epoch and step, if a loss is not finite; and if a GPU has too little memory.
    """
    with advise_on_memory(trainer.recipe):
        return take_steps(trainer, epoch, progress)


@contextmanager
def advise_on_memory(recipe: Recipe) -> Iterator[None]:
    """Raises UserError where a GPU has too little memory. The rate goes with the batch (Goyal et al. 2017, "Accurate,
    Large Minibatch SGD", section 2.1)."""
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(
            f"The GPU has too little memory for batches of {recipe.batch_size}: say --batch-size "
            f"{recipe.batch_size // 2} --lr {recipe.lr / 2:g}, close what else uses it, or say --device cpu."
        ) from error


def take_steps(trainer: Trainer, epoch: int, progress: WrapBatches | None) -> tuple[float, float]:
    """What `train_one_epoch` does, where there is memory for it."""
    recipe, device, group = trainer.recipe, trainer.device, trainer.group
    # torch's own generator is left to dropout and to mixing. A seed for each epoch makes them
    # depend on neither what ran before nor an interruption; a process beside the first has its own.
    key = (recipe.seed, epoch, 3) if group.rank == 0 else (recipe.seed, epoch, 3, group.rank)
    torch.manual_seed(make_generator(*key).initial_seed())
    trainer.network.train()
    if recipe.augmentation.pipeline == "device":
        trainer.augmentation.start_epoch(epoch, device)
    steps, done = trainer.steps_in(epoch), (epoch - 1) * len(trainer.loader)
    losses, sizes = torch.zeros(steps, device=device), torch.zeros(steps, device=device)
    correct = torch.zeros((), dtype=torch.int64, device=device)
    check_every = 1 if device.type == "cpu" else 50  # reading a GPU's loss waits for the GPU
    batches = itertools.islice(trainer.loader.epoch(epoch), steps)
    if progress:
        batches = progress(batches, epoch, steps, done, trainer.total_steps)
    for step, (images, labels, indices) in enumerate(batches):
        pixels = recipe.resolution((done + step) / trainer.total_steps)
        trainer.loss_step.total = trainer.loader.size_of(step)
        inputs = make_inputs(trainer, images, indices, pixels)
        losses[step], hits = train_step(trainer, *mix(inputs, labels, recipe.augmentation))
        sizes[step] = len(labels)
        correct += hits
        if (step + 1) % check_every == 0 or step + 1 == steps:
            wrong = (~losses[: step + 1].isfinite()).nonzero()
            first = group.smallest(wrong[0].item() if len(wrong) else steps)
            if first < steps:
                place = f"epoch {epoch}, step {first + 1}"
                raise UserError(f"The loss is not a finite number in {place}: {AFTER_A_LOSS}")
    losses, sizes = losses.cpu().double(), sizes.cpu().double()
    loss, count, hits = group.sum(torch.stack(((losses * sizes).sum(), sizes.sum(), correct.cpu().double()))).tolist()
    return loss / count, hits / count


def make_inputs(trainer: Trainer, images: Tensor, indices: Tensor, pixels: int) -> Tensor:
    """The network's input from a batch of the loader, augmented where the loader has not done so."""
    if trainer.recipe.augmentation.pipeline == "device":
        return trainer.augmentation(images, indices, pixels)
    return to_input(images, pixels)


def train_step(trainer: Trainer, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """One step of all optimizers; the schedule moves on, and the average takes in the new weights. Returns the mean
    loss and the number of correct predictions."""
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
