"""The true curvature as it depends, over a patch of surface, on the curvature by the window of least risk.

A window that is wide enough to take the noise away makes necks shallower than they are, and what noise it leaves is
still without any order over a patch of surface. Both show where a narrower window's H, with little bias and more noise,
is regressed on that of the chosen window: a neck that is too shallow has a slope over 1, a sphere, whose H differs by
noise only, one near 0. The noise of the single vertex averages out over the patch (H is made of second derivatives, so
its noise has no long waves), and the vertices of a patch that share a value of H need not lie together: along a neck
they form rings, across which no isotropic window can average without blurring the neck.

The windows share noise, which is known and taken off: H_v = H + noise_v, X the chosen window's, then
E[H·X] = E[H_v·X] - cov(noise_v, X), as for regression with errors in the variable (Fuller, Measurement Error Models,
Wiley 1987, section 1.2). Distances are in voxels.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from redoxscope.analysis.threads import in_threads
from redoxscope.analysis.topography.curvature import BASE, MIXES, WINDOWS, WindowedCurvature
from redoxscope.analysis.topography.surface_cells import cell, numbered_cells, place, sums_around
from redoxscope.analysis.topography.window_risk import REFERENCE, over_border

Floats = NDArray[np.floating]
Doubles = NDArray[np.float64]
Image = NDArray[np.float32]
Numbers = NDArray[np.int32]
Indices = NDArray[np.intp]

_CELL = 8.0
"""Voxels; a patch."""
_REACH = 7.0
"""Voxels; standard deviation of the weights in a patch, interpolation between patches included."""
_NARROWER = 2
"""Mixes from the chosen one to that with less bias: the next one of the same order."""
_SIGNIFICANT = 4.0
"""Times its variance by noise that the square of a coefficient has to be; what is above is kept in proportion."""
_MEAN, _SLOPE = 0.3, 0.12
"""Shares of the variance at a vertex that are left in the coefficients, before the ratio of window to patch: measured
on spheres, where the coefficients are known."""
_SUMS = 11
_FLAT, _STRAIGHT = 1e-9, 1e-10
"""Spread of X and X², as part of their squares, below which there is nothing to be regressed on."""


def regressed(
    points: Floats, found: WindowedCurvature, mix: Indices, covariance: Doubles, scale: Doubles, depth: Doubles,
    at: Floats, mean: Image, gaussian: Image,
) -> tuple[Doubles, Doubles, Image, Image]:  # fmt: skip
    """Curvature as it is expected to be, given that by the chosen windows.

    The sum of the principal curvatures changes, their difference does not, H² - K = (κ₁ - κ₂)²/4: so K does not scatter
    where H does not.

    Parameters
    ----------
    points : (m, 3) vertices that decide, not negative
    found : their curvature
    mix : (m,) the window chosen for each, as index into `MIXES`
    covariance : (mix, mix) of H times slope by noise
    scale : (m,) how much stronger than that the noise is
    depth : (m,) distance to the nearest missing voxel
    at : (n, 3) the places, not negative
    mean, gaussian : (n,) H and K there by the window chosen for each, 1/voxel and 1/voxel²

    Returns
    -------
    H (n,), K (n,), the derivative of H by `mean` (n,), and the variance of H by the noise of the regression's
    coefficients (n,), 1/voxel²
    """
    number, places = numbered_cells(points, at, _CELL)
    total = _moments(
        points, found.mean, found.slope, mix, MIXES, BASE, WINDOWS, covariance, scale, depth, number, len(places)
    )
    count, result = np.zeros(number.shape, dtype=np.float32), np.zeros((*number.shape, 4), dtype=np.float32)
    in_threads(len(places), lambda first, last: _solve(first, last, places, number, total, count, result))
    new_mean, new_gaussian = np.empty(len(at)), np.empty(len(at))
    gain, unsure = np.empty(len(at), dtype=np.float32), np.empty(len(at), dtype=np.float32)
    given = count, result, at, mean, gaussian, new_mean, new_gaussian, gain, unsure
    in_threads(len(at), lambda first, last: _apply(first, last, *given))
    return new_mean, new_gaussian, gain, unsure


@njit(cache=True, nogil=True)
def _moments(
    points: Floats, mean: Image, slope: Image, mix: Indices, mixes: Doubles, base: Indices, windows: Doubles,
    covariance: Doubles, scale: Doubles, depth: Doubles, number: Numbers, count: int,
) -> Doubles:  # fmt: skip
    """Sums per cell: points, weights by the powers of X, D·Xⁿ without shared noise, and the noise of coefficients.

    D is the narrower window's H minus X.
    """
    out = np.zeros((count, _SUMS))
    for p in range(len(points)):
        weight = np.float64(slope[REFERENCE, p]) ** 2
        c = mix[p]
        v = max(c - _NARROWER, 0)
        x = apart = 0.0
        for w in range(windows.size):
            if mixes[c, w] != 0.0:
                x += mixes[c, w] * mean[w, p]
            if mixes[v, w] != 0.0:
                apart += mixes[v, w] * mean[w, p]
        apart -= x
        if not (weight > 0 and np.isfinite(apart)):
            continue
        wide, narrow = windows[base[c]], windows[base[v]]
        shared = covariance[c, v] * scale[p] ** 2
        differ = (covariance[v, v] + covariance[c, c]) * scale[p] ** 2 - 2 * shared
        # What a border makes worse is no noise that windows share, but nothing is to be learnt from it either.
        differ *= over_border(depth[p], wide) ** 2
        sums = out[number[cell(points, p, _CELL)]]
        sums[0] += 1
        power = weight
        for k in range(5):
            sums[1 + k] += power
            power *= x
        sums[6] += weight * apart
        sums[7] += weight * apart * x - shared
        sums[8] += weight * apart * x * x - 2 * shared * x
        # Of noise in second derivatives hardly anything is left in a mean, of its product with another one more.
        sums[9] += max(differ, 0.0) * _MEAN * (narrow * narrow / (narrow * narrow + _REACH * _REACH)) ** 3
        sums[10] += max(differ, 0.0) * _SLOPE * narrow * wide / (_REACH * _REACH)
    return out


@njit(cache=True, nogil=True)
def _solve(
    first: int, last: int, places: Numbers, number: Numbers, total: Doubles, count: Image, result: Image
) -> None:
    """Points in each cell, and times that what `_parabola` finds."""
    for i in range(first, last):
        z, y, x = places[i, 0], places[i, 1], places[i, 2]
        count[z, y, x] = total[i, 0]
        sums = sums_around(places[i], number, total)
        if total[i, 0] > 0 and sums[1] > 0:
            found = _parabola(sums[2:] / sums[1])
            for k in range(4):
                result[z, y, x, k] = total[i, 0] * found[k]


@njit(cache=True, nogil=True)
def _apply(
    first: int, last: int, count: Image, result: Image, at: Floats, mean: Image, gaussian: Image, new_mean: Doubles,
    new_gaussian: Doubles, gain: Image, unsure: Image,
) -> None:  # fmt: skip
    """The parabola between the cells' middles, at each place."""
    for p in range(first, last):
        iz, iy, ix, z, y, x = place(at, p, _CELL)
        points = constant = slope = bend = variance = 0.0
        for dz in range(2):
            for dy in range(2):
                for dx in range(2):
                    weight = (z if dz else 1 - z) * (y if dy else 1 - y) * (x if dx else 1 - x)
                    near = result[iz + dz, iy + dy, ix + dx]
                    points += weight * count[iz + dz, iy + dy, ix + dx]
                    constant += weight * near[0]
                    slope += weight * near[1]
                    bend += weight * near[2]
                    variance += weight * near[3]
        share = 1 / points if points > 0 else 0.0
        h = np.float64(mean[p])
        more = share * (constant + (slope + bend * h) * h)
        new_mean[p] = h + more
        new_gaussian[p] = gaussian[p] + more * (2 * h + more)
        gain[p] = 1 + share * (slope + 2 * bend * h)
        unsure[p] = share * variance


