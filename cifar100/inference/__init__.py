"""Classifying images with a trained network."""


def __getattr__(name: str):
    """Import `load_predictor`, and torch with it, on first use: `safe_opening` does not need it."""
    if name != "load_predictor":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from cifar100.inference.predictor import load_predictor

    return load_predictor
