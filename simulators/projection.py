"""Parallel projection of a volume about its z axis, with exact strip areas: mass is conserved at every angle."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array


class StripProjector:
    """Projects columns of voxels, u = x·cosθ + y·sinθ, x and y counted from the volume's centre.

    Each voxel is a unit square in (y, x); its shadow, a trapezoid, is integrated over the detector's unit pixels.

    Parameters
    ----------
    footprint : (y, x) bool: voxels that hold material anywhere along z; the rest is never touched
    """

    def __init__(self, footprint: NDArray[np.bool_]):
        n = footprint.shape[0]
        y, x = np.nonzero(footprint)
        self._y, self._x = y - (n - 1) / 2, x - (n - 1) / 2
        self.columns = n + 2 * int(np.ceil(0.21 * n + 1))
        """Width of a projection, pixels; the axis stands at its centre."""

    def matrix(self, angle: float) -> csr_array:
        """(columns, voxels of the footprint) float32 weights at an angle in degrees."""
        cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        u = self._x * cos + self._y * sin + (self.columns - 1) / 2
        wide, narrow = max(abs(cos), 1e-6), max(abs(sin), 1e-6)
        first = np.floor(u).astype(np.intp) - 1
        edges = first[:, None] + np.arange(5) - 0.5 - u[:, None]
        weights = np.diff(_shadow(edges, wide, narrow), axis=1)
        rows = first[:, None] + np.arange(4)
        voxels = np.broadcast_to(np.arange(u.size)[:, None], rows.shape)
        entries = (weights.ravel().astype(np.float32), (rows.ravel(), voxels.ravel()))
        return csr_array(entries, shape=(self.columns, u.size))


def _shadow(t: NDArray[np.float64], a: float, b: float) -> NDArray[np.float64]:
    """Area left of `t` under a box of width `a` convolved with one of width `b`, unit area."""

    def ramp(s: NDArray[np.float64]) -> NDArray[np.float64]:
        return 0.5 * np.maximum(s, 0) ** 2

    p, q = (a - b) / 2, (a + b) / 2
    return (ramp(t + q) - ramp(t + p) - ramp(t - p) + ramp(t - q)) / (a * b)
