from dataclasses import replace

import numpy as np

from cifar100.evaluation.corruptions import SEVERITIES, STRENGTHS, save_corruptions, table_file
from cifar100.notebook.settings import MEANINGS, explain_settings
from cifar100.notebook.tables import (
    as_markdown,
    compare_corruptions,
    compare_recipes,
    compare_reports,
    list_results,
    list_targets,
    summarise_ranges,
)
from cifar100.recipes import RECIPES
from cifar100.runs.history import EpochRecord
from cifar100.runs.run import Run
from tests.report.test_pages import make_run

MULTISTEP = RECIPES["resnet56_multistep"]


def make_history(*accuracies: float) -> list[EpochRecord]:
    return [EpochRecord(k, 0.1, 1.0, a + 0.02, 1.0, a) for k, a in enumerate(accuracies, start=1)]


def test_every_setting_has_a_meaning():
    for recipe in RECIPES.values():
        settings = recipe.to_dict()
        names = {*settings, *settings["augmentation"]} - {"name", "augmentation", "weights_precision"}
        assert {name.replace("_", " ") for name in names} <= set(MEANINGS)


def test_defaults_are_told_and_what_is_switched_off_is_not():
    told = {row["setting"]: row[MULTISTEP.name] for row in explain_settings(MULTISTEP)}
    assert told["momentum"] == "0.9" and told["weight decay"] == "0.0005" and told["optimizer"] == "SGD"
    assert told["milestones"] == "40, 70, 85" and told["nesterov"] == "yes"
    assert not {"dropout", "erasing", "mix probability", "muon momentum", "crop border"} & set(told)
    assert "Muon" in {row["setting"]: row["sprint"] for row in explain_settings(RECIPES["sprint"])}["optimizer"]


def test_a_training_is_told_by_the_ranges_between_its_changes():
    recipe = replace(MULTISTEP, epochs=6, milestones=(2, 4))
    rows = summarise_ranges(make_history(0.1, 0.2, 0.5, 0.52, 0.6, 0.59), recipe)
    assert [row["epochs"] for row in rows] == ["1-2", "3-4", "5-6"]
    assert [row["first epoch, against the 5 before it"] for row in rows] == ["-", "+35.0 points", "+27.0 points"]
    assert rows[0]["test accuracy"] == "10.0% to 20.0%" and rows[2]["gap"] == "+2.0 to +2.0 points"
    long = summarise_ranges(make_history(*np.linspace(0.1, 0.4, 30)), replace(MULTISTEP, epochs=30, milestones=(20,)))
    assert [row["epochs"] for row in long] == ["1-20", "21-30"]
    split = summarise_ranges(make_history(*np.linspace(0.1, 0.4, 50)), replace(MULTISTEP, epochs=50, milestones=(30,)))
    assert [row["epochs"] for row in split] == ["1-10", "11-30", "31-50"]
    gained = [row["first epoch, against the 5 before it"] for row in split]
    assert gained == ["-", "-", f"{100 * 0.3 * 3 / 49:+.1f} points"]  # nothing changes after epoch 10
    assert long[1]["test accuracy"] == f"{0.1 + 0.3 * 22 / 29:.1%} to {0.1 + 0.3 * 27 / 29:.1%}"  # means of five epochs
    assert [row["typical change from epoch to epoch"] for row in rows] == ["10.0 points", "2.0 points", "1.0 points"]
    assert len(summarise_ranges(make_history(0.1, 0.2), replace(MULTISTEP, epochs=2, milestones=(1,)))) == 2


def test_targets_are_those_of_the_report(tmp_path):
    runs = [
        Run.load(make_run(tmp_path, replace(MULTISTEP, seed=seed), [0.5, last]))
        for seed, last in enumerate((0.74, 0.72))
    ]
    told = {row.pop("target"): row for row in list_targets(MULTISTEP, make_history(0.74, 0.735), runs)}
    assert {target: row["this run"] for target, row in told.items()} == {
        "the course asks for": "73.50%, reached",
        "the report's best epoch": "74.00%, reached",
        "the report's last epoch": "73.50%, missed by 0.18 points",
    }
    assert told["the course asks for"]["mean of 2 seeds"] == "73.00%, reached"
    assert [list(row) for row in list_targets(RECIPES["sprint"], make_history(0.5), [])] == [
        ["target", "at least", "this run"]
    ]


