from dataclasses import replace

import numpy as np

from cifar100 import recipes
from cifar100.dataset.cifar import COARSE_OF_FINE
from cifar100.notebook.showcase import pick_cases, pick_examples
from cifar100.notebook.tables import compare_recipes, list_results, recipe_source, summarise_ranges
from cifar100.recipes import RECIPES
from cifar100.runs.history import EpochRecord
from cifar100.runs.run import Run
from tests.report.test_pages import make_run

MULTISTEP = RECIPES["resnet56_multistep"]


def make_history(*accuracies: float) -> list[EpochRecord]:
    return [EpochRecord(k, 0.1, 1.0, a + 0.02, 1.0, a) for k, a in enumerate(accuracies, start=1)]


def test_the_code_of_a_recipe_makes_that_recipe():
    for name in RECIPES:
        made: dict = {}
        exec(recipe_source(name), dict(vars(recipes)), made)
        assert list(made.values())[-1] == RECIPES[name]


def test_a_run_is_told_by_the_ranges_between_its_changes():
    recipe = replace(MULTISTEP, epochs=6, milestones=(2, 4))
    rows = summarise_ranges(make_history(0.1, 0.2, 0.5, 0.52, 0.6, 0.59), recipe)
    assert [row["epochs"] for row in rows] == ["1-2", "3-4", "5-6"]
    assert [row["first epoch, against the 5 before it"] for row in rows] == ["-", "+35.0 points", "+27.0 points"]
    assert [row["typical change from epoch to epoch"] for row in rows] == ["10.0 points", "2.0 points", "1.0 points"]
    assert rows[0]["test accuracy"] == "10.0% to 20.0%" and rows[2]["gap"] == "+2.0 to +2.0 points"
    split = summarise_ranges(make_history(*np.linspace(0.1, 0.4, 50)), replace(MULTISTEP, epochs=50, milestones=(30,)))
    assert [row["epochs"] for row in split] == ["1-10", "11-30", "31-50"]
    assert [row["first epoch, against the 5 before it"] for row in split] == ["-", "-", "+1.8 points"]


def test_results_of_a_run_are_told_with_its_targets(tmp_path):
    run = Run.load(make_run(tmp_path, MULTISTEP, [0.5, 0.735], seconds=90))
    told = {row["measure"]: row["resnet56_multistep, seed 0"] for row in list_results(run, 0.7349, 0.93, (0.72, 0.75))}
    assert told["top-1, last epoch (the course asks for 73.00%)"] == "73.50%, reached"
    assert told["top-1, last epoch (the report's best 73.84%)"] == "73.50%, missed by 0.34 points"
    assert told["top-1, saved weights, computed now"] == "73.49%" and told["gap, training minus test"] == "+5.0 points"
    assert told["first epoch at"] == "50%: 1, 60%: 2, 70%: 2, 73%: 2" and told["time, and on what"].startswith(
        "1 min 30"
    )


def test_recipes_are_told_by_how_they_train(tmp_path):
    groups = {name: [Run.load(make_run(tmp_path, RECIPES[name], [0.7]))] for name in ("resnet18_cutmix", "sprint")}
    mixed, quick = compare_recipes(groups)
    assert mixed["also"] == "label smoothing 0.1, dropout 0.3"
    assert mixed["augmentation"] == "crop, flip, rotate, colour jitter, erasing, CutMix"
    assert quick["also"] == "label smoothing 0.25, Muon 0.18" and quick["training accuracy"] == "75.0%"


def test_the_most_confident_examples_come_first_one_of_each_superclass():
    probabilities, labels = np.zeros((5, 100)), np.array([0, 0, 1, 2, 3])  # apple, apple, aquarium fish, baby, bear
    for k, (guess, share) in enumerate([(0, 0.7), (0, 0.9), (1, 0.8), (5, 0.6), (6, 0.95)]):
        probabilities[k, guess] = share
    assert len(set(COARSE_OF_FINE[labels])) == 4
    assert pick_examples(probabilities, labels, True, 8).tolist() == [1, 2]
    assert pick_examples(probabilities, labels, False, 8).tolist() == [4, 3]


def test_the_typical_case_is_the_median_and_the_borderline_one_is_torn():
    probabilities = np.zeros((4, 100))
    probabilities[:, 3], probabilities[:, 7] = (0.9, 0.5, 0.7, 0.2), (0.1, 0.45, 0.3, 0.8)
    assert pick_cases(probabilities, np.array([3, 3, 3, 7]), 3) == {"typical": 2, "borderline": 1}
