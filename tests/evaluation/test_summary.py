"""What is measured of a run beyond its accuracy: kept, compared, drawn, and rendered as a model card."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from cifar100 import figures
from cifar100.__main__ import main
from cifar100.dataset.augment_image import to_input
from cifar100.dataset.cifar import COARSE_OF_FINE
from cifar100.errors import UserError
from cifar100.evaluation import metrics
from cifar100.evaluation import summary as assessment
from cifar100.evaluation.logits import compute_logits, evaluate_run, extract_features
from cifar100.evaluation.metrics import order_by_confusion
from cifar100.evaluation.near_duplicates import Pair
from cifar100.inference import load_predictor
from cifar100.recipes import SMOKE
from cifar100.report import model_card
from cifar100.report.evaluation import compare
from cifar100.runs.run import Run, load_metrics
from cifar100.training.fit import fit


@pytest.fixture
def two_runs(tiny, tmp_path):
    """Two finished runs of an epoch each on the tiny set, and their evaluations."""
    for seed in (0, 1):
        list(fit(replace(SMOKE, epochs=1, batch_size=100, seed=seed), data="x", output=tmp_path, device="cpu"))
    return [evaluate_run(tmp_path / f"smoke/seed{seed}", data="x", device="cpu") for seed in (0, 1)]


@pytest.fixture
def repeated(monkeypatch):
    """Test images 3 and 50 count as near duplicates."""
    pairs = [Pair(3, 0, "exact", 1.0), Pair(50, 1, "near", 0.8)]
    monkeypatch.setattr("cifar100.evaluation.summary.load_pairs", lambda: pairs)


def test_an_assessment_is_kept_beside_what_was_there(two_runs, repeated):
    result, _ = two_runs
    before = load_metrics(result.run.folder)
    evaluation = assessment.summarise_evaluation(result)
    assessment.save_evaluation(result, evaluation)
    after = load_metrics(result.run.folder)
    assert after.pop("evaluation") == json.loads(json.dumps(evaluation)) and after == before
    keys = {"top5", "nll", "per_class", "superclass", "calibration", "temperature", "without_duplicates"}
    assert keys <= set(evaluation)
    assert evaluation["top1"] == pytest.approx(before["final"]["test_accuracy"], abs=1e-6)
    assert evaluation["nll"] == pytest.approx(before["final"]["test_loss"], rel=1e-4)
    assert evaluation["temperature"]["method"] == "two-fold on the test set"
    assert evaluation["answering"]["temperature"] == evaluation["temperature"]["value"]
    predictor = load_predictor(result.run.folder, "cpu")
    assert predictor.answering.to_dict() == evaluation["answering"]
    familiar = [answer.familiar for answer in predictor.answer_batch(result.data.images)]
    assert np.mean(familiar) >= 0.9  # 95 of 100, less where other images gave the means
    assert 0.8 <= evaluation["familiarity"]["passing"] <= 1
    for kind in evaluation["familiarity"]["kinds"].values():
        assert 0 <= kind["auroc"] <= 1 and 0 <= kind["refused"] <= 1 and kind["pictures"] > 0


def test_mirror_images_and_duplicates_by_a_direct_count(two_runs, repeated):
    result, _ = two_runs
    evaluation, labels = assessment.summarise_evaluation(result), result.data.fine
    pictures = to_input(torch.from_numpy(result.data.images))
    with torch.no_grad():
        both = result.network(pictures).softmax(1) + result.network(pictures.flip(3)).softmax(1)
    assert evaluation["flip_tta"] == pytest.approx(np.mean(both.argmax(1).numpy() == labels), abs=1e-6)
    right = result.logits.argmax(1) == labels
    without = evaluation["without_duplicates"]
    assert without["left_out"] == 2 and without["top1"] == pytest.approx(np.delete(right, [3, 50]).mean(), abs=1e-6)
    assert without["top1_of_the_left_out"] == pytest.approx(right[[3, 50]].mean())


def test_on_other_images_than_the_test_set_nothing_is_said_of_duplicates(two_runs):
    run = two_runs[0].run
    held_out = [replace(record, eval_split="validation") for record in run.history]
    for change in ({"metrics": run.metrics | {"data": "sample"}}, {"history": held_out}):
        other = replace(two_runs[0], run=replace(run, **change))
        assert assessment.without_duplicates(other) is None
        with pytest.raises(UserError, match="Only runs on the same images can be compared"):
            list(compare([two_runs[0], other]))


def test_runs_are_compared_on_the_same_images(two_runs):
    header, first, second, mcnemar = compare(two_runs)
    difference = 100 * (two_runs[1].accuracy - two_runs[0].accuracy)
    assert f"{difference:+.2f}" in second and f"{two_runs[0].accuracy:.2%}" in first
    guesses = [result.logits.argmax(1) == result.data.fine for result in two_runs]
    assert f"Only the first is right {(guesses[0] & ~guesses[1]).sum()} times" in mcnemar
    assert len(list(compare([*two_runs, two_runs[0]]))) == 4  # no test among three


def test_evaluate_from_the_command_line(two_runs, repeated, capsys, tmp_path):
    where = str(tmp_path / "smoke/seed0")
    assert main(["evaluate", where, "--data", "x", "--device", "cpu", "--write"]) == 0
    out = capsys.readouterr().out
    assert "95% interval of top-1" in out and "calibration error" in out
    saved = [line for line in out.splitlines() if line.endswith(".png")]
    assert len(saved) == 4 and all((tmp_path / "smoke/evaluation").joinpath(p.split("/")[-1]).exists() for p in saved)
    card = model_card.render_card(Run.load(tmp_path / "smoke/seed0"))
    evaluation = load_metrics(tmp_path / "smoke/seed0")["evaluation"]
    assert f"{evaluation['top1']:.2%}" in card and f"{evaluation['calibration']['ece']:.2%}" in card
    assert main(["evaluate", where, str(tmp_path / "smoke/seed1"), "--data", "x", "--device", "cpu"]) == 2
    assert "say --compare" in capsys.readouterr().err


def test_features_are_what_the_head_sees(two_runs):
    network, images = two_runs[0].network, two_runs[0].data.images[:7]
    features = extract_features(network, images)
    logits = network.head(torch.from_numpy(features)).detach()
    np.testing.assert_allclose(logits, compute_logits(network, images), rtol=1e-4, atol=1e-5)


def test_confused_classes_become_neighbours():
    order = np.random.default_rng(0).permutation(20)
    groups = np.empty(20, int)
    groups[order] = np.arange(20) // 4
    shares = np.where(groups[:, None] == groups, 0.2, 0.01)
    found = groups[order_by_confusion(shares)]
    assert (np.diff(found) != 0).sum() == 4  # five groups, each in one piece


@pytest.mark.parametrize("count", [60, 2000])
def test_every_figure_shows_its_data_of_few_images_too(count, tmp_path):
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 100, count)
    logits = generator.normal(size=(count, 100)) + 3 * np.eye(100)[labels]
    logits[:, 5] = -9  # a class that is never predicted
    images = generator.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    confusion = metrics.confusion_matrix(logits, labels)
    pairs, by_class = metrics.confused_pairs(confusion), metrics.accuracies_by_class(logits, labels)
    between = metrics.superclass_confusion(confusion, COARSE_OF_FINE)
    curves, errors = assessment.reliability(logits, labels)
    worse = {"noise": [0.5, 0.4, 0.3, 0.2, 0.1], "blur": [0.5] * 5}
    drawn = {
        "classes": figures.plot_class_accuracy(by_class, metrics.class_intervals(logits, labels)),
        "superclasses": figures.plot_superclass_confusion(between),
        "pairs": figures.plot_confused_pairs(confusion, assessment.pick_confused(logits, labels, images, pairs)),
        "reliability": figures.plot_reliability(curves, errors),
        "corruptions": figures.plot_corruptions(worse, 0.6),
    }
    for name, fig in drawn.items():
        figures.save_figure(fig, tmp_path / f"{name}.png")

    points = [line.get_xdata()[0] for ax in drawn["classes"].axes for line in ax.lines if line.get_marker() == "o"]
    np.testing.assert_array_equal(np.sort(points), np.sort(by_class))  # NaN for a class without images
    shares = between / np.maximum(between.sum(1, keepdims=True), 1)
    off_diagonal = drawn["superclasses"].axes[0].images[0].get_array().compressed()
    np.testing.assert_allclose(np.sort(off_diagonal), np.sort(shares[~np.eye(20, dtype=bool)]))
    shown = [int((ax.get_title(loc="left") or ax.get_title()).rpartition(": ")[2]) for ax in drawn["pairs"].axes]
    assert [one + other for one, other in zip(shown[::2], shown[1::2])] == [number for _, _, number in pairs]
    (true, guess), *_ = ((a, b) for a, b, _ in pairs if confusion[a, b])
    chosen = assessment.pick_confused(logits, labels, images, pairs)[true, guess]
    mistaken = np.flatnonzero((labels == true) & (logits.argmax(1) == guess))
    assert len(chosen) == min(8, confusion[true, guess])
    assert all(any((picture == images[k]).all() for k in mistaken) for picture in chosen)
    _, heights, used = next(iter(curves.values()))
    bars = [bar.get_height() for bar in drawn["reliability"].axes[0].patches]
    np.testing.assert_allclose(bars, heights[used > 0])
    lines = {line.get_label(): list(line.get_ydata()) for line in drawn["corruptions"].axes[0].lines}
    assert {name: lines[name] for name in worse} == {name: [0.6, *values] for name, values in worse.items()}
