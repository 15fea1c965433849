"""Grad-CAM: where in an image a network finds what speaks for a class."""

import copy

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from cifar100.dataset.augment_image import to_input
from cifar100.errors import UserError


def stage_layers(network: nn.Module) -> tuple[str, str]:
    """The names of the last stage and of the one before it.

    The last stage knows most about the class, but on 32x32 inputs it is coarse (4x4 in ResNet-18):
    show the stage before it beside it.
    """
    count = len(network.stages)
    return f"stages.{count - 1}", f"stages.{count - 2}"


def explain_stages(network: nn.Module, images: np.ndarray) -> dict[str, np.ndarray]:
    """Grad-CAM of the predicted classes at the last stage and the one before it, by what a figure calls them.

    images: (N, 32, 32, 3) uint8 -> (N, h, w) in 0..1 each.
    """
    maps = (grad_cam(network, images, layer) for layer in stage_layers(network))
    return {f"{name},\n{m.shape[1]} x {m.shape[2]}": m for name, m in zip(("last stage", "stage before"), maps)}


def grad_cam(
    network: nn.Module, images: np.ndarray, layer: str | nn.Module, targets: np.ndarray | None = None
) -> np.ndarray:
    """A heatmap for each image, at the layer's own resolution: (N, h, w) float32 in 0..1.

    images: (N, 32, 32, 3) uint8, all explained in one pass. layer: a module of the network or its
    dotted name. targets: (N,) classes whose logits are explained, or None for the predicted ones.
    1 is a map's own maximum, so maps compare positions and not images; a map is zero throughout where
    nothing speaks for the class.

    Selvaraju et al. 2017, "Grad-CAM", arXiv:1610.02391, section 3, on pytorch-grad-cam's hooks and
    weights. We do without its `__call__`, which scales min-max, resizes, and scales again, so that the
    least value always becomes 0. On the last stage, before global average pooling and one linear layer,
    the result equals CAM (Zhou et al. 2016, arXiv:1512.04150) after a ReLU.

    The library works on a copy of the network, because it leaves eval mode, gradients and, after an
    error, hooks behind. So the caller's network stays as it is, frozen or not, compiled or not, and
    several threads may share it. Raises UserError if there are no images or of another kind, if the
    layer is none of the network's or has no feature map, or if the targets do not fit.
    """
    from pytorch_grad_cam import GradCAM  # here, because it imports OpenCV, scikit-learn and pyplot

    images = np.asarray(images)
    if images.size == 0 or images.shape[1:] != (32, 32, 3) or images.dtype != np.uint8:
        raise UserError(f"Grad-CAM takes images (N, 32, 32, 3) uint8, one or more: not {images.shape} {images.dtype}.")
    network = getattr(network, "_orig_mod", network)  # what torch.compile has wrapped ignores new hooks
    names = [name for name, module in network.named_modules() if layer is module or layer == name]
    if not names:
        raise wrong_layer(network, layer)

    with torch.inference_mode(False):  # which switches gradients on, under no_grad too
        # The input asks for gradients and the weights do not: it costs less, and they may be frozen.
        network = copy.deepcopy(network).requires_grad_(False)  # the library switches to eval mode
        module = network.get_submodule(names[0])
        # Cloned, because an in-place ReLU behind the layer would overwrite what the library keeps.
        cam = GradCAM(network, [module], reshape_transform=torch.clone)
        kept = cam.activations_and_grads
        inputs = to_input(torch.tensor(images, device=cam.device)).requires_grad_()
        logits = kept(inputs)  # (N, classes)
        if [activation.ndim for activation in kept.activations] != [4]:
            raise wrong_layer(network, layer)
        labels = logits.argmax(1) if targets is None else torch.tensor(np.asarray(targets), device=cam.device).long()
        count, classes = logits.shape
        if labels.shape != (count,) or labels.min() < 0 or labels.max() >= classes:
            raise UserError(f"Grad-CAM takes {count} targets, one an image, each a class from 0 to {classes - 1}.")
        logits.gather(1, labels[:, None]).sum().backward()
        maps = cam.get_cam_image(inputs, module, labels, kept.activations[0].numpy(), kept.gradients[0].numpy())
    maps = np.maximum(maps, 0)
    peaks = maps.max((1, 2), keepdims=True)
    return maps / np.where(peaks > 0, peaks, 1)


def wrong_layer(network: nn.Module, layer: str | nn.Module) -> UserError:
    """The error for what is no layer of the network, or one without a feature map, such as the head."""
    choice = ", ".join(["stem", *(f"stages.{k}" for k in range(len(network.stages)))])
    return UserError(
        f"{layer!r} is no layer of {type(network).__name__} with a feature map: "
        f"choose one of {choice}, or a layer inside one of them."
    )


def overlay(image: np.ndarray, heatmap: np.ndarray, pixels: int = 224, opacity: float = 0.5) -> np.ndarray:
    """An image under its heatmap in the colours of inferno: (pixels, pixels, 3) uint8.

    image: (H, W, 3) uint8. heatmap: (h, w) in 0..1, of any resolution. opacity: the heatmap's share in
    the blend, 0..1. Both are enlarged by bicubic interpolation.

    The heatmap's cells are drawn as tiles of the image, as the library does. A ResNet's strided
    convolutions centre what a cell sees on its tile's first pixel, so that its maps appear up to half
    a cell too far right and down.
    """
    from matplotlib import colormaps

    heat = enlarge(np.asarray(heatmap)[..., None], pixels)[..., 0]
    colours = colormaps["inferno"](heat)[..., :3]
    blend = (1 - opacity) * enlarge(np.asarray(image) / 255, pixels) + opacity * colours
    return np.rint(255 * blend).astype(np.uint8)


def enlarge(image: np.ndarray, pixels: int) -> np.ndarray:
    """image: (H, W, C) in 0..1 -> (pixels, pixels, C) float32 in 0..1."""
    planes = torch.tensor(image, dtype=torch.float32).permute(2, 0, 1)[None]
    enlarged = F.interpolate(planes, size=(pixels, pixels), mode="bicubic", antialias=True)
    return enlarged[0].permute(1, 2, 0).clamp(0, 1).numpy()  # bicubic overshoots at edges
