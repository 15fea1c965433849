import json
import re
from dataclasses import replace

import pytest

from cifar100.errors import UserError
from cifar100.recipe import Augmentation, Recipe
from cifar100.recipes import RECIPES, SPRINT, find_recipe


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_survive_json(name):
    assert Recipe.from_dict(json.loads(json.dumps(RECIPES[name].to_dict()))) == RECIPES[name]
    assert RECIPES[name].name == name


@pytest.mark.parametrize(
    "field, value",
    [
        ("epochs", 0),
        ("epochs", -1),
        ("epochs", float("inf")),
        ("batch_size", 0),
        ("batch_size", 1.5),
        ("lr", -0.1),
        ("lr", 0),
        ("lr", float("nan")),
        ("muon_lr", float("nan")),
        ("weight_decay", -1e-4),
        ("momentum", 1),
        ("warmup", 1),
        ("label_smoothing", 1),
        ("schedule", "cosine-ish"),
        ("network", "resnet57"),
        ("seed", -1),
        ("weights_precision", "int8"),
        ("resolutions", ((0.5, 24), (0.5, 28))),
        ("resolutions", ((0.5, 64),)),
        ("resolutions", ((1.0, 24),)),
    ],
)
def test_a_wrong_setting_is_named(field, value):
    with pytest.raises(UserError, match=f"Recipe sprint: {field} must be "):
        replace(SPRINT, **{field: value})


@pytest.mark.parametrize(
    "field, value, rule",
    [
        ("name", 3, "text"),
        ("network", ["sprint"], "text"),
        ("nesterov", "<script>", "True or False"),
        ("nesterov", 1, "True or False"),
        ("norm_weight_decay", "<b>", "True or False"),
        ("epochs", "10", "a finite number"),
        ("epochs", True, "a finite number"),
        ("lr", 10**400, "a finite number"),
        ("lr", None, "a finite number"),
        ("muon_lr", "0.1", "a finite number or None"),
        ("ema_decay", False, "a finite number or None"),
        ("batch_size", 64.0, "a whole number"),
        ("seed", True, "a whole number"),
        ("milestones", 4, "(a finite number, ...)"),
        ("milestones", [4, "<b>"], "(a finite number, ...)"),
        ("resolutions", [0.5, 24], "((a finite number, a whole number), ...)"),
        ("resolutions", [[0.5]], "((a finite number, a whole number), ...)"),
        ("resolutions", [[0.5, 24.0]], "((a finite number, a whole number), ...)"),
    ],
)
def test_a_field_of_a_wrong_type_is_named(field, value, rule):
    with pytest.raises(UserError, match=re.escape(f": {field} must be {rule}, not ")):
        Recipe.from_dict(SPRINT.to_dict() | {field: value})


TWO, FOUR = (f"({', '.join(['a finite number'] * count)})" for count in (2, 4))


@pytest.mark.parametrize(
    "field, value, rule",
    [
        ("crop_padding", 2.5, "a whole number"),
        ("crop_padding", True, "a whole number"),
        ("flip", None, "text"),
        ("shift", "<b>", "a finite number"),
        ("rotation", 10**400, "a finite number"),
        ("scale", [], TWO),
        ("scale", [1.0], TWO),
        ("scale", [0.9, 1.1, "<script>"], TWO),
        ("scale", [0.9, float("inf")], TWO),
        ("scale", 1.0, TWO),
        ("scale", "ab", TWO),
        ("jitter", [0, 0, 0], FOUR),
        ("jitter", [0, 0, 0, 0, 0], FOUR),
        ("jitter", [0, 0, 0, "<b>"], FOUR),
        ("jitter", [0, 0, 0, False], FOUR),
        ("jitter", {"hue": 0.1}, FOUR),
        ("cutmix_alpha", [1.0], "a finite number or None"),
    ],
)
def test_an_augmentation_of_a_wrong_type_is_named(field, value, rule):
    settings = SPRINT.to_dict()
    with pytest.raises(UserError, match=re.escape(f"Augmentation: {field} must be {rule}, not ")):
        Recipe.from_dict(settings | {"augmentation": settings["augmentation"] | {field: value}})


def test_the_augmentation_is_one():
    with pytest.raises(UserError, match="augmentation must be an Augmentation, not None"):
        replace(SPRINT, augmentation=None)


def test_whole_numbers_may_stand_for_floats():
    recipe = Recipe.from_dict(RECIPES["smoke"].to_dict() | {"epochs": 3, "lr": 1, "muon_lr": 1, "ema_decay": None})
    assert (recipe.epochs, recipe.lr, recipe.muon_lr) == (3, 1, 1)
    assert replace(RECIPES["resnet56_multistep"], milestones=(4, 7.5)).milestones == (4, 7.5)
    assert Augmentation(scale=(1, 2), jitter=(0, 0, 0, 0)).affine


def test_unknown_recipe_names_the_nearest_and_all():
    with pytest.raises(UserError, match="no recipe 'sprnt'. Did you mean sprint. The recipes are: .*smoke"):
        find_recipe("sprnt")


def test_foreign_settings_are_refused():
    for settings in ({}, {"name": "x", "resolutions": []}, SPRINT.to_dict() | {"colour": 1}):
        with pytest.raises(UserError, match="not the settings of a recipe"):
            Recipe.from_dict(settings)


def test_resolution_by_progress():
    assert [SPRINT.resolution(p) for p in (0, 0.149, 0.15, 0.499, 0.5, 1)] == [20, 20, 24, 24, 32, 32]
