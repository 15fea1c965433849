import json
import re
import shutil
from dataclasses import replace

import pytest

from cifar100.errors import UserError
from cifar100.figures.training import list_events
from cifar100.files import write_text
from cifar100.recipes import RECIPES, SMOKE, SPRINT
from cifar100.report import published
from cifar100.report.pages import (
    choose_shown,
    draw_overview,
    render_all,
    render_headline,
    render_results,
    replace_block,
    save_curves,
)
from cifar100.report.published import group_by_recipe, load_published
from cifar100.report.reported import REPORTED, list_levels
from cifar100.report.run_pages import render_section
from cifar100.runs.find import has_weights, run_folder
from cifar100.runs.history import EpochRecord, format_record, format_seconds, save_history
from cifar100.runs.run import Run, make_metrics, save_recipe
from tests.conftest import ROOT

ROWS = ("recipe", "seed", "epochs", "final", "best", "reached", "sha256")  # of metrics.json, that follow from the files


def make_run(output, recipe, accuracies, weights=None, **facts):
    """A finished run's folder with made-up numbers; weights that no other run has, unless they are given."""
    folder = run_folder(recipe, output)
    folder.mkdir(parents=True)
    history = [EpochRecord(k, 0.1, 4 / k, a + 0.05, 5 / k, a) for k, a in enumerate(accuracies, start=1)]
    save_recipe(folder, recipe)
    save_history(folder, history)
    (folder / "weights.safetensors").write_bytes(weights or str(folder).encode())
    facts = {"data": "CIFAR-100", "seconds": 90, "images_per_second": 1.0, "hardware": "abacus"} | facts
    metrics = make_metrics(recipe, history, folder, versions={"torch": "2"}, commit=None, **facts)
    write_text(folder / "metrics.json", json.dumps(metrics))
    return folder


def render_run(folder):
    return render_section(Run.load(folder))


def groups_in(output):
    return group_by_recipe(load_published(output))


def test_line_of_an_epoch():
    record = EpochRecord(1, 0.1, 4.26671, 0.04291, 3.99529, 0.0732)
    line = "Epoch [1/100] - Train Loss: 4.2667, Train Acc: 4.29% - Test Loss: 3.9953, Test Acc: 7.32%"
    assert format_record(record, 100) == line
    assert "Validation Acc: 7.32%" in format_record(replace(record, eval_split="validation"), 100)
    between = replace(record, eval_loss=2.3131503309743326)  # 2.3132 if it is rounded once, 2.31315 in history.csv
    assert format_record(between, 100) == format_record(EpochRecord.from_row(between.to_row()), 100)
    assert [format_seconds(s) for s in (5, 95, 7260)] == ["5 s", "1 min 35 s", "2 h 1 min"]


def test_section_of_a_run(tmp_path):
    folder = make_run(tmp_path, SPRINT, [0.5, 0.76, 0.74])
    section = render_run(folder)
    assert section.startswith("<!-- run sprint/seed0 -->\n## sprint, seed 0\n")
    assert "test accuracy 74.00%, training accuracy 79.00%, gap 5.00 points" in section
    assert "(selected on the test set): 76.00% in epoch 2" in section
    assert "50% in epoch 1, 60% in epoch 2, 70% in epoch 2, 73% in epoch 2, 75% in epoch 2\n" in section
    assert re.findall(r"Epoch \[(\d)/3\]", section) == ["1", "2", "3"]
    assert "`python -m cifar100 train sprint`\n" in section
    other = render_run(make_run(tmp_path, replace(SPRINT, lr=1.0, seed=2), [0.5]))
    assert "`python -m cifar100 train sprint --seed 2 --lr 1`\n" in other


def test_seeds_of_a_recipe_share_a_line_and_the_sample_stays_out(tmp_path):
    make_run(tmp_path, SPRINT, [0.74])
    make_run(tmp_path, replace(SPRINT, seed=10), [0.76])
    make_run(tmp_path / "sample", SMOKE, [0.5], data="sample")
    shutil.copytree(make_run(tmp_path / "x", SPRINT, [0.9]), tmp_path / "sprint/holdout/seed0")
    table = render_results(groups_in(tmp_path))
    assert "**75.00% ± 1.41 (2 seeds)**" in table and "smoke" not in table and table.count("`sprint`") == 1
    assert [run.recipe.seed for run in load_published(tmp_path)] == [0, 10]
    assert render_run(tmp_path / "sample/smoke/seed0").count("(SAMPLE)") == 1


def test_a_reports_number_stands_beside_ours(tmp_path):
    make_run(tmp_path, RECIPES["resnet56_multistep"], [0.5, 0.74])
    make_run(tmp_path, SPRINT, [0.729])
    table = render_results(groups_in(tmp_path))
    row = "| `resnet56_multistep` | 100 | **74.00%** | 73.84% best, 73.68% last | 1 min 30 s on a GPU |"
    assert row in table.replace("\u00a0", " ").splitlines()
    assert "The mean of 1 of these 2 recipes reaches it, all but `sprint` (72.90%)" in table
    assert "; `resnet18_cutmix`: [ResNet-18, CIFAR-100 Cl" in table
    assert set(REPORTED) <= set(RECIPES) and all(0.7 < value.best < 0.8 for value in REPORTED.values())


