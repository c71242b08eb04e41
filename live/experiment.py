"""The analysis of an experiment: which scan a run's frames go into, and what becomes of it when it ends.

XANES scans of a series follow one another in its `Series`; a 3D scan is analysed in a process of its own. What fails
stays with its run.
"""

import logging
import queue
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from redoxscope.analysis.edge_map import NONE
from redoxscope.analysis.lost_energies import lost_energies
from redoxscope.live.announced import uncovered_edges
from redoxscope.live.archive import Archive
from redoxscope.live.documents import Document, RunReader
from redoxscope.live.edge_maps import Maps, edges_left_out
from redoxscope.live.map_scan import MapScan
from redoxscope.live.notices import Notices
from redoxscope.live.open_runs import OpenRun
from redoxscope.live.profile import Profile
from redoxscope.live.record import scan_record
from redoxscope.live.series import Series
from redoxscope.live.volume.process import VolumeAnalysis, VolumeJob
from redoxscope.live.volume.scan import VolumeScan

log = logging.getLogger(__name__)

_SNAPSHOT = 1.0
"""Seconds between two provisional maps on disk."""
_PATIENCE = 10.0
"""Seconds after a run's stop in which its files may be closed: plans unstage the detector after the run."""

_WITHOUT_FLAT = 5
"""Frames after which it is told that they wait for a flat."""


