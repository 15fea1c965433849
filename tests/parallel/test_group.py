"""Several processes, one run: processes on the CPU, which talk through gloo."""

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

import model
from cifar100.errors import UserError
from cifar100.evaluation.logits import evaluate
from cifar100.network import load_network, make_network
from cifar100.parallel import Group, joined
from cifar100.recipes import SMOKE
from cifar100.runs.history import load_history
from cifar100.runs.run import load_metrics
from cifar100.training import fit as train
from tests.conftest import ROOT, tiny_split
from tests.parallel.normless import normless

TINY, NORMLESS = ROOT / "tests/conftest.py", ROOT / "tests/parallel/normless.py"
TRAIN = ("train", "smoke", "--data", "elsewhere", "--device", "cpu", "--batch-size", "64", "--precision", "float32")
# The last as `train` sets it, which comes too late here: tests/conftest.py imports torch first.
ENVIRONMENT = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "ERROR"}
SHORT = replace(SMOKE, batch_size=64)  # 5 steps an epoch on the tiny set, the last with 44 images


def start(script, *arguments, size=2, last=()):
    """The command line in so many processes that meet at a free port, without torchrun, which would end them. last:
    further arguments of the last process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    place = {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return [
        subprocess.Popen(
            [sys.executable, str(script), *map(str, arguments), *(last if rank == size - 1 else ())],
            env=os.environ | ENVIRONMENT | place | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]


def finish(processes, timeout=300):
    """The exit codes, and what all of them printed: to stdout, to stderr."""
    try:
        texts = [process.communicate(timeout=timeout) for process in processes]
    finally:
        for process in processes:
            process.kill()  # of one that has ended, nothing is left to kill
    return [process.returncode for process in processes], *("".join(kind) for kind in zip(*texts))


@pytest.mark.parametrize("script, size", [(NORMLESS, 2), (TINY, 2), (TINY, 3)], ids=["without norms", "2", "3"])
def test_several_processes_reach_the_weights_of_one(script, size, tiny, tmp_path, monkeypatch):
    """Five steps; three processes share neither the batches of 64 and 44 nor the 100 test images equally. Only
    rounding may differ, at a rate at which it does not grow."""
    options = ("--epochs", "1", "--lr", "0.005", "--output", tmp_path / "several")
    codes, out, errors = finish(start(script, *TRAIN, *options, size=size))
    assert codes == [0] * size, errors
    assert out.count("Epoch [1/1]") == 1
    if script == NORMLESS:
        monkeypatch.setitem(model.NETWORKS, "resnet20", normless)
    recipe = replace(SHORT, epochs=1, lr=0.005)
    list(train.fit(recipe, data="elsewhere", output=tmp_path / "one", device="cpu", precision="float32"))
    folders = [tmp_path / name / "smoke/seed0" for name in ("several", "one")]
    ours, expected = (load_file(folder / "weights.safetensors") for folder in folders)
    moved = max((expected[name] - value).abs().max().item() for name, value in make_network(recipe).named_parameters())
    assert moved > 1e-3 and ours.keys() == expected.keys()
    tolerance = 1e-5 if script == NORMLESS else 1e-3  # norms over a batch make rounding grow from step to step
    assert all(torch.allclose(ours[name], expected[name], rtol=tolerance, atol=tolerance) for name in expected)
    together, alone = (load_history(folder)[0] for folder in folders)
    assert together.train_accuracy == alone.train_accuracy
    assert together.train_loss == pytest.approx(alone.train_loss, abs=tolerance)
    again = evaluate(load_network(folders[0]), tiny_split("test"), torch.device("cpu"))  # every image once
    assert (together.eval_loss, together.eval_accuracy) == pytest.approx(again, abs=2e-6)
    assert load_metrics(folders[0])["hardware"].startswith(f"{size} x ")


NORMS = """
import copy, torch
from torch import nn
from cifar100.parallel import joined
from cifar100.parallel.shared_norm import share_norms

torch.manual_seed(0)
whole = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.BatchNorm2d(5)).double()
shared, images, upstream = copy.deepcopy(whole), torch.randn(7, 3, 8, 8).double(), torch.randn(7, 5, 4, 4).double()
with joined() as group:
    share_norms(shared)
    out = shared(group.share(images))
    out.backward(group.share(upstream))
    expected = whole(images)
    expected.backward(upstream)
    pairs = [(out, group.share(expected)), *zip(shared.buffers(), whole.buffers())]
    pairs += [(group.sum(a.grad), b.grad) for a, b in zip(shared.parameters(), whole.parameters())]
    pairs += [(shared.eval()(images), whole.eval()(images))]
    print(max((a - b).abs().max().item() for a, b in pairs) < 1e-12, len(pairs))
