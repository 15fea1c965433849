"""What is measured of a run beyond its accuracy: kept, compared and drawn, each run's in its own place."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from cifar100 import figures
from cifar100.__main__ import main
from cifar100.dataset.augment_image import to_input
from cifar100.errors import UserError
from cifar100.evaluation import calibration, metrics
from cifar100.evaluation import summary as assessment
from cifar100.evaluation.corruptions import find_table, load_corruptions, table_file
from cifar100.evaluation.logits import compute_logits, evaluate_run, extract_features
from cifar100.evaluation.metrics import order_by_confusion
from cifar100.notebook.showcase import pick_confused
from cifar100.recipes import SMOKE
from cifar100.runs.place import claim
from cifar100.runs.run import load_metrics
from cifar100.train import fit
from tests.conftest import tiny_split

OPTIONS = ["--data", "x", "--device", "cpu"]


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory):
    """Two finished runs of an epoch each on the tiny set, and their evaluations."""
    output = tmp_path_factory.mktemp("output")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cifar100.dataset.cifar.load_split", tiny_split)
        for seed in (0, 1):
            list(fit(replace(SMOKE, epochs=1, batch_size=100, seed=seed), data="x", output=output, device="cpu"))
        yield [evaluate_run(output / f"smoke/seed{seed}", data="x", device="cpu") for seed in (0, 1)]


def test_the_list_of_near_duplicates_is_whole():
    indices = assessment.load_near_duplicates()
    assert len(indices) == 891 and (np.diff(indices) > 0).all() and 0 <= indices[0] and indices[-1] < 10_000


def test_an_evaluation_is_kept_beside_what_was_there(two_runs):
    result, _ = two_runs
    before = load_metrics(result.run.folder)
    evaluation = assessment.summarise_evaluation(result)
    assessment.save_evaluation(result, evaluation)
    after = load_metrics(result.run.folder)
    assert after.pop("evaluation") == json.loads(json.dumps(evaluation)) and after == before
    assert evaluation["top1"] == pytest.approx(before["final"]["test_accuracy"], abs=1e-6)
    assert evaluation["nll"] == pytest.approx(before["final"]["test_loss"], rel=1e-4)
    assert evaluation["answering"]["temperature"] == evaluation["temperature"]["value"]


def test_a_run_that_is_being_trained_is_not_changed(two_runs):
    result, _ = two_runs
    folder = result.run.folder
    before = (folder / "metrics.json").read_bytes()
    with claim(folder), pytest.raises(UserError, match="Another process is writing"):
        assessment.save_evaluation(result, {})
    assert (folder / "metrics.json").read_bytes() == before


def test_mirror_images_and_duplicates_by_a_direct_count(two_runs):
    result, _ = two_runs
    evaluation, labels = assessment.summarise_evaluation(result), result.data.fine
    images = to_input(torch.from_numpy(result.data.images))
    with torch.no_grad():
        both = result.network(images).softmax(1) + result.network(images.flip(3)).softmax(1)
    assert evaluation["flip_tta"] == pytest.approx(np.mean(both.argmax(1).numpy() == labels), abs=1e-6)
    right = result.logits.argmax(1) == labels
    repeated = [k for k in assessment.load_near_duplicates() if k < 100]  # the tiny set has so many images
    without = evaluation["without_duplicates"]
    assert without["left_out"] == len(repeated) > 0
    assert without["top1"] == pytest.approx(np.delete(right, repeated).mean(), abs=1e-6)
    assert without["top1_of_the_left_out"] == pytest.approx(right[repeated].mean(), abs=1e-6)


def test_on_other_images_than_the_test_set_nothing_is_said_of_duplicates(two_runs):
    run = two_runs[0].run
    held_out = [replace(record, eval_split="validation") for record in run.history]
    for change in ({"metrics": run.metrics | {"data": "sample"}}, {"history": held_out}):
        other = replace(two_runs[0], run=replace(run, **change))
        assert assessment.without_duplicates(other) is None


def test_evaluate_from_the_command_line(two_runs, capsys):
    folders = [result.run.folder for result in two_runs]
    assert main(["evaluate", str(folders[0]), *OPTIONS, "--write"]) == 0
    out = capsys.readouterr().out
    assert "95% interval of top-1" in out and "calibration error" in out


def test_each_seed_keeps_its_corruptions_and_fewer_images_replace_nothing(two_runs, capsys):
    folders = [result.run.folder for result in two_runs]
    for folder in folders:
        assert main(["corruptions", str(folder), "--images", "4", *OPTIONS]) == 0
    out = capsys.readouterr().out
    for result in two_runs:
        table = load_corruptions(table_file(result.run.folder))
        assert table.weights == result.run.metrics["sha256"]["weights"] and table.images == 4
        assert table.clean == (result.logits.argmax(1) == result.data.fine)[:4].mean() and str(result.run.folder) in out
    kept = table_file(folders[0]).read_bytes()
    assert main(["corruptions", str(folders[0]), "--images", "3", *OPTIONS]) == 2
    assert "was measured on 4 images" in capsys.readouterr().err and table_file(folders[0]).read_bytes() == kept
    assert find_table(two_runs[0].run).images == 4


def test_features_are_what_the_last_layer_gets(two_runs):
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


def test_misclassified_images_come_with_the_most_confident_first():
    images, labels = np.arange(5)[:, None] * np.ones((1, 4), int), np.array([0, 0, 0, 1, 1])
    logits = np.array([[0.0, 1, 0], [0, 9, 0], [9, 0, 0], [5, 0, 0], [0, 0, 5]])
    found = pick_confused(logits, labels, images, [(0, 1, 3)])
    assert {pair: own[:, 0].tolist() for pair, own in found.items()} == {(0, 1): [1, 0], (1, 0): [3]}


def test_every_figure_shows_its_data_of_few_images_too():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 100, 60)
    logits = generator.normal(size=(60, 100)) + 3 * np.eye(100)[labels]
    logits[:, 5] = -9  # a class that is never predicted
    images = generator.integers(0, 256, (60, 32, 32, 3), dtype=np.uint8)
    confusion = metrics.confusion_matrix(logits, labels)
    pairs, by_class = metrics.confused_pairs(confusion), metrics.accuracies_by_class(logits, labels)
    between = metrics.superclass_confusion(confusion)
    curves, errors = calibration.reliability(logits, labels)
    drawn = {
        "classes": figures.plot_class_accuracy(by_class, metrics.class_intervals(logits, labels)),
        "superclasses": figures.plot_superclass_confusion(between),
        "pairs": figures.plot_confused_pairs(confusion, pick_confused(logits, labels, images, pairs)),
        "reliability": figures.plot_reliability(curves, errors),
    }
    points = [line.get_xdata()[0] for ax in drawn["classes"].axes for line in ax.lines if line.get_marker() == "o"]
    np.testing.assert_array_equal(np.sort(points), np.sort(by_class))  # NaN for a class without images
    shares = between / np.maximum(between.sum(1, keepdims=True), 1)
    off_diagonal = drawn["superclasses"].axes[0].collections[0].get_array().compressed()
    np.testing.assert_allclose(np.sort(off_diagonal), np.sort(shares[~np.eye(20, dtype=bool)]))
    _, heights, used = next(iter(curves.values()))
    bars = [bar.get_height() for bar in drawn["reliability"].axes[0].patches]
    np.testing.assert_allclose(bars, heights[used > 0])
