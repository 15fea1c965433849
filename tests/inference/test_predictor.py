"""What the network says of a picture of one's own is what evaluation would say of the same pixels."""

import json
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load, save
from torch import nn

from cifar100.__main__ import main
from cifar100.dataset.cifar import FINE_NAMES
from cifar100.errors import UserError
from cifar100.evaluation.familiarity import pack
from cifar100.evaluation.logits import compute_both, predict_logits
from cifar100.inference import load_predictor
from cifar100.inference import predictor as inference
from cifar100.recipes import SMOKE
from cifar100.runs.answering import Answering, insert_answering
from cifar100.runs.find import run_folder
from cifar100.runs.history import EpochRecord, save_history
from cifar100.runs.run import make_metrics, save_recipe
from cifar100.network import load_network, make_network, save_weights

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)


def make_run(output, recipe=SMOKE, accuracy=0.5):
    """A finished run's folder with the recipe's first weights, and this accuracy after its one epoch."""
    folder = run_folder(recipe, output)
    folder.mkdir(parents=True)
    save_recipe(folder, recipe)
    save_weights(folder / "weights.safetensors", make_network(recipe), recipe)
    history = [EpochRecord(1, 0.1, 4.0, 0.1, 4.0, accuracy)]
    save_history(folder, history)
    facts = {"data": "CIFAR-100", "seconds": 1.0, "images_per_second": 1.0, "hardware": "abacus", "commit": None}
    metrics = make_metrics(recipe, history, folder, versions={"torch": "2"}, **facts)
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return folder


def make_answering(temperature=0.5, familiar_from=0.9, energy_from=-100.0, channels=64):
    """As of a network whose classes lie in the directions of the channels, over and over."""
    means = pack(np.eye(100, channels) + np.eye(100, channels, k=-channels))
    thresholds = tuple(np.linspace(0, 0.98, 99).round(6).tolist())
    return Answering(
        temperature=temperature,
        penalty=0.01,
        free=5,
        set_thresholds=thresholds,
        class_means=means,
        familiar_from=familiar_from,
        energy_from=energy_from,
    )


def evaluate_made(folder, **values):
    """Add to a run what an evaluation would."""
    answering = make_answering(**values).to_dict()
    weights, metrics = folder / "weights.safetensors", folder / "metrics.json"
    weights.write_bytes(insert_answering(weights.read_bytes(), answering))
    metrics.write_text(json.dumps(json.loads(metrics.read_text()) | {"evaluation": {"answering": answering}}))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("output"))


@pytest.fixture(scope="module")
def predictor(run):
    return load_predictor(run, device="cpu")


def softmax_of(folder, images, temperature=1.0):
    logits = predict_logits(load_network(folder), torch.from_numpy(images)).double().numpy()
    powers = np.exp((logits - logits.max(1, keepdims=True)) / temperature)
    return powers / powers.sum(1, keepdims=True)


def test_a_file_and_its_array_get_the_answer_of_the_evaluation(run, predictor, tmp_path):
    Image.fromarray(IMAGES[0]).save(tmp_path / "a.png")
    expected = softmax_of(run, IMAGES[:1])[0]
    for source in (tmp_path / "a.png", str(tmp_path / "a.png"), (tmp_path / "a.png").read_bytes(), IMAGES[0]):
        answer = predictor.predict(source, top_k=100)
        assert sorted(k for _, k, _ in answer) == list(range(100))
        assert all(share == pytest.approx(expected[k], rel=1e-9) for _, k, share in answer)
        assert all(name == FINE_NAMES[k] for name, k, _ in answer)
        shares = [share for _, _, share in answer]
        assert shares == sorted(shares, reverse=True) and sum(shares) == pytest.approx(1)
    name, number, share = predictor.predict(IMAGES[0])[0]
    assert (type(name), type(number), type(share)) == (str, int, float)
    assert (name, number, share) == (FINE_NAMES[expected.argmax()], expected.argmax(), pytest.approx(expected.max()))


