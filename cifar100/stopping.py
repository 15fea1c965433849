"""Ctrl-C, and the signals that end a program: each ends it with a sentence, and what was finished is kept."""

import os
import signal
from types import FrameType

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")  # as far as the system has them
STOPPED = 130  # the exit code


def listen() -> None:
    """Let each of the signals raise KeyboardInterrupt, save those that this process was told to ignore, as by nohup."""
    for name in SIGNALS:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, stop)


def stop(number: int, frame: FrameType | None) -> None:
    """Raises KeyboardInterrupt. In the middle of an import, which would make anything of it, the process ends at once:
    nothing has begun then that could be lost."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            os.write(2, b"\nStopped.\n")
            os._exit(STOPPED)
        frame = frame.f_back
    raise KeyboardInterrupt
