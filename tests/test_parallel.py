"""Several processes, one run: on the CPU, where they talk through gloo."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from safetensors.torch import load_file

from cifar100.runs.history import load_history
from cifar100.runs.run import load_metrics
from tests.conftest import ROOT

TRAIN = ("train", "smoke", "--data", "elsewhere", "--device", "cpu", "--batch-size", "64", "--epochs", "1")


def start(ranks, size, output, *options):
    """The command line in the processes of these ranks, which meet at a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    place = {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / "tests/conftest.py"), *TRAIN, *options, "--output", str(output)]
    return [
        subprocess.Popen(
            command,
            env=os.environ | place | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in ranks
    ]


def test_two_processes_train_and_write_one_run(tmp_path):
    processes = start((0, 1), 2, tmp_path, "--precision", "float32")
    texts = [process.communicate(timeout=200) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], texts
    assert "".join(out for out, _ in texts).count("Epoch [1/1]") == 1
    folder = tmp_path / "smoke/seed0"
    assert load_metrics(folder)["hardware"].startswith("2 x ") and load_file(folder / "weights.safetensors")
    (record,) = load_history(folder)
    assert 4 < record.train_loss < 6  # the mean over all images, not a sum of two means


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_process_whose_group_does_not_come_says_so_and_ends_on_a_signal(tmp_path, name):
    (process,) = start((0,), 2, tmp_path)
    assert "waits for the other processes at 127.0.0.1:" in process.stdout.readline()
    time.sleep(1)
    process.send_signal(getattr(signal, name))
    out, errors = process.communicate(timeout=20)
    assert process.returncode == 130 and "Traceback" not in errors


def test_a_group_that_does_not_come_together_is_given_up(monkeypatch):
    from datetime import timedelta

    from cifar100 import parallel
    from cifar100.errors import UserError

    monkeypatch.setattr(parallel, "PATIENCE", timedelta(seconds=1))
    for name, value in {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match="The 2 processes of this run did not connect .* by torchrun"):
        with parallel.joined():
            pass
