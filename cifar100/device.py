"""The machine: the device, the precision of training, and the description of the hardware."""

import ctypes
import functools
import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.nn.functional as F

from cifar100.errors import UserError
from cifar100.files import ROOT
from cifar100.recipe import Recipe

INCORRECT_BFLOAT16 = "This release of torch computes convolutions in bfloat16 incorrectly on this processor"


def choose_device(name: str | None = None, local_rank: int | None = None) -> torch.device:
    """The named device, or else the fastest available; under torchrun the GPU of the local rank. Raises UserError if it
    does not exist or has no free memory."""
    if local_rank is not None and name in (None, "cuda") and torch.cuda.is_available():
        if local_rank >= torch.cuda.device_count():
            raise UserError(f"There are {torch.cuda.device_count()} GPUs: give torchrun --nproc-per-node at most that.")
        name = f"cuda:{local_rank}"
        torch.cuda.set_device(local_rank)
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda", "mps"):
            raise RuntimeError("unknown")
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        problem = f"There is no device {name!r} on this machine: omit --device"
        if is_out_of_memory(error):
            problem = f"The memory of {name} is full: close the other programs that use it (nvidia-smi lists them)"
        raise UserError(f"{problem}, or use --device cpu.") from error
    return device


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the error is that a GPU is out of memory: of CUDA, its libraries or Apple's GPU."""
    return any(words in str(error) for words in ("out of memory", "ALLOC_FAILED"))


@contextmanager
def advise_on_memory(recipe: Recipe) -> Iterator[None]:
    """Raises UserError if the GPU runs out of memory. The suggested learning rate is proportional to the batch size
    (Goyal et al. 2017, "Accurate, Large Minibatch SGD", section 2.1)."""
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        half = f"--batch-size {recipe.batch_size // 2} --lr {recipe.lr / 2:g}"
        problem = f"The GPU has too little memory for batches of {recipe.batch_size}"
        way = f"use {half} or change the recipe, close other programs that use it, or use --device cpu"
        raise UserError(f"{problem}: {way}.") from error


def choose_precision(device: torch.device, name: str = "auto") -> torch.dtype:
    """The dtype of convolutions and matrix products in training; everything else, and evaluation, uses float32.

    "auto" is bfloat16 if the hardware supports it (GPUs since Ampere; CPUs with AVX512_BF16 or AMX, in little more than
    half the time), float16 on older GPUs, else float32. Raises UserError if the device does not support the precision.
    """
    if name == "auto" and device.type == "cuda":
        name = "bfloat16" if torch.cuda.get_device_capability(device) >= (8, 0) else "float16"
    elif name == "auto":
        name = "bfloat16" if has_bfloat16(device) and convolves_correctly(torch.bfloat16) else "float32"
    if name == "float16" and device.type != "cuda":
        raise UserError(f"float16 needs a CUDA GPU: on {device.type} use --precision float32 or bfloat16.")
    if name == "bfloat16" and device.type == "cpu" and not convolves_correctly(torch.bfloat16):
        raise UserError(f"{INCORRECT_BFLOAT16}: use --precision float32, or install a newer torch.")
    return getattr(torch, name)


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device is a CPU with bfloat16 instructions."""
    return device.type == "cpu" and bool({"avx512_bf16", "amx_bf16"} & set(read_cpu("flags").split()))


@functools.cache
def convolves_correctly(dtype: torch.dtype) -> bool:
    """Whether small convolutions and their gradients on the CPU equal those in float32 up to rounding.

    In some releases of torch, on some processors, 2x2 convolutions in bfloat16 are incorrect (pytorch issue 163347: 1
    instead of 4); the stem of `sprint` is one. All numbers here are positive, so that none cancel out.
    """
    generator, close = torch.Generator().manual_seed(0), True
    for sizes in (((4, 1, 2, 2), (1, 1, 2, 2)), ((4, 3, 32, 32), (24, 3, 2, 2)), ((4, 16, 8, 8), (16, 16, 3, 3))):
        parts, results = [torch.rand(size, generator=generator) for size in sizes], []
        for kind in (torch.float32, dtype):
            own = [part.to(kind).requires_grad_() for part in parts]
            with torch.enable_grad():
                out = F.conv2d(*own)
                results.append([out, *torch.autograd.grad(out.sum(), own)])
        close &= all((exact - rounded).norm() <= 0.03 * exact.norm() for exact, rounded in zip(*results))
    return close


def read_cpu(key: str) -> str:
    """An entry of the first processor in /proc/cpuinfo; empty on other systems."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")


def keep_freed_memory() -> None:
    """Make glibc reuse large buffers. Allocating new pages in every step is slow: docs/speed.md."""
    if platform.libc_ver()[0] == "glibc":
        mallopt, trim_threshold, mmap_threshold = ctypes.CDLL(None).mallopt, -1, -3  # from malloc.h
        mallopt(mmap_threshold, 2**31 - 1)
        mallopt(trim_threshold, -1)


def describe_hardware(device: torch.device) -> str:
    """For the log: the name of the GPU, or of the processor with the number of threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    processor = read_cpu("model name") or platform.processor() or platform.machine()
    amx = ", AMX" if "amx_bf16" in read_cpu("flags").split() else ""  # not part of the capability's name
    capability = torch.backends.cpu.get_cpu_capability()
    count = torch.get_num_threads()
    return f"{processor}, {count} thread{'' if count == 1 else 's'} ({capability}{amx}), {device.type}"


def name_precision(dtype: torch.dtype) -> str:
    """The name that `choose_precision` takes, such as "bfloat16"."""
    return str(dtype).removeprefix("torch.")


def current_commit() -> str | None:
    """The commit of this code, with "+changes" if files differ from it; None outside a git repository."""

    def git(*arguments: str) -> str:
        return subprocess.check_output(["git", "-C", ROOT, *arguments], stderr=subprocess.DEVNULL, text=True)

    try:
        top, commit = git("rev-parse", "--show-toplevel", "HEAD").splitlines()
        changed = git("status", "--porcelain", "--untracked-files=no", "--", "*.py")
        return commit + "+changes" * bool(changed) if Path(top).samefile(ROOT) else None
    except (OSError, subprocess.CalledProcessError):
        return None
