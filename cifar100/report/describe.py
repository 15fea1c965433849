"""A recipe's settings in words."""

from dataclasses import asdict, fields

from cifar100.recipe import Augmentation, Recipe
from cifar100.recipes import RECIPES


def list_settings(recipe: Recipe) -> dict:
    """The recipe's settings by name: all that differ from doing nothing, and all that are necessary."""
    settings = asdict(recipe)
    del settings["name"], settings["seed"]
    nothing = {field.name: field.default for field in fields(Recipe)} | asdict(Augmentation())
    settings |= settings.pop("augmentation")
    if not recipe.milestones:
        del settings["gamma"]
    return {k.replace("_", " "): v for k, v in settings.items() if v != nothing[k]}


def describe_recipe(recipe: Recipe) -> str:
    """The recipe's settings in a line."""
    return ", ".join(f"{name} {value}" for name, value in list_settings(recipe).items())


def describe_augmentation(recipe: Recipe) -> str:
    """The pipeline and the settings of a recipe's augmentation that differ from doing nothing, in a line."""
    own, nothing = asdict(recipe.augmentation), asdict(Augmentation())
    used = {k: v for k, v in own.items() if k == "pipeline" or v != nothing[k]}
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in used.items())


def list_events(recipe: Recipe) -> dict[float, str]:
    """After which epochs the recipe changes its rate by a step, or the images' size, and to what."""
    rates = {m: f"rate {recipe.lr * recipe.gamma**k:.2g}" for k, m in enumerate(recipe.milestones, start=1)}
    sides = [*(pixels for _, pixels in recipe.resolutions[1:]), 32]
    return rates | {until * recipe.epochs: f"{side} px" for (until, _), side in zip(recipe.resolutions, sides)}


def describe_changes(recipe: Recipe) -> str:
    """Where a run's settings differ from the recipe of its name."""
    if recipe.name not in RECIPES:
        return ", a recipe of its own"
    named = asdict(RECIPES[recipe.name])
    changes = [f"{k} {v} instead of {named[k]}" for k, v in asdict(recipe).items() if v != named[k] and k != "seed"]
    return f", with {', '.join(changes)}" if changes else ""
