"""The range test changes nothing, trains as the run would, and suggests the rate that a curve was made for."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from cifar100.errors import UserError
from cifar100.lr_finder import find_recipe_lr, load_curve, lr_range_test, smooth, suggest_lr
from cifar100.network import make_network
from cifar100.recipes import RECIPES, SMOKE
from cifar100.train import build, train_one_epoch
from tests.conftest import tiny_split

CPU = torch.device("cpu")
RATES = np.geomspace(1e-4, 1, 200)
SHORT = replace(SMOKE, batch_size=16)


def make_fall(center, noise=0.0, seed=0):
    """Losses that fall from 4.6 to 2.6, steepest at the rate `center`, and explode above ten times that rate."""
    decades = np.log10(RATES / center)
    losses = 4.6 - 2 / (1 + np.exp(-decades / 0.15)) + np.exp(10 * (decades - 1))
    return losses + noise * np.random.default_rng(seed).standard_normal(len(RATES))


def make_small():
    """The smallest network that learns: a step takes a millisecond."""
    torch.manual_seed(0)
    return nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.BatchNorm1d(48), nn.Linear(48, 100))


def make_training(recipe, network=None, data=None, num_workers=0):
    return build(recipe, data or tiny_split("train"), CPU, num_workers, network=network or make_small())


# --- the suggestion, on curves whose answer is known -----------------------------------------------


@pytest.mark.parametrize("center", [1e-3, 4e-3, 3e-2])
def test_steepest_descent_is_found_where_the_curve_was_made_steepest(center):
    curve = suggest_lr(RATES, make_fall(center))
    assert curve.method == "steepest descent" and curve.suggestion == curve.steepest
    step = RATES[1] / RATES[0]
    assert center / step**1.5 < curve.steepest < center * step**1.5
    assert curve.minimum == RATES[np.argmin(curve.smoothed)]
    assert curve.reason.startswith("The smoothed loss falls from 4.")


@pytest.mark.parametrize("seed", range(5))
def test_noise_moves_the_suggestion_by_less_than_a_factor_of_two(seed):
    curve = suggest_lr(RATES, make_fall(1e-2, noise=0.1, seed=seed))
    assert 5e-3 < curve.suggestion < 2e-2 and curve.method == "steepest descent"


@pytest.mark.parametrize("slope", [0.1, 3])
def test_a_curve_that_only_rises_yields_a_tenth_of_the_minimum(slope):
    curve = suggest_lr(RATES, 4.6 + slope * np.log10(RATES / RATES[0]))
    assert (curve.steepest, curve.method) == (None, "minimum / 10")
    assert curve.suggestion == curve.minimum / 10 == RATES[5] / 10  # the first point that counts
    assert "never falls clearly below the" in curve.reason


@pytest.mark.parametrize("points", [10, 30, 200])
def test_noise_alone_is_no_fall(points):
    for seed in range(50):
        losses = 4.6 + 0.2 * np.random.default_rng(seed).standard_normal(points)
        curve = suggest_lr(np.geomspace(1e-4, 1, points), losses)
        assert curve.steepest is None and "never falls clearly" in curve.reason


def test_a_slight_fall_without_noise_is_none():
    bend = 1 / (1 + np.exp(-np.log10(RATES / 1e-2) / 0.15))
    assert suggest_lr(RATES, 4.6 * (1 - 0.019 * bend)).steepest is None
    assert suggest_lr(RATES, 4.6 * (1 - 0.025 * bend)).steepest == pytest.approx(1e-2, rel=0.05)


@pytest.mark.parametrize(
    ("count", "bad"),
    [(0, np.nan), (0, np.inf), (1, np.nan), (1, 24.0), (9, np.nan), (9, np.inf), (9, -np.inf), (9, 24.0)],
)
def test_a_curve_that_diverges_at_once_yields_a_tenth_of_the_minimum(count, bad):
    losses = np.linspace(4.6, 4.0, 200)
    losses[count:] = bad
    losses[-1] = 0.1  # whatever comes afterwards
    curve = suggest_lr(RATES, losses)
    assert curve.method == "minimum / 10"
    assert curve.suggestion == curve.minimum / 10 == RATES[max(count - 1, 0)] / 10
    assert curve.reason == f"There are only {count} points before the loss diverges: too few for a slope."


def test_too_few_points():
    curve = suggest_lr(RATES[:9], np.linspace(4.6, 4.0, 9))
    assert curve.steepest is None and curve.reason == "There are only 9 points: too few for a slope."


def test_what_follows_a_divergence_does_not_count():
    losses = make_fall(1e-3)
    whole = suggest_lr(RATES, losses)
    end = int(np.argmax(losses > 5 * np.minimum.accumulate(losses)))
    assert 10 < end < 190
    losses[end + 1 :] = 0.01
    changed = suggest_lr(RATES, losses)
    assert (changed.suggestion, changed.minimum) == (whole.suggestion, whole.minimum)
    assert changed.smoothed[end:] == tuple(losses[end:])


def test_a_steeper_fall_after_the_minimum_does_not_count():
    losses = make_fall(1e-3)
    losses[90:] = 4 + np.where(np.arange(110) < 40, 3.0, 0.0)
    assert suggest_lr(RATES, losses).steepest == pytest.approx(1e-3, rel=0.08)


def test_rates_may_be_unevenly_spaced():
    """A slope is over the logarithm of the rate, not over steps, of which a few long ones fall more each."""
    decades = np.concatenate((np.linspace(-4, -1.5, 400), np.linspace(-1.4, 0, 15)))
    losses = 4.6 - 2 / (1 + np.exp(-(decades + 2.5) / 0.2)) - 1.0 * np.maximum(decades + 1.5, 0)
    assert suggest_lr(10**decades, losses).steepest == pytest.approx(10**-2.5, rel=0.05)


def test_a_fall_within_the_first_points_does_not_count():
    losses, plain = make_fall(1e-2), suggest_lr(RATES, make_fall(1e-2))
    losses[:5] = (9, 8, 7, 6, 5)
    curve = suggest_lr(RATES, losses)
    assert (curve.steepest, curve.minimum, curve.smoothed[5:]) == (plain.steepest, plain.minimum, plain.smoothed[5:])
    losses[5:] = np.linspace(4.6, 6, 195)
    assert suggest_lr(RATES, losses).steepest is None


def test_smoothing_removes_noise_and_moves_nothing():
    decades = np.log10(RATES)
    constant, errors = smooth(decades, np.full(200, 4.6))
    np.testing.assert_allclose(constant, 4.6)
    assert not errors.any()
    line = 3 - decades
    np.testing.assert_allclose(smooth(decades, line)[0][80:120], line[80:120], atol=1e-3)
    noise = np.random.default_rng(0).standard_normal((2000, 200))
    seen = np.array([smooth(decades, row)[0][[0, 100]] for row in noise]).std(0)
    claimed = np.array([smooth(decades, row)[1][[0, 100]] for row in noise]).mean(0)
    np.testing.assert_allclose(claimed, seen, rtol=0.1)


@pytest.mark.parametrize(
    ("rates", "losses", "rule"),
    [
        ((), (), "at least one"),
        ((1e-3, 1e-2), (4.6,), "as many losses as rates"),
        ((1e-2, 1e-3), (4.6, 4.6), "rising"),
        ((1e-3, 1e-3), (4.6, 4.6), "rising"),
        ((0.0, 1e-3), (4.6, 4.6), "above 0"),
        ((1e-3, np.inf), (4.6, 4.6), "finite"),
        ((1e-3, np.nan), (4.6, 4.6), "finite"),
    ],
)
def test_points_that_are_no_curve(rates, losses, rule):
    with pytest.raises(ValueError, match=rule):
        suggest_lr(rates, losses)


# --- the test itself -------------------------------------------------------------------------------


def test_model_and_random_state_stay_bit_identical():
    recipe = replace(RECIPES["resnet18_cutmix"], network="resnet20", batch_size=8)
    network = make_network(recipe)
    network(torch.randn(4, 3, 32, 32)).sum().backward()
    network.eval()
    network.stem.train()
    network.register_forward_pre_hook(lambda module, inputs: torch.rand(1) and None)
    training = make_training(recipe, network)

    def everything():
        tensors = {name: value.clone() for name, value in network.state_dict().items()}
        gradients = {name + ".grad": p.grad.clone() for name, p in network.named_parameters()}
        return tensors | gradients, [module.training for module in network.modules()], torch.get_rng_state().tolist()

    before = everything()
    lr_range_test(training, 1e-3, 1.0, 10)
    after = everything()
    assert before[0].keys() == after[0].keys()
    assert all(torch.equal(value, after[0][name]) for name, value in before[0].items())
    assert before[1:] == after[1:]


def test_what_was_drawn_before_plays_no_part():
    recipe = replace(RECIPES["resnet18_cutmix"], batch_size=16)  # mixing draws from torch's own generator
    training = make_training(recipe)
    curves = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        curves.append(lr_range_test(training, steps=30))
    assert curves[0] == curves[1]


@pytest.mark.parametrize("name", ["resnet56_multistep", "resnet18_cutmix"])
def test_at_the_runs_own_rate_the_losses_are_the_runs(name):
    """Augmentation, mixing, dropout, batches, decay and momentum are the run's, over the end of an epoch."""
    schedule = {"schedule": "multistep", "milestones": (2,), "warmup": 0.0, "epochs": 3, "resolutions": ((0.9, 24),)}
    recipe = replace(RECIPES[name], network="resnet20", batch_size=24, lr=0.02, **schedule)
    images = tiny_split("train").take(np.arange(110))  # four whole batches and one of 14
    run, losses = make_training(recipe, make_network(recipe), images), []
    forward = run.compute_loss

    def watched(inputs, targets):
        loss, logits = forward(inputs, targets)
        losses.append(loss.item())
        return loss, logits

    run.compute_loss = watched
    for epoch in (1, 2):
        train_one_epoch(run, epoch)
    curve = lr_range_test(make_training(recipe, make_network(recipe), images), 0.02, 0.02 * (1 + 1e-9), 10)
    assert curve.losses == pytest.approx(losses, rel=1e-6)


