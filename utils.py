"""What the notebooks import, by the chapters of CIFAR100_ResNet.ipynb. Every name lives in a room of cifar100/.

`python utils.py` lists the recipes' augmentations and draws a batch through the pipeline of each.
"""

from cifar100.dataset.cifar import COARSE_OF_FINE, FINE_NAMES, MEAN, STD, is_sample, load_split
from cifar100.evaluation.calibration import accuracy_by_coverage, softmax
from cifar100.evaluation.corruptions import corruptions_of
from cifar100.evaluation.logits import compute_logits, extract_features
from cifar100.evaluation.metrics import (
    accuracies_by_class,
    confused_pairs,
    confusion_matrix,
    superclass_accuracy,
    superclass_confusion,
    top_accuracy,
    wilson_interval,
)
from cifar100.evaluation.summary import pick_confused, reliability
from cifar100.explain.grad_cam import explain_stages, grad_cam, stage_layers
from cifar100.explain.receptive_field import blocks_as_markdown, effective_fields, stage_ends, summarise, trace_blocks
from cifar100.exploration.augmentations import draw_augmented, list_transforms
from cifar100.exploration.images import (
    brightness_and_contrast,
    channel_histograms,
    channel_statistics,
    count_classes,
    distances_between_classes,
    embed,
    embed_thumbnails,
    examples_of_classes,
    find_duplicates,
    hardest_looking,
    mean_images,
    nearest_classes,
    superclass_share_of_nearest,
)
from cifar100.figures import (
    plot_brightness,
    plot_channels,
    plot_class_accuracy,
    plot_class_balance,
    plot_classes,
    plot_classification,
    plot_confused_pairs,
    plot_corruptions,
    plot_coverage,
    plot_distances,
    plot_draws,
    plot_effective_field,
    plot_embedding,
    plot_grad_cam,
    plot_history,
    plot_lr_curve,
    plot_picture_groups,
    plot_predictions,
    plot_receptive_fields,
    plot_reliability,
    plot_stages,
    plot_superclass_confusion,
    plot_superclasses,
    plot_transforms,
    save_figure,
)
from cifar100.inference.pictures import open_picture, shrink
from cifar100.notebook.session import start_session
from cifar100.notebook.showcase import pick_examples, save_showcase
from cifar100.recipes import find_recipe
from cifar100.report.describe import list_settings
from cifar100.report.training_log import render_run
from cifar100.runs.history import format_record, load_history
from cifar100.runs.run import load_metrics
from cifar100.runs.weights import load_network
from cifar100.training.lr_curve import load_curve
from cifar100.training.lr_finder import curve_file, find_recipe_lr
from cifar100.training.speed import format_bench, run_bench

# 1 Recipe
__all__ = ["find_recipe", "start_session", "list_settings", "run_bench", "format_bench"]
# 2 Data
__all__ += ["load_split", "is_sample", "COARSE_OF_FINE", "FINE_NAMES", "MEAN", "STD"]
__all__ += ["count_classes", "channel_histograms", "channel_statistics", "examples_of_classes"]
__all__ += ["plot_class_balance", "plot_classes", "plot_channels"]
# ... and cifar100_eda.ipynb
__all__ += ["brightness_and_contrast", "distances_between_classes", "embed_thumbnails", "find_duplicates"]
__all__ += ["hardest_looking", "mean_images", "nearest_classes", "superclass_share_of_nearest"]
__all__ += ["plot_brightness", "plot_distances", "plot_embedding", "plot_picture_groups", "plot_superclasses"]
# 3 Augmentation
__all__ += ["list_transforms", "draw_augmented", "plot_transforms", "plot_draws"]
# 4 Network
__all__ += ["summarise", "trace_blocks", "blocks_as_markdown", "plot_stages", "plot_receptive_fields"]
# 5 Learning rate
__all__ += ["curve_file", "load_curve", "find_recipe_lr", "plot_lr_curve"]
# 6 Training
__all__ += ["format_record", "load_history", "load_metrics", "plot_history"]
# 7 Results
__all__ += ["load_network", "compute_logits", "softmax", "top_accuracy", "wilson_interval"]
__all__ += ["pick_examples", "plot_predictions", "render_run"]
# 8 Classes, 9 Confusion
__all__ += ["accuracies_by_class", "plot_class_accuracy"]
__all__ += ["confusion_matrix", "superclass_accuracy", "superclass_confusion", "plot_superclass_confusion"]
__all__ += ["confused_pairs", "pick_confused", "plot_confused_pairs"]
# 10 Confidence
__all__ += ["reliability", "plot_reliability", "accuracy_by_coverage", "plot_coverage"]
# 11 Grad-CAM and more
__all__ += ["stage_layers", "grad_cam", "explain_stages", "plot_grad_cam", "save_showcase"]
__all__ += ["effective_fields", "stage_ends", "plot_effective_field", "extract_features", "embed"]
__all__ += ["corruptions_of", "plot_corruptions"]
# 12 Your own picture
__all__ += ["open_picture", "shrink", "plot_classification"]
# everywhere
__all__ += ["save_figure"]

if __name__ == "__main__":
    import sys

    from cifar100.errors import UserError
    from cifar100.exploration.augmentations import describe_pipelines

    try:
        for line in describe_pipelines():
            print(line)
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2)
