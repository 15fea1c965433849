"""Figures made of images under captions: of the classes, of augmentations, of predictions."""

import textwrap

import numpy as np

from cifar100.dataset.cifar import COARSE_NAMES, FINE_NAMES, readable
from cifar100.figures.style import BY_SUPERCLASS, HELD, Picture, make_figure


def show_images(ax, images: np.ndarray, columns: int, gap: int = 2) -> None:
    """Images in rows on one pair of axes. images: (N, H, W, 3) uint8."""
    count, height, width, _ = images.shape
    rows = -(-count // columns)
    sheet = np.full((rows * (height + gap), columns * (width + gap), 3), 255, np.uint8)
    for k, image in enumerate(images):
        top, left = (k // columns) * (height + gap), (k % columns) * (width + gap)
        sheet[top : top + height, left : left + width] = image
    ax.imshow(sheet[: sheet.shape[0] - gap, : sheet.shape[1] - gap], interpolation="nearest")
    ax.set_axis_off()


def plot_image_groups(
    groups: list[np.ndarray], captions: list[str], title: str, columns: int, colours: list[str] | None = None
) -> Picture:
    """Groups of images side by side, each group under its caption. groups: (n, 32, 32, 3) uint8 each, all drawn at one
    size; colours: of the captions, if they are not all black."""
    rows, across = max(1, -(-len(groups) // columns)), max(map(len, groups), default=1)
    lines = 1 + max((caption.count("\n") for caption in captions), default=0)
    height = 9 / columns / across * 0.93 + 0.14 * lines + 0.09
    fig, axes = make_figure(9, 0.4 + height * rows, title, rows, columns, squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, images, caption, colour in zip(axes.flat, groups, captions, colours or ["black"] * len(groups)):
        blank = np.full((across - len(images), *images.shape[1:]), 255, np.uint8)
        show_images(ax, np.concatenate([images, blank]), across)
        ax.set_title(caption, fontsize=8, pad=3, color=colour)
    return fig


def plot_superclasses(images: np.ndarray, fine: np.ndarray, each: int = 3, seed: int = 0) -> Picture:
    """Examples of every class, a row a superclass. images: (N, 32, 32, 3) uint8; fine: (N,)."""
    generator = np.random.default_rng(seed)
    chosen = [generator.choice(np.flatnonzero(fine == k), each, replace=False) for k in BY_SUPERCLASS]
    title = "Twenty superclasses of five classes: relatives look alike"
    return plot_by_superclass([images[indices] for indices in chosen], title, 5)


def plot_classes(images: np.ndarray, title: str) -> Picture:
    """One image of each class, two superclasses a row. images: (100, 32, 32, 3) in 0..255."""
    return plot_by_superclass(list(images[BY_SUPERCLASS, None].round().astype(np.uint8)), title, 10)


def plot_by_superclass(groups: list[np.ndarray], title: str, columns: int) -> Picture:
    """A group of images for each class, superclass by superclass, named at the edges."""
    fig = plot_image_groups(groups, [readable(FINE_NAMES[k]) for k in BY_SUPERCLASS], title, columns)
    look = {"y": 0.5, "va": "center", "fontsize": 8, "fontweight": "bold"}
    for rank, name in enumerate(COARSE_NAMES):
        right = 5 * rank % columns > 0
        ax, place = fig.axes[5 * rank + 4 * right], {"x": 1.1, "ha": "left"} if right else {"x": -0.1, "ha": "right"}
        ax.text(**place, **look, s=textwrap.fill(readable(name), 14), transform=ax.transAxes)
    return fig


def plot_transforms(originals: np.ndarray, alone: dict[str, np.ndarray]) -> Picture:
    """A row for each transform by itself, under the images it was applied to.

    originals: (N, 32, 32, 3) uint8; alone: what a transform does -> (N, 32, 32, 3) uint8.
    """
    rows = {"original": originals} | alone
    fig, axes = make_figure(9, 0.5 + 0.72 * len(rows), "What each transform does by itself", len(rows), 1)
    for ax, (name, images) in zip(axes, rows.items()):
        show_images(ax, images, len(images))
        ax.text(-0.01, 0.5, name, transform=ax.transAxes, ha="right", va="center", fontsize=9)
    return fig


def plot_draws(originals: np.ndarray, draws: np.ndarray, title: str) -> Picture:
    """A row for each image: at the left as it is, then as the network sees it in one epoch after another.

    originals: (N, 32, 32, 3) uint8; draws: (N, epochs, 32, 32, 3) uint8.
    """
    count, epochs = draws.shape[:2]
    fig, (left, right) = make_figure(9, 0.6 + 0.87 * count, title, 1, 2, width_ratios=(1, epochs + 0.4))
    show_images(left, originals, 1)
    show_images(right, draws.reshape(-1, *draws.shape[2:]), epochs)
    left.set_title("original", fontsize=9)
    right.set_title(f"in epochs 1 to {epochs}", fontsize=9)
    return fig


def caption_predictions(
    guesses: np.ndarray, labels: np.ndarray, confidence: np.ndarray | None = None
) -> tuple[list[str], list[str]]:
    """A caption for each prediction, with the true class where it is another, and its colour. guesses, labels: (N,)
    classes; confidence: (N,) in 0..1, to be written behind the class."""
    captions, colours = [], []
    for k, (guess, label) in enumerate(zip(guesses, labels)):
        caption = readable(FINE_NAMES[guess]) + ("" if confidence is None else f" {confidence[k]:.0%}")
        captions.append(caption if guess == label else f"{caption}\nis: {readable(FINE_NAMES[label])}")
        colours.append("black" if guess == label else HELD)
    return captions, colours


def plot_predictions(images: np.ndarray, labels: np.ndarray, probabilities: np.ndarray, title: str) -> Picture:
    """Images with their predicted class and its probability, and the true class where it is another.

    images: (N, 32, 32, 3) uint8; labels: (N,); probabilities: (N, 100).
    """
    captions, colours = caption_predictions(probabilities.argmax(1), labels, probabilities.max(1))
    return plot_image_groups(list(images[:, None]), captions, title, 8, colours)


def plot_confused_pairs(confusion: np.ndarray, examples: dict[tuple[int, int], np.ndarray]) -> Picture:
    """The most confused pairs of classes, a row each, a column for each direction, with the mistaken images.

    confusion: (100, 100) counts, a row a true class; examples: (true class, predicted class) -> (n, 32, 32, 3) uint8,
    the most confused pair first, both directions in turn.
    """
    names = [(readable(FINE_NAMES[true]), readable(FINE_NAMES[guess])) for true, guess in examples]
    counts = [confusion[pair] for pair in examples]
    both = confusion[list(next(iter(examples)))].sum()
    title = (
        f"{names[0][0].capitalize()} and {names[0][1]} are confused most often: {counts[0] + counts[1]} of their "
        f"{both} images"
    )
    captions = [f"{true} taken for {guess}: {count}" for (true, guess), count in zip(names, counts)]
    return plot_image_groups(list(examples.values()), captions, title, 2)
