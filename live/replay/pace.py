"""Documents at the pace they were recorded at, or faster."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any


def paced(
    documents: Iterable[tuple[str, dict[str, Any]]],
    speed: float | None,
    *,
    sleep: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield documents so that data time, as the events have it, passes `speed` times as fast as real time.

    None: as fast as they are taken. Time that runs backwards in the data is not waited for, nor is a slow
    consumer pushed.

    >>> waits = []
    >>> events = [("event", {"time": 10.0}), ("event", {"time": 16.0})]
    >>> list(paced(events, 2.0, sleep=waits.append, clock=lambda: 0.0)) == events
    True
    >>> waits
    [3.0]
    """
    if speed is not None and not speed > 0:
        raise ValueError(f"speed must be positive or None, not {speed}")
    origin: float | None = None
    for name, doc in documents:
        if speed is not None and (now := _data_time(name, doc)) is not None:
            if origin is None:
                origin = now - speed * clock()
            wait = (now - origin) / speed - clock()
            if wait > 0:
                sleep(wait)
        yield name, doc


def _data_time(name: str, doc: dict[str, Any]) -> float | None:
    match name, doc.get("time"):
        case "event", float() | int() as value:
            return float(value)
        case "event_page", [*_, float() | int() as value]:
            return float(value)
    return None
