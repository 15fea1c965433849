"""All that is measured of a finished run, beyond its accuracy: a part of metrics.json."""

import json
from collections.abc import Iterable

import numpy as np

from cifar100.dataset.cifar import COARSE_OF_FINE
from cifar100.errors import UserError
from cifar100.evaluation import calibration, metrics
from cifar100.evaluation.familiarity import both_scores, find_least, fit_familiarity, unpack, worse_share
from cifar100.evaluation.fit_answering import fit_answering
from cifar100.evaluation.logits import Evaluation, compute_both, compute_logits
from cifar100.evaluation.near_duplicates import load_pairs
from cifar100.evaluation.probabilities import image_losses, softmax
from cifar100.evaluation.strangers import make_strangers
from cifar100.files import write_bytes, write_text
from cifar100.runs.answering import as_trained, insert_answering
from cifar100.runs.checks import FILES, read_file
from cifar100.runs.place import hold
from cifar100.runs.run import load_metrics

TOLD = ("auroc", "auroc_of_cosine", "auroc_of_energy", "refused")  # what is measured of each kind of strangers


def summarise_evaluation(result: Evaluation) -> dict:
    """What metrics.json holds under "evaluation": the summary of the logits (see `metrics.summarise_predictions`),
    the accuracy over picture and mirror image ("flip_tta"), that without near duplicates, on CIFAR-100's test images
    only (None elsewhere), how well pictures of no class are told from these, and what makes answers
    of logits ("answering")."""
    labels = result.data.fine
    summary = metrics.summarise_predictions(result.logits, labels)
    summary["temperature"]["method"] = f"two-fold on the {result.run.split} set"
    mirrored = np.ascontiguousarray(result.data.images[:, :, ::-1])
    both = softmax(result.logits) + softmax(compute_logits(result.network, mirrored))
    losses = image_losses(result.logits, labels)
    summary["nll_interval"] = rounded(metrics.bootstrap_interval(losses))
    related = COARSE_OF_FINE[result.logits.argmax(1)] == COARSE_OF_FINE[labels]
    summary["superclass"]["interval"] = rounded(metrics.bootstrap_interval(related.astype(float)))
    return {
        **summary,
        "flip_tta": round(metrics.top_accuracy(both, labels, 1), 6),
        "without_duplicates": without_duplicates(result),
        "familiarity": measure_familiarity(result),
        "answering": fit_answering(result.logits, result.features, labels).to_dict(),
    }


def without_duplicates(result: Evaluation) -> dict | None:
    """Top-1 on the test images that have no near duplicate in the training set, and on those that have one."""
    if result.run.sample or result.run.split != "test":
        return None
    repeated = np.zeros(len(result.data), bool)
    repeated[[pair.test for pair in load_pairs()]] = True
    right = metrics.right_predictions(result.logits, result.data.fine)
    low, high = metrics.wilson_interval(int(right[~repeated].sum()), int((~repeated).sum()))
    return {
        "left_out": int(repeated.sum()),
        "top1": round(float(right[~repeated].mean()), 6),
        "top1_interval": rounded((low, high)),
        "top1_of_the_left_out": round(float(right[repeated].mean()), 6) if repeated.any() else None,
    }


def measure_familiarity(result: Evaluation) -> dict:
    """How well pictures of no class, which the program makes, are told from the run's own: see `tell_apart`."""
    strangers = make_strangers(result.data.images)
    theirs = {kind: compute_both(result.network, pictures) for kind, pictures in strangers.items()}
    return tell_apart((result.logits, result.features), result.data.fine, theirs)


