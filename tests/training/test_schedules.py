import math

import numpy as np
import pytest

import model
from cifar100.recipes import RECIPES, SPRINT, find_recipe
from cifar100.training.optimizers import make_optimizers
from cifar100.training.schedules import make_scheduler, triangle


def test_triangle_equals_its_closed_form_at_every_step():
    total = 490  # ten epochs of 49 steps
    middle = (np.arange(total) + 0.5) / total
    expected = np.interp(middle, [0, 0.25, 1], [0, 1, 0])
    np.testing.assert_allclose([triangle(step, total, 0.25) for step in range(total)], expected, atol=1e-12)
    network = model.sprint()
    optimizers = make_optimizers(network, SPRINT)
    schedulers = [make_scheduler(optimizer, SPRINT, 49) for optimizer in optimizers]
    for factor in expected:
        rates = [optimizer.param_groups[0]["lr"] for optimizer in optimizers]
        assert rates == pytest.approx([1.38 * factor, 0.18 * factor])
        for optimizer, scheduler in zip(optimizers, schedulers):
            optimizer.step()
            scheduler.step()


def multistep(gamma, milestones):
    return lambda s, total, warm, per_epoch: gamma ** sum(s >= m * per_epoch for m in milestones)


CLOSED_FORMS = {  # of a recipe, or of a schedule
    "resnet56_multistep": multistep(0.2, (4, 7, 8.5)),
    "resnet56_200": multistep(0.2, (4, 7, 8.5)),
    "resnet56_muon": multistep(0.4, (2, 4.5, 6.5, 8, 9.2)),
    "cosine": lambda s, total, warm, per_epoch: (
        1 / warm + (1 - 1 / warm) * s / warm
        if s < warm
        else 0.5 + 0.5 * math.cos(math.pi * (s - warm) / (total - warm))
    ),
    "onecycle": lambda s, total, warm, per_epoch: (
        1 / 25 + (1 - 1 / 25) * (0.5 - 0.5 * math.cos(math.pi * s / (warm - 1)))
        if s < warm - 1
        else 4e-6 + (1 - 4e-6) * (0.5 + 0.5 * math.cos(math.pi * (s - warm + 1) / (total - warm)))
    ),
}


@pytest.mark.parametrize("name", [name for name in RECIPES if {name, RECIPES[name].schedule} & set(CLOSED_FORMS)])
def test_schedule_equals_its_closed_form_at_every_epoch(name):
    recipe = find_recipe(name, epochs=10)
    per_epoch, total = 40, 400
    warm, form = recipe.warmup * total, CLOSED_FORMS.get(name) or CLOSED_FORMS[recipe.schedule]
    optimizer = make_optimizers(model.resnet20(), recipe)[0]
    scheduler = make_scheduler(optimizer, recipe, per_epoch)
    for step in range(total):
        if step % per_epoch == 0 or step == total - 1:
            expected = recipe.lr * form(step, total, warm, per_epoch)
            assert optimizer.param_groups[0]["lr"] == pytest.approx(expected, rel=1e-6), step
            assert optimizer.param_groups[0]["momentum"] == recipe.momentum
        optimizer.step()
        if step < total - 1:
            scheduler.step()
