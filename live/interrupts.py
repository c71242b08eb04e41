"""Ctrl-C that cannot get lost: an exception raised inside a library's callback may be swallowed there."""

import signal
import threading
from types import FrameType

_asked = threading.Event()


def catch() -> None:
    """From now on Ctrl-C and a polite kill raise KeyboardInterrupt, and `check` raises it again."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)


def check() -> None:
    """Raise KeyboardInterrupt if it was asked for, even if that went unheard."""
    if _asked.is_set():
        raise KeyboardInterrupt


def _interrupt(number: int, frame: FrameType | None) -> None:
    _asked.set()
    raise KeyboardInterrupt
