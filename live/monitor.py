"""The monitor: documents in, maps and volumes out.

`Monitor` is an ordinary Bluesky callback. Every document is first written to its run's journal in DIR/raw, so that
nothing that has arrived can be lost; then its frames go into the run's `MapScan` or `VolumeScan`. What fails is logged
and told, and never raised: a bad document, frame or run does not end the night.
"""

import hashlib
import itertools
import logging
import re
from pathlib import Path

from redoxscope.live import journal
from redoxscope.live.archive import Archive, grids
from redoxscope.live.documents import Document, RunReader
from redoxscope.live.errors import UserError
from redoxscope.live.experiment import Experiment, series_name
from redoxscope.live.frames import FrameFiles
from redoxscope.live.keeper import Keeper
from redoxscope.live.notices import Notices
from redoxscope.live.observer import Observer
from redoxscope.live.open_runs import OpenRun, OpenRuns
from redoxscope.live.profile import Profile
from redoxscope.live.results import Callback
from redoxscope.live.series_folder import SeriesFolder

log = logging.getLogger(__name__)


class Monitor:
    """Watches runs and keeps their analysis up to date.

    Parameters
    ----------
    data : DIR, made if it is not there
    profile : of the beamline
    source : where the documents come from, for the record
    observer : is told what happens
    keeper : puts what is stored into Tiled; None leaves it in DIR only
    scheduler : address of a Dask scheduler for the 3D analysis; None: this machine's cores
    """

    def __init__(
        self,
        data: Path,
        profile: Profile,
        *,
        source: str = "",
        observer: Observer | None = None,
        keeper: Keeper | None = None,
        scheduler: str | None = None,
    ) -> None:
        self.data = data
        self.profile = profile
        self.observer = observer or Observer()
        self.runs = OpenRuns()
        self._notices = Notices(self.observer)
        self._archive = Archive(data, profile, source, keeper)
        self._experiment = Experiment(profile, self._archive, self._notices, scheduler)
        self._files = FrameFiles()
        try:
            (data / "raw").mkdir(parents=True, exist_ok=True)
            (data / "results").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot store in {data}: {error.strerror}; choose another --data") from error

    @property
    def touched(self) -> dict[str, SeriesFolder]:
        """Series that got something, by name."""
        return self._archive.touched

    @property
    def failures(self) -> list[str]:
        """What went wrong, the last of it."""
        return self._notices.failures

    def subscribe(self, callback: Callback) -> None:
        """Call back with the documents of our own results, which are ordinary Bluesky runs."""
        self._archive.subscribers.append(callback)

    def __call__(self, name: str, doc: Document) -> None:
        """Take in a document; never raises, so that a RunEngine can be subscribed to: its scan comes first."""
        try:
            self.take(name, doc)
        except (OSError, UserError) as error:
            self._notices.fail(f"a {name} document cannot be written down and is left out: {error}")

    def take(self, name: str, doc: Document) -> None:
        """Take in a document. Raises OSError or UserError if it cannot be written down: then it must be sent again."""
        for run in self._runs_of(name, doc):
            try:
                new = run.file(name, doc)
                self.runs.claim(name, doc, run)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                self._notices.fail(f"a {name} document makes no sense ({error!r}) and is left out")
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
        series = self._archive.stored()
        for path in (self.data / "raw").glob("*.journal"):
            start = self._notices.attempt(str(path), _start_in, path)
            if start is not None and not self._notices.attempt(str(path), self._is_done, start, path, series):
                when = start.get("time")
                waiting.append((float(when) if isinstance(when, int | float) else 0.0, path, start))
        for _, path, start in sorted(waiting, key=lambda item: item[:2]):
            if self.runs.get(str(start["uid"])) is None:
                self._notices.attempt(str(path), self._take_up, start, path)

    def poll(self) -> None:
        """See to what has become of earlier runs; to be called now and then when no document comes."""
        self._experiment.poll()

    def wait(self) -> None:
        """Until the 3D analyses that have begun are done; runs that are open stay so."""
        self._experiment.wait()

    def finish(self) -> None:
        """The source has ended: close what is open, wait for the 3D analyses."""
        for run in self.runs:
            self._notices.attempt(f"run {run.uid}", self._end, run)
        self._experiment.settle()
        self._archive.finish(self._notices)
        self.close()

    def close(self) -> None:
        """Let go of all files; 3D analyses are ended (their runs are on file: `resume` starts them again)."""
        self._experiment.close()
        self._archive.close()
        for run in self.runs:
            run.journal.close()
        self._files.close()

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
            self._notices.fail(f"a {name} document makes no sense ({error!r}) and is left out")
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
                self._notices.attempt(f"run {run.uid}", self.runs.claim, name, doc, run)
                self._analyse(run, name, doc)
        return run

    def _open(self, start: Document, path: Path) -> OpenRun:
        run = OpenRun(RunReader(start, self.profile, self._files), journal.Journal(path))
        self.runs.add(run)
        self._experiment.open(run)
        return run

    def _is_done(self, start: Document, path: Path, series: dict[str, SeriesFolder]) -> bool:
        """Whether nothing is to be done about a run on file."""
        documents = self.profile.documents
        if str(start.get("plan_name")) not in (*documents.plans_2d, *documents.plans_3d):
            return True
        names = itertools.takewhile(series.__contains__, grids(series_name(start, self.profile)))
        return any(self._archive.has_result(series[name], start, path) for name in names)

    def _analyse(self, run: OpenRun, name: str, doc: Document) -> None:
        self._experiment.take(run, name, doc)
        if name == "stop":
            self._notices.attempt(f"run {run.uid}", self._end, run)

    def _end(self, run: OpenRun) -> None:
        run.journal.close()
        self.runs.remove(run)
        self._experiment.end(run)
        self._archive.keep_raw(run.journal.path)


def _start_in(path: Path) -> Document | None:
    """The start document that a journal begins with; None if nothing is in it yet."""
    first = next(iter(journal.read(path)), None)
    return first[2] if first is not None and first[1] == "start" else None