def tell_apart(
    known: tuple[np.ndarray, np.ndarray], labels: np.ndarray, strangers: dict[str, tuple[np.ndarray, np.ndarray]]
) -> dict:
    """How well strangers are told from known pictures: for each kind the area under the ROC curve, of the worse of both
    scores and of each alone, and the share that is refused. "passing": the share of the known pictures that is not.
    Cross-fitted: means over the halves, each held against what the other half gives.

    known, strangers: logits (N, classes) and features (N, channels), as `compute_both` gives them; labels: (N,).
    """
    logits, features = known
    passed, sums = np.zeros(len(labels), bool), {kind: np.zeros(len(TOLD)) for kind in strangers}
    for own, other in calibration.split_halves(len(labels)):
        kept, reference = fit_familiarity(logits[other], features[other], labels[other])
        means, least = unpack(kept, logits.shape[1]), find_least(reference)[:, None]
        near = both_scores(logits[own], features[own], means)
        passed[own] = (near >= least).all(0)
        for kind, theirs in strangers.items():
            strange = both_scores(*theirs, means)
            joined = [worse_share(near, reference), worse_share(strange, reference)]
            areas = (measure_area(*pair) for pair in (joined, (near[0], strange[0]), (near[1], strange[1])))
            sums[kind] += (*areas, (strange < least).any(0).mean())
    kinds = {kind: {"pictures": len(strangers[kind][0])} | dict(zip(TOLD, rounded(s / 2))) for kind, s in sums.items()}
    return {"passing": round(float(passed.mean()), 6), "kinds": kinds}


def measure_area(near: np.ndarray, strange: np.ndarray) -> float:
    """The area under the ROC curve of a score that is to be higher for near pictures than for strange ones."""
    from sklearn.metrics import roc_auc_score

    return roc_auc_score(np.repeat([1, 0], [len(near), len(strange)]), np.concatenate([near, strange]))


def rounded(values: Iterable[float]) -> list[float]:
    return [round(float(value), 6) for value in values]


def save_evaluation(result: Evaluation, summary: dict) -> None:
    """Put an evaluation's summary into the run's metrics.json, whose other entries stay as they are, and what makes
    answers of logits into its weights, too. Raises UserError if they are not those of the run that was evaluated, or if
    the run's place is taken.

    Two files cannot be replaced at once, so the weights give up the older copy first: whenever this is cut off, the
    weights hold the same as metrics.json, or no copy, and the run is whole.
    """
    folder = result.run.folder
    path = folder / FILES["weights"]
    with hold(folder):
        content = load_metrics(folder)
        if content["sha256"] != result.run.metrics["sha256"]:
            raise UserError(f"{folder} was trained anew in the meantime: evaluate it again.")
        weights = read_file(path)
        bare, filled = as_trained(weights), insert_answering(weights, summary["answering"])
        if weights not in (bare, filled):
            write_bytes(path, bare)
        write_text(folder / "metrics.json", json.dumps(content | {"evaluation": summary}, indent=2) + "\n")
        if weights != filled:
            write_bytes(path, filled)


def reliability(logits: np.ndarray, labels: np.ndarray) -> tuple[dict, dict]:
    """Reliability curves and calibration errors before and after a two-fold temperature, as `plot_reliability`
    takes them."""
    scaled, _ = calibration.cross_fitted_temperature(logits, labels)
    value = calibration.fit_temperature(logits, labels)
    versions = {"as it is": logits, f"a temperature of {value:.2f}": scaled}
    return (
        {name: calibration.reliability_curve(version, labels) for name, version in versions.items()},
        {name: calibration.expected_calibration_error(version, labels) for name, version in versions.items()},
    )


def pick_confused(
    logits: np.ndarray, labels: np.ndarray, images: np.ndarray, pairs: list[tuple[int, int, int]], count: int = 8
) -> dict[tuple[int, int], np.ndarray]:
    """By (true class, predicted class), for each pair in both directions: the mistaken pictures, the surest mistakes
    first, (count or fewer, 32, 32, 3) each."""
    guesses, sure = logits.argmax(1), softmax(logits).max(1)
    examples = {}
    for true, guess in (pair for first, second, _ in pairs for pair in ((first, second), (second, first))):
        places = np.flatnonzero((labels == true) & (guesses == guess))
        examples[true, guess] = images[places[np.argsort(-sure[places], kind="stable")[:count]]]
    return examples
