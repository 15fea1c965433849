"""A recipe's settings as the main notebook explains them."""

from cifar100.recipe import Recipe

MEANINGS = {  # of a recipe's settings, in the order of the table
    "network": "which builder of model.py",
    "dropout": "share of the features that are switched off before the head",
    "epochs": "how often the training set is seen",
    "batch size": "images per step",
    "optimizer": "what turns gradients into steps",
    "lr": "the largest learning rate",
    "momentum": "share of the last step that the next one keeps",
    "nesterov": "look ahead along the momentum before the gradient is taken",
    "weight decay": "how strongly weights are pulled towards zero",
    "norm weight decay": "whether the norms' parameters are pulled, too",
    "muon lr": "learning rate of Muon, for the filters",
    "muon momentum": "its momentum",
    "schedule": "how the rate changes from step to step",
    "warmup": "share of the steps in which the rate rises",
    "milestones": "epochs after which the rate falls",
    "gamma": "factor by which it falls",
    "loss": "what training minimises",
    "label smoothing": "share of the target that is spread over all classes",
    "ema decay": "share of the averaged weights that a step keeps",
    "resolutions": "(until this share of the steps, pixels), then 32",
    "pipeline": "albumentations: image by image; device: whole batches at once",
    "crop padding": "pixels around the picture before a random crop of 32x32",
    "crop border": "what lies in that padding",
    "flip": "mirror images",
    "shift": "at most this share of the side",
    "scale": "smallest and largest zoom",
    "rotation": "largest angle, in degrees, either way",
    "affine probability": "of shift, zoom and rotation together",
    "cutout": "side of the square hole in pixels",
    "cutout probability": "of a hole",
    "jitter": "largest change of brightness, contrast, saturation, hue",
    "jitter probability": "of any of these",
    "erasing": "probability of one rectangular hole of any shape",
    "cutout anywhere": "its centre anywhere in the image, cut off at the border; else wholly inside",
    "hole color": "of cutout and erasing",
    "cutmix alpha": "CutMix: shares are drawn from Beta(alpha, alpha)",
    "mix probability": "of mixing a batch",
    "seed": "of every random draw",
}
DEPENDENT = {  # settings that say nothing while another one is switched off
    "nesterov": "momentum",
    "muon momentum": "muon lr",
    "gamma": "milestones",
    "crop border": "crop padding",
    "affine probability": ("shift", "rotation"),
    "cutout probability": "cutout",
    "jitter probability": "jitter",
    "mix probability": "cutmix alpha",
}


def explain_settings(recipe: Recipe) -> list[dict[str, str]]:
    """A row for each setting that plays a part in the recipe, defaults included: its value, and what it means."""
    values = recipe.to_dict()
    values |= values.pop("augmentation")
    values = {name.replace("_", " "): value for name, value in values.items()}
    values |= {"optimizer": "SGD", "loss": "cross-entropy"}
    if values["muon lr"]:
        values["optimizer"] = "Muon for the filters, SGD for the rest"
    used = {name: value for name, value in values.items() if not is_off(value) or name in ("seed", "warmup")}
    rows = []
    for name, meaning in MEANINGS.items():
        needs = DEPENDENT.get(name, ())
        needs = (needs,) if isinstance(needs, str) else needs
        if name in used and (not needs or any(need in used for need in needs)):
            rows.append({"setting": name, recipe.name: format_value(used[name]), "what it means": meaning})
    return rows


def is_off(value) -> bool:
    """Whether a setting does nothing."""
    if isinstance(value, list):
        return value == [1.0, 1.0] or not any(value)
    return value is None or value == "none" or (value == 0 and value is not False)


def format_value(value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(format_value(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
