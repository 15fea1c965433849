import math

import numpy as np
import pytest
import torch

import model
from cifar100.figures.training import plot_rates
from cifar100.recipes import RECIPES, SMOKE, SPRINT, find_recipe
from cifar100.training.optimizers import Muon, make_optimizers, make_schedulers, orthogonalise, trace_rates, triangle


def test_triangle_equals_its_closed_form_at_every_step():
    total = 490  # ten epochs of 49 steps
    middle = (np.arange(total) + 0.5) / total
    expected = np.interp(middle, [0, 0.25, 1], [0, 1, 0])
    np.testing.assert_allclose([triangle(step, total, 0.25) for step in range(total)], expected, atol=1e-12)
    network = model.sprint()
    optimizers = make_optimizers(network, SPRINT)
    schedulers = make_schedulers(optimizers, SPRINT, 49)
    for factor in expected:
        rates = [optimizer.param_groups[0]["lr"] for optimizer in optimizers]
        assert rates == pytest.approx([1.38 * factor, 0.18 * factor])
        for optimizer, scheduler in zip(optimizers, schedulers):
            optimizer.step()
            scheduler.step()


def test_orthogonalise_brings_singular_values_near_one():
    torch.manual_seed(0)
    for shape in ((64, 216), (256, 192), (3, 64, 216), (2, 256, 192)):
        values = torch.linalg.svdvals(orthogonalise(torch.randn(shape), steps=5))
        assert 0.4 < values.min() and values.max() < 1.3


def test_muon_steps_by_an_orthogonal_matrix_from_a_scaled_filter():
    torch.manual_seed(0)
    banks = [torch.nn.Parameter(torch.randn(shape)) for shape in ((8, 4, 3, 3), (4, 8, 1, 1), (8, 4, 3, 3))]
    expected = []
    for filters in banks:
        filters.grad = torch.randn_like(filters)
        scaled = filters.detach() * len(filters) ** 0.5 / filters.detach().norm()
        update = orthogonalise(1.6 * filters.grad.flatten(1))  # Nesterov, first step
        expected.append(scaled - 0.1 * update.view_as(filters))
    unused = torch.nn.Parameter(torch.ones(8, 4, 3, 3))
    Muon([*banks, unused], lr=0.1, momentum=0.6).step()
    for filters, moved in zip(banks, expected):
        torch.testing.assert_close(filters.detach(), moved)
    assert (unused == 1).all()


def test_a_batch_is_made_orthogonal_as_its_matrices_are():
    torch.manual_seed(0)
    for shape in ((3, 16, 144), (2, 64, 16)):
        batch = torch.randn(shape)
        torch.testing.assert_close(orthogonalise(batch), torch.stack([orthogonalise(matrix) for matrix in batch]))


def test_every_trained_parameter_has_one_optimizer_and_its_decay():
    network = model.sprint()
    sgd, muon = make_optimizers(network, SPRINT)
    trained = [p for p in network.parameters() if p.requires_grad]
    grouped = [p for optimizer in (sgd, muon) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(map(id, trained)) == sorted(map(id, grouped))
    assert all(p.ndim == 4 for group in muon.param_groups for p in group["params"])
    assert [group["weight_decay"] for group in sgd.param_groups] == [5e-4, 0.0]
    (only,) = make_optimizers(model.resnet20(), SMOKE)
    assert [group["weight_decay"] for group in only.param_groups] == [5e-4, 5e-4]


CLOSED_FORMS = {
    "multistep": lambda s, total, warm, per_epoch: 0.2 ** sum(s >= m * per_epoch for m in (4, 7, 8.5)),
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


@pytest.mark.parametrize("name", [name for name, recipe in RECIPES.items() if recipe.schedule in CLOSED_FORMS])
def test_schedule_equals_its_closed_form_at_every_epoch(name):
    recipe = find_recipe(name, epochs=10)
    per_epoch, total = 40, 400
    warm = recipe.warmup * total
    (optimizer,) = make_optimizers(model.resnet20(), recipe)
    (scheduler,) = make_schedulers([optimizer], recipe, per_epoch)
    for step in range(total):
        if step % per_epoch == 0 or step == total - 1:
            expected = recipe.lr * CLOSED_FORMS[recipe.schedule](step, total, warm, per_epoch)
            assert optimizer.param_groups[0]["lr"] == pytest.approx(expected, rel=1e-6), step
            assert optimizer.param_groups[0]["momentum"] == recipe.momentum
        optimizer.step()
        if step < total - 1:
            scheduler.step()


def test_norms_and_biases_are_spared_where_the_recipe_says_so():
    (optimizer,) = make_optimizers(model.resnet20(), RECIPES["resnet56_best"])
    assert [group["weight_decay"] for group in optimizer.param_groups] == [5e-4, 0.0]
    assert all(p.ndim > 1 for p in optimizer.param_groups[0]["params"])


def test_a_schedule_is_traced_as_it_trains():
    steps = trace_rates(RECIPES["resnet56_multistep"])
    assert len(steps) == 400 and [round(steps[k], 4) for k in (0, 159, 160, 279, 280, 340)] == [
        1,
        1,
        0.2,
        0.2,
        0.04,
        0.008,
    ]
    triangle = trace_rates(RECIPES["sprint"])
    assert max(triangle) == pytest.approx(1, abs=0.01) and triangle.index(max(triangle)) == pytest.approx(100, abs=1)
    assert triangle[-1] < 0.01
    (axes,) = plot_rates({"resnet18_cutmix": steps, "resnet18_onecycle": steps, "sprint": triangle}).axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["ResNet-18 cutmix and 1 more", "sprint"]
