"""A series on disk: a folder of parts that are each written whole, and an index that shows them as one file.

A process may be killed at any moment: what it was writing is missing, all else is there. The index can be made from the
parts at any time. Several processes may write to a folder, an advisory lock orders them; readers need no lock.
"""

import hashlib
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from redoxscope.live.atomic import leftovers, locked, replacing
from redoxscope.live.errors import UserError
from redoxscope.live.nexus import open_read
from redoxscope.live.part_files import FACTS, UNREADABLE, PartFiles
from redoxscope.live.series_index import STAMP, write_index
from redoxscope.live.series_parts import ScanPart, ScanRecord, SeriesFacts, read_scan, write_scan
from redoxscope.live.series_topography import write_topography
from redoxscope.live.series_volume import is_finished, show_slabs, unit_of_length, write_volume
from redoxscope.live.slice_file import Slice, write_slices

if TYPE_CHECKING:
    from redoxscope.analysis.topography.report import Topography
    from redoxscope.analysis.volume.evaluate import EdgeVolume

log = logging.getLogger(__name__)

_LISTED = 10


class SeriesFolder:
    """One series; `path` need not exist yet."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._parts = PartFiles(self.path)
        if self.path.is_dir():
            self._repair()

    @staticmethod
    def safe_name(series: str) -> str:
        """The name of a series' folder: its own, or if that is unfit, a similar one that no other series has."""
        fit = re.sub(r"[^\w.+-]+", "-", series, flags=re.ASCII).strip("-.")[:100]
        return fit if fit and fit == series else f"{fit or 'series'}-{hashlib.sha256(series.encode()).hexdigest()[:8]}"

    @classmethod
    def create(cls, root: Path, series: str, facts: SeriesFacts) -> "SeriesFolder":
        """The folder of a series below `root`, DIR/results; one that is there is opened and keeps its facts."""
        path = Path(root) / cls.safe_name(series)
        try:
            path.mkdir(parents=True, exist_ok=True)
            folder = cls(path)
            if not (path / FACTS).exists():
                folder._write_facts(replace(facts, series=series))
        except OSError as error:
            raise UserError(
                f"cannot store results in {root}: {error.strerror or error}; choose another --data"
            ) from error
        return folder

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def index_path(self) -> Path:
        """The file that holds the series in the exported schema."""
        return self.path / "series.h5"

    @property
    def facts(self) -> SeriesFacts:
        """As stored last, by whichever process."""
        return self._parts.facts()

    @property
    def scans(self) -> list[ScanPart]:
        """The completed scans without their maps, in the order they were added."""
        return self._parts.scans()

    @property
    def solids(self) -> dict[str, Path]:
        """The files of the 3D results that there are: "slices", "volume" and "topography"."""
        return self._parts.solids()

    @property
    def scan_count(self) -> int:
        """Completed scans."""
        return len(self.scans)

    @property
    def has_volume(self) -> bool:
        """Whether there is an edge-energy volume, and not one that is being made."""
        path = self.solids.get("volume")
        return path is not None and is_finished(path)

    @property
    def has_topography(self) -> bool:
        """Whether there is a topography."""
        return "topography" in self.solids

    def update_facts(self, **changes: Any) -> None:
        """Change fields of the facts."""
        with locked(self.path):
            self._write_facts(replace(self.facts, **changes))
            self._refresh()

    def add_scan(self, record: ScanRecord) -> int:
        """Store a completed scan and return its index; one with a raw uid that is there already changes nothing.

        The scan in progress goes. Raises ValueError if shape, energies or histogram bins differ from the series'.
        """
        with locked(self.path):
            scans = self.scans
            uids = [scan.raw_uid for scan in scans]
            if record.raw_uid in uids:
                self._refresh()
                self._drop_current_if_completed()
                return uids.index(record.raw_uid)
            shape = record.edge_energy.shape
            if scans and (why := scans[0].difference(shape, record.energy, record.histogram_edges)):
                raise ValueError(f"scan {record.raw_uid} does not belong to the series {self.name}: {why}")
            with replacing(self._parts.next_scan()) as path:
                write_scan(path, record)
            self._refresh()
            self._current_path.unlink(missing_ok=True)
            return len(scans)

    def scan(self, index: int) -> ScanRecord:
        """A completed scan."""
        return read_scan(self.scans[index].path)[0]

    def set_current(self, record: ScanRecord, version: int) -> None:
        """Replace the scan in progress; of a scan that is completed already nothing is stored."""
        with locked(self.path):
            if all(part.raw_uid != record.raw_uid for part in self.scans):
                with replacing(self._current_path) as path:
                    write_scan(path, record, version)

    def current(self) -> tuple[ScanRecord, int] | None:
        """The scan in progress and its version."""
        try:
            return read_scan(self._current_path)
        except FileNotFoundError:
            return None
        except UNREADABLE as error:
            log.warning("%s is unreadable and left out: %s", self._current_path, error)
            return None

    def set_volume(
        self,
        volume: "EdgeVolume",
        voxel_size: float | None,
        raw_uids: Sequence[str],
        others: "Mapping[str, EdgeVolume] | None" = None,
        time: float = float("nan"),
    ) -> None:
        """Store the edge-energy volume with its voxel size in µm; without one its lengths are in voxels.

        `others` are the volumes of other edges by name, `time` (s since the epoch) is that of the 3D scan.
        """
        self._set_solid("volume", lambda path: write_volume(path, volume, voxel_size, tuple(raw_uids), others, time))

    def set_slabs(self, slabs: Sequence[Path], rows: Sequence[int], width: int, voxel_size: float | None) -> None:
        """Show the volume that is being made: `slabs` are the files of so many rows each, there or yet to come."""
        self._set_solid("volume", lambda path: show_slabs(path, slabs, rows, width, voxel_size))

    def set_slices(self, slices: Sequence[Slice], energies: int, version: int) -> None:
        """Replace the slices that show a 3D scan in progress, or what became of it."""
        new = "slices" not in self.solids
        with replacing(self.path / "slices.h5") as path:
            write_slices(path, slices, energies, version)
        if new:
            self.rebuild_index()

    def set_topography(self, topography: "Topography") -> None:
        """Store the front's topography; its unit of length is that of the volume stored before it, else µm."""
        length = unit_of_length(self.solids["volume"]) if self.has_volume else "um"
        self._set_solid("topography", lambda path: write_topography(path, topography, length))

    def rebuild_index(self) -> None:
        """Write the index from the parts, and remove what a killed process left."""
        with locked(self.path):
            self._clean()
            self._write_index()

    @property
    def _current_path(self) -> Path:
        return self.path / "current.h5"

    def _set_solid(self, name: str, write: Callable[[Path], None]) -> None:
        """Large: the lock is held only for the index."""
        self.path.mkdir(parents=True, exist_ok=True)
        with replacing(self.path / f"{name}.h5") as path:
            write(path)
        self.rebuild_index()

    def _write_facts(self, facts: SeriesFacts) -> None:
        with replacing(self.path / FACTS) as path:
            path.write_text(facts.to_json(), encoding="utf-8")

    def _refresh(self) -> None:
        if self._indexed() != self._parts.stamp():
            self._write_index()

    def _write_index(self) -> None:
        """An index that lacks an unreadable part is not taken for complete: the part may become readable."""
        stamp, scans, solids = self._parts.stamp(), self.scans, sorted(self.solids)
        with replacing(self.index_path) as path:
            write_index(path, self.facts, scans, solids, stamp if self._parts.complete() else "incomplete")

    def _repair(self) -> None:
        """Bring the folder in order, unless someone is writing to it, or we may not."""
        if not self._parts.stamp():
            return
        try:
            with locked(self.path, wait=False):
                self._clean()
                self._refresh()
        except BlockingIOError:
            return
        except OSError as error:
            log.warning("the index of %s may be out of date: %s", self.path, error)

    def _indexed(self) -> str:
        try:
            with open_read(self.index_path) as file:
                return str(file.attrs[STAMP])
        except UNREADABLE:
            return ""

    def _clean(self) -> None:
        for path in leftovers(self.path):
            path.unlink(missing_ok=True)
        self._drop_current_if_completed()

    def _drop_current_if_completed(self) -> None:
        try:
            with open_read(self._current_path) as file:
                completed = str(file.attrs["raw_uid"]) in [scan.raw_uid for scan in self.scans]
        except UNREADABLE:
            completed = True
        if completed:
            self._current_path.unlink(missing_ok=True)


def list_series(data: Path) -> list[SeriesFolder]:
    """The series stored in a data folder, by time of creation."""
    root = Path(data) / "results"
    paths = [path for path in root.iterdir() if path.is_dir()] if root.is_dir() else []
    found = [SeriesFolder(path) for path in sorted(paths) if PartFiles(path).stamp()]
    return sorted(found, key=lambda folder: folder.facts.created)


def find_series(data: Path, name: str) -> SeriesFolder:
    """The series of this name, or the only one whose name starts so, or the "latest"."""
    known = list_series(data)
    if not known:
        raise UserError(f"no series is stored in {data}: run redoxscope demo, monitor or replay first, or give --data")
    if name == "latest":
        return known[-1]
    exact = [folder for folder in known if name in (folder.name, folder.facts.series)]
    matches = exact or [folder for folder in known if name and folder.name.startswith(name)]
    if len(matches) == 1:
        return matches[0]
    names = [folder.name for folder in matches or known]
    listed = ", ".join(names[-_LISTED:]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
    if matches:
        raise UserError(f"more than one series is called {name}: {listed}; give more of the name")
    raise UserError(f"no series {name} in {data}: there are {listed}")