class Experiment:
    """The scans in progress.

    Parameters
    ----------
    profile : of the beamline
    archive : takes the results
    notices : told what happens
    scheduler : address of a Dask scheduler for the 3D analysis; None: this machine's cores
    """

    def __init__(self, profile: Profile, archive: Archive, notices: Notices, scheduler: str | None = None) -> None:
        self.profile = profile
        self._scheduler = scheduler
        self._archive = archive
        self._notices = notices
        self._observer = notices.observer
        self._series: dict[str, Series] = {}
        self._volumes: dict[str, VolumeScan] = {}
        self._told: set[tuple[str, str]] = set()
        """Series and edges that it has been told of that the scans do not cover them."""
        self._late: list[tuple[float, MapScan]] = []
        """Scans that have ended, whose files cannot be read yet, and until when they are waited for."""
        self._analyses: list[tuple[VolumeScan, VolumeAnalysis]] = []
        """Of scans that are complete."""
        self._following: dict[str, VolumeAnalysis] = {}
        """Of scans in progress, by series."""
        self._shown: queue.SimpleQueue[str] = queue.SimpleQueue()
        """Series whose 3D analysis has something new to show."""

    def open(self, run: OpenRun) -> None:
        """A run begins."""
        start = run.reader.start
        plan = str(start.get("plan_name"))
        name = series_name(start, self.profile)
        if plan in self.profile.documents.plans_2d:
            self._notices.attempt(f"run {run.uid}", self._open_map, run, name)
        elif plan in self.profile.documents.plans_3d:
            self._notices.attempt(f"run {run.uid}", self._open_volume, run, name)
        else:
            self._notices.say(f"run {run.uid} ({plan}) is kept, but no XANES scan by profile {self.profile.name}")

    def take(self, run: OpenRun, name: str, doc: Document) -> None:
        """A document of an open run."""
        self._notices.attempt(f"run {run.uid}", self._add_frames, run, name, doc)

    def end(self, run: OpenRun) -> None:
        """A run has ended, or its source has."""
        if run.scan is not None:
            self._notices.attempt(f"run {run.uid}", self._end_map, run.scan)
        if run.volume is not None:
            self._notices.attempt(f"run {run.uid}", self._end_volume_run, run.volume, run.reader)

    def poll(self) -> None:
        """See to the 3D analyses that have ended, and to scans whose files have been closed."""
        now = time.monotonic()
        for late in [late for late in self._late if now > late[0] or not late[1].unreadable]:
            self._late.remove(late)
            self._notices.attempt(f"run {late[1].run.uid}", self._close_late, late[1])
        while not self._shown.empty():
            self._notices.attempt("3D slices", self._archive.show, self._shown.get())
        for scan, analysis in [pair for pair in self._analyses if not pair[1].running]:
            self._analyses.remove((scan, analysis))
            self._notices.attempt(f"3D result of series {scan.series}", self._volume_done, scan, analysis)

    def settle(self) -> None:
        """Nothing more will come: end what is waited for, analyse what there is in 3D, and wait for that."""
        self._store_late()
        for scan in list(self._volumes.values()):
            if scan.frames:
                self._notices.attempt(f"3D scan of series {scan.series}", self._complete_volume, scan)
        self.wait()

    def wait(self) -> None:
        """Until the 3D analyses that have begun are done."""
        for _, analysis in self._analyses:
            while analysis.running:
                analysis.wait(0.2)
                self._notices.tell(self._observer.tick)
        self.poll()

    def close(self) -> None:
        """End the 3D analyses; their runs are on file, so that they can be started again."""
        for analysis in [*self._following.values(), *(analysis for _, analysis in self._analyses)]:
            analysis.kill()
        self._analyses, self._following = [], {}

    def _open_map(self, run: OpenRun, name: str) -> None:
        self._store_late(name)
        if run.reader.energies.size:
            self._tell_left_out(name, run.reader.energies, run.uid)
            asked, name = name, self._archive.series_for(name, run.reader.energies)
            if name != asked:
                self._notices.say(
                    f"scan {run.uid}: its {run.reader.energies.size} energies are not those of series {asked}: "
                    f"it goes into series {name}"
                )
        series = self._series.get(name)
        if series is None:
            folder = self._archive.folder(name)
            series = self._series[name] = Series.open(name, self.profile, folder.path, folder.scan_count)
        run.scan = MapScan(run.reader, series)
        self._notices.tell(self._observer.scan_started, name, self._archive.folder(name).scan_count, run.scan)

    def _tell_left_out(self, series: str, energies: NDArray[np.float64], run: str) -> None:
        """Say, once in a series, which edges its scans do not cover. Raises UserError if they cover none."""
        main = self.profile.edge.name
        for edge, reason in uncovered_edges(self.profile, energies, run).items():
            if (series, edge) not in self._told:
                self._told.add((series, edge))
                kind = "the main edge, has empty maps and no front" if edge == main else "is left out"
                self._notices.say(f"series {series}: {edge}{', ' if edge == main else ' '}{kind}: {reason}")

    def _open_volume(self, run: OpenRun, name: str) -> None:
        volume = self._volumes.get(name)
        if volume is None:
            volume = VolumeScan(name)
            job = VolumeJob(self.profile.model_dump(mode="json"), str(self._archive.folder(name).path), self._scheduler)
            self._following[name] = VolumeAnalysis(job, lambda fact: self._heard(volume, fact))
        volume.start(run.reader, run.journal.path)
        self._following[name].follow(run.journal.path)
        self._volumes[name] = run.volume = volume

    def _add_frames(self, run: OpenRun, name: str, doc: Document) -> None:
        for frame in run.reader.read(name, doc):
            if run.scan is not None:
                if run.scan.add(frame):
                    self._map_changed(run, run.scan)
                elif run.scan.without_flat == _WITHOUT_FLAT:
                    streams = ", ".join(self.profile.documents.flat_streams)
                    self._notices.say(
                        f"scan {run.uid}: {_WITHOUT_FLAT} frames and no flat yet, there is no map until flats come; "
                        f"in profile {self.profile.name} they are of stream {streams}"
                    )
            elif run.volume is not None:
                run.volume.add(frame)
                self._notices.tell(self._observer.projection, run.volume, frame)

    def _map_changed(self, run: OpenRun, scan: MapScan) -> None:
        """Bring the map up to date, as long as this takes no more than half of the time."""
        now = time.monotonic()
        if now < run.next_result:
            self._notices.tell(self._observer.frame, scan, None)
            return
        found = scan.result()
        run.next_result = time.monotonic() + (time.monotonic() - now)
        if found is None:
            return
        record = scan_record(scan, found, self.profile)
        self._notices.tell(self._observer.frame, scan, record)
        if now >= run.next_snapshot:
            run.version += 1
            self._archive.folder(scan.series.name).set_current(record, run.version)
            run.next_snapshot = time.monotonic() + _SNAPSHOT

    def _end_map(self, scan: MapScan) -> None:
        found = scan.close()
        if scan.unreadable:
            self._late.append((time.monotonic() + _PATIENCE, scan))
        else:
            self._store_map(scan, found)

    def _store_late(self, series: str | None = None) -> None:
        """The scans of a series, or of all, are not waited for any longer."""
        for late in [late for late in self._late if series in (None, late[1].series.name)]:
            self._late.remove(late)
            self._notices.attempt(f"run {late[1].run.uid}", self._close_late, late[1])

    def _close_late(self, scan: MapScan) -> None:
        self._store_map(scan, scan.close())

    def _store_map(self, scan: MapScan, found: Maps | None) -> None:
        name = scan.series.name
        folder = self._archive.folder(name)
        if found is None:
            first = f", the first of them because {next(iter(scan.bad.values()))}" if scan.bad else ""
            self._notices.fail(f"scan {scan.run.uid} has no frame that can be used ({len(scan.bad)} bad{first})")
            return
        if not scan.run.energies.size:
            self._tell_left_out(name, scan.energies, scan.run.uid)
        else:
            self._tell_if_cut(scan)
        self._tell_doubt(scan, found)
        record = scan_record(scan, found, self.profile, complete=True)
        scan.series.next_scan(found, record.time)
        scan.series.save(folder.path, folder.scan_count + 1)
        index = self._archive.store_scan(name, record)
        self._notices.tell(self._observer.scan_done, name, index, record, list(scan.bad.values()))

    def _tell_if_cut(self, scan: MapScan) -> None:
        """Say that a scan has no edge energy because of the frames that it lost."""
        main = self.profile.edge.name
        planned, there = (edges_left_out(self.profile, e) for e in (scan.energies, scan.energies[sorted(scan.placed)]))
        if main in there and main not in planned:
            self._notices.say(f"scan {scan.run.uid}, without what is lost or bad, has an empty map: {there[main]}")

    def _tell_doubt(self, scan: MapScan, found: Maps) -> None:
        """Say how sure the edge energies are for which a part of the baselines was lost."""
        energies = scan.energies
        for table in self.profile.edges:
            known = found.main if table is self.profile.edge else found.others.get(table.name)
            lost = lost_energies(energies, np.array(sorted(scan.placed)), table.edge())
            if known is None or lost.size == 0 or table.definition != "half_jump" or (known.state == NONE).all():
                continue
            # Rounding must not make it negative.
            doubt = float(np.sqrt(max(np.nanmedian(known.sigma**2 - known.noise_sigma**2), 0.0)))
            gone = ", ".join(f"{energy:g}" for energy in np.sort(energies[lost]))
            self._notices.say(
                f"scan {scan.run.uid} lacks {gone} eV of the baselines of {table.name}: predicted from the others; "
                f"all edge energies may be off together by {doubt:.2f} eV, which sigma holds"
            )

    def _end_volume_run(self, scan: VolumeScan, run: RunReader) -> None:
        scan.stop(run)
        if scan.complete:
            self._complete_volume(scan)
        elif scan.cut_short:
            try:
                self.profile.xanes_edge().check(scan.done)
            except ValueError as error:
                self._volumes.pop(scan.series, None)
                self._following.pop(scan.series).kill()
                self._notices.fail(f"the 3D scan of series {scan.series} was cut short and is not analysed: {error}")
            else:
                self._complete_volume(scan)

    def _complete_volume(self, scan: VolumeScan) -> None:
        """Nothing more will come: the analysis makes the volume of what there is."""
        self._volumes.pop(scan.series, None)
        analysis = self._following.pop(scan.series)
        self._analyses.append((scan, analysis))
        analysis.complete()
        self._notices.tell(self._observer.volume_started, scan)

    def _heard(self, scan: VolumeScan, fact: dict[str, Any]) -> None:
        """Progress of an analysis, in a thread of its own."""
        if fact.get("stage") in ("slices", "slabs"):
            self._shown.put(scan.series)
        self._notices.tell(self._observer.volume_progress, scan, fact)

    def _volume_done(self, scan: VolumeScan, analysis: VolumeAnalysis) -> None:
        if analysis.error is not None or analysis.outcome is None:
            self._notices.fail(f"the 3D analysis of series {scan.series} failed: {analysis.error}")
            return
        self._archive.store_volume(scan, analysis.outcome)
        self._notices.tell(self._observer.volume_done, scan, analysis.outcome)


def series_name(start: Document, profile: Profile) -> str:
    """Name of the series that a run belongs to: the first of the profile's series keys that it has, else its uid."""
    for key in profile.documents.series:
        if start.get(key) not in (None, ""):
            return str(start[key])
    return str(start["uid"])
