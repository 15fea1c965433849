import numpy as np
import pytest
import torch

import model
from cifar100.optim import Muon, make_optimizers, make_schedulers, orthogonalise, triangle
from cifar100.recipe import SMOKE, SPRINT


def test_triangle_equals_its_closed_form_at_every_step():
    total = 429
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
    for shape in ((64, 216), (256, 192)):
        values = torch.linalg.svdvals(orthogonalise(torch.randn(shape), steps=5))
        assert 0.4 < values.min() and values.max() < 1.3


def test_muon_steps_by_an_orthogonal_matrix_from_a_scaled_filter():
    torch.manual_seed(0)
    filters = torch.nn.Parameter(torch.randn(8, 4, 3, 3))
    filters.grad = torch.randn_like(filters)
    scaled = filters.detach() * 8**0.5 / filters.detach().norm()
    expected = scaled - 0.1 * orthogonalise(1.6 * filters.grad.flatten(1)).view_as(filters)  # Nesterov, first step
    Muon([filters], lr=0.1, momentum=0.6).step()
    torch.testing.assert_close(filters.detach(), expected)


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
