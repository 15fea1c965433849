"""How well the details of two pictures fall on one another, once one is laid over the other.

Copies of one photograph differ in cut, size, proportions, side, light and compression. `lay_over` tries mirror images,
zooms and shifts at half the resolution. From the best of them `refine` climbs over all affine maps to the highest
correlation, as Evangelidis and Psarakis 2008 do ("Parametric Image Alignment Using Enhanced Correlation Coefficient
Maximization", PAMI 30(10)); a correlation does not depend on brightness and contrast.

A map, (2, 3), leads from places in the fixed picture to places in the moving one, -1 to 1 each, as `affine_grid` takes.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

HALF = 16  # the side of a picture at half the resolution
REACH = 3  # how far `lay_over` shifts, each way, in pixels of half the resolution
ZOOMS = ((0.8, 0.8), (0.9, 0.9), (1, 1), (1.12, 1.12), (1.25, 1.25), (1, 0.85), (0.85, 1), (1, 1.18), (1.18, 1))
LEAST_COVER = 0.5  # the share of its area that a picture has to have in common with the other
STEPS, STEP_SIZE = 40, 0.02  # of `refine`; the size falls to 0. One pixel is 1/16


@dataclass(frozen=True)
class Overlays:
    """How moving pictures are best laid over fixed ones. Any leading shape S."""

    correlations: Tensor  # S, of the details
    mirrored: Tensor  # S, bool: whether it is the moving picture's mirror image
    maps: Tensor  # (*S, 2, 3)

    def better_of(self, other: "Overlays") -> "Overlays":
        better = other.correlations > self.correlations
        return Overlays(
            torch.where(better, other.correlations, self.correlations),
            torch.where(better, other.mirrored, self.mirrored),
            torch.where(better[..., None, None], other.maps, self.maps),
        )

    def __getitem__(self, where) -> "Overlays":
        return Overlays(self.correlations[where], self.mirrored[where], self.maps[where])


def to_planes(images: np.ndarray) -> Tensor:
    """(N, 32, 32, 3) uint8 -> (N, 3, 32, 32) float32."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float().contiguous()


def details(planes: Tensor, mask: Tensor) -> Tensor:
    """What is left when the mean of each pixel's surroundings (7x7, as far as the mask goes) is taken away.
    planes: (N, 3, H, W); mask: (N or 1, 1, H, W), 0..1."""
    weights = F.avg_pool2d(mask, 7, stride=1, padding=3).clamp(min=1e-6)
    return (planes - F.avg_pool2d(planes * mask, 7, stride=1, padding=3) / weights) * mask


def halve_details(images: np.ndarray) -> Tensor:
    """The details at half the resolution: (N, 32, 32, 3) uint8 -> (N, 3, 16, 16) float32."""
    return F.avg_pool2d(details(to_planes(images), torch.ones(1, 1, 32, 32)), 2)


def lay_over(moving: np.ndarray, fixed: np.ndarray) -> Overlays:
    """Each of N pictures laid over each of its K partners, by the best of all mirror images, zooms and shifts: (N, K).
    moving: (N, 32, 32, 3) uint8; fixed: (N, K, 32, 32, 3) uint8."""
    count, partners = fixed.shape[:2]
    target = halve_details(fixed.reshape(-1, *fixed.shape[2:])).reshape(count, partners, -1)
    best = Overlays(torch.full((count, partners), -1.0), torch.tensor(False), torch.zeros(count, partners, 2, 3))
    for mirrored in (False, True):
        source = halve_details(moving[:, :, ::-1] if mirrored else moving)
        for down, right in ZOOMS:
            correlations, maps = slide(source, target, down, right)
            best = best.better_of(Overlays(correlations, torch.tensor(mirrored), maps))
    return best


def slide(source: Tensor, target: Tensor, down: float, right: float) -> tuple[Tensor, Tensor]:
    """The highest correlation over all shifts of the zoomed source, and its map: (N, K), (N, K, 2, 3).
    source: (N, 3, 16, 16); target: (N, K, 3 * 16 * 16); down, right: how many times larger the source gets."""
    width = HALF + 2 * REACH
    places = (torch.arange(width) - (width - 1) / 2) * 2 / HALF
    rows, columns = torch.meshgrid(places / down, places / right, indexing="ij")
    grid = torch.stack([columns, rows], -1)[None]
    inside = F.grid_sample(torch.ones(1, 1, HALF, HALF), grid, align_corners=False) > 0.5
    masks = F.unfold(inside.float(), HALF)[0].T  # (shifts, 256)
    zoomed = F.grid_sample(source, grid.expand(len(source), -1, -1, -1), align_corners=False)
    windows = F.unfold(zoomed, HALF).transpose(1, 2)  # (N, shifts, 768)
    target_energy = target.square().unflatten(2, (3, -1)).sum(2).transpose(1, 2)  # (N, 256, K)
    energies = windows.square().sum(2, keepdim=True) * (masks @ target_energy)
    correlations = windows @ target.transpose(1, 2) / energies.clamp(min=1e-6).sqrt()  # (N, shifts, K)
    correlations[:, masks.mean(1) < LEAST_COVER] = -1
    highest, shift = correlations.max(1)
    maps = torch.zeros(*shift.shape, 2, 3)
    maps[..., 0, 0], maps[..., 1, 1] = 1 / right, 1 / down
    maps[..., 0, 2] = (shift % (2 * REACH + 1) - REACH) * 2 / HALF / right
    maps[..., 1, 2] = (shift // (2 * REACH + 1) - REACH) * 2 / HALF / down
    return highest, maps


def correlate(moving: Tensor, fixed: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
    """The correlation of the details where the pictures overlap, and the share of the area where they do: (N,) each.
    moving, fixed: (N, 3, 32, 32) float32; maps: (N, 2, 3)."""
    grid = F.affine_grid(maps, list(fixed.shape), align_corners=False)
    mask = F.grid_sample(torch.ones_like(moving[:, :1]), grid.detach(), align_corners=False)
    first = details(F.grid_sample(moving, grid, padding_mode="border", align_corners=False), mask).flatten(1)
    second = details(fixed, mask).flatten(1)
    energies = first.square().sum(1) * second.square().sum(1)
    return (first * second).sum(1) / energies.clamp(min=1e-3).sqrt(), mask.flatten(1).mean(1)


def refine(moving: np.ndarray, fixed: np.ndarray, start: Overlays, batch_size: int = 250) -> np.ndarray:
    """The highest correlation of the details, pair by pair, that gradient ascent over the affine map finds: (N,).
    moving, fixed: (N, 32, 32, 3) uint8; start: of shape (N,)."""
    turned = np.where(start.mirrored.numpy()[:, None, None, None], moving[:, :, ::-1], moving)
    batches = [slice(first, first + batch_size) for first in range(0, len(moving), batch_size)]
    found = [climb(to_planes(turned[part]), to_planes(fixed[part]), start.maps[part]) for part in batches]
    return torch.cat(found).numpy() if found else np.zeros(0, np.float32)


def climb(moving: Tensor, fixed: Tensor, maps: Tensor) -> Tensor:
    """`refine` of one batch: (N,)."""
    best = torch.full((len(maps),), -1.0)
    maps = maps.clone().requires_grad_()
    optimizer = torch.optim.Adam([maps], lr=STEP_SIZE)
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = STEP_SIZE * (1 - step / STEPS)
        correlations, cover = correlate(moving, fixed, maps)
        better = (correlations > best) & (cover >= LEAST_COVER)
        best = torch.where(better, correlations.detach(), best)
        optimizer.zero_grad()
        (-correlations.sum()).backward()
        optimizer.step()
    return best
