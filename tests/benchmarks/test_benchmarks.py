import json
import os
import weakref
from concurrent.futures import Future
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks import command, growth, ours, peers, plain, processes
from cifar100.__main__ import main
from cifar100.errors import UserError
from cifar100.explain.receptive_field import count_multiply_adds
from cifar100.figures import plot_growth
from cifar100.recipes import RECIPES, find_recipe
from cifar100.training import fitting, trainer
from cifar100.training import speed as parts
from model import NETWORKS

CPU = torch.device("cpu")


class Here:
    """Stands for a process of its own, and is none."""

    def submit(self, function, *arguments) -> Future:
        future = Future()
        future.set_result(function(*arguments))
        return future

    def shutdown(self) -> None:
        pass

    def __enter__(self):
        return self

    def __exit__(self, *error) -> None:
        pass


@pytest.mark.parametrize("name", plain.NETWORKS)
def test_the_plain_networks_are_ours(name):
    both = [builder[name]() for builder in (plain.NETWORKS, NETWORKS)]
    sizes = [sorted(tuple(p.shape) for p in network.parameters()) for network in both]
    assert sizes[0] == sizes[1]
    assert count_multiply_adds(both[0]) == count_multiply_adds(both[1])


def test_the_plain_cutout():
    picture, erase = torch.ones(3, 32, 32), plain.Cutout(16, 1.0)
    holes = torch.stack([erase(picture) for _ in range(200)]) == 0
    areas = holes.sum((2, 3))
    assert (areas == areas[:, :1]).all()  # all colours alike
    assert areas.max() == 256 and areas.min() >= 64  # a corner of it at least
    assert plain.Cutout(16, 0.0)(picture).all()


def test_only_our_side_changes_how_memory_is_kept(monkeypatch):
    kept = []
    monkeypatch.setattr(trainer, "keep_freed_memory", lambda: kept.append(True))
    recipe = replace(RECIPES["resnet56_multistep"], batch_size=2)
    assert next(plain.training_steps(recipe, CPU)) == 2 and not kept
    assert next(ours.training_steps(recipe, CPU, "off", "float32")) == 2 and kept


def test_figures_are_medians_of_turns():
    turns = {"plain": [1.0, 2.0, 30.0], "plain, workers": [3.0, 4.0, 5.0], "ours": [100.0, 8.0, 6.0]}
    figures = peers.summarise(turns, gflop=2.0, floor=dict.fromkeys(turns, 20.0))
    assert figures["images_per_second"] == {"plain": 2.0, "plain, workers": 4.0, "ours": 8.0}
    assert figures["ratio"] == {"ours": 2.0}  # the better plain one counts
    assert figures["share_of_floor"]["ours"] == 0.8
    assert figures["turns"] == turns


@pytest.fixture
def small(monkeypatch):
    """Measure tiny work in this process."""
    monkeypatch.setattr(processes, "start_process", Here)
    monkeypatch.setattr(growth, "start_process", Here)
    monkeypatch.setattr(parts, "SIZES", {"train": 300, "test": 100})
    for module in (plain, ours, growth):
        monkeypatch.setattr(module, "draw_noise", lambda count=300: parts.draw_noise(min(count, 300)))
    for name, value in {"MATRIX": 16, "EVALUATION_BATCH": 4, "count_cores": lambda: 1}.items():
        monkeypatch.setattr(peers, name, value)
    for name in peers.COMPARED:
        monkeypatch.setitem(RECIPES, name, replace(RECIPES[name], batch_size=4))


def test_peers(small, tmp_path, capsys, monkeypatch):
    measure = peers.measure_peers
    monkeypatch.setattr(command, "measure_peers", lambda *args, say: measure(*args, rounds=1, seconds=0.01, say=say))
    arguments = ["bench", "--peers", "--device", "cpu", "--precision", "bfloat16", "--write", "--output", tmp_path]
    assert main([str(a) for a in arguments]) == 0
    table = capsys.readouterr().out
    figures = json.loads((tmp_path / "bench/peers.json").read_text())
    assert {"hardware", "torch", "commit", "precision", "floor_gflop_per_second"} < set(figures)
    assert figures["floor_gflop_per_second"].keys() == {"float32", "bfloat16"}
    assert {name: n["parameters"] for name, n in figures["networks"].items()} == {
        "resnet56": 861_620,
        "resnet18": 11_220_132,
    }
    for network in figures["networks"].values():
        rates = network["training_step"]["images_per_second"]
        assert set(rates) == {"plain", "ours", "ours, float32"}
        assert network["training_step"]["ratio"]["ours, float32"] == rates["ours, float32"] / rates["plain"]
        share = 3 * network["gflop_per_image"] * rates["ours"] / figures["floor_gflop_per_second"]["bfloat16"]
        assert network["training_step"]["share_of_floor"]["ours"] == pytest.approx(share)
    markdown = peers.render_peers(figures)
    for row in peers.list_rows(figures):
        assert row.part in table and f"| {row.part} | {peers.format_rate(row.plain)} |" in markdown
    assert len(peers.list_rows(figures)) == 7
    assert markdown.count("\n|") == 8 and figures["hardware"] in markdown


def test_rates_have_three_digits():
    assert [peers.format_rate(rate) for rate in (6.127, 61.27, 1234.5, 98765.0)] == ["6.13", "61.3", "1,230", "98,800"]


