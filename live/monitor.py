"""The monitor: documents in, maps and volumes out.

`Monitor` is an ordinary Bluesky callback. Every document is first written to its run's journal in DIR/raw, so that
nothing that has arrived can be lost; then its frames go into the run's `MapScan` or `VolumeScan`. What fails is logged
and told, and never raised: a bad document, frame or run does not end the night.
"""

import hashlib
import logging
import re
import time
from pathlib import Path
from typing import Any

import numpy as np

from redoxscope.live import journal
from redoxscope.live.documents import RunReader
from redoxscope.live.frames import FrameFiles
from redoxscope.live.keeper import Keeper
from redoxscope.live.map_scan import MapScan
from redoxscope.live.observer import Observer
from redoxscope.live.profile import Profile
from redoxscope.live.record import scan_record
from redoxscope.live.results import Callback, ResultsRun
from redoxscope.live.series import Series
from redoxscope.live.series_folder import SeriesFolder, list_series
from redoxscope.live.series_parts import FrameCount, SeriesFacts
from redoxscope.live.trigger import VolumeAnalysis, VolumeScan
from redoxscope.live.versions import versions

log = logging.getLogger(__name__)

Document = dict[str, Any]
_SNAPSHOT = 1.0
"""Seconds between two provisional maps on disk."""