def test_a_batch_is_what_evaluation_computes_and_in_its_order(run, predictor, monkeypatch):
    expected = softmax_of(run, IMAGES)
    sizes, original = [], inference.compute_both
    monkeypatch.setattr(
        inference, "compute_both", lambda network, images: (sizes.append(len(images)), original(network, images))[1]
    )
    for images in (IMAGES, list(IMAGES), tuple(map(Image.fromarray, IMAGES)), IMAGES / 255):
        probabilities = predictor.probabilities(images)
        np.testing.assert_allclose(probabilities, expected, rtol=1e-9)
    answers = predictor.predict_batch(list(IMAGES), top_k=3)
    assert sizes == [20] * 5  # one call each, which splits them itself
    assert [[k for _, k, _ in answer] for answer in answers] == np.argsort(-expected, 1)[:, :3].tolist()
    large = Image.fromarray(IMAGES[2]).resize((96, 64))
    assert len(predictor.predict_batch([IMAGES[0], large])) == 2
    assert predictor.predict_batch([]) == [] and predictor.probabilities([]).shape == (0, 100)


def test_equal_probabilities_come_in_the_order_of_the_classes(run):
    predictor = load_predictor(run, device="cpu")
    nn.init.zeros_(predictor.network.head.weight), nn.init.zeros_(predictor.network.head.bias)
    assert [k for _, k, _ in predictor.predict(IMAGES[0])] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("top_k", [0, -1, 101, 2.0, "5", None, True])
def test_top_k_is_a_number_of_classes(predictor, top_k):
    with pytest.raises(UserError, match="top_k must be a whole number from 1 to 100, not"):
        predictor.predict("the picture is not even opened", top_k)


def test_bad_pictures_are_refused_in_their_own_words(predictor):
    with pytest.raises(UserError, match="^There is no file missing.png"):
        predictor.predict("missing.png")
    with pytest.raises(UserError, match="^Picture 2 of 2: The picture holds NaN"):
        predictor.predict_batch([IMAGES[0], np.full((4, 4), np.nan)])
    with pytest.raises(UserError, match="put a single one into a list"):
        predictor.predict_batch(IMAGES[0])


def test_threads_share_a_predictor(predictor):
    alone = [predictor.predict(image) for image in IMAGES]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(predictor.predict, [*IMAGES] * 3)) == alone * 3


def test_a_predictor_is_found_by_run_recipe_or_file(run, predictor, tmp_path):
    make_run(run.parent.parent, replace(SMOKE, seed=7))
    expected = predictor.probabilities(IMAGES)
    away = tmp_path / "alone.safetensors"  # the file is enough
    away.write_bytes((run / "weights.safetensors").read_bytes())
    for path in (run.parent, str(run.parent), run / "weights.safetensors", away):
        np.testing.assert_array_equal(load_predictor(path, device="cpu").probabilities(IMAGES), expected)
    other = load_predictor(run.with_name("seed7"), device="cpu")
    assert (other.probabilities(IMAGES) != expected).any()
    assert predictor.classes == FINE_NAMES and not predictor.network.training
    for missing in ("nothing", "nothing.safetensors"):
        with pytest.raises(UserError, match="nothing.* (name another|holds no finished run)"):
            load_predictor(tmp_path / missing, "cpu")
    with pytest.raises(UserError, match="no device 'abacus'"):
        load_predictor(run, device="abacus")


def test_class_names_come_from_the_weights(run, tmp_path):
    tensors = load((run / "weights.safetensors").read_bytes())

    def written(name, metadata):
        (tmp_path / name).write_bytes(save(tensors, metadata))
        return tmp_path / name

    def labelled(classes):
        return {"cifar100": json.dumps({"recipe": SMOKE.to_dict(), "classes": classes})}

    german = load_predictor(written("a.safetensors", labelled([f"Klasse {k}" for k in range(100)])), device="cpu")
    name, number, _ = german.predict(IMAGES[0])[0]
    assert name == f"Klasse {number}"
    with pytest.raises(UserError, match="names 3 classes for 100 logits"):
        load_predictor(written("b.safetensors", labelled(["a", "b", "c"])), device="cpu")
    for metadata in (
        None,
        {},
        {"cifar100": "no JSON"},
        {"cifar100": "[]"},
        {"cifar100": '{"recipe": 3, "classes": []}'},
    ):
        with pytest.raises(UserError, match="does not name its recipe and classes"):
            load_predictor(written("c.safetensors", metadata), device="cpu")


