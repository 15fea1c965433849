"""Images of strangers, each opened in a process of its own, whose time and memory have an end.

A small file may ask its decoder for minutes and gigabytes, in loops that no thread can be called out of.
"""

import contextlib
import os
import subprocess
import sys

import numpy as np

from cifar100.errors import UserError
from cifar100.files import ROOT
from cifar100.inference.images import SIDE, open_image, shrink

SECONDS = 10  # for one image; the largest that is taken needs 1 to 4 on two busy cores, by the machine
MEMORY = 2_000_000_000  # bytes of addresses; the largest image needs half of it
COMMAND = (sys.executable, "-m", "cifar100.inference.safe_opening")
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}  # the stacks of threads would count


def open_safely(content: bytes) -> np.ndarray:
    """The 32x32 pixels that a network sees of an image's file: (32, 32, 3) uint8. Threads may call it at once.

    Raises UserError as `open_image` does, and if opening it takes more than SECONDS or MEMORY.
    """
    options = {"input": content, "capture_output": True, "timeout": SECONDS, "cwd": ROOT}
    try:
        reply = subprocess.run(COMMAND, env=os.environ | ENVIRONMENT, **options)
        if reply.returncode == 0:
            return np.frombuffer(reply.stdout, np.uint8).reshape(SIDE, SIDE, 3)
        if reply.returncode == 2:
            raise UserError(reply.stderr.decode().splitlines()[-1])  # before it may stand a warning of Pillow's
    except OSError as error:
        raise UserError("The server is too busy to open an image: try again in a minute.") from error
    except subprocess.TimeoutExpired:
        pass
    raise UserError("The image takes too much time or memory to open: save it anew as a PNG file, or smaller.")


def main() -> int:
    """From the file on standard input to the pixels on standard output. The exit code: 0, or 2 after a sentence."""
    with contextlib.suppress(ImportError, ValueError, OSError):  # not every system has such limits
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    try:
        sys.stdout.buffer.write(shrink(open_image(sys.stdin.buffer.read())).tobytes())
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