def test_rates_rise_geometrically_from_start_to_end():
    curve = lr_range_test(make_training(SHORT), 1e-3, 0.1, 40)
    assert curve.rates == pytest.approx(np.geomspace(1e-3, 0.1, 40))
    assert curve == suggest_lr(curve.rates, curve.losses)


def test_a_small_network_is_given_a_rate_at_which_it_learns():
    curve = lr_range_test(make_training(SHORT), 1e-4, 100, 100)
    assert curve.method == "steepest descent" and 1e-2 < curve.suggestion < 3
    assert 0 < np.argmin(curve.smoothed) < len(curve.rates) - 1


def test_it_stops_at_divergence_in_silence_and_without_the_notebooks_bar(monkeypatch, capsys):
    def bar(*_, **__):
        raise AssertionError("the library's own bar")

    monkeypatch.setattr("torch_lr_finder.lr_finder.tqdm", bar)
    curve = lr_range_test(make_training(SHORT), 1e-3, 1e6, 100)
    assert 10 < len(curve.rates) < 100
    assert curve.losses[-1] > 5 * min(curve.losses)
    assert all(loss <= 5 * min(curve.losses[: step + 1]) for step, loss in enumerate(curve.losses[:-1]))
    assert curve.suggestion < 10
    assert capsys.readouterr() == ("", "")


