"""A trained network's answers to images."""


def __getattr__(name: str):
    """`load_predictor`, and torch with it, when it is asked for: `safe_opening` starts without."""
    if name != "load_predictor":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from cifar100.inference.predictor import load_predictor

    return load_predictor
