"""One function for each figure: arrays, histories and curves in, a matplotlib Figure out. A room for each group of
chapters."""

from cifar100.figures.augmentation import plot_draws, plot_mixed, plot_transforms
from cifar100.figures.data import (
    plot_brightness,
    plot_channels,
    plot_class_balance,
    plot_classes,
    plot_distances,
    plot_embedding,
    plot_picture_groups,
    plot_superclasses,
)
from cifar100.figures.evaluation import (
    plot_class_accuracy,
    plot_confused_pairs,
    plot_corruptions,
    plot_coverage,
    plot_effective_field,
    plot_reliability,
    plot_superclass_confusion,
)
from cifar100.figures.explanation import plot_classification, plot_grad_cam, plot_showcase
from cifar100.figures.network import plot_block, plot_gradient_norms, plot_receptive_fields, plot_stages
from cifar100.figures.style import save_figure
from cifar100.figures.training import (
    plot_accuracy_over_computation,
    plot_history,
    plot_losses,
    plot_lr_curve,
    plot_predictions,
    plot_rates,
)

__all__ = [name for name in dir() if name.startswith("plot_") or name == "save_figure"]
