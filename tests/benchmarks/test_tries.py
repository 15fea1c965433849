from dataclasses import replace

import pytest

from benchmarks import tries
from benchmarks.__main__ import KINDS
from cifar100.recipe import Augmentation
from cifar100.recipes import RESNET56_FAST, SMOKE


@pytest.mark.parametrize("name", tries.CHANGES)
def test_a_try_changes_one_thing(name):
    ours, theirs = RESNET56_FAST.to_dict(), tries.make_try(name).to_dict()
    changed = {key for key in ours if ours[key] != theirs[key]} - {"name", "epochs"}
    assert changed == set(tries.CHANGES[name][1])


def test_tries_are_trained_on_the_hold_out_once(tmp_path, monkeypatch):
    said = []
    changes = {"base": ("as it is", {}), "flat": ("no flips", {"augmentation": Augmentation()})}
    monkeypatch.setattr(tries, "CHANGES", changes)
    monkeypatch.setattr(tries, "EPOCHS", 1)
    monkeypatch.setattr(tries, "RESNET56_FAST", replace(SMOKE, epochs=1))
    figures = tries.measure_tries(tmp_path, "sample", "cpu", said.append)
    assert list(figures["tries"]) == ["as it is", "no flips"]
    assert sorted(path.parent.name for path in tmp_path.glob("tries/sample/*/holdout")) == ["try_base", "try_flat"]
    assert tries.measure_tries(tmp_path, "sample", "cpu", said.append) == figures
    assert sum("finished already" in line for line in said) == 2
    for show in (KINDS["tries"].show, KINDS["tries"].render):
        for text, own in figures["tries"].items():
            assert text in show(figures) and f"{own['validation']:.2%}" in show(figures)
    moved = {text: own | {"validation": 0.5 + 0.01 * k} for k, (text, own) in enumerate(figures["tries"].items())}
    assert "| no flips | 51.00% | +1.00 |" in tries.render_tries(figures | {"tries": moved})
