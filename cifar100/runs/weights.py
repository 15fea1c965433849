"""A network's weights on disk: safetensors for a finished run, a checkpoint for a running one."""

import hashlib
import io
import json
import zipfile
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

import model as networks
from cifar100.dataset.cifar import FINE_NAMES
from cifar100.errors import UserError, brief
from cifar100.files import check_regular, write_bytes
from cifar100.recipe import Recipe
from cifar100.runs.checks import FILES, compare_checksum
from cifar100.runs.run import load_recipe

FLOATS, COUNTS = ("F32", "F16", "BF16"), ("I64",)  # kinds of numbers, as safetensors names them
SEAL = b"sha256 "  # of a checkpoint: this and a digest in hexadecimal, as the comment that ends its zip archive
SEAL_BYTES = len(SEAL) + 64


def make_network(recipe: Recipe) -> nn.Module:
    """The recipe's network with new weights, drawn from the recipe's seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        options = {"dropout": recipe.dropout} if recipe.dropout else {}
        return networks.NETWORKS[recipe.network](**options).to(memory_format=torch.channels_last)


def save_weights(path: Path, network: nn.Module, recipe: Recipe) -> None:
    """Write a safetensors file with the recipe and the class names in its metadata.

    With weights_precision "float16" filters and matrices are halved; norms, biases and running
    statistics stay as they are, since they are small and a variance may leave float16's range.
    """
    halve = recipe.weights_precision == "float16"
    tensors = {
        name: (value.half() if halve and value.ndim > 1 else value).cpu().contiguous()
        for name, value in network.state_dict().items()
    }
    # One entry only: safetensors writes several in a random order, and equal runs would differ.
    metadata = {"cifar100": json.dumps({"recipe": recipe.to_dict(), "classes": FINE_NAMES})}
    write_bytes(path, save(tensors, metadata))


def load_weights(path: Path, network: nn.Module) -> None:
    """Read a safetensors file into a network, in the network's own precision. Raises UserError if
    the file is damaged, belongs to another network, holds values that are not finite, or is not the one of the
    metrics.json beside it."""
    try:
        check_regular(path)
        with safe_open(path, framework="pt") as file:
            compare_header({name: file.get_slice(name) for name in file.keys()}, network, path)
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except FileNotFoundError as error:
        raise UserError(f"There is no {path}: train the run, or name another.") from error
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is damaged ({brief(error)}): restore it, or train the run again.") from error
    if not all(torch.isfinite(value).all() for value in tensors.values()):
        raise UserError(f"{path} holds weights that are not finite numbers: restore it, or train the run again.")
    network.load_state_dict(tensors)
    if path.name == FILES["weights"]:  # last: the words above say more of what is wrong
        compare_checksum(path)


def compare_header(slices: dict, network: nn.Module, path: Path) -> None:
    """Compare names, shapes and kinds of numbers, before any tensor is read. slices: by name, as safetensors has them.
    Raises UserError if they are those of another network."""
    expected = network.state_dict()
    same = slices.keys() == expected.keys() and all(
        own.get_shape() == list(value.shape) and own.get_dtype() in (FLOATS if value.is_floating_point() else COUNTS)
        for own, value in ((slices[name], value) for name, value in expected.items())
    )
    if not same:
        raise UserError(
            f"{path} holds the weights of another network than {type(network).__name__}: name its own run or recipe."
        )


def load_network(folder: Path) -> nn.Module:
    """A finished run's network, on the CPU and in float32, in evaluation mode. Raises UserError
    if a file of the run is missing or damaged."""
    network = make_network(load_recipe(folder))
    load_weights(folder / "weights.safetensors", network)
    return network.eval()


def save_checkpoint(path: Path, state: dict) -> None:
    """Write a plain dict of tensors, numbers and strings, whole or not at all."""
    buffer = io.BytesIO()  # first in memory: a full disk then meets one write of known size
    torch.save(state, buffer)
    write_bytes(path, seal(buffer.getvalue()))


def seal(archive: bytes) -> bytes:
    """A zip archive with its checksum as its comment. torch does not compare those that zip has: a bit that flips on
    the disk would go on into the training."""
    content = archive[:-2]  # the last two bytes are the length of the comment, 0 as torch writes it
    return content + SEAL_BYTES.to_bytes(2, "little") + SEAL + hashlib.sha256(content).hexdigest().encode()


def load_checkpoint(path: Path, recipe: Recipe) -> dict:
    """Raises UserError if the file is damaged, holds anything but plain data, or belongs to
    another recipe."""
    try:
        check_regular(path)
        content = path.read_bytes()
        if seal(content[:-SEAL_BYTES]) != content:
            raise ValueError("another checksum")
        with zipfile.ZipFile(io.BytesIO(content)) as archive:  # torch packs nothing, and so has no bombs
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise ValueError("it is packed")
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        theirs = dict(state["recipe"])
    except (OSError, MemoryError) as error:
        raise UserError(f"The checkpoint {path} could not be read ({error}): try again.") from error
    except Exception as error:  # a damaged file raises whatever its bytes happen to mean
        raise UserError(f"The checkpoint {path} is damaged: delete its folder and train again.") from error
    ours = recipe.to_dict()
    # How the weights will be saved changes nothing in their training.
    changed = [name for name in ours if name != "weights_precision" and theirs.get(name) != ours[name]]
    if changed:
        difference = ", ".join(f"{name} {theirs.get(name)!r} there, {ours[name]!r} here" for name in changed)
        raise UserError(
            f"The checkpoint {path} is from another recipe ({difference}): resume with its settings, or delete its "
            "folder."
        )
    return state
