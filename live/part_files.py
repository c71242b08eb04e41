"""Which files of a series' folder can be relied on."""

import hashlib
import logging
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from redoxscope.live.nexus import open_read
from redoxscope.live.series_parts import ScanPart, SeriesFacts

log = logging.getLogger(__name__)

UNREADABLE = (OSError, KeyError, ValueError, RuntimeError)
"""What reading a damaged file may raise."""
FACTS = "series.json"
_SCAN = re.compile(r"scan_(\d+)\.h5")
_SOLIDS = {"slices": "z/edge_energy", "volume": "edge_energy", "topography": "iso_energy"}
"""Parts of the 3D analysis, each with a dataset that it must have."""
_MOVING = ("slices",)
"""Those that are replaced time and again: the index shows them by name."""


class PartFiles:
    """The parts in a folder, each read once; an unreadable one is left out with a warning."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._left_out: dict[str, str] = {}
        self._read: dict[str, tuple[str, Any]] = {}

    def facts(self) -> SeriesFacts:
        """As stored last; if they are missing or damaged, no more than a name and a time."""
        path = self.folder / FACTS
        try:
            return SeriesFacts.from_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            log.warning("%s is unreadable and left out: %s", path, error)
        created = self.folder.stat().st_mtime if self.folder.exists() else 0.0
        return SeriesFacts(series=self.folder.name, created=created)

    def scans(self) -> list[ScanPart]:
        """Completed scans without their maps, in the order they were added; those unlike the first are left out."""
        usable: list[ScanPart] = []
        for _, path in self._scan_files():
            part = self._once(path, partial(_scan, usable[0] if usable else None))
            if part is not None:
                usable.append(part)
        return usable

    def solids(self) -> dict[str, Path]:
        """3D results: "slices", "volume" and "topography"."""
        paths = {name: self.folder / f"{name}.h5" for name in _SOLIDS}
        return {name: path for name, path in paths.items() if path.exists() and self._once(path, _solid)}

    def next_scan(self) -> Path:
        """A file for one more scan; the name of a damaged one is not used again."""
        last = max((number for number, _ in self._scan_files()), default=-1)
        return self.folder / f"scan_{last + 1:04d}.h5"

    def stamp(self) -> str:
        """Changes with every part; empty if there is none."""
        names = {FACTS, *(f"{name}.h5" for name in _SOLIDS if name not in _MOVING)}
        found = sorted(path for path in self._all() if path.name in names or _SCAN.fullmatch(path.name))
        text = repr([(path.name, _state(path)) for path in found])
        return hashlib.sha256(text.encode()).hexdigest() if found else ""

    def complete(self) -> bool:
        """Whether every part that was asked for so far and is still there could be read."""
        return not any((self.folder / name).exists() for name in self._left_out)

    def _all(self) -> list[Path]:
        return list(self.folder.iterdir()) if self.folder.is_dir() else []

    def _scan_files(self) -> list[tuple[int, Path]]:
        return sorted((int(match[1]), path) for path in self._all() if (match := _SCAN.fullmatch(path.name)))

    def _once(self, path: Path, read: Callable[[Path], Any]) -> Any:
        """What `read` finds, remembered until the file changes; None if it fails, which is not remembered."""
        state = _state(path)
        if (known := self._read.get(path.name)) and known[0] == state:
            return known[1]
        try:
            found = read(path)
        except UNREADABLE as error:
            if self._left_out.get(path.name) != state:
                log.warning("%s is left out of the series: %s", path, error)
            self._left_out[path.name] = state
            return None
        self._left_out.pop(path.name, None)
        self._read[path.name] = (state, found)
        return found


def _scan(first: ScanPart | None, path: Path) -> ScanPart:
    part = ScanPart.read(path)
    if first and (why := first.difference(part.shape, part.small["energy"], part.small["histogram_edges"])):
        raise ValueError(why)
    return part


def _solid(path: Path) -> bool:
    with open_read(path) as file:
        file[_SOLIDS[path.stem]]
    return True


def _state(path: Path) -> str:
    try:
        found = path.stat()
    except FileNotFoundError:
        return "gone"
    return f"{found.st_size} {found.st_mtime_ns}"
