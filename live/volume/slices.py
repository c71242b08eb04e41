"""Three orthogonal slices of the edge energy while a 3D scan goes on.

Each energy's slices are reconstructed as its projections are in. They are the frames of an `EdgeMap` whose pixels are
the voxels of the slices: what it knows of provisional edge energies holds for voxels as for pixels.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from skimage.filters import threshold_otsu

from redoxscope.analysis.edge_map import PROVISIONAL, EdgeMap, Map
from redoxscope.analysis.tomography.cross_sections import slices
from redoxscope.analysis.volume.evaluate import EdgeVolume
from redoxscope.live.profile import Profile
from redoxscope.live.reference_spectra import references
from redoxscope.live.series_folder import SeriesFolder
from redoxscope.live.slice_file import Slice
from redoxscope.live.volume.gather import Gatherer

_BETWEEN = 1e-3
"""eV: so far from round numbers are the energies that stand for those not announced."""
_EMPTY = 0.2
"""A voxel with less than this part of the particle's absorbance is empty."""


class LiveSlices:
    """The slices through the middle of the volume.

    Parameters
    ----------
    profile : of the beamline
    gatherer : knows the angles and the energies to come
    folder : of the series, takes the slices
    """

    def __init__(self, profile: Profile, gatherer: Gatherer, folder: Path) -> None:
        self._edge = replace(profile.xanes_edge(), min_jump=1e-12)
        self._profile = profile
        self._gatherer = gatherer
        self._folder = SeriesFolder(folder)
        self._angles: NDArray[np.float64] = np.empty(0)
        self._planes: dict[float, list[NDArray[np.float32]]] = {}
        self._version = 0

    @property
    def count(self) -> int:
        """Energies in the slices."""
        return len(self._planes)

    def add(self, energy: float, projections: NDArray[np.float32], axis_offset: float) -> bool:
        """Show an energy (eV) too, its projections (angle, row, col) placed; whether there is something new to see."""
        angles = self._gatherer.files.angles
        if not np.array_equal(angles, self._angles):
            self._angles, self._planes = angles, {}
        made = slices(projections, angles, axis_offset, filter_name=self._profile.tomography.filter)
        self._planes[energy] = list(made)
        found = self._map()
        if found is None or not (found.state >= PROVISIONAL).any():
            return False
        self._store(found)
        return True

    def _map(self) -> Map | None:
        """Edge energies of all voxels of the slices, one after the other; None before there are enough energies."""
        announced = sorted(self._gatherer.announced | set(self._planes))
        if len(announced) == len(self._planes):
            # A run for each energy: others may come, anywhere.
            windows = (self._edge.pre, self._edge.search, self._edge.post)
            announced += [float(e) for low, high in windows for e in np.linspace(low, high, 5)[1:-1] + _BETWEEN]
        energies = np.array(announced)
        try:
            self._edge.check(energies)
        except ValueError:
            return None
        voxels = {energy: np.concatenate([p.ravel() for p in planes]) for energy, planes in self._planes.items()}
        total = np.mean(list(voxels.values()), axis=0)
        empty = total < _EMPTY * np.percentile(total, 99)
        scan = EdgeMap(energies, (total.size,), self._edge, references(self._profile.edge))
        for energy, values in voxels.items():
            scan.update(announced.index(energy), values, float(np.var(values[empty])))
        found = scan.result(subspace=self._profile.edge.subspace)
        jump = np.where(np.isfinite(found.jump), found.jump, 0)
        # The particle is where the jump is about that of most of it; what is left of the noise is not.
        gone = (jump < threshold_otsu(jump)) | ~np.isfinite(found.edge_energy)
        nothing = np.float32(np.nan)
        return replace(
            found,
            edge_energy=np.where(gone, nothing, found.edge_energy),
            sigma=np.where(gone, nothing, found.sigma),
            state=np.where(gone, 0, found.state).astype(np.uint8),
        )

    def _store(self, found: Map) -> None:
        planes = next(iter(self._planes.values()))
        ends = np.cumsum([plane.size for plane in planes])[:-1]
        energies, sigmas, jumps, states = (
            np.split(np.asarray(a), ends) for a in (found.edge_energy, found.sigma, found.jump, found.state)
        )
        rows, width = planes[1].shape[0], planes[0].shape[0]
        middle = (round((rows - 1) / 2), (width - 1) / 2, (width - 1) / 2)
        cut = []
        for i, (at, plane) in enumerate(zip(middle, planes, strict=True)):
            energy, sigma, jump = (part[i].reshape(plane.shape) for part in (energies, sigmas, jumps))
            cut.append(Slice(at, energy, sigma, jump, states[i].reshape(plane.shape)))
        self._version += 1
        self._folder.set_slices(cut, len(self._planes), self._version)


def final_slices(volume: EdgeVolume) -> list[Slice]:
    """The same slices of a volume that is done."""
    out = []
    for axis, size in enumerate(volume.edge_energy.shape):
        at = (size - 1) // 2
        energy, sigma, jump = (np.take(a, at, axis=axis) for a in (volume.edge_energy, volume.sigma, volume.jump))
        out.append(Slice(float(at), energy, sigma, jump, np.where(np.isfinite(energy), 2, 0).astype(np.uint8)))
    return out
