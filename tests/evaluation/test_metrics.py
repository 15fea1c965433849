"""Each number by a second way, scikit-learn's or a count by hand, and on cases whose answer is known."""

import json
from math import log

import numpy as np
import pytest
from sklearn import metrics as oracle
from sklearn.calibration import calibration_curve

from cifar100.dataset.cifar import COARSE_OF_FINE, FINE_NAMES
from cifar100.errors import UserError
from cifar100.evaluation import calibration, metrics
from cifar100.evaluation.probabilities import image_losses, negative_log_likelihood, softmax


@pytest.fixture
def predictions():
    """Logits and labels of 2,000 images, right in about two thirds; no image is of class 7, and none predicted as 8."""
    generator = np.random.default_rng(0)
    labels = generator.choice(np.delete(np.arange(100), 7), 2_000)
    logits = generator.normal(0, 2, (2_000, 100)).astype(np.float32)
    logits[np.arange(2_000), labels] += 6
    logits[:, 8] = -20
    return logits, labels


def test_probabilities_and_likelihood(predictions):
    logits, labels = predictions
    probabilities = softmax(logits)
    losses = image_losses(logits, labels)
    expected = oracle.log_loss(labels, probabilities, labels=range(100))
    assert negative_log_likelihood(logits, labels) == pytest.approx(expected) == losses.mean()
    sure = np.array([[0.0, 1000.0], [0.0, 0.0]])  # a probability of 0 in float64, and one of a half
    assert image_losses(sure, np.array([0, 1])) == pytest.approx([1000, log(2)])


@pytest.mark.parametrize("count", [1, 5])
def test_top_accuracy(predictions, count):
    logits, labels = predictions
    expected = oracle.top_k_accuracy_score(labels, logits, k=count, labels=range(100))
    assert metrics.top_accuracy(logits, labels, count) == pytest.approx(expected)


def test_of_equal_scores_the_first_counts_as_the_highest():
    same, labels = np.zeros((4, 4)), np.arange(4, dtype=np.uint8)
    assert [metrics.top_accuracy(same, labels, k) for k in (1, 2, 4)] == [0.25, 0.5, 1]
    assert metrics.right_predictions(same, labels).tolist() == [True, False, False, False]


def test_accuracies_of_classes_and_of_superclasses(predictions):
    logits, labels = predictions
    guesses = logits.argmax(1)
    expected = oracle.recall_score(labels, guesses, labels=range(100), average=None, zero_division=np.nan)
    accuracies = metrics.accuracies_by_class(logits, labels)
    np.testing.assert_allclose(accuracies, expected)
    assert np.flatnonzero(np.isnan(accuracies)).tolist() == [7] and accuracies[8] == 0
    expected = oracle.accuracy_score(COARSE_OF_FINE[labels], COARSE_OF_FINE[guesses])
    assert metrics.superclass_accuracy(logits, labels) == pytest.approx(expected)


def test_confusions(predictions):
    logits, labels = predictions
    guesses = logits.argmax(1)
    confusion = metrics.confusion_matrix(logits, labels.astype(np.uint8))
    np.testing.assert_array_equal(confusion, oracle.confusion_matrix(labels, guesses, labels=range(100)))
    expected = oracle.confusion_matrix(COARSE_OF_FINE[labels], COARSE_OF_FINE[guesses], labels=range(20))
    np.testing.assert_array_equal(metrics.superclass_confusion(confusion), expected)
    pairs = metrics.confused_pairs(confusion, 5)
    counts = {(a, b): confusion[a, b] + confusion[b, a] for a in range(100) for b in range(a + 1, 100)}
    assert [n for *_, n in pairs] == sorted(counts.values(), reverse=True)[:5]
    assert all(counts[a, b] == n for a, b, n in pairs)


def test_reliability(predictions):
    logits, labels = predictions
    confidence, right = softmax(logits).max(1), logits.argmax(1) == labels
    found_confidence, found_accuracy, count = calibration.reliability_curve(logits, labels)
    accuracy, mean = calibration_curve(right, confidence, n_bins=15)  # leaves empty bins out
    np.testing.assert_allclose(found_accuracy[count > 0], accuracy)
    np.testing.assert_allclose(found_confidence[count > 0], mean)
    error = 0.0
    for k in range(15):
        inside = (confidence > k / 15) & (confidence <= (k + 1) / 15)
        assert count[k] == inside.sum()
        error += abs((confidence[inside] - right[inside]).sum()) / len(labels)
    assert calibration.expected_calibration_error(logits, labels) == pytest.approx(error)


