"""The compiled step: the same as the plain one, or refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from cifar100.training.step import TRIALS, LossStep, compile_options
from cifar100.training.trainer import make_trainer, train_one_epoch

from cifar100.bench import whole_batches
from cifar100.dataset.cifar import COARSE_OF_FINE, Images
from cifar100.dataset.sample import make_sample
from cifar100.network import make_network
from cifar100.recipes import RECIPES, SMOKE
from cifar100.train import fit

CPU = torch.device("cpu")
SHORT = replace(SMOKE, epochs=2.5, batch_size=64)


@pytest.fixture(scope="module")
def few() -> Images:
    sample = make_sample(COARSE_OF_FINE, "test")
    return Images(sample.images, sample.fine, sample.coarse).take(np.arange(48))


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_compiled_step_computes_the_same(backend, few):
    """48 images in batches of 20: two whole batches, compiled, and a last one of 8, not."""
    recipe, said = replace(SHORT, batch_size=20), []
    compiled, plain = (make_trainer(recipe, few, CPU) for _ in range(2))
    compiled.loss_step.compile(backend, said.append)
    for epoch in (1, 2):
        assert train_one_epoch(compiled, epoch) == pytest.approx(train_one_epoch(plain, epoch), abs=1e-3)
    assert said == [f"The training step is compiled ({backend}); the first one takes a minute or two."]
    assert compiled.loss_step.proven == {(torch.Size((20, 3, 32, 32)), 1)}
    pairs = zip(compiled.network.parameters(), plain.network.parameters())
    assert max((a - b).abs().max().item() for a, b in pairs) < 1e-3


def make_step(say):
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.BatchNorm1d(12), torch.nn.Linear(12, 5))
    step = LossStep(network, torch.float32, 0.0, 4, CPU)
    step.say = say
    return step, torch.randn(4, 3, 2, 2), torch.tensor([0, 1, 2, 3])


def test_a_step_that_cannot_be_compiled_runs_in_eager_mode_and_says_so():
    said = []
    broken, inputs, targets = make_step(said.append)
    plain, *_ = make_step(said.append)
    scaler = torch.amp.GradScaler("cpu", enabled=False)

    def fails_late(*batch):
        broken.forward(*batch)  # the norm has counted the batch when the compiler gives up
        raise RuntimeError("no C++ compiler\nand more")

    broken.compiled = fails_late
    for _ in range(2):
        ours, expected = (step(inputs, targets, scaler) for step in (broken, plain))
        assert all(torch.equal(a, b) for a, b in zip(ours, expected))
    assert said == [
        "The training step could not be compiled (no C++ compiler): the plain one serves, kernel by kernel."
    ]
    assert all(torch.equal(a, b) for a, b in zip(broken.network.buffers(), plain.network.buffers()))
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(broken.network.parameters(), plain.network.parameters()))


def test_only_whole_batches_take_the_compiled_step():
    step, inputs, targets = make_step(print)
    sizes = []
    step.compiled = lambda *batch: sizes.append(len(batch[0])) or step.forward(*batch)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    for batch in (slice(None), slice(3), slice(None)):
        step(inputs[batch], targets[batch], scaler)
    assert sizes == [4] * (TRIALS + 2) and len(step.proven) == 1


WRONG = {
    "loss": lambda loss, logits, step: (loss * 1.1, logits),
    "logits": lambda loss, logits, step: (loss, logits.roll(1, 0)),
    "gradient of 2's filters": lambda loss, logits, step: (loss + freeze(step.network[2].weight, loss), logits),
    "loss differs by nan%": lambda loss, logits, step: (loss * float("nan"), logits),
}


def freeze(weight, loss):
    """A term of value 0 that adds as much as it likes to the weight's gradient."""
    return (weight - weight.detach()).sum()


@pytest.mark.parametrize("wrong_from", [1, 3])
@pytest.mark.parametrize("what", WRONG)
def test_a_compiled_step_that_computes_something_else_is_refused(what, wrong_from):
    """Where it does so in its first call, or only in its third, as a graph that is replayed may."""
    said, calls = [], []
    broken, inputs, targets = make_step(said.append)
    plain, *_ = make_step(said.append)
    scaler = torch.amp.GradScaler("cpu", enabled=False)

    def compiled(*batch):
        calls.append(batch)
        result = broken.forward(*batch)
        return WRONG[what](*result, broken) if len(calls) >= wrong_from else result

    broken.compiled = compiled
    for _ in range(2):
        ours, expected = (step(inputs, targets, scaler) for step in (broken, plain))
        assert all(torch.equal(a, b) for a, b in zip(ours, expected))
    assert len(calls) == wrong_from and len(said) == 1 and what in said[0]
    assert said[0].startswith("The training step does not compute the same when it is compiled (its ")
    assert all(torch.equal(a, b) for a, b in zip(broken.network.buffers(), plain.network.buffers()))
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(broken.network.parameters(), plain.network.parameters()))


