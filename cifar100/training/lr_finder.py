"""Learning-rate range test: the training loss while the rate rises from step to step.

Smith 2017, "Cyclical Learning Rates for Training Neural Networks", arXiv:1506.01186, section 3.3. We differ as
torch-lr-finder and fastai do: the rate rises geometrically within a few hundred steps, not in a line over epochs,
and the loss is read, not the accuracy.
"""

import copy
import io
import itertools
import math
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import TqdmWarning, tqdm

from cifar100.dataset.augment_batch import mix
from cifar100.dataset.augment_image import make_generator
from cifar100.dataset.cifar import is_sample, load_training_and_held
from cifar100.dataset.loader import TrainingLoader
from cifar100.device import choose_device
from cifar100.errors import UserError
from cifar100.recipe import Recipe
from cifar100.runs.find import run_folder
from cifar100.training.lr_curve import DIVERGED, MIN_POINTS, LrCurve, save_curve, suggest_lr
from cifar100.training.optimizers import make_optimizers
from cifar100.training.trainer import Trainer, make_inputs, make_trainer


def lr_range_test(
    model: nn.Module,
    recipe: Recipe,
    loader: TrainingLoader,
    start_lr: float = 1e-4,
    end_lr: float = 10.0,
    steps: int = 200,
) -> LrCurve:
    """Train a copy of the model on the first batches of the recipe's run, at a rate that rises from start_lr to
    end_lr, until the loss diverges. The model and all random states stay as they are.

    loader: the recipe's own; the test runs on its device. The recipe's schedule plays no part, and pictures keep
    the size of the run's first step. A terminal shows a bar, a notebook nothing.
    Raises UserError if the recipe has two optimizers, for the test sets one rate; if the rates are not finite, above
    0 and rising; if there are fewer than 10 steps; and if the loss is not finite before the first of them.
    """
    if recipe.muon_lr:
        raise UserError(f"The range test is for recipes with one optimizer: {recipe.name} has Muon beside SGD.")
    if not 0 < start_lr < end_lr < math.inf:
        raise UserError(f"start_lr and end_lr must be finite, above 0 and rising, not {start_lr!r} and {end_lr!r}.")
    if not isinstance(steps, int) or steps < MIN_POINTS:
        raise UserError(f"steps must be a whole number of {MIN_POINTS} or more, not {steps!r}.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TqdmWarning)  # in a notebook: of the bar that is replaced below
        from torch_lr_finder import lr_finder as library  # here, because it imports pyplot

    # Its own bar leaves widgets in a notebook, and its messages name a method that nobody has here.
    library.tqdm = partial(tqdm, desc="Range test", leave=False, unit="step", disable=None)
    with kept_random_states(), redirect_stdout(io.StringIO()):
        trainer = Trainer(recipe, copy.deepcopy(model).to(loader.device), loader, loader.device)
        dtype = trainer.loss_step.dtype
        finder = library.LRFinder(
            trainer.network,
            *make_optimizers(trainer.network, recipe),  # the trainer's own is tied to the schedule
            criterion=partial(loss_or_infinity, label_smoothing=recipe.label_smoothing),
            amp_backend="torch",
            amp_config={"device_type": loader.device.type, "dtype": dtype, "enabled": dtype != torch.float32},
            grad_scaler=trainer.scaler,
        )
        batches = library.TrainDataLoaderIter(make_batches(trainer))
        finder.range_test(batches, None, start_lr, end_lr, steps, smooth_f=0, diverge_th=DIVERGED)
    if not math.isfinite(finder.history["loss"][0]):
        raise UserError("The loss is not a finite number before the first step: give the range test sound weights.")
    return suggest_lr(finder.history["lr"], finder.history["loss"])


def find_recipe_lr(
    recipe: Recipe,
    data: str | Path | None = None,
    output: str | Path = "output",
    device: str | None = None,
    start_lr: float = 1e-4,
    end_lr: float = 10.0,
    steps: int = 200,
) -> tuple[LrCurve, Path]:
    """The range test of a recipe from its own start, on the training split, kept as <recipe>/lr_curve.csv in `output`.

    Returns the curve and its file. Raises UserError as `lr_range_test`, `load_training_and_held` and `save_curve` do.
    """
    training, _ = load_training_and_held(data)
    trainer = make_trainer(recipe, training, choose_device(device))
    curve = lr_range_test(trainer.network, recipe, trainer.loader, start_lr, end_lr, steps)
    path = curve_file(recipe, output, is_sample(data))
    save_curve(curve, path)
    return curve, path


def curve_file(recipe: Recipe, output: str | Path = "output", sample: bool = False) -> Path:
    """Where a recipe's curve is kept."""
    return run_folder(recipe, output, sample).with_name("lr_curve.csv")


@contextmanager
def kept_random_states() -> Iterator[None]:
    """Give torch's (CPU and CUDA), NumPy's and Python's generators back as they were, whatever is drawn inside."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)


def make_batches(trainer: Trainer) -> Iterator[tuple[Tensor, Tensor]]:
    """Inputs and targets as `train_one_epoch` makes them, epoch after epoch, without end."""
    recipe = trainer.recipe
    for epoch in itertools.count(1):
        torch.manual_seed(make_generator(recipe.seed, epoch, 3).initial_seed())
        if recipe.augmentation.pipeline == "device":
            trainer.augmentation.start_epoch(epoch, trainer.device)
        for images, labels, indices in trainer.loader.epoch(epoch):
            inputs = make_inputs(trainer, images, indices, recipe.resolution(0))
            yield mix(inputs, labels, recipe.augmentation)


def loss_or_infinity(logits: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
    """The run's loss, infinite where it is no number: LRFinder stops at "loss > 5 * best", which NaN never is."""
    loss = F.cross_entropy(logits.float(), targets, label_smoothing=label_smoothing)
    return torch.where(loss.isnan(), math.inf, loss)