class Monitor:
    """Watches runs and keeps their analysis up to date.

    Parameters
    ----------
    data : DIR, made if it is not there
    profile : of the beamline
    source : where the documents come from, for the record
    observer : is told what happens
    keeper : puts what is stored into Tiled; None leaves it in DIR only
    """

    def __init__(
        self,
        data: Path,
        profile: Profile,
        *,
        source: str = "",
        observer: Observer | None = None,
        keeper: Keeper | None = None,
    ) -> None:
        self.data = data
        self.profile = profile
        self.source = source
        self.observer = observer or Observer()
        self.keeper = keeper
        self.runs: dict[str, _Run] = {}
        """Those that are open."""
        self.touched: dict[str, SeriesFolder] = {}
        """Series that got something, by name."""
        self.failures: list[str] = []
        self._owner: dict[str, str] = {}
        self._series: dict[str, Series] = {}
        self._volumes: dict[str, VolumeScan] = {}
        self._analyses: list[tuple[VolumeScan, VolumeAnalysis]] = []
        self._results: dict[str, ResultsRun] = {}
        self._subscribers: list[Callback] = []
        self._files = FrameFiles()
        (data / "raw").mkdir(parents=True, exist_ok=True)
        (data / "results").mkdir(parents=True, exist_ok=True)

    def subscribe(self, callback: Callback) -> None:
        """Call back with the documents of our own results, which are ordinary Bluesky runs."""
        self._subscribers.append(callback)

    def __call__(self, name: str, doc: Document) -> None:
        """Take in a document; never raises (but for the disk that is full: then nothing may be acknowledged)."""
        run = self._run_of(name, doc)
        if run is None or not run.file(name, doc):
            return
        self._analyse(run, name, doc)
        self.poll()

    def resume(self) -> None:
        """Take up what an earlier monitor left: every run on file whose result is not there."""
        waiting = []
        series = {folder.facts.series: folder for folder in list_series(self.data)}
        for path in (self.data / "raw").glob("*.journal"):
            first = next(iter(journal.read(path)), None)
            if first is not None and first[1] == "start" and not self._is_done(first[2], series):
                waiting.append((float(first[2].get("time", 0.0)), path, first[2]))
        for _, path, start in sorted(waiting, key=lambda item: item[0]):
            log.info("resuming run %s", start["uid"])
            documents = [(name, doc) for _, name, doc in journal.read(path)]
            run = self._open(start, path)
            for name, doc in documents:
                if run.remember(name, doc):
                    self._own(name, doc, run)
                    self._analyse(run, name, doc)

    def poll(self) -> None:
        """See to the 3D analyses that have ended."""
        for scan, analysis in [pair for pair in self._analyses if not pair[1].running]:
            self._analyses.remove((scan, analysis))
            self._volume_done(scan, analysis)

    def finish(self) -> None:
        """The source has ended: close what is open, wait for the 3D analyses."""
        for run in list(self.runs.values()):
            self._guard(run, self._end, run)
        for scan in list(self._volumes.values()):
            if scan.frames:
                self._start_volume(scan)
        for _, analysis in self._analyses:
            while analysis.running:
                analysis.wait(0.2)
                self.observer.tick()
        self.poll()
        for series, results in self._results.items():
            results.stop()
            folder = self.touched[series]
            folder.update_facts(finished=True)
            self._keep_series(folder)
        self.close()

    def close(self) -> None:
        """Let go of all files; 3D analyses are ended (their runs are on file: `resume` starts them again)."""
        for _, analysis in self._analyses:
            analysis.kill()
        self._analyses = []
        for run in self.runs.values():
            run.journal.close()
        self._files.close()

    # --- runs -----------------------------------------------------------------------------------------------------

    def _run_of(self, name: str, doc: Document) -> "_Run | None":
        """The open run that a document belongs to; a start document opens one."""
        try:
            if name == "start":
                uid = str(doc["uid"])
                if uid not in self.runs and self._journal_path(uid).exists():
                    log.info("run %s is on file already", uid)
                    return None
                return self.runs.get(uid) or self._open(doc, self._journal_path(uid))
            run = self.runs.get(self._owner_of(name, doc))
            if run is None:
                log.warning("a %s document of no run that is open is left out", name)
                return None
            self._own(name, doc, run)
            return run
        except (KeyError, TypeError) as error:
            self._fail(f"a {name} document makes no sense ({error!r}) and is left out")
            return None

    def _owner_of(self, name: str, doc: Document) -> str:
        match name:
            case "descriptor" | "stop":
                return str(doc["run_start"])
            case "resource" | "stream_resource":
                return str(doc.get("run_start") or next(reversed(self.runs), ""))
            case "datum" | "datum_page":
                return self._owner.get(str(doc["resource"]), "")
            case _:
                return self._owner.get(str(doc["descriptor"]), "")

    def _own(self, name: str, doc: Document, run: "_Run") -> None:
        if name in ("descriptor", "resource", "stream_resource"):
            self._owner[str(doc["uid"])] = run.reader.uid

    def _journal_path(self, uid: str) -> Path:
        safe = uid if re.fullmatch(r"[A-Za-z0-9_-]{1,100}", uid) else hashlib.sha256(uid.encode()).hexdigest()
        return self.data / "raw" / f"{safe}.journal"

    def _open(self, start: Document, path: Path) -> "_Run":
        run = _Run(RunReader(start, self.profile, self._files), journal.Journal(path))
        self.runs[run.reader.uid] = run
        plan = start.get("plan_name")
        name = series_name(start, self.profile)
        if plan in self.profile.documents.plans_2d:
            self._guard(run, self._open_map, run, name)
        elif plan in self.profile.documents.plans_3d:
            volume = self._volumes.get(name)
            if volume is None:
                volume = self._volumes[name] = VolumeScan(name)
            volume.start(run.reader, path)
            run.volume = volume
        else:
            self.observer.message(
                f"run {run.reader.uid} ({plan}) is kept, but no XANES scan by profile {self.profile.name}"
            )
        return run

    def _open_map(self, run: "_Run", name: str) -> None:
        if run.reader.energies.size:
            self.profile.xanes_edge().check(run.reader.energies)
        series = self._series.get(name)
        if series is None:
            series = self._series[name] = Series.open(name, self.profile, self._folder(name).path)
        run.scan = MapScan(run.reader, series)
        self.observer.scan_started(name, self._folder(name).scan_count, run.scan)

    def _is_done(self, start: Document, series: dict[str, SeriesFolder]) -> bool:
        """Whether the result of a run is in the store."""
        plan = start.get("plan_name")
        documents = self.profile.documents
        if plan not in (*documents.plans_2d, *documents.plans_3d):
            return True
        folder = series.get(series_name(start, self.profile))
        if folder is None:
            return False
        return folder.has_topography if plan in documents.plans_3d else str(start["uid"]) in folder.facts.raw_uids

    # --- analysis -------------------------------------------------------------------------------------------------

    def _analyse(self, run: "_Run", name: str, doc: Document) -> None:
        self._guard(run, self._take, run, name, doc)
        if name == "stop":
            self._guard(run, self._end, run)

    def _take(self, run: "_Run", name: str, doc: Document) -> None:
        for frame in run.reader.read(name, doc):
            if run.scan is not None:
                if run.scan.add(frame):
                    self._map_changed(run, run.scan)
            elif run.volume is not None:
                run.volume.add(frame)
                self.observer.projection(run.volume, frame)

    def _map_changed(self, run: "_Run", scan: MapScan) -> None:
        """Bring the map up to date, as long as this takes no more than half of the time."""
        now = time.monotonic()
        if now < run.next_result:
            self.observer.frame(scan, None)
            return
        found = scan.result()
        run.next_result = time.monotonic() + (time.monotonic() - now)
        if found is None:
            return
        record = scan_record(scan, found, self.profile)
        self.observer.frame(scan, record)
        if now >= run.next_snapshot:
            run.version += 1
            self._folder(scan.series.name).set_current(record, run.version)
            run.next_snapshot = time.monotonic() + _SNAPSHOT

    def _end(self, run: "_Run") -> None:
        """A run has ended, or its source has."""
        run.journal.close()
        self.runs.pop(run.reader.uid, None)
        self._owner = {uid: owner for uid, owner in self._owner.items() if owner != run.reader.uid}
        if run.scan is not None:
            self._end_map(run.scan)
        if run.volume is not None:
            run.volume.stop(run.reader)
            if run.volume.complete:
                self._start_volume(run.volume)
        if self.keeper is not None:
            self.keeper.raw(run.journal.path)

    def _end_map(self, scan: MapScan) -> None:
        found = scan.close()
        name = scan.series.name
        folder = self._folder(name)
        if found is None:
            self._fail(f"scan {scan.run.uid} has no frame that can be used ({len(scan.bad)} bad)")
            return
        record = scan_record(scan, found, self.profile)
        index = folder.add_scan(record)
        scan.series.next_scan(found)
        scan.series.save(folder.path)
        _count(folder, [scan.run.uid], record.frames)
        self._publish(folder).scan(index, record)
        self._keep_series(folder)
        self.observer.scan_done(name, index, record, list(scan.bad.values()))

    def _start_volume(self, scan: VolumeScan) -> None:
        self._volumes.pop(scan.series, None)
        folder = self._folder(scan.series)
        self.observer.volume_started(scan)
        analysis = VolumeAnalysis(
            scan,
            self.profile.model_dump(mode="json"),
            folder.path,
            lambda fact: self.observer.volume_progress(scan, fact),
        )
        self._analyses.append((scan, analysis))

    def _volume_done(self, scan: VolumeScan, analysis: VolumeAnalysis) -> None:
        if analysis.error is not None or analysis.outcome is None:
            self._fail(f"the 3D analysis of series {scan.series} failed: {analysis.error}")
            return
        folder = self._folder(scan.series)
        folder.rebuild_index()
        expected, bad = int(analysis.outcome["expected"]), int(analysis.outcome["bad"])
        count = FrameCount(expected=expected, used=expected - bad, lost=0, bad=bad)
        _count(folder, [path.stem for path in scan.journals], count)
        self._publish(folder).volume(analysis.outcome)
        self._keep_series(folder)
        self.observer.volume_done(scan, analysis.outcome)

    # --- results --------------------------------------------------------------------------------------------------

    def _folder(self, series: str) -> SeriesFolder:
        if series not in self.touched:
            facts = SeriesFacts(
                series,
                created=time.time(),
                profile=self.profile.model_dump(mode="json"),
                source=self.source,
                versions=versions(),
            )
            self.touched[series] = SeriesFolder.create(self.data / "results", series, facts)
        return self.touched[series]

    def _publish(self, folder: SeriesFolder) -> ResultsRun:
        if folder.name not in self._results:
            self._results[folder.name] = ResultsRun(folder, self._subscribers)
        return self._results[folder.name]

    def _keep_series(self, folder: SeriesFolder) -> None:
        if self.keeper is not None:
            self.keeper.series(folder.path)

    def _guard(self, run: "_Run", step: Any, *arguments: Any) -> None:
        """Do a step; what goes wrong in it stays with its run."""
        try:
            step(*arguments)
        except Exception as error:
            log.exception("run %s", run.reader.uid)
            self._fail(f"run {run.reader.uid}: {error}")

    def _fail(self, text: str) -> None:
        self.failures.append(text)
        self.observer.message(text)


