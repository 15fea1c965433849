"""What an evaluation fits comes back from JSON as it was, and what it cannot have fitted is refused."""

import json

import pytest

from cifar100.runs.answering import MOST, Answering

ANSWERING = Answering(temperature=1.5, penalty=0.01, free=5, set_thresholds=tuple(k / 100 for k in range(MOST)))


def test_json_gives_back_what_was_fitted():
    assert Answering.from_dict(json.loads(json.dumps(ANSWERING.to_dict()))) == ANSWERING


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 0},
        {"temperature": "hot"},
        {"temperature": float("inf")},
        {"temperature": True},
        {"penalty": -1},
        {"set_thresholds": [0.0] * (MOST - 1)},
        {"set_thresholds": [1.0, *[0.5] * (MOST - 1)]},
        {"set_thresholds": 3},
        {"more": 1},
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(change):
    with pytest.raises((TypeError, ValueError)):
        Answering.from_dict(ANSWERING.to_dict() | change)
