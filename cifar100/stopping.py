"""Ctrl-C and the other signals that end a program raise KeyboardInterrupt."""

import os
import signal
from types import FrameType

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")  # those that the system has
STOPPED = 130  # the exit code


def listen() -> None:
    """Make each signal raise KeyboardInterrupt, except those that are ignored, as by nohup."""
    for name in SIGNALS:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, stop)


def stop(number: int, frame: FrameType | None) -> None:
    """Raises KeyboardInterrupt. During an import, which may turn the exception into another one, the process exits at
    once; there is nothing to save then."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            os.write(2, b"\nStopped.\n")
            os._exit(STOPPED)
        frame = frame.f_back
    raise KeyboardInterrupt
