"""What is measured of a page and of files is true, and what is lost or wrong is counted."""

import json
import tempfile
from dataclasses import replace

import httpx
import numpy as np
import pytest

from benchmarks import serving, visitors
from cifar100.errors import UserError
from cifar100.inference import Prediction
from cifar100.recipes import SMOKE
from cifar100.runs.run import load_metrics
from cifar100.training.fit import fit


@pytest.fixture
def run(tiny, tmp_path):
    """A finished run of three epochs on the tiny set: better than chance."""
    list(fit(replace(SMOKE, epochs=3, batch_size=50), data="x", output=tmp_path / "output", device="cpu"))
    return tmp_path / "output/smoke/seed0"


def test_clients_at_once_lose_nothing_and_files_give_the_runs_accuracy(run, tmp_path, monkeypatch):
    addresses, connect = [], visitors.connect
    monkeypatch.setattr(visitors, "connect", lambda address, own: (addresses.append(address), connect(address, own))[1])
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    measured = serving.measure_serving(run, data="x", clients=2, uploads=12, device="cpu")
    page, files = measured.page, measured.files
    assert (page.clients, page.uploads, page.lost, page.wrong, page.reasons) == (2, 12, 0, 0, [])
    assert 0 < page.median_seconds <= page.worst_seconds and page.uploads_per_second > 0
    assert page.warm_memory_mb is None or page.final_memory_mb > 100
    assert files.images == 100 and files.accuracy == files.recorded_accuracy
    assert files.recorded_accuracy == load_metrics(run)["final"]["test_accuracy"] > 0.02
    assert min(files.evaluate_rate, files.array_rate, files.file_rate) > 0
    assert len(addresses) == 2
    with pytest.raises(httpx.ConnectError):  # the page has ended
        httpx.get(addresses[0])
    assert [path.name for path in tmp_path.iterdir()] == ["output"]
    kept = json.loads(json.dumps(measured.to_dict()))
    assert "none were lost" in serving.describe_serving(kept) and "0 lost, 0 wrong" in serving.format_serving(kept)


def test_uploads_are_different_pictures_of_two_kinds_and_several_sizes(tmp_path):
    images = np.broadcast_to(np.arange(5, dtype=np.uint8)[:, None, None, None], (5, 32, 32, 3)).copy()
    contents = [path.read_bytes() for path in visitors.write_uploads(images, 16, tmp_path / "uploads")]
    assert len(set(contents)) == 16
    assert sum(content.startswith(b"\x89PNG") for content in contents) == 8


SHOWN = {"aquarium fish": 0.7, "apple": 0.2, "bee": 0.05}
EXPECTED = [Prediction("aquarium_fish", 1, 0.7), Prediction("apple", 0, 0.2), Prediction("bee", 6, 0.05)]


@pytest.mark.parametrize(
    "shown, right",
    [
        (SHOWN | {"apple": 0.2 + 5e-6}, True),
        (SHOWN | {"apple": 0.2 + 5e-5}, False),
        (dict(reversed(SHOWN.items())), False),
        ({"aquarium fish": 0.7, "apple": 0.2, "clock": 0.05}, False),
        ({"aquarium fish": 0.7, "apple": 0.2}, False),
    ],
)
def test_an_answer_is_right_if_classes_and_probabilities_are(shown, right):
    assert visitors.is_right(shown, EXPECTED) is right


def test_whoever_gets_no_answer_is_lost_and_the_others_are_served(tmp_path):
    class Client:
        def submit(self, picture, model, api_name):
            if picture["path"].endswith("1.jpg"):
                raise ConnectionError("the queue is full\nat line 7")
            return self

        def result(self, seconds):
            return ({"label": "apple", "confidences": [{"label": "apple", "confidence": 0.9}]},)

    images = np.zeros((1, 8, 8, 3), np.uint8)
    answers = visitors.ask_all([Client(), Client()], visitors.write_uploads(images, 3, tmp_path / "uploads"), "smoke")
    assert [answer.shares for answer in answers] == [{"apple": 0.9}, {}, {"apple": 0.9}]
    assert [answer.reason for answer in answers] == ["", "ConnectionError: the queue is full", ""]


def test_the_sentences_tell_what_went_wrong(tmp_path):
    page = serving.PageFigures(8, 200, 3, 2, ["TimeoutError: "], 1.0, 2.0, 6.0, None, None, None, None)
    files = serving.FileFigures(10_000, 0.7549, 0.755, 1000.0, 990.0, 870.0)
    text = serving.describe_serving(
        serving.Serving("output/sprint/seed0", "a processor", "2.15", None, page, files).to_dict()
    )
    assert "3 were lost" in text and "2 were answered otherwise" in text and "not 75.50% as in the run's" in text
    assert "99% of" in text and "87% from PNG files" in text and "MB" not in text


def test_what_cannot_be_measured_is_refused_in_one_sentence(run, tmp_path):
    with pytest.raises(UserError, match="one client and one upload or more"):
        serving.measure_serving(run, data="x", clients=0)
    command = ["python", "-c", "import sys; sys.exit('No such network')"]
    with pytest.raises(UserError, match="does not start .No such network."):
        with visitors.start_page(command, tmp_path, tmp_path / "server"):
            pass