def test_it_stops_where_the_loss_is_no_number():
    network, passes = make_small(), []
    network.register_forward_hook(lambda m, i, out: passes.append(0) or out * (np.nan if len(passes) > 12 else 1))
    curve = lr_range_test(make_training(SHORT, network), 1e-4, 1e-2, 50)
    assert len(curve.losses) == len(passes) == 13
    assert curve.losses[-1] == np.inf and np.isfinite(curve.losses[:-1]).all()


# --- bad input -------------------------------------------------------------------------------------


def test_two_optimizers_are_refused():
    with pytest.raises(UserError, match="for recipes with one optimizer, not smoke: choose one without Muon"):
        lr_range_test(make_training(replace(SHORT, muon_lr=0.1)))


@pytest.mark.parametrize(
    "rates", [(1.0, 0.1), (0.1, 0.1), (0.0, 1.0), (-1e-3, 1.0), (np.nan, 1.0), (1e-3, np.nan), (1e-3, np.inf)]
)
def test_rates_that_do_not_rise(rates):
    with pytest.raises(UserError, match="start_lr and end_lr must be finite, with 0 < start_lr < end_lr, not"):
        lr_range_test(make_training(SHORT), *rates)


@pytest.mark.parametrize("steps", [9, 0, -1, 20.5])
def test_too_few_steps(steps):
    with pytest.raises(UserError, match=f"steps must be a whole number of 10 or more, not {steps}"):
        lr_range_test(make_training(SHORT), steps=steps)


def test_weights_that_are_no_numbers():
    network = make_small()
    network[-1].bias.data[0] = np.nan
    with pytest.raises(UserError, match="not a finite number before the first step"):
        lr_range_test(make_training(SHORT, network), steps=10)


# --- the file --------------------------------------------------------------------------------------


def test_a_kept_curve_is_loaded_as_it_was(tiny, tmp_path):
    curve, path = find_recipe_lr(SHORT, "elsewhere", tmp_path, "cpu", steps=12)
    assert load_curve(path) == curve and path == tmp_path / "smoke/lr_curve.csv"
    assert path.read_text().splitlines()[0] == "rate,loss,smoothed"


@pytest.mark.parametrize(
    "text", ["", "rate,loss,smoothed\n", "rate,smoothed\n1,1\n", "rate,loss\n1,x\n", "rate,loss\n1\n"]
)
def test_a_damaged_file(text, tmp_path):
    path = tmp_path / "lr_curve.csv"
    path.write_text(text)
    with pytest.raises(UserError, match="lr_curve.csv cannot be read"):
        load_curve(path)
    with pytest.raises(UserError, match="other.csv cannot be read"):
        load_curve(tmp_path / "other.csv")
