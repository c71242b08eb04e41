"""Bluesky statuses without a thread for each: `Done` already is, `Later` is after some real seconds."""

import threading
from collections.abc import Callable


class Status:
    """What a device's `set` or `trigger` returns (the protocol `bluesky.protocols.Status`).

    ophyd's own statuses start a thread each, which costs more than all else in a simulated move.
    """

    def __init__(self) -> None:
        self._event = threading.Event()
        self._callbacks: list[Callable[[Status], None]] = []
        self._lock = threading.Lock()

    @property
    def done(self) -> bool:
        """Whether it is over."""
        return self._event.is_set()

    @property
    def success(self) -> bool:
        """Whether it is over; the simulation does not fail."""
        return self.done

    def exception(self, timeout: float | None = 0.0) -> BaseException | None:
        """None, after waiting up to `timeout` seconds for the end."""
        self._event.wait(timeout)
        return None

    def wait(self, timeout: float | None = None) -> None:
        """Block until it is over.

        Raises
        ------
        TimeoutError
            If it is not over after `timeout` seconds.
        """
        if not self._event.wait(timeout):
            raise TimeoutError(f"the simulated device was not done within {timeout} s")

    def add_callback(self, callback: "Callable[[Status], None]") -> None:
        """Call `callback(status)` at the end, or now if it is over."""
        with self._lock:
            if not self.done:
                self._callbacks.append(callback)
                return
        callback(self)

    def _finish(self) -> None:
        with self._lock:
            self._event.set()
        for callback in self._callbacks:
            callback(self)


class Done(Status):
    """Over from the start."""

    def __init__(self) -> None:
        super().__init__()
        self._event.set()


class Later(Status):
    """Over after some real seconds, by a timer of its own; nobody is blocked."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        timer = threading.Timer(seconds, self._finish)
        timer.daemon = True
        timer.start()
