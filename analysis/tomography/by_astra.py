"""Backprojection by the ASTRA toolbox (van Aarle et al., Opt. Express 24, 25129 (2016)), which is optional.

ASTRA is under the GPL and brings 250 MB of CUDA libraries: it is never installed with this package, and imported only
where a user chose it. Filters, weights of the angles and the axis are ours; ASTRA draws the filtered projections back,
by linear interpolation on the CPU, which takes hundreds of times as long as our gridding.
"""

import importlib
from types import ModuleType

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from redoxscope.analysis.tomography.line_spectra import pad

Floats = NDArray[np.floating]


class ByAstra:
    """Filtered backprojection with one geometry, as `slice_transform.SliceTransform`, but without a transpose."""

    def __init__(self, angles: Floats, width: int, axis_offset: float, size: int, padded: int, gain: Floats) -> None:
        """Prepare for projections of `width` columns at these angles (degrees); `gain` (angle or 1, padded) is real.

        Raises
        ------
        ModuleNotFoundError
            If ASTRA is not installed.
        """
        self._astra = _astra()
        self.angles, self.width, self.size = len(angles), width, size
        # Projections are moved so that the axis is in the middle. ASTRA's y axis points up, ours down: hence -angles.
        self._gain = gain[:, : padded // 2 + 1] * np.exp(2j * np.pi * fft.rfftfreq(padded) * axis_offset)
        self._padded = padded
        self._rays = self._astra.create_proj_geom("parallel", 1.0, width, -np.deg2rad(angles))
        self._voxels = self._astra.create_vol_geom(size, size)

    def backproject(self, sinograms: Floats, out: NDArray[np.float32], *, extend: bool = False) -> None:
        """(angle, row, col) → out (row, N, N); see `SliceTransform.backproject`."""
        line, lines = np.empty(self._padded, dtype=np.float32), np.empty((len(sinograms), self._padded), np.float32)
        for row, target in enumerate(out):
            for a, given in enumerate(sinograms[:, row]):
                pad(given, line, extend)
                lines[a] = line
            filtered = fft.irfft(fft.rfft(lines, axis=1) * self._gain, self._padded, axis=1)[:, : self.width]
            target[...] = self._drawn(filtered.astype(np.float32))

    def _drawn(self, sinogram: NDArray[np.float32]) -> NDArray[np.float32]:
        """(angle, col) → (N, N)"""
        astra = self._astra
        projector = astra.create_projector("linear", self._rays, self._voxels)
        held = [astra.data2d.create("-sino", self._rays, sinogram), astra.data2d.create("-vol", self._voxels)]
        task = astra.astra_dict("BP")
        task |= {"ProjectorId": projector, "ProjectionDataId": held[0], "ReconstructionDataId": held[1]}
        run = astra.algorithm.create(task)
        try:
            astra.algorithm.run(run)
            return np.asarray(astra.data2d.get(held[1]))
        finally:
            astra.algorithm.delete(run)
            astra.data2d.delete(held)
            astra.projector.delete(projector)


def _astra() -> ModuleType:
    try:
        return importlib.import_module("astra")
    except ImportError as error:
        raise ModuleNotFoundError(
            f'the backend "astra" needs the ASTRA toolbox ({error}): pip install astra-toolbox, or choose "gridding"'
        ) from error
