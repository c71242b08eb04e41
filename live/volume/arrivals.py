"""What is done with each energy of a 3D scan as its projections arrive: they are placed, and folded into the knots.

So that little is left to do, and to read, once the last one is in. Nothing rests on it having been done in time: what
has not been taken then, or was made of less than there is now, is taken at the end. The volume is the same.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from redoxscope.analysis.alignment.coarse_frames import Coarse
from redoxscope.analysis.alignment.drift import DriftTracker
from redoxscope.analysis.alignment.gauge import Alignment
from redoxscope.analysis.alignment.row_warp import warp
from redoxscope.analysis.tomography.reconstruction import fill_missing
from redoxscope.analysis.volume.knots import Early, knot_weights, of_edge
from redoxscope.analysis.xanes import Edge
from redoxscope.live.profile import Profile
from redoxscope.live.volume.knot_files import KnotFiles
from redoxscope.live.volume.tomograms import Made, TomogramFiles


class Arrivals:
    """The energies of a scan, in the order in which they came.

    Parameters
    ----------
    profile : of the beamline
    files : have the projections
    knots : take what is folded
    scratch : folder for what the last comparison needs of each energy
    """

    def __init__(self, profile: Profile, files: TomogramFiles, knots: KnotFiles, scratch: Path) -> None:
        self._profile = profile
        self._files = files
        self._knots = knots
        self._scratch = scratch
        self._edges = [table.edge() for table in profile.edges] if profile.edge.subspace else []
        self._tracker = DriftTracker(files.angles)
        self._taken: dict[float, Made] = {}
        self._scales: list[float] = []
        self._shifts: list[NDArray[np.float64]] = []
        self._known: list[NDArray[np.bool_]] = []

    @property
    def axis_offset(self) -> float:
        """px, rotation axis minus the detector's centre column in placed projections."""
        return self._tracker.axis_offset

    def waiting(self) -> list[float]:
        """Energies (eV) that are on file and not yet taken, as they came."""
        return [energy for energy in self._files.made if energy not in self._taken]

    def add(self, energy: float) -> NDArray[np.float32] | None:
        """Take an energy (eV) that is on file; its projections where they belong, None if nothing is known of that.

        Raises OSError if the disk is full.
        """
        if not self._holds():
            self._start_over()
        projections = np.asarray(self._files[energy])
        first = next(iter(self._taken), energy)
        scale = self._profile.magnification(energy, first, tomogram=True)
        placed = self._tracker.place(projections, scale)
        np.save(self._coarse_path(len(self._taken)), placed.coarse.frames, allow_pickle=False)
        self._taken[energy] = self._files.made[energy]
        self._scales.append(scale)
        self._shifts.append(placed.shifts)
        self._known.append(placed.coarse.known)
        if not np.isfinite(placed.shifts).all():
            return None
        still = warp(fill_missing(projections), placed.shifts, scale)
        for edge in self._edges:
            self._knots.add(edge.name, self._weights([energy], edge)[:, 0], still)
        return still

    def catch_up(self, progress: Callable[[float], None]) -> None:
        """Take what is on file and has not been taken as it is; nothing more will come."""
        if not self._holds():
            self._start_over()
        missing = self.waiting()
        for number, energy in enumerate(missing):
            progress(number / len(missing))
            self.add(energy)
        self._knots.sync()

    def alignment(self) -> tuple[Alignment, list[float]]:
        """Where all projections stand, and the magnifications, by ascending energy; ValueError if none has data."""
        coarse = (Coarse(np.load(self._coarse_path(i)), known) for i, known in enumerate(self._known))
        found = self._tracker.finish(coarse)
        order = self._ascending()
        arrays = {name: getattr(found, name)[order] for name in ("shifts", "quality", "drift", "jitter")}
        return replace(found, **arrays), [self._scales[i] for i in order]

    def early(self) -> Early:
        """What was folded, by ascending energy."""
        order = self._ascending()
        energies, shifts = np.array(list(self._taken))[order], np.array(self._shifts)[order]
        folded = np.isfinite(shifts).all(axis=(1, 2))
        shape = (self._files.angles.size, *self._files[energies[0]].shape[1:])
        weights = {edge.name: self._weights(energies, edge) * folded for edge in self._edges}
        return Early({name: self._knots.of(name, shape) for name in weights}, weights, shifts)

    def _weights(self, energies: ArrayLike, edge: Edge) -> NDArray[np.float64]:
        return knot_weights(energies, edge) * of_edge(energies, edge, alone=len(self._edges) == 1)

    def _ascending(self) -> NDArray[np.intp]:
        return np.argsort(list(self._taken))

    def _coarse_path(self, number: int) -> Path:
        return self._scratch / f"coarse_{number:04d}.npy"

    def _holds(self) -> bool:
        """Whether what was taken is what is on file."""
        same = bool(self._taken) and np.array_equal(self._tracker.angles, self._files.angles)
        return same and all(self._files.made.get(energy) == made for energy, made in self._taken.items())

    def _start_over(self) -> None:
        self._knots.clear()
        for path in self._scratch.glob("coarse_*.npy"):
            path.unlink()
        self._tracker = DriftTracker(self._files.angles)
        self._taken, self._scales, self._shifts, self._known = {}, [], [], []
