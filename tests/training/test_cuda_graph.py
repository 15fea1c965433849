"""A recorded step, with a stand-in for the CUDA graph: it does the same work on the same places in memory."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from cifar100.dataset.cifar import COARSE_OF_FINE, Images
from cifar100.dataset.sample import make_sample
from cifar100.recipes import RECIPES
from cifar100.training.cuda_graph import CapturedStep, choose_step
from cifar100.training.trainer import make_trainer, train_one_epoch

CPU = torch.device("cpu")
RECIPE = replace(RECIPES["sprint"], epochs=2, batch_size=20, resolutions=((0.5, 20),), lr=0.1, muon_lr=0.02)


@pytest.fixture(scope="module")
def few() -> Images:
    """48 images: two whole batches of 20, and a last one of 8."""
    sample = make_sample(COARSE_OF_FINE, "test")
    return Images(sample.images, sample.fine, sample.coarse).take(np.arange(48))


def make(few, recipe=RECIPE):
    return make_trainer(recipe, few, CPU, precision="float32")


def stand_in(recorded):
    """In place of `record_graph`: warm up, then do the work at each call."""

    def record(work):
        recorded.append(work)
        for _ in range(3):
            work()
        return work

    return record


def test_recorded_steps_train_as_plain_ones(few):
    plain, captured, recorded, said = make(few), make(few), [], []
    captured.captured = CapturedStep(captured, said.append, stand_in(recorded))
    for epoch in (1, 2):
        assert train_one_epoch(captured, epoch) == pytest.approx(train_one_epoch(plain, epoch), abs=1e-4)
    assert len(recorded) == 2 and said == []  # one for each size of the pictures
    pairs = zip(captured.network.state_dict().values(), plain.network.state_dict().values())
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in pairs)
    for a, b in zip(captured.optimizers, plain.optimizers):
        assert [{**g, "params": 0} for g in a.param_groups] == [{**g, "params": 0} for g in b.param_groups]
    assert captured.lr == plain.lr


def test_a_trainer_that_is_resumed_keeps_its_schedule(few):
    """Loading a state gives the optimizers new groups."""
    plain, captured = make(few), make(few)
    captured.captured = CapturedStep(captured, print, stand_in([]))
    for trainer in (plain, captured):
        train_one_epoch(trainer, 1)
        states = {name: part.state_dict() for name, part in trainer.parts().items()}
        for name, part in trainer.parts().items():
            part.load_state_dict(states[name])
    assert train_one_epoch(captured, 2) == pytest.approx(train_one_epoch(plain, 2), abs=1e-4)
    groups = [group for optimizer in captured.optimizers for group in optimizer.param_groups]
    assert all(isinstance(group["lr"], float) and not group.get("fused") for group in groups)
    pairs = zip(captured.network.state_dict().values(), plain.network.state_dict().values())
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in pairs)


def test_recording_changes_nothing(few):
    trainer = make(few)
    trainer.augmentation.start_epoch(1, CPU)
    trainer.network.train()
    before = {name: value.clone() for name, value in trainer.network.state_dict().items()}
    step = CapturedStep(trainer, print, stand_in([]))
    images, labels, indices = next(trainer.loader.epoch(1))
    for place, values in ((step.images, images), (step.labels, labels), (step.indices, indices)):
        place.copy_(values)
    for rate in step.rates:
        rate.fill_(0.1)
    assert step.prepare(32)
    assert all(torch.equal(before[name], value) for name, value in trainer.network.state_dict().items())
    momenta = [v for o in trainer.optimizers for s in o.state.values() for v in s.values() if torch.is_tensor(v)]
    assert momenta and not any(v.any() for v in momenta)


def test_where_recording_fails_the_plain_step_serves_and_it_is_said(few):
    plain, broken, said = make(few), make(few), []

    def fail(work):
        work()
        raise RuntimeError("operation not permitted\nand more")

    broken.captured = CapturedStep(broken, said.append, fail)
    for epoch in (1, 2):
        assert train_one_epoch(broken, epoch) == train_one_epoch(plain, epoch)
    assert said == [
        "The training step could not be recorded as a CUDA graph (operation not permitted): the plain one serves, "
        "kernel by kernel."
    ]


def forget_the_rate(step):
    """A recording that holds the learning rate of its first step, ten times too high."""
    for rate in step.rates:
        rate.fill_(1.0)


def forget_the_batch(step):
    """A recording that reads another batch than the one that was put in its place."""
    step.images.copy_(step.images.flip(0))


@pytest.mark.parametrize(
    "mistake, seen", [(forget_the_rate, "step of the weights"), (forget_the_batch, "loss|gradient|step of the weights")]
)
def test_a_recording_that_computes_something_else_is_refused(few, mistake, seen):
    recipe, said = replace(RECIPE, resolutions=()), []
    plain, broken = make(few, recipe), make(few, recipe)

    def record(work):
        def replay():
            images = broken.captured.images.clone()
            mistake(broken.captured)
            try:
                with broken.captured.rates_in_memory():
                    return work()
            finally:
                broken.captured.images.copy_(images)

        return replay

    broken.captured = CapturedStep(broken, said.append, record)
    assert train_one_epoch(broken, 1) == train_one_epoch(plain, 1)
    pairs = zip(broken.network.state_dict().values(), plain.network.state_dict().values())
    assert len(said) == 1 and all(torch.equal(a, b) for a, b in pairs)
    assert re.match(rf"The training step does not compute the same as a CUDA graph \(its .*({seen})", said[0])
    record = broken.step_record()
    assert record["kind"] == "capture" and not record["proven"] and "does not compute" in record["refused"]


@pytest.mark.parametrize(
    "name, backend, reason",
    [("sprint", "capture", "there is no CUDA GPU"), ("sprint", "auto", None), ("smoke", "auto", None)],
)
def test_on_a_cpu_nothing_is_recorded(name, backend, reason, few):
    trainer, said = make(few, replace(RECIPES[name], batch_size=20)), []
    choose_step(trainer, backend, said.append)
    assert trainer.captured is None and bool(said) == bool(reason)
    assert reason is None or reason in said[0]
