"""Pictures of strangers take only so much time and memory, and nobody waits for those of others."""

import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from cifar100.errors import UserError
from cifar100.files import ROOT
from cifar100.inference import safe_opening
from cifar100.inference.pictures import open_picture, shrink
from tests.inference import costly
from tests.inference.test_pictures import KINDS


def test_a_process_of_its_own_gives_the_same_pixels_and_the_same_words():
    for content, _ in KINDS.values():
        np.testing.assert_array_equal(safe_opening.open_safely(content), shrink(open_picture(content)))
    first = safe_opening.waiting[-1].pid
    with pytest.raises(UserError, match="^The picture is no picture of a kind read here"):
        safe_opening.open_safely(b"text")
    assert safe_opening.waiting[-1].pid == first  # it waits for the next


@pytest.mark.parametrize("kind", costly.REFUSED_AT_ONCE)
def test_what_costs_much_is_refused_by_its_header(kind):
    start = time.perf_counter()
    with pytest.raises(UserError):
        open_picture(costly.REFUSED_AT_ONCE[kind]())
    assert time.perf_counter() - start < 1


def test_a_picture_that_takes_too_long_is_ended_and_others_are_opened_meanwhile(monkeypatch):
    monkeypatch.setattr(safe_opening, "SECONDS", 2)
    ended = []

    def open_slowly():
        with pytest.raises(UserError, match="too much time or memory"):
            safe_opening.open_safely(costly.make_long_comment())
        ended.append(time.perf_counter())

    thread, start = threading.Thread(target=open_slowly), time.perf_counter()
    thread.start()
    content, _ = KINDS["palette"]
    np.testing.assert_array_equal(safe_opening.open_safely(content), shrink(open_picture(content)))
    assert not ended
    thread.join()
    assert 2 <= ended[0] - start < 5
    assert safe_opening.open_safely(content).shape == (32, 32, 3)


def test_memory_is_limited_in_that_process():
    script = """
import io, sys
from cifar100.inference import safe_opening
safe_opening.MEMORY = 700_000_000
safe_opening.answer_all(sys.stdin.buffer, sys.stdout.buffer)
"""
    message = costly.make_largest()
    sent = len(message).to_bytes(safe_opening.LENGTH_BYTES, "little") + message
    run = subprocess.run([sys.executable, "-c", script], input=sent, capture_output=True, cwd=ROOT)
    assert run.stdout == b"" or run.stdout[safe_opening.LENGTH_BYTES :].startswith(safe_opening.SENTENCE)


def test_the_largest_picture_is_still_taken():
    assert (safe_opening.open_safely(costly.make_largest()) == (132, 227, 142)).all()


def test_opening_pictures_does_not_wait_for_torch():
    check = "import sys, cifar100.inference.safe_opening; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], cwd=ROOT).returncode == 0