@njit(cache=True, nogil=True)
def _parabola(mean: Doubles) -> tuple[float, float, float, float]:
    """Regression of D on X and X² by their means, in polynomials that are orthogonal, each as far as it is sure.

    Returns the constant, the multiples of X and X², and the variance of the result by the coefficients' noise.
    """
    m1, m2, m3, m4, d0, d1, d2, noise, noise_of_slope = mean
    part = _sure(d0, 1.0, noise)
    constant, variance = part * d0, part * part * noise
    across = m2 - m1 * m1
    if across < _FLAT * m2:
        return constant, 0.0, 0.0, variance
    slope, lean = (d1 - m1 * d0) / across, (m3 - m1 * m2) / across
    rest = m4 - m2 * m2 - lean * lean * across
    bend = (d2 - m2 * d0 - lean * slope * across) / rest if rest > _STRAIGHT * m4 else 0.0
    part, other = _sure(slope, across, noise_of_slope), _sure(bend, rest, noise_of_slope)
    slope, bend = part * slope, other * bend
    variance += (part * part + other * other) * noise_of_slope
    return constant - slope * m1 - bend * (m2 - lean * m1), slope - bend * lean, bend, variance


@njit(inline="always")
def _sure(coefficient: float, square: float, noise: float) -> float:
    """How much of a polynomial's coefficient counts, `square` the polynomial's mean square."""
    explained = coefficient * coefficient * square
    return max(0.0, 1 - _SIGNIFICANT * noise / explained) if explained > 0 else 0.0
