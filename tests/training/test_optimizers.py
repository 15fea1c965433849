from dataclasses import replace

import torch

import model
from cifar100.recipes import SMOKE, SPRINT
from cifar100.training.optimizers import Muon, make_optimizers, orthogonalise


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


def test_norms_and_biases_are_spared_where_the_recipe_says_so():
    (optimizer,) = make_optimizers(model.resnet20(), replace(SMOKE, norm_weight_decay=False))
    assert [group["weight_decay"] for group in optimizer.param_groups] == [5e-4, 0.0]
    assert all(p.ndim > 1 for p in optimizer.param_groups[0]["params"])
