"""Which runs are one 3D scan, and when it is complete.

One run with all energies is complete with its stop, whatever it announced and did not bring. Of a run per energy, each
energy that was announced is waited for, as one that was aborted is taken again; the end of the monitor ends that.
"""

from pathlib import Path

import numpy as np

from redoxscope.live.calibration import SAME_ENERGY
from redoxscope.live.documents import RunReader
from redoxscope.live.frames import Frame


class VolumeScan:
    """The runs of one 3D scan: one run with all energies, or one run per energy."""

    def __init__(self, series: str) -> None:
        self.series = series
        self.journals: list[Path] = []
        self.frames = 0
        self.cut_short = False
        """Whether a run that holds many energies was aborted: no other run will bring the rest."""
        self._whole = False
        """Whether a run that holds many energies has ended well."""
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
        """Whether no run is open and nothing more is to come."""
        missing = [e for e in self._wanted if not any(abs(e - d) < SAME_ENERGY for d in self._done)]
        return bool(self._done) and not self._open and (self._whole or not missing)

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
        self._whole = not aborted and len(energies) > 1
        if not aborted or self.cut_short:
            self._done |= energies
