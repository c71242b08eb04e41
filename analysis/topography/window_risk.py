"""Which window has the least risk, bias and noise together, in each part of a surface.

The risk of a window is the variance of H by noise, which is known, and the square of its bias, which shows in the
difference to narrower windows: what the mean square of that difference exceeds its own variance by, if noise does not
explain the excess (Lepski, Theory Probab. Appl. 35, 454 (1991); Goldenshluger & Lepski, Ann. Stat. 39, 1608 (2011)).
At a single vertex a bias must be several standard deviations to be seen; the mean square over some voxels of surface
shows one that is smaller than the noise. Distances are in voxels.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from redoxscope.analysis.threads import in_threads
from redoxscope.analysis.topography.curvature import BASE, MIXES, WINDOWS, WindowedCurvature
from redoxscope.analysis.topography.surface_cells import between, cell, numbered_cells, sums_around

Floats = NDArray[np.floating]
Doubles = NDArray[np.float64]
Image = NDArray[np.float32]
Numbers = NDArray[np.int32]

_CELL = 4.0
"""Voxels; means are taken over such cells, see `surface_cells`."""
_SLACK = 1.2
"""Per voxel of the narrower window's width. By noise the mean square of N differences varies by √(2/N) of itself, and
N, the windows that fit side by side, is about (6/width)²: five standard deviations."""
ROUNDING = 3e-4
"""Of 1/voxel: rounding and spline, so that a field without noise has a variance."""
REFERENCE = 4
"""Window whose slope weighs the vertices: noise of H goes with 1/slope."""


@njit(inline="always")
def over_border(depth: float, window: float) -> float:
    """By how much noise grows where a window looks over the border, `depth` away: measured on shapes.

    It is worse the farther the window looks; 1.4 windows inside nothing is left of it.
    """
    return 1 + 1.5 * max(0.0, 1.4 - depth / window) * (window / 2.75) ** 2


def windows_of_least_risk(
    points: Floats, found: WindowedCurvature, covariance: Doubles, scale: Floats, depth: Floats, at: Floats
) -> NDArray[np.intp]:
    """Window (n,), as index into `MIXES`, for places on a surface.

    Parameters
    ----------
    points : (m, 3) vertices that decide, not negative
    found : their curvature
    covariance : (mix, mix) of H times slope by noise
    scale : (m,) how much stronger than that the noise is
    depth : (m,) distance to the nearest missing voxel
    at : (n, 3) the places, not negative
    """
    number, places = numbered_cells(points, at, _CELL)
    total = _moments(points, found.mean, found.slope, scale, depth, WINDOWS, number, len(places))
    count, choice = np.zeros(number.shape, dtype=np.float32), np.zeros(number.shape, dtype=np.float32)
    given = places, number, total, MIXES, BASE, WINDOWS, covariance, count, choice
    in_threads(len(places), lambda first, last: _decide(first, last, *given))
    return np.rint(between(count, choice, at, _CELL)).astype(np.intp)


@njit(cache=True, nogil=True)
def _moments(
    points: Floats, mean: Image, slope: Image, scale: Floats, depth: Floats, width: Floats, number: Numbers, cells: int
) -> Doubles:
    """Sums per cell: points, squared slopes, noise by window, and products of all windows' H, relative to one's."""
    windows = width.size
    out = np.zeros((cells, 2 + windows + windows * (windows + 1) // 2))
    part = np.empty(windows)
    for p in range(len(points)):
        weight = np.float64(slope[REFERENCE, p])
        known = weight > 0
        for w in range(windows):
            part[w] = weight * (np.float64(mean[w, p]) - np.float64(mean[REFERENCE, p]))
            known &= np.isfinite(part[w]) and slope[w, p] > 0
        if not known:
            continue
        sums = out[number[cell(points, p, _CELL)]]
        sums[0] += 1
        sums[1] += weight * weight
        k = 2 + windows
        for w in range(windows):
            # Where the slope vanishes in one window, a point is not to count for all.
            ratio = min(weight / slope[w, p], 3.0) * scale[p] * over_border(depth[p], width[w])
            sums[2 + w] += ratio * ratio
            for v in range(w + 1):
                sums[k] += part[w] * part[v]
                k += 1
    return out


@njit(cache=True, nogil=True)
def _decide(
    first: int, last: int, places: Numbers, number: Numbers, total: Doubles, mixes: Doubles, base: NDArray[np.intp],
    windows: Floats, covariance: Doubles, count: Image, choice: Image,
) -> None:  # fmt: skip
    """Points in each cell, and the window of least risk times that."""
    for i in range(first, last):
        z, y, x = places[i, 0], places[i, 1], places[i, 2]
        sums = sums_around(places[i], number, total)
        count[z, y, x] = total[i, 0]
        if total[i, 0] > 0:
            choice[z, y, x] = total[i, 0] * _least_risk(sums / sums[0], mixes, base, windows, covariance)


@njit(cache=True, nogil=True)
def _least_risk(
    mean: Doubles, mixes: Doubles, base: NDArray[np.intp], windows: Floats, covariance: Doubles
) -> int:  # fmt: skip
    """The window of least risk by a cell's means."""
    product = np.empty((windows.size, windows.size))
    k = 2 + windows.size
    for w in range(windows.size):
        for v in range(w + 1):
            product[w, v] = product[v, w] = mean[k]
            k += 1
    products = mixes @ product @ mixes.T
    best, least = 0, np.inf
    for c in range(len(mixes)):
        bias = 0.0
        for v in range(c):
            differ = products[c, c] + products[v, v] - 2 * products[c, v]
            noise = max(covariance[c, c] + covariance[v, v] - 2 * covariance[c, v], 0.0) * mean[2 + base[v]]
            noise += mean[1] * (ROUNDING / windows[base[v]] ** 2) ** 2
            bias = max(bias, differ - noise * (1 + _SLACK * windows[base[v]]))
        risk = bias + covariance[c, c] * mean[2 + base[c]] + mean[1] * (ROUNDING / windows[base[c]] ** 2) ** 2
        if risk < least:
            best, least = c, risk
    return best
