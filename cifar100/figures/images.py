"""Figures of captioned images: classes, augmentations and predictions."""

import textwrap

import numpy as np

from cifar100.dataset.cifar import COARSE_NAMES, FINE_NAMES, readable
from cifar100.figures.style import BY_SUPERCLASS, HELD, Picture, make_figure, percent


def show_images(ax, images: np.ndarray, columns: int) -> None:
    """Draw images in rows on one axes. images: (N, H, W, 3) uint8."""
    count, height, width, _ = images.shape
    gap = 2  # pixels
    rows = max(1, -(-count // columns))
    sheet = np.full((rows * (height + gap), columns * (width + gap), 3), 255, np.uint8)
    for k, image in enumerate(images):
        top, left = (k // columns) * (height + gap), (k % columns) * (width + gap)
        sheet[top : top + height, left : left + width] = image
    ax.imshow(sheet[: sheet.shape[0] - gap, : sheet.shape[1] - gap], interpolation="nearest")
    ax.set_axis_off()


def plot_image_groups(
    groups: list[np.ndarray],
    captions: list[str],
    title: str,
    columns: int,
    colours: list[str] | None = None,
    width: float = 9,
) -> Picture:
    """Groups of images, each with a caption. groups: (n, 32, 32, 3) uint8 each; colours: of the captions, black by
    default; width: of the images without margins, in inches."""
    rows, across = max(1, -(-len(groups) // columns)), max([1, *map(len, groups)])
    lines = 1 + max((caption.count("\n") for caption in captions), default=0)
    height = width / columns / across * 0.93 + 0.14 * lines + 0.09
    fig, axes = make_figure(9, 0.4 + height * rows, title, rows, columns, squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, images, caption, colour in zip(axes.flat, groups, captions, colours or ["black"] * len(groups)):
        show_images(ax, images, across)
        ax.set_title(caption, fontsize=8, pad=3, color=colour, loc="left" if across > 2 else "center")
    return fig


def plot_superclasses(images: np.ndarray, fine: np.ndarray) -> Picture:
    """Three examples of every class, a row per superclass. images: (N, 32, 32, 3) uint8; fine: (N,)."""
    generator = np.random.default_rng(0)
    chosen = [generator.choice(np.flatnonzero(fine == k), 3, replace=False) for k in BY_SUPERCLASS]
    title = "Twenty superclasses of five classes each: some share a look, some only an idea"
    return plot_by_superclass([images[indices] for indices in chosen], title, 5)


def plot_classes(images: np.ndarray, title: str) -> Picture:
    """One image of each class, two superclasses per row. images: (100, 32, 32, 3) in 0..255."""
    return plot_by_superclass(list(images[BY_SUPERCLASS, None].round().astype(np.uint8)), title, 10)


def plot_by_superclass(groups: list[np.ndarray], title: str, columns: int) -> Picture:
    """A group of images for each class, ordered by superclass, with the names of the superclasses at the edges."""
    fig = plot_image_groups(
        groups, [readable(FINE_NAMES[k]) for k in BY_SUPERCLASS], title, columns, width=9 - 0.26 * columns
    )
    look = {"y": 0.5, "va": "center", "fontsize": 8, "fontweight": "bold"}
    for rank, name in enumerate(COARSE_NAMES):
        right = 5 * rank % columns > 0
        ax, place = fig.axes[5 * rank + 4 * right], {"x": 1.1, "ha": "left"} if right else {"x": -0.1, "ha": "right"}
        ax.text(**place, **look, s=textwrap.fill(readable(name), 14), transform=ax.transAxes)
    return fig


def plot_transforms(originals: np.ndarray, alone: dict[str, np.ndarray]) -> Picture:
    """The original images, and a row for each transform by itself.

    originals: (N, 32, 32, 3) uint8; alone: label of a transform -> (N, 32, 32, 3) uint8.
    """
    names = ["original", *alone]
    fig, ax = make_figure(9, 0.4 + 7.3 * len(names) / len(originals), "What each transform does by itself")
    show_images(ax, np.concatenate([originals, *alone.values()]), len(originals))
    for row, name in enumerate(names):
        ax.text(-4, 34 * row + 15.5, name, ha="right", va="center", fontsize=9)
    return fig


def plot_draws(originals: np.ndarray, draws: np.ndarray, title: str) -> Picture:
    """A row for each image: the original, then the augmented image of each epoch.

    originals: (N, 32, 32, 3) uint8; draws: (N, epochs, 32, 32, 3) uint8.
    """
    count, epochs = draws.shape[:2]
    fig, ax = make_figure(9, 0.6 + 8.9 * count / (epochs + 1), title)
    rows = np.concatenate([originals[:, None], draws], 1)
    show_images(ax, rows.reshape(-1, *draws.shape[2:]), epochs + 1)
    for column in range(epochs + 1):
        ax.text(34 * column + 15.5, -3, f"epoch {column}" if column else "original", ha="center", fontsize=9)
    return fig


def caption_predictions(
    guesses: np.ndarray, labels: np.ndarray, confidence: np.ndarray | None = None
) -> tuple[list[str], list[str]]:
    """The caption and its colour for each prediction, with the true class if the prediction is incorrect."""
    captions, colours = [], []
    for k, (guess, label) in enumerate(zip(guesses, labels)):
        caption = readable(FINE_NAMES[guess]) + ("" if confidence is None else f" {percent(confidence[k])}")
        captions.append(caption if guess == label else f"{caption}\nis: {readable(FINE_NAMES[label])}")
        colours.append("black" if guess == label else HELD)
    return captions, colours


def plot_predictions(images: np.ndarray, labels: np.ndarray, probabilities: np.ndarray, title: str) -> Picture:
    """Images with their predicted class and its probability, and the true class if that is another.

    images: (N, 32, 32, 3) uint8; labels: (N,); probabilities: (N, 100).
    """
    captions, colours = caption_predictions(probabilities.argmax(1), labels, probabilities.max(1))
    return plot_image_groups(list(images[:, None]), captions, title, 8, colours)


def plot_confused_pairs(confusion: np.ndarray, examples: dict[tuple[int, int], np.ndarray]) -> Picture:
    """The misclassified images of the most confused pairs: a row per pair, a column per direction.

    confusion: (100, 100) counts, a row per true class; examples: (true class, predicted class) -> (n, 32, 32, 3) uint8,
    the most confused pair first, both directions in turn.
    """
    names = [[readable(FINE_NAMES[k]) for k in pair] for pair in examples]
    counts = [confusion[pair] for pair in examples]
    both = confusion[list(next(iter(examples)))].sum()
    one, other = names[0]
    title = f"{one.capitalize()} and {other} are confused most often: {counts[0] + counts[1]} of their {both} images"
    captions = [f"{true} predicted as {guess}: {count}" for (true, guess), count in zip(names, counts)]
    return plot_image_groups(list(examples.values()), captions, title, 2)
