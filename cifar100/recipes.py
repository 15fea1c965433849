"""The named recipes. A variant is `replace(RECIPES["sprint"], seed=1)`, never a copy.

This module does not import torch, so that `python -m cifar100 recipes` is quick.
"""

import difflib
from dataclasses import replace

from pydantic import ValidationError

from cifar100.errors import UserError
from cifar100.recipe import Augmentation, Recipe, explain

# ---------------------------------------------------------------------------------------------------
# The five reports, reproduced. Their numbers: report/reported.py. Our accuracy: `python -m cifar100 recipes`. To train
# one: `python -m cifar100 train NAME`.
# ---------------------------------------------------------------------------------------------------

RESNET56_MULTISTEP = Recipe(
    name="resnet56_multistep",
    network="resnet56",
    epochs=100,
    batch_size=128,
    lr=0.1,  # from the report's range test, 1e-4 to 1 in 200 steps
    nesterov=True,
    schedule="multistep",
    milestones=(40, 70, 85),
    gamma=0.2,
    augmentation=Augmentation(
        pipeline="albumentations",
        flip="random",
        shift=0.1,
        scale=(0.9, 1.1),
        rotation=15,
        affine_probability=0.5,
        cutout=16,
        cutout_probability=0.5,
        jitter=(0.2, 0.2, 0.2, 0.1),
        jitter_probability=0.5,
    ),
    weights_precision="float16",
)

# Jitter, erasing and its colour are those of the report's code. Its Cutout is left out: with it, in the mean colour,
# centred anywhere, and with its rotation by nearest neighbour, 16.6% of the training images were right after 5 epochs
# and 20.2% after 6 (20.8% and 25.3% in the report's log). Without it, the run stays one to three points above that log:
# 24.1% after 5, 46.1% after 20 (45.3%), 61.7% after 87 (60.0%), 82.6% after 138 (80.9%). The epochs are those of the
# report's notebook; its log leaves out 35 of them and numbers the rest anew, up to 103.
RESNET56_COSINE = Recipe(
    name="resnet56_cosine",
    network="resnet56",
    epochs=150,
    batch_size=128,
    lr=0.1,
    schedule="cosine",
    augmentation=Augmentation(
        crop_padding=4, flip="random", rotation=15, jitter=(0.2, 0.2, 0.2, 0.0), erasing=0.5, hole_color="mean"
    ),
    weights_precision="float16",
)

# The report does not state OneCycle's peak: 0.1 here. Momentum stays at the report's 0.9; torch would cycle it.
RESNET18_ONECYCLE = Recipe(
    name="resnet18_onecycle",
    network="resnet18",
    epochs=100,
    batch_size=128,
    lr=0.1,
    schedule="onecycle",
    warmup=0.3,  # the default of torch
    augmentation=Augmentation(crop_padding=4, flip="random", rotation=15, jitter=(0.2, 0.2, 0.2, 0.0)),
    weights_precision="float16",
)

RESNET18_WARMUP_COSINE = Recipe(
    name="resnet18_warmup_cosine",
    network="resnet18",
    epochs=100,
    batch_size=128,  # not in the report
    lr=0.1,
    nesterov=True,
    schedule="cosine",
    warmup=0.05,  # five epochs
    augmentation=Augmentation(crop_padding=4, flip="random", cutout=16, cutout_probability=0.5),
    label_smoothing=0.1,
    weights_precision="float16",
)

# The report says "with some probability" for CutMix (0.5 here) and does not state the strength of the jitter.
RESNET18_CUTMIX = Recipe(
    name="resnet18_cutmix",
    network="resnet18",
    dropout=0.3,
    epochs=150,
    batch_size=512,
    lr=0.1,
    schedule="onecycle",
    warmup=0.3,
    augmentation=Augmentation(
        crop_padding=4,
        flip="random",
        rotation=15,
        jitter=(0.2, 0.2, 0.2, 0.1),
        erasing=0.5,
        cutmix_alpha=1.0,
        mix_probability=0.5,
    ),
    label_smoothing=0.1,
    weights_precision="float16",
)

# ---------------------------------------------------------------------------------------------------
# Ours.
# ---------------------------------------------------------------------------------------------------

# For two CPU cores. 8.75 epochs, as in the speedrun, gave 75.26% and 74.98% in two runs, too close to 75%. The first
# half of the steps uses images of 20 and 24 pixels, which take half the time; coarse shapes are learned first.
SPRINT = Recipe(
    name="sprint",
    network="sprint",
    epochs=10,
    batch_size=1024,
    lr=1.38,
    nesterov=True,
    weight_decay=5e-4,
    norm_weight_decay=False,
    muon_lr=0.18,
    schedule="triangle",
    warmup=0.25,
    augmentation=Augmentation(crop_padding=2, crop_border="reflect", flip="alternating"),
    resolutions=((0.15, 20), (0.50, 24)),
    label_smoothing=0.25,
    weights_precision="float16",
)

# The method of `sprint` for ResNet-18: about an hour on two CPU cores.
RESNET18_FAST = replace(
    SPRINT,
    name="resnet18_fast",
    network="resnet18",
    epochs=16,
    batch_size=512,
    lr=0.1,
    muon_lr=0.12,
    label_smoothing=0.2,
)

# The network and the augmentation of the report, with Muon for the filters. Under this augmentation SGD
# reaches 80% on the training images; Muon reached 95% under light augmentation.
RESNET56_MUON = replace(
    RESNET56_MULTISTEP,
    name="resnet56_muon",
    batch_size=256,
    norm_weight_decay=False,
    muon_lr=0.1,
    milestones=(20, 45, 65, 80, 92),  # docs/speed.md
    gamma=0.4,
    label_smoothing=0.1,
)

# The notebook's own. What the report itself lists as possible improvements: twice as long, and label smoothing.
RESNET56_200 = replace(
    RESNET56_MULTISTEP,
    name="resnet56_200",
    epochs=200,
    milestones=(80, 140, 170),
    label_smoothing=0.1,
)

# For tests and `make run`: a minute on two CPU cores with the embedded sample.
SMOKE = Recipe(
    name="smoke",
    network="resnet20",
    epochs=6,
    batch_size=128,
    lr=0.05,
    nesterov=True,
    schedule="triangle",
    warmup=0.3,
    augmentation=Augmentation(crop_padding=2, crop_border="reflect", flip="random"),
)

RECIPES = {
    recipe.name: recipe
    for recipe in (
        *(RESNET56_200, RESNET56_MUON, RESNET56_MULTISTEP, RESNET56_COSINE),
        *(RESNET18_ONECYCLE, RESNET18_WARMUP_COSINE, RESNET18_CUTMIX, RESNET18_FAST, SPRINT, SMOKE),
    )
}


def find_recipe(name: str, **changes) -> Recipe:
    """The named recipe with some fields changed. If the epochs change, the milestones scale with them. Raises UserError
    for an unknown name or an invalid value."""
    if name not in RECIPES:
        near = difflib.get_close_matches(name, RECIPES, n=1, cutoff=0.4)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise UserError(f"There is no recipe {name!r}.{hint} The recipes are: {', '.join(RECIPES)}.")
    recipe = RECIPES[name]
    if isinstance(changes.get("epochs"), int | float):
        changes = {"milestones": tuple(m * changes["epochs"] / recipe.epochs for m in recipe.milestones)} | changes
    try:
        return replace(recipe, **changes)
    except ValidationError as error:
        raise UserError(f"Recipe {name}: {explain(error)}.") from error