def test_every_system_of_the_reports_has_a_row(tmp_path):
    runs = {
        name: [Run.load(make_run(tmp_path, RECIPES[name], [0.5, 0.74]))]
        for name in ("resnet18_cutmix", "resnet18_cutmix_50", "sprint")
    }
    rows = {row.pop("our recipe").strip("`"): row for row in compare_reports(runs)}
    told = {name: row["ours, last epoch"] for name, row in rows.items()}
    others = ("resnet56_multistep", "resnet56_cosine", "resnet18_onecycle", "resnet18_warmup_cosine")
    assert told == dict.fromkeys(others, "not trained here") | {"resnet18_cutmix": "74.00%"}
    assert rows["resnet18_cutmix"]["against the report's best"] == "-3.05 points"
    assert rows["resnet18_cutmix"]["training accuracy"] == "79.0%"
    assert rows["resnet18_cutmix"]["the report"].endswith("](https://github.com/SXD390/ERA_CIFAR_100_ResNET_18)")


def test_recipes_are_told_by_how_they_train(tmp_path):
    groups = {name: [Run.load(make_run(tmp_path, RECIPES[name], [0.7]))] for name in ("resnet18_cutmix", "sprint")}
    mixed, quick = compare_recipes(groups)
    assert mixed["schedule"] == "onecycle, warm-up 30%" and mixed["also"] == "label smoothing 0.1, dropout 0.3"
    assert mixed["augmentation"] == "crop, flip, rotation, colour jitter, erasing, CutMix"
    assert quick["also"] == "label smoothing 0.25, Muon 0.18" and quick["batch"] == "1024"


def test_corruptions_are_told_by_their_means_and_only_of_the_weights_that_were_measured(tmp_path):
    run = Run.load(make_run(tmp_path, MULTISTEP, [0.5, 0.74]))
    assert as_markdown(compare_corruptions({MULTISTEP.name: [run]})) == ""
    rows = [("clean", 0, 0.7), *((name, k, k / 10) for name in STRENGTHS for k in SEVERITIES)]
    save_corruptions(rows, 100, run.metrics["sha256"]["weights"], table_file(run.folder))
    (row,) = compare_corruptions({MULTISTEP.name: [run]})
    assert row == {"recipe": "`resnet56_multistep`", "images": "100", "clean": "70.0%"} | dict.fromkeys(
        STRENGTHS, "30.0%"
    )
    save_corruptions(rows, 100, "of others", table_file(run.folder))
    assert compare_corruptions({MULTISTEP.name: [run]}) == []


def test_results_of_a_run_are_told_with_what_they_cost(tmp_path):
    run = Run.load(make_run(tmp_path, MULTISTEP, [0.5, 0.74], seconds=90))
    told = {row["measure"]: row["resnet56_multistep, seed 0"] for row in list_results(run, 0.741, 0.93, (0.73, 0.75))}
    assert told["top-1, last epoch, as logged"] == "74.00%" and told["top-1, saved weights, computed now"] == "74.10%"
    assert told["first epoch at 50%, 60%, 70%, 73%"] == "1, 2, 2, 2" and told["lowest test loss, in epoch 2"] == "2.500"
    assert told["gap, training minus test"] == "+5.0 points" and told["time, training and evaluation"] == "1 min 30 s"
    assert told["training loss, first to last epoch"] == "4.000 to 2.000, down by 50%" and told["hardware"] == "abacus"


def test_a_table_in_markdown():
    assert as_markdown([{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]).splitlines() == [
        *("| a | b |", "| --- | --- |", "| 1 | 2 |", "| 3 | 4 |")
    ]
