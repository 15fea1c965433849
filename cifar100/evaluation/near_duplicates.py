"""Test pictures that also lie in the training set, exactly or nearly.

Barz and Denzler 2020, "Do We Train on Test Data? Purging CIFAR of Near-Duplicates", arXiv:1902.00423, took the nearest
neighbours in a network's feature space and judged them by eye. Here three spaces only propose (see `proposals`); what
decides is how well the details of the two pictures fall on one another (see `alignment`), and how much that says.
Any two clocks on white fall on one another, and any two skies: what such pictures have in common, many have.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from cifar100.dataset.cifar import is_sample, load_training_and_held
from cifar100.device import choose_device
from cifar100.errors import UserError
from cifar100.evaluation.alignment import Overlays, lay_over, refine
from cifar100.evaluation.proposals import (
    Space,
    describe_outlines,
    describe_pixels,
    make_feature_space,
    make_space,
)
from cifar100.files import load_table, save_table
from cifar100.runs.weights import load_network

MIN_OVERLAY = 0.5  # of a proposal at half the resolution, to be looked at closely. All of 975 drawn copies have more
LOOKED_AT = 2  # proposals for each test picture
# Chosen by eye on 241 pairs, most of them near the limits. Ordered by the score, one photograph twice comes before a
# mere likeness in 92 of 100 cases, ordered by the correlation alone in 81. Where training has a photograph several
# times, it is no longer peculiar: a high correlation is enough (15 of 17 such pairs were right).
WEIGHT, MIN_SCORE, CERTAIN = 1 / 3, 0.7, 0.945
KINDS = ("exact", "near")
COMMITTED = Path(__file__).with_name("near_duplicates.csv")  # of CIFAR-100, by `python -m cifar100 duplicates RUN`


@dataclass(frozen=True)
class Pair:
    """A test picture and the training picture that it repeats."""

    test: int
    train: int
    kind: str  # one of KINDS
    similarity: float  # the correlation of their details, one laid over the other


def find_near_duplicates(test: np.ndarray, train: np.ndarray, network: nn.Module, device: torch.device) -> list[Pair]:
    """The test pictures that repeat a training picture, in their order, each with the one that it resembles most.

    test, train: (N, 32, 32, 3) uint8; network: whose features are compared.
    """
    found = find_exact_duplicates(test, train)
    pixels = make_space(describe_pixels, test, train, device)
    outlines = make_space(describe_outlines, test, train, device)
    features = make_feature_space(network, test, train, device)
    near = [space.nearest() for space in (pixels, outlines, features)]
    tests, trains, overlays = choose_proposals(test, train, np.concatenate([indices for indices, _ in near], 1))
    correlations = refine(test[tests], train[trains], overlays)
    scores = correlations + WEIGHT * peculiarity(features, near[2][1], near[1][1], tests, trains)
    repeated = (scores >= MIN_SCORE) | (correlations >= CERTAIN)
    for k in np.argsort(-scores, kind="stable"):
        if repeated[k] and int(tests[k]) not in found:
            found[int(tests[k])] = Pair(int(tests[k]), int(trains[k]), "near", round(float(correlations[k]), 4))
    return [found[k] for k in sorted(found)]


def find_exact_duplicates(test: np.ndarray, train: np.ndarray) -> dict[int, Pair]:
    """By the test picture's index, each with the first of its twins."""
    first: dict[bytes, int] = {}
    for index, image in enumerate(train):
        first.setdefault(image.tobytes(), index)
    twins = ((index, first.get(image.tobytes())) for index, image in enumerate(test))
    return {index: Pair(index, twin, "exact", 1.0) for index, twin in twins if twin is not None}


def choose_proposals(
    test: np.ndarray, train: np.ndarray, proposed: np.ndarray, batch_size: int = 50
) -> tuple[np.ndarray, np.ndarray, Overlays]:
    """Of all proposals those to be looked at closely: the indices of test and training pictures, (P,) each, and how
    one is laid over the other. proposed: (N, K) indices of training pictures."""
    proposed = np.sort(proposed, 1)
    again = np.pad(proposed[:, 1:] == proposed[:, :-1], ((0, 0), (1, 0)))
    parts = [slice(first, first + batch_size) for first in range(0, len(test), batch_size)]
    laid = [lay_over(test[part], train[proposed[part]]) for part in parts]
    overlays = Overlays(*(torch.cat([getattr(o, name) for o in laid]) for name in Overlays.__dataclass_fields__))
    correlations = np.where(again, -1, overlays.correlations.numpy())
    columns = np.argsort(-correlations, 1, kind="stable")[:, :LOOKED_AT]
    rows = np.arange(len(test))[:, None]
    row, place = np.nonzero(correlations[rows, columns] >= MIN_OVERLAY)
    column = columns[row, place]
    return row, proposed[row, column], overlays[row, column]


def peculiarity(
    features: Space, feature_cosines: np.ndarray, outline_cosines: np.ndarray, tests: np.ndarray, trains: np.ndarray
) -> np.ndarray:
    """How much an agreement says: (P,). How far the partner stands out from the test picture's third neighbour in
    feature space, less how near its third neighbour is in outlines, for common shapes agree with many pictures.
    feature_cosines, outline_cosines: (N, 3), of the nearest; tests, trains: the pairs' indices, (P,) each."""
    return features.cosines(tests, trains) - feature_cosines[tests, -1] - outline_cosines[tests, -1]


def find_run_duplicates(folder: Path, data: str | None = None, device: str | None = None) -> list[Pair]:
    """`find_near_duplicates` among CIFAR-100's test images, with the features of a finished run's network. Raises
    UserError if a file of the run is missing or damaged, or the data is missing or the sample."""
    if is_sample(data):
        raise UserError("The embedded sample has no duplicates to find: name the folder that holds CIFAR-100.")
    network = load_network(folder)
    training, test = load_training_and_held(data)
    return find_near_duplicates(test.images, training.images, network, choose_device(device))


def save_pairs(pairs: list[Pair], path: Path = COMMITTED) -> None:
    """Write the pairs as a CSV file."""
    rows = ((pair.test, pair.train, pair.kind, f"{pair.similarity:.4f}") for pair in pairs)
    save_table(path, ("test", "train", "kind", "similarity"), rows)


def load_pairs(path: Path = COMMITTED) -> list[Pair]:
    """What `save_pairs` wrote. Raises UserError if the file is missing or damaged."""
    try:
        rows = load_table(path)
        return [Pair(int(r["test"]), int(r["train"]), r["kind"], float(r["similarity"])) for r in rows]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read ({error!r}): restore it, or run `python -m cifar100 duplicates RUN`."
        ) from error
