"""Pictures of strangers, opened in processes of their own, whose time and memory have an end.

A small file may ask its decoder for minutes and gigabytes, in loops that no thread can be called out of. A process can
be ended, and the memory that it took is free again.
"""

import atexit
import contextlib
import os
import subprocess
import sys
import threading
from typing import BinaryIO

import numpy as np

from cifar100.errors import UserError
from cifar100.files import ROOT
from cifar100.inference.pictures import SIDE, open_picture, shrink

SECONDS = 10  # for one picture; the largest that is taken needs 1 to 4 on two busy cores, by the machine
MEMORY = 2_000_000_000  # bytes of addresses; the largest picture needs half of it
LENGTH_BYTES = 8  # before each message
PIXELS, SENTENCE = b"P", b"S"  # what a reply holds, its first byte
# Small blocks for the allocator to give back at once, and no threads for numpy, which multiplies nothing here.
ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": "1000000", "OPENBLAS_NUM_THREADS": "1"}

waiting: list[subprocess.Popen] = []  # processes for the next picture; as many as there were pictures at once


def open_safely(content: bytes) -> np.ndarray:
    """The 32x32 pixels that a network sees of a picture's file: (32, 32, 3) uint8. Threads may share it.

    Raises UserError as `open_picture` does, and if opening it takes more than SECONDS or MEMORY.
    """
    process = take_process()
    late = threading.Event()
    clock = threading.Timer(SECONDS, lambda: (late.set(), process.kill()))
    clock.start()
    try:
        send(process.stdin, content)
        reply = receive(process.stdout)
    except (OSError, EOFError):  # it has been ended, or has ended for want of memory
        late.set()
    finally:
        clock.cancel()
        clock.join()  # from here on it cannot ring
    if late.is_set():
        end(process)
        raise UserError("The picture takes too much time or memory to open: save it anew as a PNG file, or smaller.")
    waiting.append(process)
    if reply[:1] == SENTENCE:
        raise UserError(reply[1:].decode())
    return np.frombuffer(reply[1:], np.uint8).reshape(SIDE, SIDE, 3)


def take_process() -> subprocess.Popen:
    """One that waits, else a new one. Raises UserError if the system has none to give."""
    while waiting:
        with contextlib.suppress(IndexError):  # another thread was quicker
            process = waiting.pop()
            if process.poll() is None:
                return process
            end(process)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "cifar100.inference.safe_opening"],
            cwd=ROOT,
            env=os.environ | ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the server, which ends it
        )
    except OSError as error:
        raise UserError("The server is too busy to open a picture: try again in a minute.") from error


def end(process: subprocess.Popen) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):  # what it has not read
            pipe.close()


@atexit.register
def end_all() -> None:
    while waiting:
        end(waiting.pop())


def send(pipe: BinaryIO, message: bytes) -> None:
    pipe.write(len(message).to_bytes(LENGTH_BYTES, "little") + message)
    pipe.flush()


def receive(pipe: BinaryIO) -> bytes:
    """The next message. Raises EOFError if there is none, or not all of it."""
    length = pipe.read(LENGTH_BYTES)
    message = pipe.read(int.from_bytes(length, "little"))
    if len(length) < LENGTH_BYTES or len(message) < int.from_bytes(length, "little"):
        raise EOFError
    return message


def limit_memory() -> None:
    """Where the system has such limits; elsewhere the time alone is limited."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def answer_all(requests: BinaryIO, replies: BinaryIO) -> None:
    """Open the pictures that come, until no more do."""
    limit_memory()
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            try:
                reply = PIXELS + shrink(open_picture(receive(requests))).tobytes()
            except UserError as error:
                reply = SENTENCE + str(error).encode()
            send(replies, reply)


if __name__ == "__main__":
    answer_all(sys.stdin.buffer, sys.stdout.buffer)
