"""Straight lines through a volume, followed until a level is met."""

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

Floats = NDArray[np.floating]

STEP = 0.25
"""Voxels between the samples of a line; where two of them bracket the level, it is met in between (linear)."""


def first_rise(
    field: Floats, origins: Floats, directions: Floats, level: float | Floats, reach: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How far along each line the field, interpolated trilinearly, first reaches a level from below.

    Parameters
    ----------
    field : (z, y, x), NaN where missing
    origins : (n, 3) in (z, y, x) index units
    directions : (n, 3) unit vectors
    level : one value, or (n,) one of each line
    reach : voxels to be followed

    Returns
    -------
    rise : (n,) voxels, 0 for a line that starts at the level or above; NaN if the field or the reach ends before
    end : (n,) voxels of the line within the field, at most `reach`; NaN if it does not start there
    """
    levels = np.full(len(origins), level, dtype=np.float64)
    rise, end = np.empty(len(origins)), np.empty(len(origins))
    start, along = (np.ascontiguousarray(a, dtype=np.float64) for a in (origins, directions))
    _follow(field, start, along, levels, reach, rise, end)
    return rise, end


@njit(inline="always")
def _value(field: Floats, z: float, y: float, x: float) -> float:
    """Trilinear; a corner without weight may be missing."""
    nz, ny, nx = field.shape
    if not (0 <= z <= nz - 1 and 0 <= y <= ny - 1 and 0 <= x <= nx - 1):
        return np.nan
    i, j, k = min(int(z), max(nz - 2, 0)), min(int(y), max(ny - 2, 0)), min(int(x), max(nx - 2, 0))
    c, b, a = z - i, y - j, x - k
    total = 0.0
    for p in range(2):
        wz = c if p else 1 - c
        if wz == 0.0:
            continue
        for q in range(2):
            wy = b if q else 1 - b
            if wy == 0.0:
                continue
            for r in range(2):
                wx = a if r else 1 - a
                if wx != 0.0:
                    total += wz * wy * wx * field[i + p, j + q, k + r]
    return total


@njit(parallel=True, cache=True, nogil=True)
def _follow(
    field: Floats, origins: Floats, directions: Floats, levels: Floats, reach: float, rise: Floats, end: Floats
) -> None:
    for n in prange(len(origins)):
        z, y, x = origins[n]
        dz, dy, dx = directions[n]
        rise[n] = end[n] = before = np.nan
        for s in range(int(np.ceil(reach / STEP)) + 1):
            t = s * STEP
            value = _value(field, z + t * dz, y + t * dy, x + t * dx) - levels[n]
            if not np.isfinite(value):
                break
            end[n] = min(t, reach)
            if value >= 0:
                rise[n] = t - STEP * value / (value - before) if s else 0.0
                break
            before = value
