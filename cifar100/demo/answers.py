"""The answer of the demo for an image, and the networks to choose from."""

from pathlib import Path

import numpy as np
from PIL import Image

from cifar100.dataset.cifar import COARSE_NAMES, COARSE_OF_FINE, readable
from cifar100.errors import UserError
from cifar100.explain.grad_cam import explain_stages, overlay
from cifar100.files import read_regular
from cifar100.inference.images import SIDE
from cifar100.inference.predictor import Answer, Prediction, Predictor
from cifar100.inference.safe_opening import open_safely
from cifar100.runs.find import find_run, find_usable
from cifar100.runs.run import load_metrics

TOP = 5  # classes in an answer
UPLOAD_BYTES = 20_000_000  # largest file of an image
ENLARGED = 10  # factor for the side of the images in an answer
NAMED = 5  # classes named in the sentence about confidence, at most
# Example images, 192x192 pixels: drawings, because the photographs of the data set may not be distributed.
DRAWINGS = sorted(Path(__file__).with_name("drawings").glob("*.png"))
Shown = tuple[dict[str, float], str, str, np.ndarray, np.ndarray, np.ndarray]


def load_drawings() -> dict[str, Image.Image]:
    """The drawings by the name of what they show, RGB."""
    return {path.stem: Image.open(path).convert("RGB") for path in DRAWINGS}


def make_answer(predictor: Predictor, path: str) -> Shown:
    """For an image file: the TOP classes with their probabilities, a sentence about the confidence, the superclass, the
    network's input, and Grad-CAM at the last stage and the one before it; images are (320, 320, 3) uint8.

    Raises UserError as `open_safely` does, without the path on the server.
    """
    try:
        content = read_regular(Path(path), UPLOAD_BYTES)
    except OSError as error:
        raise UserError("The image is no longer on the server: upload it again.") from error
    pixels = open_safely(content)
    answer = predictor.answer(pixels)
    probabilities = {readable(prediction.class_name): prediction.probability for prediction in answer.ranking[:TOP]}
    seen = pixels.repeat(ENLARGED, axis=0).repeat(ENLARGED, axis=1)  # so that its pixels are visible
    maps = explain_stages(predictor.network, pixels[None]).values()
    last, before = (overlay(pixels, heatmaps[0], ENLARGED * SIDE) for heatmaps in maps)
    return probabilities, describe_set(answer), describe_superclass(answer.ranking), seen, last, before


def describe_set(answer: Answer) -> str:
    """A sentence about the confidence of the network. answer: for a confidence of 90%."""
    if answer.set_size is None:
        return "Not calibrated: run `python -m cifar100 evaluate RUN --write`."
    if answer.doubt:
        return answer.doubt
    names = [readable(prediction.class_name) for prediction in answer.ranking[: answer.set_size]]
    if len(names) == 1:
        return f"It is 90% sure that this is: {names[0]}."
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"It is 90% sure that this is one of {len(names)} classes: {', '.join(names[:NAMED])}{more}."


def describe_superclass(ranking: list[Prediction]) -> str:
    """The superclass of the most probable class, and the sum of the probabilities of its five classes."""
    coarse = COARSE_OF_FINE[ranking[0].class_id]
    together = sum(own.probability for own in ranking if COARSE_OF_FINE[own.class_id] == coarse)
    return f"{readable(COARSE_NAMES[coarse])} (its five classes together: {together:.1%})"


def find_models(run: str | Path | None = None, output: str | Path = "output") -> dict[str, Path]:
    """The runs to choose from by name: only `run` if given, else the lowest seed with weights of each published recipe,
    most accurate first. Raises UserError if there is none."""
    if run is not None:
        return {str(run): find_run(run)}
    models = find_usable(output)
    if not models:
        raise UserError(f"{output} holds no finished run with weights: train one, or choose another folder.")
    return dict(sorted(models.items(), key=lambda item: -(published_accuracy(item[1]) or 0)))


def published_accuracy(model: Path) -> float | None:
    """The accuracy on the test split, 0..1; None for a run that held out images."""
    return load_metrics(model)["final"].get("test_accuracy")


def describe_model(name: str, model: Path) -> str:
    accuracy = published_accuracy(model)
    return f"{name} ({accuracy:.1%})" if accuracy else name
