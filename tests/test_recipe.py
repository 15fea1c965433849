import json
from dataclasses import replace

import pytest
from pydantic import ValidationError

from cifar100.errors import UserError
from cifar100.recipe import Augmentation, Recipe
from cifar100.recipes import RECIPES, SPRINT, find_recipe


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_survive_json(name):
    assert Recipe.from_json(RECIPES[name].to_json()) == RECIPES[name] and RECIPES[name].name == name


@pytest.mark.parametrize(
    "field, value",
    [
        *(("epochs", value) for value in (0, -1, float("inf"), "10", True)),
        *(("batch_size", value) for value in (0, 1.5, 2**31)),
        *(("lr", value) for value in (-0.1, 0, float("nan"), None)),
        ("muon_lr", "0.1"),
        ("weight_decay", -1e-4),
        ("momentum", 1),
        ("label_smoothing", 1),
        ("schedule", "cosine-ish"),
        ("network", "resnet57"),
        ("nesterov", 1),
        ("seed", -1),
        ("name", "../sprint"),
        ("dropout", 0.1),  # the sprint network has none
        ("milestones", (4.0,)),  # not for its schedule
        ("resolutions", ((0.5, 24), (0.5, 28))),
        ("resolutions", ((0.5, 64),)),
        ("augmentation", None),
    ],
)
def test_a_wrong_setting_is_named(field, value):
    with pytest.raises(ValidationError, match=field):
        replace(SPRINT, **{field: value})
    if field != "name":
        with pytest.raises(UserError, match=f"^Recipe sprint: .*{field}"):
            find_recipe("sprint", **{field: value})


@pytest.mark.parametrize(
    "field, value",
    [
        ("flip", "sometimes"),
        ("crop_padding", 32),
        ("scale", (1.1, 0.9)),
        ("cutout_probability", 1.5),
        ("jitter", (0, 0, 0, 0.6)),
        ("jitter", (0, 0, 0)),
        ("hole_color", "grey"),
    ],
)
def test_a_wrong_augmentation_is_named(field, value):
    with pytest.raises(ValidationError, match=field):
        Augmentation(**{field: value})


def test_albumentations_knows_no_alternating_flips():
    with pytest.raises(ValidationError, match="flip must be none or random"):
        Augmentation(pipeline="albumentations", flip="alternating")


def test_whole_numbers_may_stand_for_floats():
    recipe = Recipe.from_json(json.dumps(RECIPES["smoke"].to_dict() | {"epochs": 3, "lr": 1, "muon_lr": 1}))
    assert (recipe.epochs, recipe.lr, recipe.muon_lr) == (3, 1, 1)
    assert Augmentation(scale=(1, 2), jitter=(0, 0, 0, 0)).affine


def test_unknown_recipe_names_the_nearest_and_all():
    with pytest.raises(UserError, match="no recipe 'sprnt'. Did you mean sprint. The recipes are: .*smoke"):
        find_recipe("sprnt")


def test_foreign_settings_are_refused():
    for settings in ({}, {"name": "x", "resolutions": []}, SPRINT.to_dict() | {"colour": 1}, [], "x"):
        with pytest.raises(UserError, match="recipe's settings are invalid"):
            Recipe.from_json(json.dumps(settings))
    with pytest.raises(UserError, match=r"\(lr: Field required\)"):  # and not all that was given
        Recipe.from_json(json.dumps({key: value for key, value in SPRINT.to_dict().items() if key != "lr"}))


def test_another_number_of_epochs_scales_the_milestones():
    assert find_recipe("resnet56_multistep", epochs=50).milestones == (20, 35, 42.5)


def test_resolution_by_progress():
    assert [SPRINT.resolution(p) for p in (0, 0.149, 0.15, 0.499, 0.5, 1)] == [20, 20, 24, 24, 32, 32]
