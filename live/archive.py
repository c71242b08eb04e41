"""Where results go: the folders of the series, the documents that announce them, and Tiled."""

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from redoxscope.live.documents import Document
from redoxscope.live.keeper import Keeper
from redoxscope.live.notices import Notices
from redoxscope.live.profile import Profile
from redoxscope.live.results import Callback, ResultsRun
from redoxscope.live.series_folder import SeriesFolder, list_series
from redoxscope.live.series_parts import FrameCount, ScanRecord, SeriesFacts
from redoxscope.live.versions import versions
from redoxscope.live.volume.scan import VolumeScan


class Archive:
    """Stores what the monitor finds.

    Parameters
    ----------
    data : DIR
    profile, source : for the record
    keeper : puts what is stored into Tiled; None leaves it in DIR only
    """

    def __init__(self, data: Path, profile: Profile, source: str, keeper: Keeper | None) -> None:
        self.touched: dict[str, SeriesFolder] = {}
        """Series that got something, by name."""
        self.subscribers: list[Callback] = []
        self._data = data
        self._profile = profile
        self._source = source
        self._keeper = keeper
        self._announced: dict[str, ResultsRun] = {}

    def folder(self, series: str) -> SeriesFolder:
        """The folder of a series, made if it is not there."""
        if series not in self.touched:
            facts = SeriesFacts(
                series,
                created=time.time(),
                profile=self._profile.model_dump(mode="json"),
                source=self._source,
                versions=versions(),
            )
            self.touched[series] = SeriesFolder.create(self._data / "results", series, facts)
        return self.touched[series]

    def series_for(self, series: str, energies: NDArray[np.float64]) -> str:
        """The series, or the one of its other grids of energies that has these (eV), if only in being new."""
        for name in grids(series):
            path = self._data / "results" / SeriesFolder.safe_name(name)
            scans = (self.touched.get(name) or SeriesFolder(path)).scans
            if not scans or scans[0].has_energies(energies):
                return name
        raise AssertionError("there is always a next grid")

    def store_scan(self, series: str, record: ScanRecord) -> int:
        """Store a completed XANES scan; returns its number in the series."""
        folder = self.folder(series)
        index = folder.add_scan(record)
        _count(folder, [record.raw_uid], record.frames)
        self._announce(folder).scan(index, record)
        self._keep(folder)
        return index

    def store_volume(self, scan: VolumeScan, outcome: dict[str, Any]) -> None:
        """The 3D analysis has written volume and topography into the folder: make them known."""
        folder = self.folder(scan.series)
        folder.rebuild_index()
        expected, lost, bad = (int(outcome[key]) for key in ("expected", "lost", "bad"))
        count = FrameCount(expected=expected, used=expected - lost - bad, lost=lost, bad=bad)
        _count(folder, [path.stem for path in scan.journals], count)
        self._announce(folder).volume(outcome)
        self._keep(folder)

    def show(self, series: str) -> None:
        """The 3D analysis has something to show of a scan in progress."""
        self._keep(self.folder(series))

    def keep_raw(self, journal: Path) -> None:
        """A raw run is complete."""
        if self._keeper is not None:
            self._keeper.raw(journal)

    def stored(self) -> dict[str, SeriesFolder]:
        """All series on disk by name."""
        return {folder.facts.series: folder for folder in list_series(self._data)}

    def has_result(self, folder: SeriesFolder, start: Document, journal: Path) -> bool:
        """Whether the result of a run is in the folder of its series."""
        if str(start.get("plan_name")) in self._profile.documents.plans_3d:
            return folder.has_topography and journal.stem in folder.facts.raw_uids
        for part in folder.scans:
            if part.raw_uid == str(start["uid"]):
                _count(folder, [part.raw_uid], part.frames)
                return True
        return False

    def finish(self, notices: Notices) -> None:
        """No more results for what has been announced."""
        for folder in self.touched.values():
            if folder.name in self._announced:
                notices.attempt(f"series {folder.name}", folder.update_facts, finished=True)
                self._keep(folder)

    def close(self) -> None:
        """End the announcements."""
        for results in self._announced.values():
            results.stop()
        self._announced = {}

    def _announce(self, folder: SeriesFolder) -> ResultsRun:
        if folder.name not in self._announced:
            self._announced[folder.name] = ResultsRun(folder, self.subscribers)
        return self._announced[folder.name]

    def _keep(self, folder: SeriesFolder) -> None:
        if self._keeper is not None:
            self._keeper.series(folder.path)


def grids(series: str) -> Iterator[str]:
    """The series that a series' scans go into: all of one have the same energies."""
    yield series
    yield from (f"{series}.grid{number}" for number in itertools.count(2))


def _count(folder: SeriesFolder, uids: list[str], frames: FrameCount) -> None:
    """Add runs and their frames to the facts of a series; runs that are in them already change nothing."""
    facts = folder.facts
    new = [uid for uid in uids if uid not in facts.raw_uids]
    if new:
        folder.update_facts(raw_uids=(*facts.raw_uids, *new), frames=facts.frames + frames)
