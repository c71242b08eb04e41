"""The monitor: documents in, maps and volumes out.

`Monitor` is an ordinary Bluesky callback. Every document is first written to its run's journal in DIR/raw, so that
nothing that has arrived can be lost; then its frames go into the run's `MapScan` or `VolumeScan`. What fails is logged
and told, and never raised: a bad document, frame or run does not end the night.
"""

import hashlib
import logging
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from redoxscope.live import journal
from redoxscope.live.documents import RunReader
from redoxscope.live.errors import UserError
from redoxscope.live.frames import FrameFiles
from redoxscope.live.keeper import Keeper
from redoxscope.live.map_scan import MapScan
from redoxscope.live.observer import Observer
from redoxscope.live.open_runs import OpenRun, OpenRuns
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
_MOST_FAILURES = 1000
_PATIENCE = 10.0
"""Seconds after a run's stop in which its files may be closed: plans unstage the detector after the run."""


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
        self.runs = OpenRuns()
        self.touched: dict[str, SeriesFolder] = {}
        """Series that got something, by name."""
        self.failures: list[str] = []
        """What went wrong, the last of it."""
        self._series: dict[str, Series] = {}
        self._volumes: dict[str, VolumeScan] = {}
        self._late: list[tuple[float, MapScan]] = []
        """Scans that have ended, whose files cannot be read yet, and until when they are waited for."""
        self._analyses: list[tuple[VolumeScan, VolumeAnalysis]] = []
        self._results: dict[str, ResultsRun] = {}
        self._subscribers: list[Callback] = []
        self._files = FrameFiles()
        try:
            (data / "raw").mkdir(parents=True, exist_ok=True)
            (data / "results").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot store in {data}: {error.strerror}; choose another --data") from error

    def subscribe(self, callback: Callback) -> None:
        """Call back with the documents of our own results, which are ordinary Bluesky runs."""
        self._subscribers.append(callback)

    def __call__(self, name: str, doc: Document) -> None:
        """Take in a document; never raises, so that a RunEngine can be subscribed to: its scan comes first."""
        try:
            self.take(name, doc)
        except (OSError, UserError) as error:
            self._fail(f"a {name} document cannot be written down and is left out: {error}")

    def take(self, name: str, doc: Document) -> None:
        """Take in a document. Raises OSError or UserError if it cannot be written down: then it must be sent again."""
        for run in self._runs_of(name, doc):
            try:
                new = run.file(name, doc)
                self.runs.claim(name, doc, run)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                self._fail(f"a {name} document makes no sense ({error!r}) and is left out")
                continue
            if new:
                self._analyse(run, name, doc)
        self.poll()

    def has_run(self, uid: str) -> bool:
        """Whether a run is on file whole, from start to stop."""
        path = self._journal_path(uid)
        return path.exists() and any(name == "stop" for _, name, _ in journal.read(path))

    def resume(self) -> None:
        """Take up what an earlier monitor left: every run on file whose result is not there."""
        waiting = []
        series = {folder.facts.series: folder for folder in list_series(self.data)}
        for path in (self.data / "raw").glob("*.journal"):
            start = self._attempt(str(path), _start_in, path)
            if start is not None and not self._attempt(str(path), self._is_done, start, path, series):
                when = start.get("time")
                waiting.append((float(when) if isinstance(when, int | float) else 0.0, path, start))
        for _, path, start in sorted(waiting, key=lambda item: item[:2]):
            if self.runs.get(str(start["uid"])) is None:
                self._attempt(str(path), self._take_up, start, path)

    def poll(self) -> None:
        """See to the 3D analyses that have ended, and to scans whose files have been closed."""
        now = time.monotonic()
        for late in [late for late in self._late if now > late[0] or not late[1].unreadable]:
            self._late.remove(late)
            self._attempt(f"run {late[1].run.uid}", self._store_map, late[1])
        for scan, analysis in [pair for pair in self._analyses if not pair[1].running]:
            self._analyses.remove((scan, analysis))
            self._attempt(f"3D result of series {scan.series}", self._volume_done, scan, analysis)

    def finish(self) -> None:
        """The source has ended: close what is open, wait for the 3D analyses."""
        for run in self.runs:
            self._attempt(f"run {run.uid}", self._end, run)
        self._store_late()
        for scan in list(self._volumes.values()):
            if scan.frames:
                self._attempt(f"3D scan of series {scan.series}", self._start_volume, scan)
        for _, analysis in self._analyses:
            while analysis.running:
                analysis.wait(0.2)
                self._tell(self.observer.tick)
        self.poll()
        for folder in self.touched.values():
            if folder.name in self._results:
                self._attempt(f"series {folder.name}", folder.update_facts, finished=True)
                self._keep_series(folder)
        self.close()

    def close(self) -> None:
        """Let go of all files; 3D analyses are ended (their runs are on file: `resume` starts them again)."""
        for _, analysis in self._analyses:
            analysis.kill()
        self._analyses = []
        for results in self._results.values():
            results.stop()
        self._results = {}
        for run in self.runs:
            run.journal.close()
        self._files.close()

    # --- runs -----------------------------------------------------------------------------------------------------

    def _runs_of(self, name: str, doc: Document) -> list[OpenRun]:
        """The open runs that a document belongs to; a start document opens one."""
        try:
            if name == "start":
                run = self._started(doc)
                return [] if run is None else [run]
            found = self.runs.of(name, doc)
        except (OSError, UserError):
            raise
        except Exception as error:
            self._fail(f"a {name} document makes no sense ({error!r}) and is left out")
            return []
        if not found:
            log.warning("a %s document of no run that is open is left out", name)
        return found

    def _started(self, start: Document) -> OpenRun | None:
        """The run of a start document; None if all of it is on file."""
        uid = str(start["uid"])
        path = self._journal_path(uid)
        run = self.runs.get(uid)
        if run is not None or not path.exists() or _start_in(path) is None:
            return run or self._open(start, path)
        if self.has_run(uid):
            log.info("run %s is on file already", uid)
            return None
        return self._take_up(start, path)

    def _journal_path(self, uid: str) -> Path:
        safe = uid if re.fullmatch(r"[A-Za-z0-9_-]{1,100}", uid) else hashlib.sha256(uid.encode()).hexdigest()
        return self.data / "raw" / f"{safe}.journal"

    def _take_up(self, start: Document, path: Path) -> OpenRun:
        """Open a run that is on file, in part or whole."""
        log.info("resuming run %s", start["uid"])
        run = self._open(start, path)
        for _, name, doc in journal.read(path):
            if not run.knows(name, doc):
                run.remember(name, doc)
                self._attempt(f"run {run.uid}", self.runs.claim, name, doc, run)
                self._analyse(run, name, doc)
        return run

    def _open(self, start: Document, path: Path) -> OpenRun:
        run = OpenRun(RunReader(start, self.profile, self._files), journal.Journal(path))
        self.runs.add(run)
        plan = str(start.get("plan_name"))
        name = series_name(start, self.profile)
        if plan in self.profile.documents.plans_2d:
            self._attempt(f"run {run.uid}", self._open_map, run, name)
        elif plan in self.profile.documents.plans_3d:
            self._attempt(f"run {run.uid}", self._open_volume, run, name)
        else:
            self._say(f"run {run.uid} ({plan}) is kept, but no XANES scan by profile {self.profile.name}")
        return run

    def _open_volume(self, run: OpenRun, name: str) -> None:
        volume = self._volumes.get(name) or VolumeScan(name)
        volume.start(run.reader, run.journal.path)
        self._volumes[name] = run.volume = volume

    def _open_map(self, run: OpenRun, name: str) -> None:
        self._store_late(name)
        if run.reader.energies.size:
            self.profile.xanes_edge().check(run.reader.energies)
        series = self._series.get(name)
        if series is None:
            folder = self._folder(name)
            series = self._series[name] = Series.open(name, self.profile, folder.path, folder.scan_count)
        run.scan = MapScan(run.reader, series)
        self._tell(self.observer.scan_started, name, self._folder(name).scan_count, run.scan)

    def _is_done(self, start: Document, path: Path, series: dict[str, SeriesFolder]) -> bool:
        """Whether the result of a run is in the store."""
        plan, uid = str(start.get("plan_name")), str(start["uid"])
        documents = self.profile.documents
        if plan not in (*documents.plans_2d, *documents.plans_3d):
            return True
        folder = series.get(series_name(start, self.profile))
        if folder is None:
            return False
        if plan in documents.plans_3d:
            return folder.has_topography and path.stem in folder.facts.raw_uids
        for part in folder.scans:
            if part.raw_uid == uid:
                _count(folder, [uid], part.frames)
                return True
        return False

    # --- analysis -------------------------------------------------------------------------------------------------

    def _analyse(self, run: OpenRun, name: str, doc: Document) -> None:
        self._attempt(f"run {run.uid}", self._add_frames, run, name, doc)
        if name == "stop":
            self._attempt(f"run {run.uid}", self._end, run)

    def _add_frames(self, run: OpenRun, name: str, doc: Document) -> None:
        for frame in run.reader.read(name, doc):
            if run.scan is not None:
                if run.scan.add(frame):
                    self._map_changed(run, run.scan)
            elif run.volume is not None:
                run.volume.add(frame)
                self._tell(self.observer.projection, run.volume, frame)

    def _map_changed(self, run: OpenRun, scan: MapScan) -> None:
        """Bring the map up to date, as long as this takes no more than half of the time."""
        now = time.monotonic()
        if now < run.next_result:
            self._tell(self.observer.frame, scan, None)
            return
        found = scan.result()
        run.next_result = time.monotonic() + (time.monotonic() - now)
        if found is None:
            return
        record = scan_record(scan, found, self.profile)
        self._tell(self.observer.frame, scan, record)
        if now >= run.next_snapshot:
            run.version += 1
            self._folder(scan.series.name).set_current(record, run.version)
            run.next_snapshot = time.monotonic() + _SNAPSHOT

    def _end(self, run: OpenRun) -> None:
        """A run has ended, or its source has."""
        run.journal.close()
        self.runs.remove(run)
        if run.scan is not None:
            self._attempt(f"run {run.uid}", self._end_map, run.scan)
        if run.volume is not None:
            self._attempt(f"run {run.uid}", self._end_volume_run, run.volume, run.reader)
        if self.keeper is not None:
            self.keeper.raw(run.journal.path)

    def _end_map(self, scan: MapScan) -> None:
        scan.close()
        if scan.unreadable:
            self._late.append((time.monotonic() + _PATIENCE, scan))
        else:
            self._store_map(scan)

    def _store_late(self, series: str | None = None) -> None:
        """The scans of a series, or of all, are not waited for any longer."""
        for late in [late for late in self._late if series in (None, late[1].series.name)]:
            self._late.remove(late)
            self._attempt(f"run {late[1].run.uid}", self._store_map, late[1])

    def _store_map(self, scan: MapScan) -> None:
        found = scan.close()
        name = scan.series.name
        folder = self._folder(name)
        if found is None:
            self._fail(f"scan {scan.run.uid} has no frame that can be used ({len(scan.bad)} bad)")
            return
        record = scan_record(scan, found, self.profile)
        scan.series.next_scan(found)
        scan.series.save(folder.path, folder.scan_count + 1)
        index = folder.add_scan(record)
        _count(folder, [scan.run.uid], record.frames)
        self._publish(folder).scan(index, record)
        self._keep_series(folder)
        self._tell(self.observer.scan_done, name, index, record, list(scan.bad.values()))

    def _end_volume_run(self, scan: VolumeScan, run: RunReader) -> None:
        scan.stop(run)
        if scan.complete:
            self._start_volume(scan)
        elif scan.cut_short:
            self._volumes.pop(scan.series, None)
            try:
                self.profile.xanes_edge().check(scan.done)
            except ValueError as error:
                self._fail(f"the 3D scan of series {scan.series} was cut short and is not analysed: {error}")
            else:
                self._start_volume(scan)

    def _start_volume(self, scan: VolumeScan) -> None:
        self._volumes.pop(scan.series, None)
        folder = self._folder(scan.series)
        self._tell(self.observer.volume_started, scan)
        analysis = VolumeAnalysis(
            scan,
            self.profile.model_dump(mode="json"),
            folder.path,
            lambda fact: self._tell(self.observer.volume_progress, scan, fact),
        )
        self._analyses.append((scan, analysis))

    def _volume_done(self, scan: VolumeScan, analysis: VolumeAnalysis) -> None:
        if analysis.error is not None or analysis.outcome is None:
            self._fail(f"the 3D analysis of series {scan.series} failed: {analysis.error}")
            return
        folder = self._folder(scan.series)
        folder.rebuild_index()
        expected, lost, bad = (int(analysis.outcome[key]) for key in ("expected", "lost", "bad"))
        count = FrameCount(expected=expected, used=expected - lost - bad, lost=lost, bad=bad)
        _count(folder, [path.stem for path in scan.journals], count)
        self._publish(folder).volume(analysis.outcome)
        self._keep_series(folder)
        self._tell(self.observer.volume_done, scan, analysis.outcome)

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

    def _attempt(self, what: str, step: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Do a step and return what it does; what goes wrong in it is told and stays with its run: None."""
        try:
            return step(*arguments, **named)
        except Exception as error:
            log.exception(what)
            self._fail(f"{what}: {error or type(error).__name__}")
            return None

    def _fail(self, text: str) -> None:
        self.failures.append(text)
        del self.failures[:-_MOST_FAILURES]
        self._say(text)

    def _say(self, text: str) -> None:
        self._tell(self.observer.message, text)

    def _tell(self, method: Callable[..., None], *arguments: Any) -> None:
        """Tell the observer; one that fails (its terminal is gone, say) must not fail a scan."""
        try:
            method(*arguments)
        except Exception:
            log.exception("an observer failed")


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


def _start_in(path: Path) -> Document | None:
    """The start document that a journal begins with; None if nothing is in it yet."""
    first = next(iter(journal.read(path)), None)
    return first[2] if first is not None and first[1] == "start" else None