def test_bfloat16_rounds_as_much_in_the_compiled_step_as_in_the_plain_one(few):
    """Its gradients are a third rounding: a step that computes in another order is not refused for that, while one that
    computes in another precision, or leaves a stage's gradient out, is seen."""
    trainer = make_trainer(replace(SHORT, batch_size=48), few, CPU, precision="bfloat16")
    step, (inputs, targets) = trainer.loss_step, next(whole_batches(trainer))
    trainer.network.train()
    order = torch.randperm(48).tolist()
    back = torch.tensor(order).argsort()

    def reordered(inputs, targets):
        loss, logits = step.forward(inputs[order], targets[order])
        return loss, logits[back]

    step.compiled = reordered
    assert step.compare(inputs, targets, trainer.scaler) == ""

    def without_a_gradient(inputs, targets):
        features = trainer.network.stages[0](torch.relu(trainer.network.stem(inputs))).detach()
        for stage in trainer.network.stages[1:]:
            features = stage(features)
        logits = trainer.network.head(features.mean((2, 3)))
        return torch.nn.functional.cross_entropy(logits, targets), logits

    step.compiled = without_a_gradient
    assert "it leaves out the gradient of" in step.compare(inputs, targets, trainer.scaler)


def test_gradients_that_overflow_in_float16_prove_nothing():
    step, inputs, targets = make_step(print)
    step.compiled = step.forward
    scaler = torch.amp.GradScaler("cpu", init_scale=float("inf"))
    assert not step.is_proven(inputs, targets, scaler) and step.compiled and not step.refused
    assert step.is_proven(inputs, targets, torch.amp.GradScaler("cpu", init_scale=1024.0))


def test_the_compared_steps_draw_the_same_dropout_and_leave_the_next_draw_alone(few):
    recipe = replace(RECIPES["resnet18_cutmix"], network="resnet20", batch_size=20)
    compiled, plain = (make_trainer(recipe, few, CPU, precision="float32") for _ in range(2))
    compiled.loss_step.compile("eager", lambda text: None)
    assert train_one_epoch(compiled, 1) == pytest.approx(train_one_epoch(plain, 1), abs=1e-4)
    assert compiled.loss_step.proven


def test_dropout_is_compiled_so_that_it_draws_as_the_plain_step_does():
    """torch checks the names of the options when it is asked to compile."""
    gpu = torch.device("cuda")
    network = make_network(RECIPES["resnet18_cutmix"])
    options = compile_options("inductor", network, gpu)
    torch.compile(network, **options)
    assert options["options"]["fallback_random"]
    assert compile_options("inductor", make_network(SMOKE), gpu) == {"mode": "reduce-overhead"}
    assert compile_options("aot_eager", network, gpu) == compile_options("inductor", network, CPU) == {}


def test_what_was_refused_stays_refused_when_the_run_is_resumed(tiny, tmp_path, monkeypatch):
    """The compiled step is wrong in the first part of the run and would be right in the second."""
    compute, said = LossStep.forward_compiled, []
    monkeypatch.setattr(LossStep, "forward_compiled", lambda self, *batch: [2 * part for part in compute(self, *batch)])
    options = {"data": "elsewhere", "output": tmp_path, "device": "cpu", "compile": "eager", "say": said.append}
    records = fit(SHORT, **options)
    next(records)
    records.close()
    (refusal,) = [text for text in said if "does not compute the same" in text]
    monkeypatch.setattr(LossStep, "forward_compiled", compute)
    said.clear()
    list(fit(SHORT, resume=True, **options))
    assert refusal in said
    said.clear()
    list(fit(replace(SHORT, seed=1), **options))
    assert refusal not in said and any("is compiled (eager)" in text for text in said)


def test_the_cpu_does_not_compile_unless_asked():
    step, *_ = make_step(print)
    step.compile("auto")
    assert step.compiled is None
