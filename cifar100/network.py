"""A recipe's network, new or with the weights of a finished run."""

import json
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
from cifar100.runs.run import WEIGHTS, load_metrics, load_recipe, read_recorded


def make_network(recipe: Recipe) -> nn.Module:
    """The recipe's network with random weights, which depend on the recipe's seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        options = {"dropout": recipe.dropout} if recipe.dropout else {}
        return networks.NETWORKS[recipe.network](**options).to(memory_format=torch.channels_last)


def load_network(folder: str | Path) -> nn.Module:
    """A finished run's network, on the CPU, in float32, in evaluation mode. Raises UserError if a file of the run is
    missing or damaged, or if the weights do not match metrics.json."""
    folder = Path(folder)
    read_recorded(folder / WEIGHTS, load_metrics(folder))
    network = make_network(load_recipe(folder))
    load_weights(folder / WEIGHTS, network)
    return network.eval()


def save_weights(path: Path, network: nn.Module, recipe: Recipe) -> None:
    """Write a safetensors file, with the names of the network and of the classes in its metadata. With
    weights_precision "float16" only filters and matrices are converted: the other tensors are small, and a running
    variance may exceed the range of float16."""
    halve = recipe.weights_precision == "float16"
    tensors = {
        name: (value.half() if halve and value.ndim > 1 else value).cpu().contiguous()
        for name, value in network.state_dict().items()
    }
    # One entry only: safetensors writes several in random order, so that the files of equal runs would differ.
    metadata = {"cifar100": json.dumps({"network": recipe.network, "classes": FINE_NAMES})}
    write_bytes(path, save(tensors, metadata))


def load_weights(path: Path, network: nn.Module) -> None:
    """Load a safetensors file into a network, in the network's own precision. Raises UserError if the file is missing
    or damaged, is for another network, or holds values that are not finite."""
    expected = network.state_dict()
    try:
        check_regular(path)
        with safe_open(path, framework="pt") as file:
            shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}
            if shapes != {name: list(value.shape) for name, value in expected.items()}:  # before a tensor is read
                raise UserError(
                    f"{path} holds the weights of another network than {type(network).__name__}: train it again."
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except FileNotFoundError as error:
        raise UserError(f"There is no {path}: train the run, or choose another.") from error
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is damaged ({brief(error)}): restore it, or train the run again.") from error
    if not all(torch.isfinite(value).all() for value in tensors.values()):
        raise UserError(f"{path} holds weights that are not finite numbers: restore it, or train the run again.")
    network.load_state_dict(tensors)