def test_confidence_on_an_edge_belongs_to_the_bin_below():
    assert calibration.reliability_curve(np.zeros((1, 4)), np.zeros(1, int), 4)[2].tolist() == [1, 0, 0, 0]
    assert calibration.reliability_curve(np.array([[0.0, 800]]), np.ones(1, int), 4)[2].tolist() == [0, 0, 0, 1]


def test_temperature(predictions):
    logits, labels = predictions
    best = calibration.fit_temperature(logits, labels)
    around = [oracle.log_loss(labels, softmax(logits / best / t), labels=range(100)) for t in (0.98, 1, 1.02)]
    assert np.argmin(around) == 1
    # Where the loss is flat, the labels' logits are in the mean what the probabilities make expect.
    expected = (softmax(logits / best) * logits).sum(1).mean()
    assert np.take_along_axis(logits, labels[:, None], 1).mean() == pytest.approx(expected, rel=1e-4)
    # Right in three of four, by the same margin of 6: the best confidence is 3/4, so the margin becomes log 3.
    margins, answers = np.tile([6.0, 0.0], (4, 1)), np.array([0, 0, 0, 1])
    assert calibration.fit_temperature(margins, answers) == pytest.approx(6 / log(3), rel=1e-3)
    assert calibration.fit_temperature(margins[:0], answers[:0]) == 1


def test_each_half_is_scaled_by_what_the_other_tells(predictions):
    logits, labels = predictions
    logits = 3 * logits[:201]
    scaled = calibration.cross_fitted_temperature(logits, labels[:201])
    ratios = logits[:, 0] / scaled[:, 0]
    temperatures = ratios[0], ratios[~np.isclose(ratios, ratios[0], rtol=1e-9)][0]
    halves = [np.isclose(ratios, t, rtol=1e-9) for t in temperatures]
    assert sorted(half.sum() for half in halves) == [100, 101] and (halves[0] ^ halves[1]).all()
    for half, temperature in zip(halves, temperatures):
        np.testing.assert_allclose(scaled[half] * temperature, logits[half])
        assert calibration.fit_temperature(logits[~half], labels[:201][~half]) == pytest.approx(temperature)


def test_coverage(predictions):
    logits, labels = predictions
    coverage, accuracy = calibration.accuracy_by_coverage(logits, labels)
    confidence, right = softmax(logits).max(1), logits.argmax(1) == labels
    for count in (1, 2, 777, 2_000):
        kept = confidence >= np.sort(confidence)[-count]
        assert (coverage[count - 1], accuracy[count - 1]) == (count / 2_000, pytest.approx(right[kept].mean()))


@pytest.mark.parametrize("successes, count", [(0, 10), (7, 50), (10, 10), (7812, 10_000)])
def test_wilson_interval(successes, count):
    share, z = successes / count, 1.959963984540054
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    reach = z / (1 + z**2 / count) * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    low, high = metrics.wilson_interval(successes, count)
    assert (low, high) == pytest.approx((middle - reach, middle + reach), abs=1e-9)


def test_a_network_that_has_diverged_is_not_measured(predictions):
    logits, labels = predictions
    broken = np.where(logits == logits[0, 0], np.nan, logits)
    with pytest.raises(UserError, match="of 1 of 2000 images .* diverged"):
        metrics.summarise_predictions(broken, labels)


def test_summary(predictions):
    logits, labels = predictions
    summary = metrics.summarise_predictions(logits, labels)
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert summary["top1"] == pytest.approx(oracle.accuracy_score(labels, logits.argmax(1)))
    assert summary["top1_interval"][0] < summary["top1"] < summary["top1_interval"][1]
    assert tuple(summary["per_class"]) == FINE_NAMES and summary["per_class"][FINE_NAMES[7]] is None
    low, high = summary["superclass"]["interval"]
    assert low < summary["superclass"]["accuracy"] < high
    first, second, mistakes = metrics.confused_pairs(metrics.confusion_matrix(logits, labels))[0]
    assert summary["confused_pairs"][0] == [FINE_NAMES[first], FINE_NAMES[second], mistakes]
    assert summary["calibration"]["after_temperature"]["nll"] < summary["nll"]
    assert summary["temperature"]["value"] == pytest.approx(calibration.fit_temperature(logits, labels), abs=1e-6)
    assert summary["sets"]["0.9"]["coverage"] == pytest.approx(0.9, abs=0.03)


@pytest.mark.parametrize("count", [1, 10])
def test_a_few_images_are_enough(predictions, count):
    logits, labels = predictions[0][:count], predictions[1][:count]
    summary = metrics.summarise_predictions(logits, labels)
    assert json.dumps(summary, allow_nan=False) and summary["images"] == count
    assert sum(value is not None for value in summary["per_class"].values()) == len(set(labels))
