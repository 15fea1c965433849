"""A trained network's answers to pictures."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cifar100.inference.predictor import Answer, Prediction, Predictor, load_predictor

__all__ = ["Answer", "Prediction", "Predictor", "load_predictor"]


def __getattr__(name: str):
    """The names above, and torch with them, when they are asked for: `safe_opening` starts without."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from cifar100.inference import predictor

    return getattr(predictor, name)