"""


def test_norms_that_share_a_batch_have_the_outputs_and_gradients_of_one_that_has_it_whole(tmp_path):
    """In float64; seven images for two processes."""
    script = tmp_path / "norms.py"
    script.write_text(NORMS)
    codes, out, errors = finish(start(script))
    assert codes == [0, 0], errors
    assert out == "True 16\nTrue 16\n"


def test_shares_are_unequal_by_an_image_at_most_and_leave_none_out():
    shares = [Group(rank, 3).share(list(range(44))) for rank in range(3)]
    assert sorted(sum(shares, [])) == list(range(44)) and [len(share) for share in shares] == [15, 15, 14]


def test_torchrun_trains_smoke_as_well_as_one_process(tiny, tmp_path):
    """At the recipe's own rate rounding grows from step to step: five of the 100 test images may be named otherwise."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(TINY), *TRAIN]
    command += ["--epochs", "6", "--output", str(tmp_path / "two")]
    run = subprocess.run(command, env=os.environ | ENVIRONMENT, timeout=300)
    assert run.returncode == 0
    recipe = replace(SHORT, epochs=6)
    alone = list(train.fit(recipe, data="elsewhere", output=tmp_path / "one", device="cpu", precision="float32"))[-1]
    together = load_history(tmp_path / "two/smoke/seed0")[-1]
    assert min(alone.eval_accuracy, together.eval_accuracy) > 0.05  # chance is 0.01
    assert together.eval_accuracy == pytest.approx(alone.eval_accuracy, abs=0.05)


@pytest.mark.parametrize("wrong", [{"WORLD_SIZE": "two"}, {"MASTER_PORT": "none"}, {"RANK": "5"}], ids=str)
def test_processes_that_cannot_meet_say_so(wrong, monkeypatch):
    place = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
    for name, value in (place | wrong).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match="start all of them by torchrun"):
        with joined():
            pass


@pytest.mark.parametrize("victim", [0, 1])
def test_where_one_process_is_killed_the_other_ends_and_one_alone_can_resume(victim, tiny, tmp_path):
    processes = start(TINY, *TRAIN, "--epochs", "6", "--output", tmp_path)
    while not (line := processes[0].stdout.readline()).startswith("Epoch [1/6]"):
        assert processes[0].poll() is None or line
    processes[victim].kill()
    killed = time.monotonic()
    codes, _, errors = finish(processes, timeout=60)
    assert time.monotonic() - killed < 60
    assert codes[victim] == -signal.SIGKILL and codes[1 - victim] == 2
    assert errors.startswith("Error: Another process of this run has ended") and errors.count("\n") == 1
    options = {"data": "elsewhere", "output": tmp_path, "device": "cpu", "precision": "float32"}
    records = list(train.fit(replace(SHORT, epochs=6), resume=True, **options))
    assert [record.epoch for record in records] == list(range(1, 7))
    assert f"{records[0].train_loss:.4f}" in line


@pytest.mark.parametrize(
    "arguments, last, message",
    [
        (["--batch-size", "299"], [], "A batch of smoke has only 1 images, too few for 2 processes"),
        ([], [], "holds an unfinished run"),
        ([], ["--num-workers", "-1"], "The number of workers must be 0 or more"),  # the first waits for it meanwhile
    ],
    ids=["more processes than images", "the first refuses", "the last refuses"],
)
def test_an_error_of_one_ends_all_and_is_said_once(arguments, last, message, tmp_path):
    output = tmp_path / "output"
    running = output / "smoke/seed0.running"
    if message == "holds an unfinished run":
        running.mkdir(parents=True)
        (running / "checkpoint.pt").write_text("")
    before = output.exists()
    codes, _, errors = finish(start(TINY, *TRAIN, "--output", output, *arguments, last=last))
    assert codes == [2, 2], errors
    assert message in errors and errors.startswith("Error: ") and errors.count("\n") == 1
    assert last or output.exists() == running.exists() == before


def test_out_of_time_all_stop_in_the_same_step(tmp_path):
    codes, out, errors = finish(start(TINY, *TRAIN, "--minutes", "0.0001", "--output", tmp_path))
    assert codes == [0, 0], errors
    assert out.count("0.0001 minutes are over") == 1 and "Epoch [" not in out


def test_processes_cannot_share_a_named_gpu():
    with pytest.raises(UserError, match="each takes the GPU of its number"):
        Group(1, 2, 1).choose_device("cuda:0")
