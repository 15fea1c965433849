"""Where a run computes, in which precision, and how its memory is kept."""

import ctypes
import platform
import subprocess
from pathlib import Path

import torch

from cifar100.errors import UserError
from cifar100.files import ROOT


def choose_device(name: str | None = None) -> torch.device:
    """The named device, else the best there is. Raises UserError if it is not there."""
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda", "mps"):
            raise RuntimeError(f"unknown device {name}")
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f"There is no device {name!r} on this machine: leave out --device, or say --device cpu."
        ) from error
    return device


def choose_precision(device: torch.device, name: str = "auto") -> torch.dtype:
    """The dtype in which convolutions and matrix products are trained; all else, and evaluation, is float32.

    "auto" is bfloat16 where the processor computes in it (GPUs since Ampere, and CPUs with AVX512_BF16 or AMX, where
    it takes little more than half the time), float16 on older GPUs, and float32 elsewhere.
    Raises UserError for any other name, and for float16 without a CUDA device.
    """
    if name not in ("auto", "float32", "bfloat16", "float16"):
        raise UserError(f"The precision is auto, float32, bfloat16 or float16, not {name!r}.")
    cuda = device.type == "cuda"
    if name == "float16" and not cuda:
        raise UserError(f"float16 is for a CUDA GPU: on {device.type} say --precision float32 or bfloat16.")
    if name != "auto":
        return getattr(torch, name)
    if cuda:
        return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else torch.float16
    fast = device.type == "cpu" and {"avx512_bf16", "amx_bf16"} & set(read_cpu("flags").split())
    return torch.bfloat16 if fast else torch.float32


def read_cpu(key: str) -> str:
    """What Linux says of its first processor; empty where it does not say so."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith(key))
    except (OSError, StopIteration):
        return ""


def keep_freed_memory() -> None:
    """Ask the C library not to hand large buffers back to the kernel at every step.

    Activations of a batch of 1,024 are buffers of 100 MB; fetching fresh pages for them again and
    again takes a quarter of the time on a CPU. Without glibc this does nothing.
    """
    if platform.libc_ver()[0] == "glibc":
        mallopt, trim_threshold, mmap_threshold = ctypes.CDLL(None).mallopt, -1, -3  # from malloc.h
        mallopt(mmap_threshold, 2**31 - 1)
        mallopt(trim_threshold, -1)


def describe_hardware(device: torch.device) -> str:
    """For the log: the GPU's name, or the processor's with the number of threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    processor = read_cpu("model name") or platform.processor() or platform.machine()
    amx = ", AMX" if "amx_bf16" in read_cpu("flags").split() else ""  # which torch uses for bfloat16 without naming it
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{processor}, {torch.get_num_threads()} threads ({capability}{amx}), {device.type}"


def name_precision(dtype: torch.dtype) -> str:
    """As `choose_precision` takes it: bfloat16."""
    return str(dtype).removeprefix("torch.")


def describe_machine(device: torch.device) -> dict[str, str | None]:
    """What every kept measurement says of where it was taken."""
    return {"hardware": describe_hardware(device), "torch": str(torch.__version__), "commit": current_commit()}


def current_commit() -> str | None:
    """The commit of the code that runs, with "+changes" behind it where files differ from it."""
    try:
        git = ["git", "-C", str(ROOT)]
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no", "--", "*.py"], capture_output=True, text=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + ("+changes" if changed.strip() else "")
