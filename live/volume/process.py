"""The analysis of a 3D scan, as the monitor sees it: a process that is told what comes, and tells how far it is."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_SILENCE = 3600.0
"""Seconds after which an analysis that has all its data and says nothing is taken to hang; its stages take minutes."""


@dataclass(frozen=True)
class VolumeJob:
    """What the analysis needs to know."""

    profile: dict[str, object]
    folder: str
    """Series folder that the volume and the topography go into."""
    scheduler: str | None = None
    """Address of a Dask scheduler whose workers see the folder; None: this machine's cores."""


class VolumeAnalysis:
    """The process that turns a 3D scan into a volume and its topography; it begins with the scan.

    Parameters
    ----------
    job : what it needs to know
    tell : is called from a thread with each line of progress
    """

    def __init__(self, job: VolumeJob, tell: Callable[[dict[str, Any]], None]) -> None:
        self.error: str | None = None
        self.outcome: dict[str, Any] | None = None
        # Spinning threads of several numerical libraries would fight over the cores of the running scan.
        one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
        self._log = (Path(job.folder) / "volume_job.log").open("w")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "redoxscope.live.volume.job"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=os.environ | one,
            # A session of its own: it ends with all the processes that it has started.
            start_new_session=True,
        )
        self._tell = tell
        self._heard = time.monotonic()
        self._complete = False
        self._say(job=asdict(job))
        self._thread = threading.Thread(target=self._listen, name="volume-analysis", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether it is still at work; one that hangs is ended."""
        if self._complete and self._thread.is_alive() and time.monotonic() - self._heard > _SILENCE:
            self.error = f"it said nothing for {_SILENCE / 60:.0f} minutes and was ended; see {self._log.name}"
            self.kill()
            return False
        return self._thread.is_alive()

    def follow(self, journal: Path) -> None:
        """A run of the scan begins; its documents are in this journal."""
        self._say(journal=str(journal))

    def complete(self) -> None:
        """Nothing more will come: make the volume of what is there."""
        self._complete, self._heard = True, time.monotonic()
        self._say(complete=True)

    def wait(self, timeout: float | None = None) -> None:
        """Until it has ended."""
        self._thread.join(timeout)

    def kill(self) -> None:
        """End it now; its journals and what it has done stay, so that it can be taken up again."""
        if self._thread.is_alive():
            self._end_all()
            self.wait(10.0)

    def _end_all(self) -> None:
        """The process and those that it has started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _say(self, **facts: Any) -> None:
        assert self._process.stdin is not None
        # If it has died, `_listen` says so.
        with suppress(OSError):
            self._process.stdin.write(json.dumps(facts) + "\n")
            self._process.stdin.flush()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._heard = time.monotonic()
            try:
                fact = json.loads(line)
            except ValueError:
                continue
            if "error" in fact:
                self.error = str(fact["error"])
            elif fact.get("done"):
                self.outcome = fact
            else:
                self._tell(fact)
        if self._process.wait() != 0 or self.outcome is None:
            self._end_all()
            self.error = self.error or f"it ended with status {self._process.returncode}; see {self._log.name}"
        self._log.close()