def test_the_first_screen_has_four_rows_and_the_notebooks_recipe_first(tmp_path):
    recipe = RECIPES["resnet56_multistep"]
    make_run(tmp_path, recipe, [0.72], seconds=60)
    make_run(tmp_path, replace(recipe, seed=1), [0.74], seconds=3600, hardware="slide rule, cpu")
    make_run(tmp_path, replace(recipe, seed=2), [0.73], seconds=120)
    others = {"sprint": 0.73, "resnet18_fast": 0.77, "resnet18_onecycle": 0.75, "resnet18_cutmix": 0.78}
    for name, accuracy in others.items():
        make_run(tmp_path, RECIPES[name], [accuracy])
    table = render_headline(groups_in(tmp_path)).replace("\u00a0", " ")
    _, _, first, best, fast, small, _, machines = table.splitlines()
    assert "`resnet56_multistep` | **73.00% ± 1.00**: 72.00%, 74.00%, 73.00% | 73.84% |" in first
    assert first.endswith("| 1 min 0 s to 2 min 0 s on a GPU; 1 h 0 min on a CPU |")
    assert "The most accurate: `resnet18_cutmix`" in best and "`resnet18_fast`" in fast and "`sprint`" in small
    assert machines == "Hardware: abacus; slide rule."
    make_run(tmp_path, RECIPES["resnet56_200"], [0.745])
    assert "`resnet56_200` | **74.50%** | 73.84% |" in render_headline(groups_in(tmp_path)).splitlines()[2]


def test_copies_of_a_run_are_no_runs_and_own_runs_have_a_mean_of_their_own(tmp_path, monkeypatch):
    ours = make_run(tmp_path, SPRINT, [0.74], weights=b"ours")
    shutil.copytree(ours.parent, tmp_path / "sprint_backup")
    shutil.copytree(ours, tmp_path / "sprint/seed7")
    assert [run.folder for run in load_published(tmp_path)] == [ours]
    listed = tmp_path / "published.json"
    listed.write_text(json.dumps({"sprint/seed0": load_published(tmp_path)[0].metrics["sha256"]["weights"]}))
    monkeypatch.setattr(published, "LIST", listed)
    own = make_run(tmp_path, replace(SPRINT, seed=1), [0.70], weights=b"their own")
    assert [run.folder for run in load_published(tmp_path)] == [ours, own]
    assert [run.folder for run in groups_in(tmp_path)["sprint"]] == [own]


def test_the_curves_of_every_recipe(tmp_path):
    made = {"resnet56_multistep": [0.5, 0.7], "sprint": [0.6, 0.72]}
    for name, accuracies in made.items():
        make_run(tmp_path, RECIPES[name], accuracies)
    make_run(tmp_path, replace(SPRINT, seed=1), [0.76])
    drawn = save_curves(choose_shown(load_published(tmp_path), None))
    assert sorted(path.relative_to(tmp_path).as_posix() for path in drawn) == [f"{name}/curves.png" for name in made]
    (axes,) = draw_overview(groups_in(tmp_path)).axes
    ends = {value for dots in axes.collections[:-1] for value, _ in dots.get_offsets()}
    assert ends == {0.7, 0.72, 0.76} and list_levels("sprint") == {"the course asks for": 0.73}
    levels = list_levels("resnet56_multistep")
    assert levels == {"the course asks for": 0.73, "the report's best": 0.7384}
    assert list_events(SPRINT) == {1.5: "24 px", 5: "32 px"}


def test_a_missing_place_in_the_readme_is_an_error():
    text = "a\n<!-- results -->\nold\n<!-- end of results -->\nb"
    assert replace_block(text, "results", "new\n").split("\n")[2] == "new"
    for damaged in ("", text + text, "<!-- results -->"):
        with pytest.raises(UserError, match="README.md must have one line"):
            replace_block(damaged, "results", "new\n")


def test_committed_text_agrees_with_committed_data():
    for path, text in render_all(ROOT, load_published(ROOT / "output")).items():
        assert path.read_text() == text, f"{path.name} is out of date: run python -m cifar100 report"


def test_every_published_run_is_whole():
    """Every file says what the others say."""
    for run in load_published(ROOT / "output"):
        assert run.folder.name == f"seed{run.recipe.seed}" and run.folder.parent.name == run.recipe.name
        facts = {name: run.metrics[name] for name in run.metrics if name not in ROWS}
        if has_weights(run.folder):
            assert make_metrics(run.recipe, run.history, run.folder, **facts) == run.metrics
        assert len(run.history) == -(-run.recipe.epochs // 1)
