"""What the notebooks import, in the order of their chapters. Every name lives in a room of cifar100/."""

from cifar100.data import COARSE_NAMES, COARSE_OF_FINE, FINE_NAMES, MEAN, STD, is_sample, load_split
from cifar100.eda import (
    brightness_and_contrast,
    channel_histograms,
    channel_statistics,
    count_classes,
    distances_between_classes,
    embed_thumbnails,
    find_duplicates,
    hardest_looking,
    mean_images,
    nearest_classes,
    superclass_share_of_nearest,
)
from cifar100.figures import (
    plot_brightness,
    plot_channels,
    plot_class_balance,
    plot_distances,
    plot_embedding,
    plot_mean_images,
    plot_picture_groups,
    plot_superclasses,
    save_figure,
)

__all__ = [
    # The data
    "COARSE_NAMES",
    "COARSE_OF_FINE",
    "FINE_NAMES",
    "MEAN",
    "STD",
    "is_sample",
    "load_split",
    # What the pictures tell
    "brightness_and_contrast",
    "channel_histograms",
    "channel_statistics",
    "count_classes",
    "distances_between_classes",
    "embed_thumbnails",
    "find_duplicates",
    "hardest_looking",
    "mean_images",
    "nearest_classes",
    "superclass_share_of_nearest",
    # Figures
    "plot_brightness",
    "plot_channels",
    "plot_class_balance",
    "plot_distances",
    "plot_embedding",
    "plot_mean_images",
    "plot_picture_groups",
    "plot_superclasses",
    "save_figure",
]
