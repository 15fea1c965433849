"""One function for each figure: arrays, histories and curves in, a matplotlib Figure out."""

from cifar100.figures.data import plot_brightness, plot_channels, plot_class_balance, plot_distances, plot_embedding
from cifar100.figures.evaluation import (
    plot_class_accuracy,
    plot_reliability,
    plot_superclass_confusion,
)
from cifar100.figures.explanation import plot_classification, plot_grad_cam, plot_showcase
from cifar100.figures.images import (
    plot_classes,
    plot_confused_pairs,
    plot_draws,
    plot_image_groups,
    plot_predictions,
    plot_superclasses,
    plot_transforms,
)
from cifar100.figures.network import plot_block, plot_gradient_norms, plot_receptive_fields, plot_shortcuts
from cifar100.figures.style import save_figure
from cifar100.figures.training import plot_history, plot_lr_curve, plot_overview

__all__ = [name for name in dir() if name.startswith("plot_") or name == "save_figure"]
