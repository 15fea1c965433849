"""A set holds the true class as often as was asked for, is never empty, and is the one that the definition gives."""

import math

import numpy as np
import pytest

from cifar100.evaluation.probabilities import softmax
from cifar100.evaluation.sets import REPORTED, fit_thresholds, measure_sets, set_scores, set_sizes, true_ranks


def draw_images(count, seed, classes=30, sharpness=3.0):
    """Logits, and labels drawn from a distribution that is flatter than theirs."""
    generator = np.random.default_rng(seed)
    logits = sharpness * generator.normal(size=(count, classes))
    labels = np.array([generator.choice(classes, p=row) for row in softmax(logits, 1.7)])
    return logits, labels


def size_by_definition(probabilities, threshold, penalty, free):
    """Class after class, the most probable first, while what came before it leaves room."""
    size, before = 0, 0.0
    for share in sorted(probabilities, reverse=True):
        if before + penalty * max(0, size + 1 - free) > threshold:
            break
        size, before = size + 1, before + share
    return size


@pytest.mark.parametrize("penalty, free", [(0.0, 0), (0.01, 5), (0.2, 1)])
def test_a_set_is_what_the_definition_says(penalty, free):
    logits, _ = draw_images(200, 0)
    probabilities = softmax(np.round(logits))  # with equal ones
    for threshold in (0.0, 0.3, 0.9, 0.999, 1.5):
        sizes = set_sizes(probabilities, threshold, penalty, free)
        own = [size_by_definition(row, threshold + 1e-12, penalty, free) for row in probabilities]
        assert sizes.tolist() == own and sizes.min() >= 1


def test_a_threshold_is_the_smallest_that_holds_enough_of_the_labels():
    logits, labels = draw_images(150, 1)
    probabilities = softmax(logits)
    own = set_scores(probabilities)[np.arange(150), true_ranks(probabilities, labels) - 1]
    for percent, threshold in enumerate(fit_thresholds(probabilities, labels), start=1):
        wanted = math.ceil(151 * percent / 100 - 1e-9)
        if wanted > 150:
            assert set_sizes(probabilities, threshold).tolist() == [30] * 150  # too few images for a promise
        else:
            smaller = max(own[own < threshold - 1e-6], default=-1.0)
            assert (own <= threshold).sum() >= wanted > (own <= smaller).sum()


def test_sets_hold_the_true_class_of_new_images_and_grow_with_the_confidence():
    logits, labels = draw_images(4000, 2)
    thresholds = fit_thresholds(softmax(logits), labels)
    logits, labels = draw_images(4000, 3)
    probabilities = softmax(logits)
    ranks, last = true_ranks(probabilities, labels), np.ones(4000)
    for confidence in (0.5, 0.8, 0.9, 0.95, 0.99):
        sizes = set_sizes(probabilities, thresholds[round(100 * confidence) - 1])
        held = (ranks <= sizes).mean()
        # Both samples are random: five standard deviations of their difference.
        assert abs(held - confidence) < 5 * math.sqrt(confidence * (1 - confidence) * 2 / 4000) or sizes.max() == 1
        assert (sizes >= last).all()
        last = sizes


def test_what_is_reported_of_sets_is_the_share_that_holds_the_label():
    logits, labels = draw_images(2000, 4, classes=100)
    for confidence, own in zip(REPORTED, measure_sets(logits, labels).values()):
        assert own["coverage"] == pytest.approx(confidence, abs=0.03) and 1 <= own["size"] < 100
    assert measure_sets(logits[:1], labels[:1])["0.9"] == {"coverage": 1.0, "size": 100.0, "single": 0.0}
