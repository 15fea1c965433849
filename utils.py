"""What the notebooks import, by the chapters of CIFAR100_ResNet.ipynb. Every name lives in a room of cifar100/.

`python utils.py` lists the recipes' augmentations and draws a batch through the pipeline of each.
"""

from cifar100.bench import format_bench, run_bench
from cifar100.data import COARSE_NAMES, COARSE_OF_FINE, FINE_NAMES, MEAN, STD, is_sample, load_split, stratified_holdout
from cifar100.eda import (
    brightness_and_contrast,
    channel_histograms,
    channel_statistics,
    count_classes,
    distances_between_classes,
    embed_thumbnails,
    examples_of_classes,
    find_duplicates,
    hardest_looking,
    mean_images,
    nearest_classes,
    superclass_share_of_nearest,
)
from cifar100.evaluation import top_accuracy
from cifar100.explain import explain_stages
from cifar100.figures import (
    plot_brightness,
    plot_channels,
    plot_class_balance,
    plot_classes,
    plot_classification,
    plot_distances,
    plot_draws,
    plot_embedding,
    plot_grad_cam,
    plot_history,
    plot_lr_curve,
    plot_picture_groups,
    plot_predictions,
    plot_receptive_fields,
    plot_stages,
    plot_superclasses,
    plot_transforms,
    save_figure,
)
from cifar100.lr_finder import curve_file, find_recipe_lr, load_curve
from cifar100.pictures import open_picture, shrink
from cifar100.preview import draw_augmented, list_transforms
from cifar100.progress import format_record
from cifar100.receptive_field import blocks_as_markdown, summarise, trace_blocks
from cifar100.recipe import find_recipe
from cifar100.report import list_settings, render_run
from cifar100.runs import load_metrics
from cifar100.session import start_session
from cifar100.showcase import pick_examples, predict_probabilities, save_showcase
from cifar100.train import fit_in_memory
from cifar100.weights import load_network

# 1 Recipe
__all__ = ["find_recipe", "start_session", "list_settings", "run_bench", "format_bench"]
# 2 Data
__all__ += ["load_split", "is_sample", "COARSE_NAMES", "COARSE_OF_FINE", "FINE_NAMES", "MEAN", "STD"]
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
__all__ += ["fit_in_memory", "stratified_holdout", "format_record", "load_metrics", "plot_history"]
# 7 Results
__all__ += ["load_network", "predict_probabilities", "top_accuracy", "pick_examples", "plot_predictions"]
__all__ += ["render_run"]
# 8 Grad-CAM
__all__ += ["explain_stages", "plot_grad_cam", "save_showcase"]
# 9 Your own picture
__all__ += ["open_picture", "shrink", "plot_classification"]
# everywhere
__all__ += ["save_figure"]

if __name__ == "__main__":
    import sys

    from cifar100.errors import UserError
    from cifar100.preview import describe_pipelines

    try:
        for line in describe_pipelines():
            print(line)
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2)