class _Run:
    """An open run."""

    def __init__(self, reader: RunReader, log_file: journal.Journal) -> None:
        self.reader = reader
        self.journal = log_file
        self.scan: MapScan | None = None
        self.volume: VolumeScan | None = None
        self.next_result = self.next_snapshot = -np.inf
        self.version = 0
        self._known: set[tuple[str, str]] = set()

    def remember(self, name: str, doc: Document) -> bool:
        """Whether a document is new; one without a uid always is."""
        identity = doc.get("uid", doc.get("datum_id"))
        if identity is None:
            return True
        key = (name, str(identity))
        if key in self._known:
            return False
        self._known.add(key)
        return True

    def file(self, name: str, doc: Document) -> bool:
        """Write a document to the journal; False if it is there already."""
        if not self.remember(name, doc):
            return False
        self.journal.append(name, doc)
        return True


def series_name(start: Document, profile: Profile) -> str:
    """Name of the series that a run belongs to: the first of the profile's series keys that it has, else its uid."""
    for key in profile.documents.series:
        if start.get(key) not in (None, ""):
            return str(start[key])
    return str(start["uid"])


def _count(folder: SeriesFolder, uids: list[str], frames: FrameCount) -> None:
    """Add runs and their frames to the facts of a series; runs that are in them already change nothing."""
    facts = folder.facts
    new = [uid for uid in uids if uid not in facts.raw_uids]
    if new:
        total = FrameCount(
            *(getattr(facts.frames, key) + getattr(frames, key) for key in ("expected", "used", "lost", "bad"))
        )
        folder.update_facts(raw_uids=(*facts.raw_uids, *new), frames=total)
