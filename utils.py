"""What the notebooks import. Every name is defined in cifar100/."""

from cifar100.dataset.augment_image import to_input
from cifar100.dataset.cifar import FINE_NAMES, MEAN, STD, is_sample, load_split, readable
from cifar100.demo.answers import load_drawings
from cifar100.eda.augmentations import draw_augmented, label_transform, list_transforms
from cifar100.eda.images import (
    channel_histograms,
    channel_means_and_stds,
    count_classes,
    distances_between_classes,
    embed,
    examples_of_classes,
    find_duplicates,
    knn_accuracy,
    make_thumbnails,
    mean_brightness,
    mean_images,
    superclass_share_of_nearest,
)
from cifar100.evaluation.calibration import accuracy_by_coverage, reliability
from cifar100.evaluation.logits import compute_logits, extract_features
from cifar100.evaluation.metrics import (
    accuracies_by_class,
    class_intervals,
    confused_pairs,
    confusion_matrix,
    superclass_accuracy,
    superclass_confusion,
)
from cifar100.evaluation.probabilities import softmax
from cifar100.explain.grad_cam import explain_stages, grad_cam, stage_layers
from cifar100.explain.gradient_flow import gradient_norms, without_norms, without_shortcuts
from cifar100.explain.receptive_field import blocks_as_markdown, trace_blocks
from cifar100.figures import *
from cifar100.figures.style import display_name
from cifar100.inference import load_predictor
from cifar100.inference.images import open_image, shrink
from cifar100.lr_finder import curve_file, find_recipe_lr, load_curve
from cifar100.network import load_network
from cifar100.notebook.session import choose_data, load_without_shortcuts, publish, render_result, start_session
from cifar100.notebook.showcase import pick_confused, pick_examples, save_showcase
from cifar100.notebook.tables import (
    as_code,
    as_markdown,
    compare_recipes,
    list_results,
    recipe_source,
    summarise_ranges,
)
from cifar100.recipes import find_recipe
from cifar100.report.hand_in import save_details
from cifar100.report.pages import draw_overview, render_results
from cifar100.report.published import group_by_recipe, load_published
from cifar100.report.reported import list_levels
from cifar100.runs.history import format_record, load_history
from cifar100.runs.run import Run
from cifar100.train import evaluate, fit, train_one_epoch

__all__ = [name for name in dir() if not name.startswith("_")]