def test_weights_that_are_damaged_or_of_another_network_are_refused(tmp_path):
    folder = make_run(tmp_path)
    path = folder / "weights.safetensors"
    whole, network = path.read_bytes(), make_network(SMOKE)
    for damaged in (whole[:-100], whole[: len(whole) // 2], whole[:4], b""):
        path.write_bytes(damaged)
        for named in (folder, path):
            with pytest.raises(UserError, match="is damaged|cannot be read"):
                load_predictor(named, device="cpu")
    save_weights(path, network, replace(SMOKE, network="resnet56"))
    with pytest.raises(UserError, match="another network"):
        load_predictor(path, device="cpu")
    nn.init.constant_(network.head.bias, torch.nan)
    save_weights(path, network, SMOKE)
    for named in (folder, path):
        with pytest.raises(UserError, match="not finite"):
            load_predictor(named, device="cpu")


@pytest.mark.parametrize("name", ["num_batches", "bias", "weight"])
@pytest.mark.parametrize(
    "change",
    [
        lambda value: value.to(torch.int8),
        lambda value: value.to(torch.bool),
        lambda value: value.to(torch.complex64),
        lambda value: value.double(),
        lambda value: value[None],
    ],
    ids=["int8", "bool", "complex", "double", "another shape"],
)
def test_what_is_no_weight_of_the_network_is_refused_before_it_is_read(run, tmp_path, name, change, monkeypatch):
    content = (run / "weights.safetensors").read_bytes()
    tensors = load(content)
    which = next(key for key in tensors if key.split(".")[-1].startswith(name))
    metadata = {"cifar100": json.dumps({"recipe": SMOKE.to_dict(), "classes": FINE_NAMES})}
    (tmp_path / "a.safetensors").write_bytes(save(tensors | {which: change(tensors[which])}, metadata))
    monkeypatch.setattr(torch, "isfinite", None)  # as a tensor would be, once read
    with pytest.raises(UserError, match="another network"):
        load_predictor(tmp_path / "a.safetensors", device="cpu")


def test_weights_beyond_all_measure_give_a_sentence_and_no_nan(tmp_path, capsys):
    network = make_network(SMOKE)
    nn.init.constant_(network.head.weight, 3e38)
    folder = make_run(tmp_path)
    save_weights(tmp_path / "large.safetensors", network, SMOKE)
    Image.fromarray(IMAGES[0]).save(tmp_path / "a.png")
    assert (
        main(["predict", str(tmp_path / "large.safetensors"), str(tmp_path / "a.png"), "--json", "--device", "cpu"])
        == 2
    )
    captured = capsys.readouterr()
    assert captured.out == "" and "no finite numbers" in captured.err
    os.mkfifo(tmp_path / "pipe.safetensors")
    (folder / "recipe.json").unlink()
    (folder / "recipe.json").symlink_to("/dev/zero")
    for path in (tmp_path / "pipe.safetensors", folder):
        with pytest.raises(UserError, match="no regular file"):
            load_predictor(path, device="cpu")


def test_a_pickle_is_not_opened(run, tmp_path):
    mark = tmp_path / "mark"

    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(mark),))

    (tmp_path / "bare.pth").write_bytes(pickle.dumps(Trap()))
    torch.save(load_network(run).state_dict(), tmp_path / "state.pt")
    for name in ("bare.pth", "state.pt"):
        with pytest.raises(UserError, match="is a pickle, which is not opened: name a run"):
            load_predictor(tmp_path / name, device="cpu")
    assert not mark.exists()


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    folder = make_run(tmp_path_factory.mktemp("evaluated"))
    evaluate_made(folder)
    return folder


def test_a_run_and_its_weights_alone_answer_with_the_temperature(evaluated, tmp_path):
    away = tmp_path / "alone.safetensors"
    away.write_bytes((evaluated / "weights.safetensors").read_bytes())
    expected = softmax_of(evaluated, IMAGES, temperature=0.5)
    for path in (evaluated, evaluated.parent, evaluated / "weights.safetensors", away):
        predictor = load_predictor(path, "cpu")
        np.testing.assert_allclose(predictor.probabilities(IMAGES), expected, rtol=1e-9)
        assert predictor.answering == make_answering()
    plain = softmax_of(evaluated, IMAGES)
    assert (plain.argmax(1) == expected.argmax(1)).all() and (plain.max(1) < expected.max(1)).all()


