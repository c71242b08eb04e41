"""Runs whose stop has not come, and which document belongs to which of them."""

from collections.abc import Iterator

import numpy as np

from redoxscope.live.documents import Document, RunReader
from redoxscope.live.journal import Journal
from redoxscope.live.map_scan import MapScan
from redoxscope.live.volume.scan import VolumeScan


class OpenRun:
    """A run in progress: its journal, its reader, and what its frames go into."""

    def __init__(self, reader: RunReader, journal: Journal) -> None:
        self.reader = reader
        self.journal = journal
        self.scan: MapScan | None = None
        self.volume: VolumeScan | None = None
        self.next_result = self.next_snapshot = -np.inf
        self.version = 0
        self._known: set[tuple[str, str]] = set()

    @property
    def uid(self) -> str:
        """Of its start document."""
        return self.reader.uid

    def knows(self, name: str, doc: Document) -> bool:
        """Whether a document is in the journal; one without a uid never is."""
        return _identity(name, doc) in self._known

    def remember(self, name: str, doc: Document) -> None:
        """A document is in the journal."""
        identity = _identity(name, doc)
        if identity is not None:
            self._known.add(identity)

    def file(self, name: str, doc: Document) -> bool:
        """Write a document to the journal; False if it is there already. Raises OSError if it cannot be written."""
        if self.knows(name, doc):
            return False
        self.journal.append(name, doc)
        self.remember(name, doc)
        return True


class OpenRuns:
    """The open runs by uid."""

    def __init__(self) -> None:
        self._runs: dict[str, OpenRun] = {}
        self._owners: dict[str, tuple[str, ...]] = {}
        """Start uids by the uid of a descriptor or resource."""

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[OpenRun]:
        yield from list(self._runs.values())

    def get(self, uid: str) -> OpenRun | None:
        """The open run with this start uid."""
        return self._runs.get(uid)

    def add(self, run: OpenRun) -> None:
        """A run is open."""
        self._runs[run.uid] = run

    def remove(self, run: OpenRun) -> None:
        """A run is closed: what belonged to it is unknown from now on."""
        self._runs.pop(run.uid, None)
        remaining = ((uid, tuple(o for o in owners if o != run.uid)) for uid, owners in self._owners.items())
        self._owners = {uid: owners for uid, owners in remaining if owners}

    def of(self, name: str, doc: Document) -> list[OpenRun]:
        """The open runs that a document belongs to, usually one.

        A resource may leave out whose it is: then every open run gets it, and its datums. Only events refer to them,
        and these say where they belong.
        """
        match name:
            case "descriptor" | "stop":
                uids: tuple[str, ...] = (str(doc["run_start"]),)
            case "resource" | "stream_resource":
                uids = (str(doc["run_start"]),) if doc.get("run_start") else tuple(self._runs)
            case "datum" | "datum_page":
                uids = self._owners.get(str(doc["resource"]), ())
            case _:
                uids = self._owners.get(str(doc["descriptor"]), ())
        return [self._runs[uid] for uid in uids if uid in self._runs]

    def claim(self, name: str, doc: Document, run: OpenRun) -> None:
        """What refers to this document belongs to the run."""
        if name in ("descriptor", "resource", "stream_resource"):
            uid = str(doc["uid"])
            self._owners[uid] = tuple({**dict.fromkeys(self._owners.get(uid, ())), run.uid: None})


def _identity(name: str, doc: Document) -> tuple[str, str] | None:
    uid = doc.get("uid", doc.get("datum_id"))
    return None if uid is None else (name, str(uid))
