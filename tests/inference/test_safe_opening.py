"""Untrusted images take only so much time and memory."""

import subprocess
import sys
import time

import numpy as np
import pytest

from cifar100.errors import UserError
from cifar100.files import ROOT
from cifar100.inference import safe_opening
from cifar100.inference.images import open_image, shrink
from tests.inference import costly
from tests.inference.test_images import KINDS


def test_a_process_of_its_own_gives_the_same_pixels_and_the_same_words():
    content, _ = KINDS["palette"]
    np.testing.assert_array_equal(safe_opening.open_safely(content), shrink(open_image(content)))
    for refused in (b"text", costly.promise(10_000, 10_000)):  # of the latter Pillow warns as well
        with pytest.raises(UserError) as here:
            open_image(refused)
        with pytest.raises(UserError) as there:
            safe_opening.open_safely(refused)
        assert str(there.value) == str(here.value)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("kind", costly.REFUSED_AT_ONCE)
def test_what_costs_much_is_refused_by_its_header(kind):
    content, start = costly.REFUSED_AT_ONCE[kind](), time.process_time()
    with pytest.raises(UserError):
        open_image(content)
    assert time.process_time() - start < 1


def test_an_image_that_takes_too_long_is_ended(monkeypatch):
    monkeypatch.setattr(safe_opening, "SECONDS", 3)
    start = time.monotonic()
    with pytest.raises(UserError, match="too much time or memory"):
        safe_opening.open_safely(costly.make_long_comment())
    assert 3 <= time.monotonic() - start < 30


def test_memory_is_limited_and_enough_for_the_largest_image():
    largest, colour = costly.make_largest(), bytes([132, 227, 142])
    script = "import sys; from cifar100.inference import safe_opening as own; own.MEMORY = {}; sys.exit(own.main())"
    for memory, expected in ((safe_opening.MEMORY, colour * 32 * 32), (700_000_000, b"")):
        command = [sys.executable, "-c", script.format(memory)]
        run = subprocess.run(command, input=largest, capture_output=True, cwd=ROOT)
        assert run.stdout == expected and (run.returncode == 0) == bool(expected)
    imported = "import sys, cifar100.inference.safe_opening; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", imported], cwd=ROOT).returncode == 0  # it would take seconds
