from dataclasses import replace

import numpy as np

from cifar100 import recipes
from cifar100.notebook.showcase import pick_cases, pick_examples
from cifar100.notebook.tables import list_results, recipe_source, summarise_ranges
from cifar100.recipes import RECIPES
from cifar100.runs.history import EpochRecord
from cifar100.runs.run import Run
from tests.report.test_pages import make_run

MULTISTEP = RECIPES["resnet56_multistep"]


def test_the_code_of_a_recipe_makes_that_recipe():
    for name in RECIPES:
        made: dict = {}
        exec(recipe_source(name), dict(vars(recipes)), made)
        assert list(made.values())[-1] == RECIPES[name]


def summarise(accuracies, milestones: tuple[int, ...]) -> list[dict[str, str]]:
    history = [EpochRecord(k, 0.1, 1.0, a + 0.02, 1.0, a) for k, a in enumerate(accuracies, start=1)]
    return summarise_ranges(history, replace(MULTISTEP, epochs=len(history), milestones=milestones))


def test_a_run_is_told_by_the_ranges_between_its_changes():
    rows = summarise((0.1, 0.2, 0.5, 0.52, 0.6, 0.59), (2, 4))
    assert [row["epochs"] for row in rows] == ["1-2", "3-4", "5-6"]
    assert [row["leap"] for row in rows] == ["-", "+35.0", "+27.0"]
    assert [row["typical change"] for row in rows] == ["10.0", "2.0", "1.0"]
    assert rows[0]["test %"] == "10.0 to 20.0" and rows[2]["gap"] == "+2.0 to +2.0"
    assert [row["epochs"] for row in summarise(np.linspace(0.1, 0.4, 50), (30,))] == ["1-10", "11-30", "31-50"]


def test_results_of_a_run_are_told_with_its_targets(tmp_path):
    run = Run.load(make_run(tmp_path, MULTISTEP, [0.5, 0.735], seconds=90))
    told = {row["measure"]: row["resnet56_multistep, seed 0"] for row in list_results(run, np.eye(100), np.arange(100))}
    assert told["the course asks for: 73.00%"] == "reached"
    assert told["the report's best: 73.84%"] == "missed by 0.34 points"
    assert told["top-1, saved weights, computed now"] == "100.00%"
    assert told["training accuracy"] == "78.50%, +5.0 points from the test"


def test_the_most_confident_examples_come_first_one_of_each_superclass():
    probabilities, labels = np.zeros((5, 100)), np.array([0, 0, 1, 2, 3])  # two apples, then other superclasses
    for k, (guess, share) in enumerate([(0, 0.7), (0, 0.9), (1, 0.8), (5, 0.6), (6, 0.95)]):
        probabilities[k, guess] = share
    assert pick_examples(probabilities, labels, True, 8).tolist() == [1, 2]
    assert pick_examples(probabilities, labels, False, 8).tolist() == [4, 3]


def test_the_typical_case_is_the_median_and_the_borderline_one_is_torn():
    probabilities = np.zeros((4, 100))
    probabilities[:, 3], probabilities[:, 7] = (0.9, 0.5, 0.7, 0.2), (0.1, 0.45, 0.3, 0.8)
    assert pick_cases(probabilities, np.array([3, 3, 3, 7]), 3) == {"typical": 2, "borderline": 1}
