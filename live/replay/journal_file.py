"""A journal of documents, such as a monitor keeps and a publisher's spool is, replayed as it is."""

from collections.abc import Iterator
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

from redoxscope.live.errors import UserError
from redoxscope.live.journal import read


class JournalSource:
    """The documents of one journal, uids and all; frames in other files are for the reader to find."""

    format = "redoxscope journal"

    def __init__(self, path: Path) -> None:
        self._path = path
        start = next((doc for name, doc in self.documents() if name == "start"), None)
        if start is None:
            raise UserError(f"{path}: this journal holds no run; give one that has been written to")
        profile, time = start.get("profile"), start.get("time")
        self.profile = profile if isinstance(profile, str) else None
        self.time = float(time) if isinstance(time, int | float) else 0.0

    def documents(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield what was recorded, in the order of recording."""
        for _, name, doc in read(self._path):
            yield name, doc

    @cached_property
    def frames(self) -> int:
        """Frames of all streams that have any; reads the journal through once."""
        per_event: dict[Any, int] = {}
        events: dict[Any, int] = {}
        for name, doc in self.documents():
            match name, doc:
                case "descriptor", {"uid": str(uid), "data_keys": dict(keys)}:
                    per_event[uid] = max((_frames_in(key) for key in keys.values()), default=0)
                case "event", {"descriptor": str(uid), "seq_num": int(number)}:
                    events[uid] = max(events.get(uid, 0), number)
                case "event_page", {"descriptor": str(uid), "seq_num": [*_, int(number)]}:
                    events[uid] = max(events.get(uid, 0), number)
                case "stream_datum", {"descriptor": str(uid), "seq_nums": {"stop": int(stop)}}:
                    events[uid] = max(events.get(uid, 0), stop - 1)
        return sum(count * per_event.get(uid, 0) for uid, count in events.items())


def _frames_in(data_key: Any) -> int:
    """Return how many images an event holds under this key: shape (…, height, width)."""
    match data_key:
        case {"dtype": "array", "shape": [*leading, _, _]}:
            return prod(n for n in leading if isinstance(n, int) and n > 0)
    return 0
