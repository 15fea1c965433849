import json
from dataclasses import replace

import pytest

from cifar100.errors import UserError
from cifar100.recipe import RECIPES, SPRINT, Recipe, find_recipe


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


def test_unknown_recipe_names_the_nearest_and_all():
    with pytest.raises(UserError, match="no recipe 'sprnt'. Did you mean sprint. The recipes are: .*smoke"):
        find_recipe("sprnt")


def test_foreign_settings_are_refused():
    for settings in ({}, {"name": "x", "resolutions": []}, SPRINT.to_dict() | {"colour": 1}):
        with pytest.raises(UserError, match="not the settings of a recipe"):
            Recipe.from_dict(settings)


def test_resolution_by_progress():
    assert [SPRINT.resolution(p) for p in (0, 0.149, 0.15, 0.499, 0.5, 1)] == [20, 20, 24, 24, 32, 32]
