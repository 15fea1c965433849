"""The demo answers as the API does, says what is wrong with a file, and goes on. Asked over HTTP and in a browser."""

import io
import json
import os
import shutil
import socket
import sys
import threading
import time
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import replace

import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from benchmarks.visitors import read_memory
from cifar100.__main__ import main
from cifar100.dataset.cifar import COARSE_NAMES, COARSE_OF_FINE, FINE_NAMES
from cifar100.demo import answers
from cifar100.demo import page as app
from cifar100.demo.examples import load_drawings
from cifar100.errors import UserError
from cifar100.inference import load_predictor
from cifar100.inference.pictures import stack_pictures
from cifar100.recipes import SMOKE
from tests.inference import costly
from tests.inference.test_predictor import evaluate_made, make_run

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
contacted: set[str] = set()  # hosts that this process has looked up or connected to


def note_hosts(event: str, arguments: tuple) -> None:
    if event == "socket.getaddrinfo":
        contacted.add(str(arguments[0]))
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        contacted.add(arguments[1][0])


sys.addaudithook(note_hosts)  # stays until the process ends


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two networks with different first weights, of which the second was evaluated."""
    output = tmp_path_factory.mktemp("output")
    second = make_run(output, replace(SMOKE, name="other", seed=1))
    evaluate_made(second, familiar_from=-1)
    return {"first": make_run(output), "second": second}


@pytest.fixture(scope="module")
def page(models):
    """Served while all tests run, none of which may have called the outside."""
    contacted.clear()
    served = app.serve(models, "cpu")
    yield served
    served.close(verbose=False)
    assert contacted <= {"127.0.0.1", "localhost", "0.0.0.0"}


def make_client(page):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")  # gradio_client 2.7 wants to hear it twice
        patch.setattr(
            "gradio_client.client.build_hf_headers", lambda **given: {}
        )  # asks the Hub which agents there are
        return Client(page.local_url, verbose=False, analytics_enabled=False)


@pytest.fixture(scope="module")
def client(page):
    return make_client(page)


@pytest.fixture(scope="module")
def photograph(tmp_path_factory):
    """A picture that is neither square nor 32 pixels wide."""
    path = tmp_path_factory.mktemp("pictures") / "photograph.png"
    load_drawings()["clock"].resize((300, 200)).save(path)
    return path


def ask(client, path, model="first"):
    return client.predict(handle_file(str(path)), model, api_name="/predict")


def bad_files():
    """By what the page says of them."""
    jpeg, png = io.BytesIO(), io.BytesIO()
    load_drawings()["sea"].save(jpeg, "JPEG")
    Image.new("1", (20_000, 20_000)).save(png, "PNG")
    kind = "is no picture of a kind read here"
    return [
        ("text.png", b"no picture", kind),
        ("drawing.svg", b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>', kind),
        ("empty.png", b"", "is an empty file"),
        ("cut.jpg", jpeg.getvalue()[:2000], "cannot be opened as a picture"),
        ("bomb.png", png.getvalue(), "has more than 60,000,000 pixels"),
    ]


def test_the_endpoint_gives_the_probabilities_of_the_predictor(client, models, photograph):
    (pixels,) = stack_pictures([photograph])
    shown, trusted = {}, {}
    for name, folder in models.items():
        label, superclass, seen, last, before, trust = ask(client, photograph, name)
        trusted[name] = trust
        expected = load_predictor(folder, "cpu").predict(photograph)
        shown[name] = [(row["label"], row["confidence"]) for row in label["confidences"]]
        assert shown[name] == [(e.class_name.replace("_", " "), e.probability) for e in expected]
        assert superclass.startswith(COARSE_NAMES[COARSE_OF_FINE[expected[0].class_id]].replace("_", " ") + " (")
        np.testing.assert_array_equal(np.asarray(Image.open(seen))[5::10, 5::10], pixels)
        for view in (seen, last, before):
            assert Image.open(view).size == (320, 320)
    assert shown["first"] != shown["second"]
    assert trusted["first"] == "How far to trust this has not been measured: `evaluate --write` does."
    answer = load_predictor(models["second"], "cpu").answer(photograph)
    assert trusted["second"].startswith(f"One of {answer.enough}, with a confidence of 90%: {shown['second'][0][0]}, ")
    assert answer.enough > 5 and trusted["second"].endswith(f" and {answer.enough - 5} more.")


def test_an_answer_comes_with_a_sentence_on_how_far_to_trust_it(models):
    answer = load_predictor(models["second"], "cpu").answer(load_drawings()["clock"])
    first, second = (prediction.class_name.replace("_", " ") for prediction in answer.ranking[:2])
    said = {
        (1, True): f"One class is enough for a confidence of 90%: {first}.",
        (2, True): f"One of 2, with a confidence of 90%: {first}, {second}.",
        (2, False): "This looks like none of the 100 classes, so do not trust the names. "
        "(5% of the test pictures look so, too.)",
    }
    for (enough, familiar), sentence in said.items():
        assert answers.describe_trust(answer._replace(enough=enough, familiar=familiar)) == sentence


def test_what_is_no_picture_gets_one_sentence_and_the_server_goes_on(client, photograph, tmp_path):
    for name, content, message in bad_files():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(AppError, match=message) as refusal:
            ask(client, tmp_path / name)
        assert not any(text in str(refusal.value) for text in ("\n", name, "/tmp"))
    assert len(ask(client, photograph)[0]["confidences"]) == 5


def call(page, *data):
    """What the page answers to a call with these values, whatever they are."""
    event = httpx.post(f"{page.local_url}gradio_api/call/predict", json={"data": data}).json()["event_id"]
    return httpx.get(f"{page.local_url}gradio_api/call/predict/{event}", timeout=20).text


def named(path, **more):
    return {"path": str(path), **more}


META = {"meta": {"_type": "gradio.FileData"}}


def test_no_address_and_no_file_of_the_server_is_opened(page, client, photograph):
    assert "That is an address: download it first" in call(
        page, named("http://pictures.example/cat.png", **META), "first"
    )
    assert "pictures.example" not in contacted
    with pytest.raises(AppError, match="not in the list of choices"):
        ask(client, photograph, "third")


def test_only_what_visitors_have_sent_is_opened(page, photograph, tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    link = app.make_upload_folder() / "link.png"
    link.symlink_to(photograph)
    paths = ["/etc/passwd", "/dev/zero", "/nowhere.png", "a\0b", "x" * 9999, "../../../../etc/passwd", photograph, link]
    paths += [tmp_path / "pipe.png", photograph.parent, app.make_upload_folder()]
    for more in ({}, META, {"url": "http://x.example"}, {"is_stream": True, **META}):
        answers = {call(page, named(path, **more), "first") for path in paths}
        assert len(answers) == 1 and app.NOT_RECEIVED in answers.pop()
        assert app.NOT_RECEIVED in call(page, None, named(app.make_upload_folder(), **more))  # else never emptied again
    os.mkfifo(app.make_upload_folder() / "pipe.png")
    assert app.NOT_RECEIVED in call(page, named(app.make_upload_folder() / "pipe.png"), "first")


def test_a_drawing_of_the_page_is_answered(page, models):
    """A visitor who chooses one sends no file: the page names its own."""
    address, answered = f"{page.local_url}gradio_api/queue/", 0
    for number, event in page.fns.items():
        if event.api_name == "predict" or len(event.outputs) != 1:
            continue
        join = {"data": [0], "session_hash": "drawing", "fn_index": number}
        assert httpx.post(f"{address}join", json=join).status_code == 200
        with httpx.stream("GET", f"{address}data?session_hash=drawing") as stream:
            told = next(json.loads(line[6:]) for line in stream.iter_lines() if "process_completed" in line)
        chosen = told["output"]["data"][0]["value"]
        answer = call(page, {"path": chosen["path"], **META}, "first")
        best = load_predictor(models["first"], "cpu").predict(next(iter(load_drawings().values())))[0]
        assert answer.startswith("event: complete") and best.class_name.replace("_", " ") in answer
        answered += 1
    assert answered == 1


MALFORMED = [
    [],
    [None],
    ["picture.png", "first"],
    [5, "first"],
    [[1], "first"],
    [{}, "first"],
    [{"path": 5}, "first"],
    [{"path": None}, "first"],
    [{"path": {"path": "x"}}, "first"],
    [{"path": "x", "meta": 3}, "first"],
    [{"path": "x", "size": "large"}, "first"],
    [{"url": "data:image/png;base64,AAAA"}, "first"],
    [{"image": {"path": "/etc/passwd"}}, "first"],
]


@pytest.mark.parametrize("data", MALFORMED, ids=str)
def test_a_call_that_is_none_ends_in_a_sentence_and_no_traceback(page, data, capfd):
    kind, _, answer = call(page, *data).partition("\ndata: ")
    assert kind == "event: error" and json.loads(answer)["error"].endswith(
        ("upload it.", "upload one.", "of the list.")
    )
    assert "Traceback" not in "".join(capfd.readouterr())


def test_a_request_that_is_none_ends_in_a_sentence_and_no_traceback(page, capfd):
    address = f"{page.local_url}gradio_api/"
    join = {"data": [], "session_hash": "x", "trigger_id": None}
    for place, body in (
        ("call/train", {"data": []}),
        ("queue/join", join | {"fn_index": 999}),
        ("component_server", {"session_hash": "x", "component_id": 999, "fn_name": "x", "data": []}),
    ):
        reply = httpx.post(address + place, json=body)
        assert reply.status_code == 400 and reply.json()["error"].startswith("The page cannot read this request")
    for number in page.fns:  # those for the page's own use, too
        assert httpx.post(f"{address}queue/join", json=join | {"data": [999], "fn_index": number}).status_code == 200
        with httpx.stream("GET", f"{address}queue/data?session_hash=x") as stream:
            told = next(json.loads(line[6:]) for line in stream.iter_lines() if "process_completed" in line)
        assert told["success"] or told["output"]["error"]
    assert "cannot read this request" in httpx.get(f"{address}queue/data?session_hash=unknown").text
    assert "Traceback" not in "".join(capfd.readouterr())


def test_a_fault_of_our_own_is_told_and_logged(client, photograph, monkeypatch, capfd):
    monkeypatch.setattr(app, "make_answer", lambda *given: 1 / 0)
    with pytest.raises(AppError, match="The page has failed here"):
        ask(client, photograph)
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_a_costly_picture_is_refused_in_time_and_nobody_waits_for_it(client, photograph, tmp_path):
    (tmp_path / "costly.gif").write_bytes(costly.make_long_comment())
    (tmp_path / "large.png").write_bytes(costly.make_largest())
    start = time.perf_counter()
    slow = client.submit(handle_file(str(tmp_path / "costly.gif")), "first", api_name="/predict")
    assert len(ask(client, photograph)[0]["confidences"]) == 5
    assert time.perf_counter() - start < 5 and not slow.done()
    with pytest.raises(AppError, match="too much time or memory"):
        slow.result(timeout=10)
    before = read_memory(os.getpid())
    ask(client, tmp_path / "large.png")
    assert before is None or read_memory(os.getpid()) - before < 300


def test_what_is_no_name_of_a_network_gets_one_sentence_and_no_traceback(client, photograph, capfd):
    for model in (None, ["first"], []):
        with pytest.raises(AppError, match="The network is one name of the list"):
            ask(client, photograph, model)
    assert "Traceback" not in "".join(capfd.readouterr())


def test_a_file_over_the_limit_is_not_taken(page):
    address = f"{page.local_url}gradio_api/upload"
    assert httpx.post(address, files={"files": ("large.png", bytes(21_000_000))}).status_code == 413
    several = [("files", (f"{k}.png", bytes(7_000_000))) for k in range(3)]
    assert "one picture at a time" in httpx.post(address, files=several).json()["error"]
    without_length = (bytes(1_000_000) for _ in range(22))
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    assert httpx.post(address, content=without_length, headers=kind).status_code in (400, 413)


def test_clients_at_once_get_their_own_answers(client, models, tmp_path):
    predictor = load_predictor(models["first"], "cpu")
    jobs = []
    for name, drawing in load_drawings().items():
        drawing.save(tmp_path / f"{name}.png")
        jobs.append((drawing, client.submit(handle_file(str(tmp_path / f"{name}.png")), "first", api_name="/predict")))
    for drawing, job in jobs:
        best = predictor.predict(drawing)[0]
        row = job.result(timeout=30)[0]["confidences"][0]
        assert (row["label"], row["confidence"]) == (best.class_name.replace("_", " "), best.probability)


def test_the_queue_is_bounded(models, photograph, monkeypatch):
    monkeypatch.setattr(app, "QUEUE_LENGTH", 1)
    monkeypatch.setattr(app, "AT_ONCE", 1)
    release, entered = threading.Event(), threading.Event()
    original = app.make_answer
    monkeypatch.setattr(app, "make_answer", lambda *given: (entered.set(), release.wait(30), original(*given))[2])
    served = app.serve(models, "cpu")
    try:
        client = make_client(served)
        jobs = [client.submit(handle_file(str(photograph)), "first", api_name="/predict")]
        assert entered.wait(20)
        jobs += [client.submit(handle_file(str(photograph)), "first", api_name="/predict") for _ in range(2)]
        done, waiting = wait([job.future for job in jobs[1:]], 20, FIRST_COMPLETED)
        assert len(done) == 1 and "queue is full" in str(done.pop().exception()).lower()
        release.set()
        for future in (jobs[0].future, *waiting):
            assert len(future.result(timeout=30)[0]["confidences"]) == 5
    finally:
        release.set()
        served.close(verbose=False)


def test_the_command_prints_the_address_and_serves_this_machine_alone(models, monkeypatch, capsys):
    seen = {}

    def block_thread(page):
        seen.update(status=httpx.get(page.local_url).status_code, share=page.share, url=page.local_url)
        page.close(verbose=False)

    monkeypatch.setattr("gradio.Blocks.block_thread", block_thread)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert main(["demo", str(models["first"]), "--port", str(port), "--device", "cpu"]) == 0
    assert seen == {"status": 200, "share": False, "url": f"http://127.0.0.1:{port}/"}
    assert capsys.readouterr().out == f"The page is at http://127.0.0.1:{port}/ (Ctrl-C ends it)\n"


def test_the_command_refuses_in_one_sentence(models, page, tmp_path, capsys):
    for arguments in (
        ["--output", str(tmp_path)],
        [str(tmp_path)],
        [str(models["first"]), "--port", f"{page.server_port}"],
        [str(models["first"]), "--port", "70000"],
    ):
        assert main(["demo", *arguments]) == 2
        captured = capsys.readouterr()
        assert captured.out == "" and captured.err.startswith("Error: ") and captured.err.count("\n") == 1


def test_a_page_out_of_its_own_reach_is_ended_and_said_in_one_sentence(models, monkeypatch):
    asked = []
    monkeypatch.setattr("gradio.networking.url_ok", asked.append)  # no
    with pytest.raises(UserError, match="does not answer on this machine"):
        app.serve(models, "cpu")
    with pytest.raises(httpx.ConnectError):
        httpx.get(asked[0])


def test_models_are_the_published_runs_with_weights(tmp_path):
    for name, seed, accuracy in (("smoke", 1, 0.5), ("smoke", 10, 0.9), ("sprint", 2, 0.7), ("sprint", 0, 0.6)):
        make_run(tmp_path, replace(SMOKE, name=name, seed=seed), accuracy)
    (tmp_path / "sprint/seed0/weights.safetensors").unlink()
    models = answers.find_models(output=tmp_path)
    assert list(models.items()) == [("sprint", tmp_path / "sprint/seed2"), ("smoke", tmp_path / "smoke/seed1")]
    assert answers.describe_model("sprint", models["sprint"]) == "sprint (70.0% on the test set)"
    with pytest.raises(UserError, match="holds no finished run with weights"):
        answers.find_models(output=tmp_path / "sprint")


def test_drawings_show_classes():
    drawings = load_drawings()
    assert len(drawings) == 6 and set(drawings) <= set(FINE_NAMES)
    for drawing in drawings.values():
        assert drawing.mode == "RGB" and drawing.size == (192, 192) and len(drawing.getcolors(192 * 192)) > 100


@pytest.fixture
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Its sandbox refuses to start for root, as which containers run.
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.mark.parametrize("size", [(1280, 900), (390, 844)], ids=["desktop", "phone"])
def test_a_visitor_uploads_a_picture_then_garbage_then_a_picture(browser, page, models, photograph, tmp_path, size):
    from playwright.sync_api import expect

    requests = []
    tab = browser.new_page(viewport=dict(zip(("width", "height"), size)))
    tab.on("request", lambda request: requests.append(request.url))
    tab.goto(page.local_url)
    upload, bars, message = (
        tab.locator("input[type=file]").first,
        tab.locator("meter"),
        tab.get_by_test_id("toast-text"),
    )

    def see_answer(source):
        expect(bars).to_have_count(5, timeout=20_000)
        expected = load_predictor(models["first"], "cpu").predict(source)
        for bar, answer in zip(bars.all(), expected):
            expect(bar).to_be_visible()
            assert float(bar.get_attribute("value")) == answer.probability
        expect(tab.locator("textarea, input[type=text]").first).not_to_be_empty()
        for label in ("What it sees", "last stage", "stage before"):
            view = tab.locator(".block", has=tab.get_by_text(label, exact=False)).locator("img").last
            expect(view).to_be_visible()
            assert view.evaluate("image => image.decode().then(() => image.naturalWidth)") == 320

    def remove():
        tab.get_by_label("Remove Image").click()
        expect(bars).to_have_count(0, timeout=20_000)

    upload.set_input_files(photograph)
    see_answer(photograph)
    assert tab.evaluate("document.documentElement.scrollWidth") <= size[0]

    garbage = tmp_path / "<img src=x onerror=document.title=1>.png"
    garbage.write_text("<script>document.title = 1</script>")
    upload.set_input_files(garbage)
    expect(message).to_contain_text("The picture is no picture of a kind read here", timeout=20_000)
    expect(bars).to_have_count(0)
    expect(message).to_have_count(1)
    tab.get_by_test_id("toast-close").click()
    upload.set_input_files(photograph)
    see_answer(photograph)

    remove()
    tab.locator("button.gallery-item").first.click()
    see_answer(next(iter(load_drawings().values())))
    expect(message).to_have_count(0)
    assert tab.title() == app.TITLE
    assert all(url.startswith((page.local_url, "data:", "blob:")) for url in requests), requests
