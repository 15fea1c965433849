"""What a training run would use on this machine: a table for bug reports. Nothing is trained."""

import os
import platform
import shutil
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import torch

from cifar100.dataset.cifar import SIZES, find_folder, find_split, is_sample, name_data
from cifar100.device import (
    INCORRECT_BFLOAT16,
    choose_device,
    choose_precision,
    convolves_correctly,
    current_commit,
    describe_hardware,
    has_bfloat16,
    name_precision,
)

NEEDED_GB = 1.0  # free disk space for data and runs


def check(
    device: str | None = None, data: str | Path | None = None, output: str | Path = "output"
) -> Iterator[tuple[str, bool, str]]:
    """Yield (name, whether it is sufficient, description) for each requirement of a training run. Raises UserError if
    the device does not exist."""
    chosen = choose_device(device)
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "torchvision", "numpy", "albumentations"))
    system = f"{platform.system()} {platform.machine()}; commit {(current_commit() or 'unknown')[:7]}"
    yield "versions", True, f"Python {platform.python_version()}, {packages}; {system}"
    yield "device", True, describe_hardware(chosen)
    precision = name_precision(choose_precision(chosen))
    right = not has_bfloat16(chosen) or convolves_correctly(torch.bfloat16)
    yield "precision", right, precision if right else f"{precision}. {INCORRECT_BFLOAT16}: a newer one may be correct"
    named = name_data(data)  # a folder that the user names is only read
    written = {"output": Path(output)} if named else {"output": Path(output), "data": find_folder()}
    for what, folder in written.items():
        there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
        free, writable = shutil.disk_usage(there).free / 1e9, os.access(there, os.W_OK)
        text = f"{free:.1f} GB free for {folder}" + ("" if writable else ", which is not writable")
        yield f"disk, {what}", free >= NEEDED_GB and writable, text
    if is_sample(data):
        yield "data", True, "the synthetic sample"
    elif all(find_split(split, find_folder(data)) for split in SIZES):
        yield "data", True, f"CIFAR-100 in {find_folder(data)}"
    else:
        text = "holds no CIFAR-100" if named else "holds no CIFAR-100 yet: the first training run downloads it"
        yield "data", not named, f"{find_folder(data)} {text}"
