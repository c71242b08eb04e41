"""Documents that wait for their acknowledgement: in a journal on disk, in memory where the disk is full."""

import logging
import os
import threading
import time
import uuid
from collections import deque
from contextlib import suppress
from pathlib import Path

from redoxscope.live.errors import UserError
from redoxscope.live.journal import Journal

log = logging.getLogger(__name__)

MEMORY_LIMIT = 512 << 20  # bytes kept in memory when the disk takes nothing
DISK_RESERVE = 256 << 20  # bytes of the disk left to the detectors
TIDY_SIZE = 16 << 20  # a file larger than this is emptied when all its runs are through


def default_folder() -> Path:
    """Return $XDG_STATE_HOME/redoxscope/spool or its usual place."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "redoxscope" / "spool"


def _report_orphans(folder: Path) -> None:
    """Say which spool files a killed session has left; their records may or may not have arrived."""
    orphans = []
    for path in folder.glob("*.journal"):
        with suppress(OSError, UserError), Journal(path) as journal:  # UserError: in use by a living session
            if journal.has_records:
                orphans.append(path)
            else:
                path.unlink()
    if orphans:
        log.warning(
            "%d spool files of sessions that were killed; `redoxscope replay %s` reads one, then delete it",
            len(orphans),
            orphans[0],
        )


class Spool:
    """A queue of numbered, encoded documents; appended to by one thread and worked off by another."""

    def __init__(self, folder: Path | None) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[tuple[int, int | bytes]] = deque()  # size, place in the journal or the bytes
        self._in_memory = 0
        self._last_name = ""
        self.base = self.top = 1  # first waiting and next new number
        self._journal = self._open(folder)

    @staticmethod
    def _open(folder: Path | None) -> Journal | None:
        try:
            folder = folder or default_folder()
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _report_orphans(folder)
            stamp = time.strftime("%Y%m%dT%H%M%S")
            return Journal(folder / f"{stamp}-{os.getpid()}-{uuid.uuid4().hex[:8]}.journal")
        except (OSError, RuntimeError, UserError) as error:
            log.warning("no spool file, documents wait in memory: %s", error)
            return None

    def __len__(self) -> int:
        return len(self._waiting)

    def append(self, name: str, payload: bytes) -> None:
        """Keep one encoded document, or raise MemoryError when neither disk nor memory may take it."""
        with self._changed:
            self._waiting.append((len(payload), self._store(payload)))
            self._last_name = name
            self.top += 1

    def _store(self, payload: bytes) -> int | bytes:
        if self._journal is not None:
            try:
                disk = os.statvfs(self._journal.path.parent)
                if disk.f_bavail * disk.f_frsize > DISK_RESERVE + len(payload):
                    return self._journal.append_encoded(payload)
                reason = "the disk is full"
            except OSError as error:
                reason = str(error)
            if not self._in_memory:
                log.warning("%s: %s; documents wait in memory", self._journal.path, reason)
        if self._in_memory + len(payload) > MEMORY_LIMIT:
            raise MemoryError(f"neither disk nor memory has room; start the monitor or free {DISK_RESERVE >> 20} MiB")
        self._in_memory += len(payload)
        return payload

    def get(self, number: int, window: int, window_bytes: int) -> bytes | None:
        """Return a waiting document if it is there and lies within the window from the first one waiting."""
        with self._changed:
            index = number - self.base
            if not 0 <= index < min(len(self._waiting), window):
                return None
            ahead = sum(self._waiting[i][0] for i in range(index)) if index else 0
            size, place = self._waiting[index]
            journal = self._journal
        if index and ahead + size > window_bytes:
            return None
        if isinstance(place, bytes):
            return place
        return journal.payload(place, size) if journal is not None else None

    def forget_below(self, number: int) -> None:
        """Drop what is acknowledged; empty a large file between runs."""
        with self._changed:
            while self._waiting and self.base < number:
                size, place = self._waiting.popleft()
                self._in_memory -= size if isinstance(place, bytes) else 0
                self.base += 1
            if not self._waiting:
                if self._journal is not None and self._last_name == "stop" and self._journal.end > TIDY_SIZE:
                    self._journal.clear()
                self._changed.notify_all()

    def wait_empty(self, timeout: float) -> bool:
        """Wait until nothing is waiting any more; tell whether that came true."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting, timeout)

    def close(self) -> None:
        """Close the file; delete it if it is no longer needed, else say where it is and what reads it."""
        with self._changed:
            if self._in_memory:
                log.error("%d bytes of documents that never fitted on the disk are lost", self._in_memory)
            if self._journal is None:
                return
            self._journal.close()
            path, self._journal = self._journal.path, None
            if not self._waiting:
                path.unlink(missing_ok=True)
                return
        log.warning("%d documents have not reached the monitor; `redoxscope replay %s` reads them", len(self), path)