def test_an_answer_says_how_many_are_enough_and_whether_it_is_of_any_class(evaluated):
    predictor = load_predictor(evaluated, "cpu")
    for confidence in (0.05, 0.3, 0.9, 0.99):
        threshold = make_answering().set_thresholds[round(100 * confidence) - 1]
        answers = predictor.answer_batch(IMAGES, confidence)
        assert [answer.ranking for answer in answers] == predictor.predict_batch(IMAGES, 100)
        for answer in answers:
            shares = [prediction.probability for prediction in answer.ranking]
            before = [sum(shares[:k]) + 0.01 * max(0, k - 4) for k in range(100)]
            assert answer.enough == sum(value <= threshold + 1e-12 for value in before)
    logits, features = compute_both(predictor.network, IMAGES)
    cosines = (features / np.linalg.norm(features, axis=1, keepdims=True)).max(1)  # to the nearest channel
    middle = float(np.median(cosines))
    predictor = load_predictor(evaluated, "cpu")
    predictor.answering = replace(predictor.answering, familiar_from=middle)
    assert [answer.familiar for answer in predictor.answer_batch(IMAGES)] == (cosines >= middle).tolist()
    energies = np.log(np.exp(logits.astype(float)).sum(1))
    least = float(np.median(energies))
    predictor.answering = replace(predictor.answering, energy_from=least)
    expected = (cosines >= middle) & (energies >= least)
    assert [answer.familiar for answer in predictor.answer_batch(IMAGES)] == expected.tolist()
    assert 0 < expected.sum() < len(IMAGES)
    assert predictor.answer_batch([]) == []


def test_without_an_evaluation_there_are_no_sets(run, predictor, tmp_path, capsys):
    answer = predictor.answer(IMAGES[0])
    assert (answer.enough, answer.familiar, len(answer.ranking)) == (None, None, 100)
    Image.fromarray(IMAGES[0]).save(tmp_path / "a.png")
    assert main(["predict", str(run), str(tmp_path / "a.png"), "--confidence", "0.9", "--device", "cpu"]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and "has not been evaluated" in captured.err and captured.err.count("\n") == 1


@pytest.mark.parametrize("confidence", [0, 1, 0.995, -1, float("nan"), "0.9", None, True])
def test_a_confidence_is_a_share_that_there_are_sets_for(evaluated, confidence):
    with pytest.raises(UserError, match="from 0.01 to 0.99"):
        load_predictor(evaluated, "cpu").answer(IMAGES[0], confidence)


def test_predict_prints_the_set_and_says_what_looks_like_nothing(evaluated, tmp_path, capsys):
    picture = tmp_path / "a.png"
    Image.fromarray(IMAGES[0]).save(picture)
    command = ["predict", str(evaluated), str(picture), "--device", "cpu"]
    answer = load_predictor(evaluated, "cpu").answer(IMAGES[0], 0.3)
    assert main([*command, "--confidence", "0.3"]) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == f"{picture}: looks like none of the classes" and not answer.familiar
    assert [line.split("%  ")[1] for line in lines] == [
        own.class_name.replace("_", " ") for own in answer.ranking[: answer.enough]
    ]
    assert main([*command, "--json", "--top", "3"]) == 0
    content = json.loads(capsys.readouterr().out)[str(picture)]
    assert content == {"familiar": False, "classes": [own._asdict() for own in answer.ranking[:3]]}
    for wrong, words in ((["--confidence", "1.5"], "from 0.01 to 0.99"), (["--top", "0"], "from 1 to 100")):
        assert main([*command, *wrong]) == 2
        captured = capsys.readouterr()
        assert captured.out == "" and words in captured.err


def test_class_means_of_another_network_are_refused(evaluated, tmp_path):
    path = tmp_path / "other.safetensors"
    other = make_answering(channels=65).to_dict()
    path.write_bytes(insert_answering((evaluated / "weights.safetensors").read_bytes(), other))
    with pytest.raises(UserError, match="is of another network"):
        load_predictor(path, "cpu")
