"""Grad-CAM: the regions of an image that are evidence for a class."""

import copy

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from cifar100.dataset.augment_image import to_input
from cifar100.errors import UserError


def stage_layers(network: nn.Module) -> tuple[str, str]:
    """The names of the last stage, which is the most specific to a class but coarse (4x4 in ResNet-18), and of the one
    before it."""
    count = len(network.stages)
    return f"stages.{count - 1}", f"stages.{count - 2}"


def explain_stages(network: nn.Module, images: np.ndarray) -> dict[str, np.ndarray]:
    """Grad-CAM of the predicted classes at the last stage and the one before it, by their labels in figures.

    images: (N, 32, 32, 3) uint8 -> (N, h, w) in 0..1 each.
    """
    maps = (grad_cam(network, images, layer) for layer in stage_layers(network))
    return {f"{name},\n{m.shape[1]} x {m.shape[2]}": m for name, m in zip(("last stage", "stage before"), maps)}


def grad_cam(network: nn.Module, images: np.ndarray, layer: str, targets: np.ndarray | None = None) -> np.ndarray:
    """A heatmap for each image, at the layer's own resolution: (N, h, w) float32 in 0..1.

    images: (N, 32, 32, 3) uint8, all explained in one pass. layer: the dotted name of a module of
    the network. targets: (N,) classes whose logits are explained, or None for the predicted ones.
    Each map is divided by its maximum, so that maps compare positions, not images; it is zero
    everywhere if there is no evidence for the class.

    Selvaraju et al. 2017, "Grad-CAM", arXiv:1610.02391, section 3, with the hooks and weights of
    pytorch-grad-cam, but without its `__call__`, whose min-max scaling always sets the lowest value to
    0. At the last stage, before global average pooling and one linear layer, the result equals CAM
    (Zhou et al. 2016, arXiv:1512.04150) after a ReLU.

    The library gets a copy of the network, because it changes its mode and its gradients and, after an
    error, leaves hooks behind. The network may be frozen, and threads may share it. Raises
    UserError if the images, the layer or the targets are invalid.
    """
    from pytorch_grad_cam import GradCAM  # here, because its imports are slow

    images = np.asarray(images)
    if images.size == 0 or images.shape[1:] != (32, 32, 3) or images.dtype != np.uint8:
        raise UserError(f"Grad-CAM takes images (N, 32, 32, 3) uint8, one or more: not {images.shape} {images.dtype}.")
    if layer not in dict(network.named_modules()):
        raise wrong_layer(network, layer)

    with torch.inference_mode(False):  # also enables gradients under no_grad
        # Only the input requires gradients, which is faster and works for frozen weights.
        network = copy.deepcopy(network).requires_grad_(False)  # the library sets evaluation mode
        module = network.get_submodule(layer)
        # Cloned, because an in-place ReLU after the layer would overwrite the saved activations.
        cam = GradCAM(network, [module], reshape_transform=torch.clone)
        kept = cam.activations_and_grads
        inputs = to_input(torch.tensor(images, device=cam.device)).requires_grad_()
        logits = kept(inputs)  # (N, classes)
        if [activation.ndim for activation in kept.activations] != [4]:
            raise wrong_layer(network, layer)
        labels = logits.argmax(1) if targets is None else torch.tensor(np.asarray(targets), device=cam.device).long()
        count, classes = logits.shape
        if labels.shape != (count,) or labels.min() < 0 or labels.max() >= classes:
            raise UserError(f"Grad-CAM takes {count} targets, one per image, each a class from 0 to {classes - 1}.")
        logits.gather(1, labels[:, None]).sum().backward()
        maps = cam.get_cam_image(inputs, module, labels, kept.activations[0].numpy(), kept.gradients[0].numpy())
    maps = np.maximum(maps, 0)
    peaks = maps.max((1, 2), keepdims=True)
    return maps / np.where(peaks > 0, peaks, 1)


def wrong_layer(network: nn.Module, layer: str) -> UserError:
    """The error for a layer that the network does not have, or one without a feature map, such as the head."""
    choice = ", ".join(["stem", *(f"stages.{k}" for k in range(len(network.stages)))])
    return UserError(
        f"{layer!r} is not a layer of {type(network).__name__} with a feature map: "
        f"choose one of {choice}, or a layer inside one of them."
    )


def overlay(image: np.ndarray, heatmap: np.ndarray, pixels: int) -> np.ndarray:
    """An image blended with its heatmap in the colours of inferno: (pixels, pixels, 3) uint8.

    image: (H, W, 3) uint8. heatmap: (h, w) in 0..1, of any resolution, drawn half opaque.
    Both are enlarged by bicubic interpolation. As in the library, the heatmap's cells are drawn as
    tiles. In a ResNet with strided convolutions the receptive field of a cell is centred on the first
    pixel of its tile, so that heatmaps appear up to half a cell too far right and down.
    """
    from matplotlib import colormaps

    heat = enlarge(np.asarray(heatmap)[..., None], pixels)[..., 0]
    colours = colormaps["inferno"](heat)[..., :3]
    blend = (enlarge(np.asarray(image) / 255, pixels) + colours) / 2
    return np.rint(255 * blend).astype(np.uint8)


def enlarge(image: np.ndarray, pixels: int) -> np.ndarray:
    """image: (H, W, C) in 0..1 -> (pixels, pixels, C) float32 in 0..1."""
    planes = torch.tensor(image, dtype=torch.float32).permute(2, 0, 1)[None]
    enlarged = F.interpolate(planes, size=(pixels, pixels), mode="bicubic", antialias=True)
    return enlarged[0].permute(1, 2, 0).clamp(0, 1).numpy()  # bicubic overshoots at edges
