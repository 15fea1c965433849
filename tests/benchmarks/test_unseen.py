from dataclasses import replace

import numpy as np

from benchmarks.__main__ import KINDS
from benchmarks.unseen import LEFT_OUT, measure_unseen, select
from cifar100.dataset.cifar import COARSE_NAMES, load_split
from cifar100.recipes import RECIPES


def test_left_out_superclasses_are_not_trained_and_are_told(monkeypatch):
    seen, numbers = [], [COARSE_NAMES.index(name) for name in LEFT_OUT]
    from benchmarks import unseen

    make = unseen.make_trainer
    monkeypatch.setattr(
        unseen, "make_trainer", lambda recipe, data, *rest: seen.append(data) or make(recipe, data, *rest)
    )
    said = []
    figures = measure_unseen(replace(RECIPES["smoke"], epochs=1), "sample", "cpu", said.append)
    (data,) = seen
    assert len(data) == 0.9 * len(load_split("train", "sample")) and not np.isin(data.coarse, numbers).any()
    assert len(said) == 1 and said[0].startswith("Epoch [1/1]")
    assert set(figures["kinds"]) == {"medium mammals", "people"} and 0.9 < figures["passing"] <= 1
    held = len(select(load_split("test", "sample"), numbers[:1], inside=True))
    for kind, own in figures["kinds"].items():
        assert own["pictures"] == held and 0 <= own["auroc"] <= 1
        for show in (KINDS["unseen"].show, KINDS["unseen"].render):
            assert kind in show(figures) and f"{own['auroc']:.3f}" in show(figures)
    alone = {kind: {"pictures": 5, "auroc_of_cosine": 0.5, "auroc_of_energy": 0.75} for kind in figures["kinds"]}
    assert KINDS["unseen"].render(figures | {"kinds": alone}).count("| - | 0.500 | 0.750 | - |") == 2
