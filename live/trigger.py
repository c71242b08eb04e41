"""When a 3D scan is complete, and its analysis in a process of its own."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from redoxscope.live.calibration import SAME_ENERGY
from redoxscope.live.documents import RunReader
from redoxscope.live.frames import Frame
from redoxscope.live.volume_job import VolumeJob

_SILENCE = 3600.0
"""Seconds after which an analysis that says nothing is taken to hang; its stages take minutes."""


class VolumeScan:
    """The runs of one 3D scan: one run with all energies, or one run per energy."""

    def __init__(self, series: str) -> None:
        self.series = series
        self.journals: list[Path] = []
        self.frames = 0
        self.cut_short = False
        """Whether a run that holds many energies was aborted: no other run will bring the rest."""
        self._wanted: list[float] = []
        self._done: set[float] = set()
        self._open: dict[str, set[float]] = {}

    @property
    def energies_done(self) -> int:
        """Energies whose run has ended."""
        return len(self._done)

    @property
    def done(self) -> list[float]:
        """Energies whose run has ended, eV."""
        return sorted(self._done)

    @property
    def complete(self) -> bool:
        """Whether no run is open and every energy that was announced is there."""
        missing = [e for e in self._wanted if not any(abs(e - d) < SAME_ENERGY for d in self._done)]
        return bool(self._done) and not self._open and not missing

    def start(self, run: RunReader, journal: Path) -> None:
        """A run of the scan begins."""
        self.journals.append(journal)
        self._open[run.uid] = set()
        self._wanted += [e for e in run.energies.tolist() if np.isfinite(e) and e not in self._wanted]

    def add(self, frame: Frame) -> None:
        """A frame of one of the runs."""
        if frame.kind == "sample" and frame.run in self._open:
            self.frames += 1
            self._open[frame.run].add(round(frame.energy, 2))

    def stop(self, run: RunReader) -> None:
        """A run has ended; the energy of an aborted tomogram is to be taken again."""
        energies = self._open.pop(run.uid, set())
        aborted = run.stop is not None and run.stop.get("exit_status", "success") != "success"
        self.cut_short = aborted and len(energies) > 1
        if not aborted or self.cut_short:
            self._done |= energies


class VolumeAnalysis:
    """The process that turns a 3D scan into a volume and its topography.

    Parameters
    ----------
    scan : whose journals are complete
    profile : as plain data
    folder : of the series
    tell : is called from a thread with each line of progress
    """

    def __init__(
        self, scan: VolumeScan, profile: dict[str, Any], folder: Path, tell: Callable[[dict[str, Any]], None]
    ) -> None:
        self.series = scan.series
        job = folder / "volume_job.json"
        VolumeJob([str(path) for path in scan.journals], profile, str(folder)).save(job)
        # Spinning threads of several numerical libraries would fight over the cores of the running scan.
        one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
        self._log = (folder / "volume_job.log").open("w")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "redoxscope.live.volume_job", str(job)],
            stdout=subprocess.PIPE,
            stderr=self._log,
            stdin=subprocess.DEVNULL,
            text=True,
            env=os.environ | one,
        )
        self._tell = tell
        self._heard = time.monotonic()
        self.error: str | None = None
        self.outcome: dict[str, Any] | None = None
        self._thread = threading.Thread(target=self._listen, name="volume-analysis", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether it is still at work; one that hangs is ended."""
        if self._thread.is_alive() and time.monotonic() - self._heard > _SILENCE:
            self.error = f"it said nothing for {_SILENCE / 60:.0f} minutes and was ended; see {self._log.name}"
            self._process.kill()
            self.wait(10.0)
            return False
        return self._thread.is_alive()

    def wait(self, timeout: float | None = None) -> None:
        """Until it has ended."""
        self._thread.join(timeout)

    def kill(self) -> None:
        """End it now; its journals stay, so that it can be started again."""
        self._process.kill()
        self.wait(10.0)

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
            self.error = self.error or f"it ended with status {self._process.returncode}; see {self._log.name}"
        self._log.close()
