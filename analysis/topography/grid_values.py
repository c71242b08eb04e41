"""A smoothed field's values at the voxels, from the weights of its B-splines on the same or on a coarser grid.

Everything in one sweep: neither the sum of two levels nor a finer grid of weights ever lies in memory.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from redoxscope.analysis.threads import in_threads
from redoxscope.analysis.topography.scale_space import Level, spline_weights

Floats = NDArray[np.floating]
Image = NDArray[np.float32]

_ROWS = 16
"""That are swept together: what they need of five planes stays in the cache."""


def values_on_grid(
    narrow: Level, wide: Level, weights: tuple[float, float], depth: Floats, origin: NDArray[np.intp], out: Image
) -> None:
    """Weighted sum of two levels at the voxels of a field.

    Parameters
    ----------
    narrow, wide : of the part of the field that holds its known voxels
    weights : of the two
    depth : (z, y, x) of that part, 0 where the field is missing
    origin : (3,) index in `out` of its first voxel
    out : (z, y, x) of the whole field; NaN where it is missing
    """
    tables = [np.stack([_at_phase(p, level.step) for p in range(level.step)]) for level in (narrow, wide)]
    u, v = (np.float32(w) for w in weights)
    given = narrow.samples, tables[0], u, wide.samples, tables[1], v, depth, origin, out
    in_threads(-(-out.shape[1] // _ROWS), lambda first, last: _sweep(first, last, *given))


def _at_phase(phase: int, step: int) -> Image:
    """Weights of the splines -2 … 3 samples away, at a voxel `phase` behind a sample."""
    near = int(np.floor(phase / step + 0.5))
    out = np.zeros(6, dtype=np.float32)
    out[near : near + 5] = spline_weights(phase / step - near)
    return out


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def _sweep(
    first_tile: int, last_tile: int,
    narrow: Image, fine: Image, u: np.float32, wide: Image, coarse: Image, v: np.float32,
    depth: Floats, origin: NDArray[np.intp], out: Image,
) -> None:  # fmt: skip
    nz, ny, nx = depth.shape
    for tile in range(first_tile, last_tile):
        first, last = tile * _ROWS, min((tile + 1) * _ROWS, out.shape[1])
        planes, line = np.empty((_ROWS + 6, nx + 8), np.float32), np.empty(nx + 8, np.float32)
        sums = np.empty((_ROWS, nx + 8), np.float32)
        for z in range(out.shape[0]):
            p = z - origin[0]
            if 0 <= p < nz:
                sums[:] = 0
                _add(narrow, fine, u, p, first - origin[1], last - origin[1], planes, line, sums)
                _add(wide, coarse, v, p, first - origin[1], last - origin[1], planes, line, sums)
            for y in range(first, last):
                q = y - origin[1]
                inside = 0 <= p < nz and 0 <= q < ny
                for x in range(out.shape[2]):
                    r = x - origin[2]
                    known = inside and 0 <= r < nx and depth[p, q, r] > 0
                    out[z, y, x] = sums[y - first, r] if known else np.float32(np.nan)


@njit(cache=True, nogil=True, fastmath=True)
def _add(
    samples: Image, table: Image, weight: np.float32, z: int, first: int, last: int, planes: Image, line: Image,
    sums: Image,
) -> None:  # fmt: skip
    """One level's part of the rows first … last of plane z; what lies outside is as the edge."""
    step = len(table)
    nz, ny, nx = samples.shape
    t = table[z % step]
    zs = [min(max(z // step + k - 2, 0), nz - 1) for k in range(6)]
    low = first // step - 2
    for k in range((last - 1) // step + 4 - low):
        y = min(max(low + k, 0), ny - 1)
        a, b, c = samples[zs[0], y], samples[zs[1], y], samples[zs[2], y]
        d, e, f = samples[zs[3], y], samples[zs[4], y], samples[zs[5], y]
        row = planes[k]
        for x in range(nx):
            row[x] = t[0] * a[x] + t[1] * b[x] + t[2] * c[x] + t[3] * d[x] + t[4] * e[x] + t[5] * f[x]
    for y in range(first, last):
        t = table[y % step]
        k = y // step - 2 - low
        a, b, c = planes[k], planes[k + 1], planes[k + 2]
        d, e, f = planes[k + 3], planes[k + 4], planes[k + 5]
        for x in range(nx):
            line[x + 2] = weight * (t[0] * a[x] + t[1] * b[x] + t[2] * c[x] + t[3] * d[x] + t[4] * e[x] + t[5] * f[x])
        line[0] = line[1] = line[2]
        line[nx + 2] = line[nx + 3] = line[nx + 4] = line[nx + 1]
        target = sums[y - first]
        for phase in range(step):
            t = table[phase]
            for x in range((target.size - 8 - phase + step - 1) // step):
                target[x * step + phase] += (
                    t[0] * line[x] + t[1] * line[x + 1] + t[2] * line[x + 2]
                    + t[3] * line[x + 3] + t[4] * line[x + 4] + t[5] * line[x + 5]
                )  # fmt: skip
