"""Open untrusted images in a separate process with limits on time and memory.

Decoding a small file may take minutes and gigabytes, and a thread cannot be interrupted.
"""

import contextlib
import os
import subprocess
import sys

import numpy as np

from cifar100.errors import UserError
from cifar100.files import ROOT
from cifar100.inference.images import SIDE, open_image, shrink

SECONDS = 10  # per image; the largest one takes 1 to 4 on two busy cores
MEMORY = 2_000_000_000  # bytes of address space; the largest image needs half of it
COMMAND = (sys.executable, "-m", "cifar100.inference.safe_opening")
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}  # stacks of threads count as memory


def open_safely(content: bytes) -> np.ndarray:
    """The 32x32 pixels of an image file: (32, 32, 3) uint8. Threads may call it concurrently.

    Raises UserError as `open_image` does, and if opening it takes more than SECONDS or MEMORY.
    """
    options = {"input": content, "capture_output": True, "timeout": SECONDS, "cwd": ROOT}
    try:
        reply = subprocess.run(COMMAND, env=os.environ | ENVIRONMENT, **options)
        if reply.returncode == 0:
            return np.frombuffer(reply.stdout, np.uint8).reshape(SIDE, SIDE, 3)
        if reply.returncode == 2:
            raise UserError(reply.stderr.decode().splitlines()[-1])  # after possible warnings of Pillow
    except OSError as error:
        raise UserError("The server is too busy to open an image: try again in a minute.") from error
    except subprocess.TimeoutExpired:
        pass
    raise UserError("The image takes too much time or memory to open: save it again as a PNG file, or smaller.")


def main() -> int:
    """Read a file from stdin and write its pixels to stdout. Returns the exit code: 0, or 2 after an error message."""
    with contextlib.suppress(ImportError, ValueError, OSError):  # not every system has these limits
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
