"""Puts what is stored into Tiled, from a thread of its own.

Everything is on disk before it gets here: Tiled may be slow, or gone, without holding anyone up, and what it missed is
made good by the next try, or by `sync` at the next start.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from redoxscope.live.errors import UserError
from redoxscope.live.series_folder import SeriesFolder
from redoxscope.live.tiled_server import TiledError
from redoxscope.live.tiled_store import register_raw, register_series, sync

log = logging.getLogger(__name__)

_PATIENCE = 15.0
"""Seconds before something that Tiled refused is tried again."""


class Keeper:
    """Registers series and raw runs in the order in which it is told of them.

    Parameters
    ----------
    connect : waits for the server and gives a client; called in the keeper's thread
    data : DIR
    """

    def __init__(self, connect: Callable[[], Any], data: Path) -> None:
        self._connect = connect
        self._data = data
        self._queue: queue.Queue[tuple[str, Path] | None] = queue.Queue()
        self._client: Any = None
        self._failed: list[tuple[str, Path]] = []
        self.error: str | None = "Tiled has not answered yet"
        """Why not all is registered; None if nothing stands in the way."""
        self._thread = threading.Thread(target=self._work, name="tiled-keeper", daemon=True)
        self._thread.start()

    def series(self, folder: Path) -> None:
        """A series folder has something new."""
        self._queue.put(("series", folder))

    def raw(self, journal: Path) -> None:
        """A raw run is complete."""
        self._queue.put(("raw", journal))

    @property
    def waiting(self) -> int:
        """How much is not registered yet."""
        return self._queue.qsize() + len(self._failed)

    def close(self, timeout: float = 120.0) -> bool:
        """Register what is left; whether all is registered. What is not stays on disk for the next start."""
        self._queue.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive() and not self._failed

    def _work(self) -> None:
        self._do(("sync", self._data))
        last = time.monotonic()
        while True:
            try:
                task = self._queue.get(timeout=_PATIENCE)
            except queue.Empty:
                task = ("retry", self._data)
            ending = task is None
            if task is not None and task[0] != "retry":
                self._do(task)
            if self._failed and (ending or time.monotonic() - last > _PATIENCE):
                last = time.monotonic()
                again, self._failed = self._failed, []
                self.error = None
                for refused in again:
                    self._do(refused)
            if ending:
                return

    def _do(self, task: tuple[str, Path]) -> None:
        kind, path = task
        if task in self._failed:
            return
        try:
            if self._client is None:
                self._client = self._connect()
                self.error = None
            if kind == "sync":
                sync(self._client, self._data)
            elif kind == "raw":
                register_raw(self._client, path)
            else:
                folder = SeriesFolder(path)
                register_series(self._client, path, folder.name, asdict(folder.facts))
        except Exception as error:
            self._refused(task, error)

    def _refused(self, task: tuple[str, Path], error: Exception) -> None:
        self.error = str(error) or type(error).__name__
        log.warning("Tiled did not take %s %s: %s", *task, error)
        if not isinstance(error, UserError):
            log.exception("Tiled: %s %s", *task)
        if isinstance(error, TiledError) or not isinstance(error, UserError):
            # Anything but a file that makes no sense, which would make none the next time.
            self._failed.append(task)
