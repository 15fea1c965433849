"""A trained network's answers to pictures."""

from cifar100.inference.predictor import Prediction, Predictor, load_predictor

__all__ = ["Prediction", "Predictor", "load_predictor"]
