"""The demo answers as `predict` does, says what is wrong with a file, and goes on. Asked over HTTP and in a browser."""

import os
import shutil
from dataclasses import replace

import httpx
import numpy as np
import pytest
from gradio_client import handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from cifar100.__main__ import main
from cifar100.dataset.cifar import COARSE_NAMES, COARSE_OF_FINE
from cifar100.demo import answers
from cifar100.demo import page as app
from cifar100.demo.answers import load_drawings
from cifar100.errors import UserError
from cifar100.inference import load_predictor
from cifar100.inference.images import stack_images
from cifar100.recipes import SMOKE
from tests.conftest import make_run
from tests.demo.pages import call, connect, shares, upload
from tests.inference import costly
from tests.inference.test_predictor import evaluate_made

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two networks with different first weights, of which the second was evaluated."""
    output = tmp_path_factory.mktemp("output")
    second = make_run(output, replace(SMOKE, name="other", seed=1))
    evaluate_made(second)
    return {"first": make_run(output), "second": second}


@pytest.fixture(scope="module")
def page(models):
    served = app.serve(models, "cpu")
    yield served
    served.close(verbose=False)


@pytest.fixture(scope="module")
def client(page):
    return connect(page.local_url)


@pytest.fixture(scope="module")
def photograph(tmp_path_factory):
    """An image that is neither square nor 32 pixels wide."""
    path = tmp_path_factory.mktemp("images") / "photograph.png"
    load_drawings()["clock"].resize((300, 200)).save(path)
    return path


def ask(client, path, model="first"):
    return client.predict(handle_file(str(path)), model, api_name="/predict")


def test_the_endpoint_gives_the_probabilities_of_the_predictor(client, models, photograph):
    (pixels,) = stack_images([photograph])
    said = {}
    for name, folder in models.items():
        label, said[name], superclass, seen, last, before = ask(client, photograph, name)
        expected = load_predictor(folder, "cpu").predict(photograph)
        shown = [(row["label"], row["confidence"]) for row in label["confidences"]]
        assert shown == [(own.class_name.replace("_", " "), own.probability) for own in expected]
        assert superclass.startswith(COARSE_NAMES[COARSE_OF_FINE[expected[0].class_id]].replace("_", " ") + " (")
        np.testing.assert_array_equal(np.asarray(Image.open(seen))[5::10, 5::10], pixels)
        assert all(Image.open(view).size == (320, 320) for view in (seen, last, before))
    assert said["first"] == "Not calibrated: run `python -m cifar100 evaluate RUN --write`."
    assert said["second"] == load_predictor(models["second"], "cpu").answer(photograph).doubt  # it is untrained


def test_a_sentence_says_how_sure_it_is(models):
    answer = load_predictor(models["second"], "cpu").answer(load_drawings()["clock"])._replace(doubt=None)
    names = [prediction.class_name.replace("_", " ") for prediction in answer.ranking]
    said = {
        1: f"It is 90% sure that this is: {names[0]}.",
        2: f"It is 90% sure that this is one of 2 classes: {names[0]}, {names[1]}.",
        7: f"It is 90% sure that this is one of 7 classes: {', '.join(names[:5])} and 2 more.",
    }
    for size, sentence in said.items():
        assert answers.describe_set(answer._replace(set_size=size)) == sentence


def test_what_is_no_image_gets_one_sentence_and_the_server_goes_on(client, photograph, tmp_path):
    for name, content, message in (
        ("text.png", b"no image", "it is none of JPEG"),
        ("cut.png", photograph.read_bytes()[:2000], "cannot be opened as an image"),
        ("bomb.bmp", costly.promise(20_000, 3_001), "more than 60,000,000"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(AppError, match=message) as refusal:
            ask(client, tmp_path / name)
        assert not any(text in str(refusal.value) for text in ("\n", name, "/tmp"))
    assert len(ask(client, photograph)[0]["confidences"]) == 5


def test_only_what_visitors_have_sent_is_opened(page, photograph, tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for path in ("/etc/passwd", "/dev/zero", "/nowhere.png", "a\0b", "../../../etc/passwd", tmp_path / "pipe.png"):
        for more in ({}, {"meta": {"_type": "gradio.FileData"}}, {"url": "http://x.example"}):
            assert call(page.local_url, {"path": str(path), **more}, "first").startswith("event: error")
    received = upload(page.local_url, photograph.read_bytes())
    assert len(shares(call(page.local_url, received, "first"))) == 5
    for model in ("third", None, ["first"]):
        assert call(page.local_url, received, model).startswith("event: error")
    large = {"files": ("a.png", bytes(21_000_000))}
    assert httpx.post(f"{page.local_url}gradio_api/upload", files=large).status_code == 413


def test_the_command_refuses_in_one_sentence(models, page, tmp_path, capsys):
    taken = [str(models["first"]), "--port", f"{page.server_port}"]
    for arguments in (["--output", str(tmp_path)], [str(tmp_path)], taken, [str(models["first"]), "--port", "70000"]):
        assert main(["demo", *arguments]) == 2
        captured = capsys.readouterr()
        assert captured.out == "" and captured.err.startswith("Error: ") and captured.err.count("\n") == 1


def test_models_are_the_published_runs_with_weights(tmp_path):
    for name, seed, accuracy in (("smoke", 1, 0.5), ("smoke", 10, 0.9), ("sprint", 2, 0.7), ("sprint", 0, 0.6)):
        make_run(tmp_path, replace(SMOKE, name=name, seed=seed), accuracy)
    (tmp_path / "sprint/seed0/weights.safetensors").unlink()
    models = answers.find_models(output=tmp_path)
    assert list(models.items()) == [("sprint", tmp_path / "sprint/seed2"), ("smoke", tmp_path / "smoke/seed1")]
    assert answers.describe_model("sprint", models["sprint"]) == "sprint (70.0%)"
    (chosen,) = answers.find_models(tmp_path / "sprint").items()
    assert answers.describe_model(*chosen).endswith("sprint (70.0%)")
    with pytest.raises(UserError, match="holds no finished run with weights"):
        answers.find_models(output=tmp_path / "sprint")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium")
def test_a_visitor_uploads_an_image_then_garbage_then_a_drawing(page, models, photograph, tmp_path):
    from playwright.sync_api import expect, sync_playwright

    with sync_playwright() as playwright:
        # Its sandbox refuses to start for root, as which containers run.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tab, requests = browser.new_page(viewport={"width": 390, "height": 844}), []  # a phone
        tab.set_default_timeout(60_000)
        expect.set_options(timeout=60_000)
        tab.on("request", lambda request: requests.append(request.url))
        tab.goto(page.local_url)
        file, bars = tab.locator("input[type=file]").first, tab.locator("meter")

        def see_answer(source):
            expect(bars).to_have_count(5)
            expected = load_predictor(models["first"], "cpu").predict(source)
            assert [float(bar.get_attribute("value")) for bar in bars.all()] == [own.probability for own in expected]
            expect(tab.get_by_label("Fullscreen")).to_have_count(4)  # of the image, and of the three in the answer

        file.set_input_files(photograph)
        see_answer(photograph)
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390
        garbage = tmp_path / "<img src=x onerror=document.title=1>.png"
        garbage.write_text("<script>document.title = 1</script>")
        file.set_input_files(garbage)
        expect(tab.get_by_test_id("toast-text")).to_contain_text("it is none of JPEG")
        expect(bars).to_have_count(0)
        tab.get_by_test_id("toast-close").click()
        tab.get_by_label("Remove Image").click()
        tab.locator("button.gallery-item").first.click()
        see_answer(next(iter(load_drawings().values())))
        assert tab.title() == app.TITLE
        assert all(url.startswith((page.local_url, "data:", "blob:")) for url in requests), requests
        browser.close()
