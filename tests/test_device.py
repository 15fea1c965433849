"""What is chosen on machines that are not here: their properties are put in."""

import subprocess

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cifar100 import device as devices
from cifar100.dataset.cifar import Images
from cifar100.dataset.loader import TrainingLoader, count_cores
from cifar100.device import advise_on_memory, choose_device, choose_precision, convolves_correctly
from cifar100.errors import UserError
from cifar100.recipes import RECIPES

CPU, CUDA, MPS = (torch.device(name) for name in ("cpu", "cuda", "mps"))
FEW = Images(np.zeros((200, 32, 32, 3), np.uint8), np.arange(200) % 100, np.arange(200) % 20)


@pytest.fixture
def gpu(monkeypatch):
    """Call it with a compute capability: the machine has a CUDA GPU of that kind, as far as can be asked."""

    def put_in(*capability):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)

    return put_in


@pytest.fixture
def apple(monkeypatch):
    empty = torch.empty

    def make_empty(*size, device=None, **other):
        return empty(*size, device=CPU if device == MPS else device, **other)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch, "empty", make_empty)


def test_a_t4_computes_in_float16(gpu):
    gpu(7, 5)
    assert choose_precision(CUDA) == torch.float16
    assert TrainingLoader(FEW, RECIPES["resnet56_multistep"], CUDA).num_workers == min(16, count_cores())


def test_newer_gpus_compute_in_bfloat16(gpu):
    for capability in ((8, 0), (8, 9), (9, 0), (12, 0)):
        gpu(*capability)
        assert choose_precision(CUDA) == torch.bfloat16


@pytest.mark.parametrize(
    "error", [torch.cuda.OutOfMemoryError("CUDA out of memory."), RuntimeError("CUDA error: out of memory\nCompile")]
)
def test_a_gpu_that_another_program_has_filled_is_not_called_missing(gpu, monkeypatch, error):
    def full(*_, **__):
        raise error

    gpu(8, 0)
    monkeypatch.setattr(torch, "empty", full)
    with pytest.raises(UserError, match="The memory of cuda is full: close the other programs .*--device cpu"):
        choose_device()


@pytest.mark.parametrize("words", ["CUDA out of memory.", "MPS backend out of memory", "CUBLAS_STATUS_ALLOC_FAILED"])
def test_a_gpu_that_is_full_gets_advice(words):
    with pytest.raises(UserError, match="for batches of 128: use --batch-size 64 --lr 0.025 or change"):
        with advise_on_memory(RECIPES["smoke"]):
            raise RuntimeError(words)


def test_an_apple_gpu_computes_in_float32(apple):
    assert choose_device() == MPS and choose_precision(MPS) == torch.float32
    assert TrainingLoader(FEW, RECIPES["resnet56_multistep"], MPS).num_workers == 0
    with pytest.raises(UserError, match="float16 needs a CUDA GPU: on mps use"):
        choose_precision(MPS, "float16")


@pytest.mark.parametrize("flags", ["", "fpu sse sse2 ssse3 sse4_2", "avx avx2 avx512f"])
def test_a_cpu_without_bfloat16_or_without_avx_computes_in_float32(monkeypatch, flags):
    monkeypatch.setattr(devices, "read_cpu", lambda key: flags)
    assert choose_precision(CPU) == torch.float32


@pytest.fixture
def convolution(monkeypatch):
    """Call it with a function: the CPU has bfloat16, and convolves in it as the function does."""

    def put_in(convolve):
        usual = F.conv2d
        monkeypatch.setattr(devices, "read_cpu", lambda key: "avx512_bf16")
        monkeypatch.setattr(
            F, "conv2d", lambda *parts: convolve(usual, *parts) if parts[0].dtype == torch.bfloat16 else usual(*parts)
        )
        convolves_correctly.cache_clear()

    yield put_in
    convolves_correctly.cache_clear()


def test_rounding_is_no_reason_to_refuse_bfloat16(convolution):
    convolution(lambda usual, *parts: usual(*(part.float() for part in parts)).bfloat16())
    assert choose_precision(CPU) == choose_precision(CPU, "bfloat16") == torch.bfloat16


def first_pixel(usual, images, filters):
    """As in pytorch issue 163347, where a filter of 2x2 ones on ones gave 1."""
    side = filters.size(-1)
    one = torch.eye(1, side**2).view(side, side)
    return usual(images.float(), filters.float() * one).bfloat16()


def no_gradient_of_filters(usual, images, filters):
    return usual(images.float(), filters.float().detach() + 0 * filters).bfloat16()


@pytest.mark.parametrize("wrong", [first_pixel, no_gradient_of_filters])
def test_a_release_of_torch_that_computes_bfloat16_incorrectly_is_refused(convolution, wrong):
    convolution(wrong)
    assert choose_precision(CPU) == torch.float32
    with pytest.raises(UserError, match="in bfloat16 incorrectly on this processor: use --precision float32"):
        choose_precision(CPU, "bfloat16")


def test_the_commit_of_another_repository_is_not_ours(tmp_path, monkeypatch):
    for command in ("init -q", "-c user.name=x -c user.email=x commit -q --allow-empty -m x"):
        subprocess.run(["git", "-C", tmp_path, *command.split()], check=True)
    (tmp_path / "unpacked").mkdir()
    monkeypatch.setattr(devices, "ROOT", tmp_path / "unpacked")
    assert devices.current_commit() is None
    monkeypatch.setattr(devices, "ROOT", tmp_path)
    assert len(devices.current_commit()) == 40