def test_growth(small, tmp_path, capsys, monkeypatch):
    measure, sizes = growth.measure_growth, {"images": (40, 80), "batches": (16, 32), "timed": 40}
    monkeypatch.setattr(command, "measure_growth", lambda *args, say: measure(*args, **sizes, say=say))
    assert main(["bench", "--growth", "--device", "cpu", "--write", "--output", str(tmp_path)]) == 2
    assert "larger than the 40 training images" in capsys.readouterr().err  # smoke's batch is 128
    monkeypatch.setitem(RECIPES, "smoke", replace(RECIPES["smoke"], batch_size=20))
    capture = ["--compile", "capture"]  # not on a CPU
    assert main(["bench", "--growth", "--device", "cpu", "--write", "--output", str(tmp_path), *capture]) == 0
    figures = json.loads((tmp_path / "bench/growth.json").read_text())
    assert [p["timed_images"] for p in figures["images"]] == [40, 80]
    assert [p["timed_images"] for p in figures["batches"]] == [48, 64]  # whole batches: 3 of 5, 2 of 3
    for point in figures["images"] + figures["batches"]:
        assert point["seconds"] == pytest.approx(point["images"] / point["images_per_second"])
        assert point["peak_megabytes"] > 50
    shown = capsys.readouterr()
    assert shown.out.strip() == growth.describe_growth(figures)
    assert shown.err.count("is not recorded as a CUDA graph") == 1
    assert (tmp_path / "bench/growth.png").stat().st_size < 150_000


def test_the_growth_is_a_power():
    assert growth.fit_exponent([1, 2, 4], [3.0, 12.0, 48.0]) == pytest.approx(2)
    point = {"batch_size": 64, "peak_megabytes": 500.0, "images_per_second": 1000.0, "seconds": 5.0, "images": 5000}
    point |= {"timed_images": 5000}
    larger = point | {"batch_size": 1024, "peak_megabytes": 2000.0, "images_per_second": 1500.0}
    figures = {"exponent": 1.0, "network": "resnet20", "batch_size": 128, "batches": [point, larger]}
    figures["images"] = [point, point | {"images": 10_000, "seconds": 10.0}]
    title = growth.describe_growth(figures)
    assert title == "Time grows as images^1.00; 16 times the batch: 4.0 times the memory, 1.50 times the speed"
    fig = plot_growth(figures, title)
    fig.canvas.draw()
    width = fig._suptitle.get_window_extent().width
    assert width < fig.bbox.width  # the title is on the page


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "Name a recipe"),
        (["--serving"], "Name a run"),
        (["smoke", "--write"], "--write is for the measurements that the pages show"),
        (["smoke", "--peers"], "bench --peers does not use RECIPE: leave it away"),
        (["smoke", "--compile", "capture"], "cannot be recorded as a graph"),
        (["--peers", "--compile", "capture"], "cannot be recorded as a graph"),
        (["smoek", "--growth"], "Did you mean smoke?"),
        (["smoke", "--data", "sample"], "bench does not use --data"),
        (["smoke", "--layers", "--num-workers", "2"], "bench --layers does not use --num-workers"),
        (["smoke", "--ablation", "--precision", "float32"], "bench --ablation does not use --precision"),
        (["output/sprint", "--serving", "--compile", "off"], "bench --serving does not use --compile"),
    ],
)
def test_bench_says_what_it_needs(arguments, message, capsys):
    assert main(["bench", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("Error: ") and message in error


def test_a_process_of_its_own_says_what_went_wrong():
    with processes.start_process() as process:
        with pytest.raises(UserError, match="smoke"):
            processes.run_in(process, find_recipe, "smoek")
        assert processes.run_in(process, os.getpid) != os.getpid()
        with pytest.raises(UserError, match="free some memory"):
            processes.run_in(process, os._exit, 9)


def make_limited_trainer(limit: int):
    """A trainer, batch 128 and rate 0.05, that runs out of memory above `limit` images; and the inputs it failed on."""
    limited, failed = trainer.make_trainer(RECIPES["smoke"], parts.draw_noise(200), CPU, precision="float32"), []
    forward = limited.loss_step.forward

    def limited_forward(inputs, targets):
        if len(inputs) > limit:
            failed.append(weakref.ref(inputs))
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        assert not any(reference() is not None for reference in failed)  # what failed holds no memory any more
        return forward(inputs, targets)

    limited.loss_step.forward = limited_forward
    return limited, failed


def test_the_batch_that_fits_a_small_gpu():
    limited, failed = make_limited_trainer(20)
    with pytest.raises(
        UserError, match="batches of 128; a step with 16 passed: train with --batch-size 16 --lr 0.00625,"
    ):
        with fitting.say_what_fits(limited):
            trainer.train_one_epoch(limited, 1)
    assert len(failed) == 3  # 128, 64, 32


def test_a_gpu_on_which_nothing_fits():
    limited, failed = make_limited_trainer(0)
    with pytest.raises(UserError, match="--device cpu"), fitting.say_what_fits(limited):
        trainer.train_one_epoch(limited, 1)
    assert len(failed) == 8


def test_halving_stops_at_what_passes():
    tried = []
    assert fitting.fitting_batch(tried.append, 100) == 50 and tried == [50]
    assert fitting.fitting_batch(tried.append, 1) is None


def test_noise_is_of_the_asked_size():
    noise = parts.draw_noise(7)
    assert noise.images.shape == (7, 32, 32, 3) and noise.images.dtype == np.uint8 and noise.fine.max() < 100
