"""How much of the true curvature the chosen windows have smoothed away, as far as the ladder of windows tells.

Where a surface bends more sharply than a window resolves, all windows of the ladder miss part of its curvature: H moves
on from window to window, and the true H lies beyond the narrowest of them. What a window misses, its bias, goes with a
power of its width, and the windows are equally spaced in the logarithm: so the changes from each to the next are a
geometric sequence, and the bias is the sum of all that are still to come (Aitken, Proc. R. Soc. Edinb. 46, 289 (1926)).
With `rise` the change to the next wider window, which noise hardly disturbs, and `ratio` what the change from the next
narrower one is of that, it is rise·ratio/(1 - ratio). The ratio is ½ where the field is smooth, for a bias goes with
the fourth power there, and near 1 where two nuclei meet in a crease.

A single vertex tells none of this above the noise, but products of the changes, averaged over a patch, do, with the
noise that the windows share taken off. What remains is a mean square bias that chance may have made larger or smaller,
even negative: expected is that of the bias given what is found, where patches of the same field are distributed about
their mean (Efron & Morris, J. Am. Stat. Assoc. 70, 311 (1975)). On a sphere this mean vanishes, and with it what noise
feigns in single patches. Distances are in voxels.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.special import erfcx

from redoxscope.analysis.threads import in_threads
from redoxscope.analysis.topography.curvature import BASE, LEVELS, MIXES, WINDOWS, WindowedCurvature
from redoxscope.analysis.topography.surface_cells import between, cell, numbered_cells, sums_around
from redoxscope.analysis.topography.window_risk import ROUNDING, over_border

Floats = NDArray[np.floating]
Doubles = NDArray[np.float64]
Image = NDArray[np.float32]
Numbers = NDArray[np.int32]
Indices = NDArray[np.intp]

_CELL = 6.0
"""Voxels; a patch is about twice as wide."""
_ACROSS = 1.5 * _CELL
"""Voxels; windows that fit side by side into this width see noise of their own."""
_CELLS = 4.0
"""That the neighbours of a cell of surface count for in a patch, itself included."""
_SIGNIFICANT = 2.0
"""Standard errors by which the mean over all patches has to exceed what noise explains."""
_RATIO, _UNSURE = 0.6, 0.6
"""What the ratio is taken for without any data, and how far it may be from that."""
_LEAST, _MOST = 0.3, 6 / 7
"""Of the ratio: what changes less from window to window cannot be extrapolated."""
_STEEP = 5.0
"""Times the chosen window's H: a regression that is steeper has nothing to be regressed on."""
_SUMS = 11


def squared_bias(
    points: Floats, found: WindowedCurvature, mean: Doubles, gain: Image, slope: Image, mix: Indices,
    covariance: Doubles, scale: Doubles, depth: Doubles, at: Floats,
) -> Doubles:  # fmt: skip
    """Expected square of the bias of H (n,), 1/voxel².

    Parameters
    ----------
    points : (m, 3) vertices that decide, not negative
    found : their curvature by `WINDOWS` and by one that is wider
    mean : (m,) H that it is the bias of
    gain : (m,) its derivative by the chosen window's H
    slope : (m,) length of the gradient by that window
    mix : (m,) that window, as index into `MIXES`
    covariance : (LEVELS, LEVELS) of H times slope by noise, of the flat-top windows and the wider one
    scale : (m,) how much stronger than that the noise is
    depth : (m,) distance to the nearest missing voxel
    at : (n, 3) the places, not negative
    """
    number, places = numbered_cells(points, at, _CELL)
    total = _moments(
        points, found.mean, mean, gain, slope, mix, np.maximum(BASE, 1), WINDOWS, _shared(covariance), scale, depth,
        number, len(places),
    )  # fmt: skip
    weight = total[:, 1]
    if not weight.any():
        return np.zeros(len(at))
    square, error = np.zeros(len(places)), np.ones(len(places))
    in_threads(len(places), lambda first, last: _extrapolate(first, last, places, number, total, square, error))
    chance = float(weight @ error) / np.sqrt(max(len(places) / _CELLS, 1.0))
    typical = (float(weight @ square) - _SIGNIFICANT * chance) / float(weight.sum())
    count, result = np.zeros(number.shape, dtype=np.float32), np.zeros(number.shape, dtype=np.float32)
    count[tuple(places.T)] = total[:, 0]
    result[tuple(places.T)] = total[:, 0] * _expected(square, error, typical)
    return between(count, result, at, _CELL)


def _expected(square: Doubles, error: Doubles, typical: float) -> Doubles:
    """Mean of what a square may be that is found with a standard error, if squares are distributed as exp(-x/typical).

    That is a normal distribution cut off at 0.
    """
    if not typical > 0:
        return np.zeros_like(square)
    middle = square / error - error / typical
    expected = error * (middle + np.sqrt(2 / np.pi) / erfcx(-middle / np.sqrt(2)))
    # The two terms cancel where hardly anything is left.
    return np.asarray(np.where(middle < -1e3, typical, np.maximum(expected, 0.0)), dtype=np.float64)


def _shared(covariance: Doubles) -> Doubles:
    """(mix, 8) variances and covariances by noise of the chosen window, the one it is made of, and the changes there.

    Chosen and chosen, chosen and own, own and own, chosen and rise, own and rise, rise and rise, rise and the change
    before, that and itself.
    """
    unit = np.eye(LEVELS)
    chosen = np.pad(MIXES, ((0, 0), (0, 1)))
    w = np.maximum(BASE, 1)
    own, rise, before = unit[w], unit[w + 1] - unit[w], unit[w] - unit[w - 1]
    pairs = ((chosen, chosen), (chosen, own), (own, own), (chosen, rise), (own, rise), (rise, rise), (rise, before),
             (before, before))  # fmt: skip
    return np.stack([((one @ covariance) * other).sum(axis=1) for one, other in pairs], axis=1)


@njit(cache=True, nogil=True)
def _moments(
    points: Floats, mean: Image, final: Doubles, gain: Image, slope: Image, mix: Indices, base: Indices,
    windows: Doubles, shared: Doubles, scale: Doubles, depth: Doubles, number: Numbers, count: int,
) -> Doubles:  # fmt: skip
    """Sums per cell: points, weights, widths, products of the changes without shared noise, and that noise itself."""
    out = np.zeros((count, _SUMS))
    for p in range(len(points)):
        w = base[mix[p]]
        own, wider, narrower, g = mean[w, p], mean[w + 1, p], mean[w - 1, p], np.float64(gain[p])
        rise, before, over = np.float64(wider) - own, np.float64(own) - narrower, final[p] - own
        weight = (slope[p] / over_border(depth[p], windows[w])) ** 2
        # No window shows a bend that is sharper than itself: the gradient vanishes there, and noise decides.
        sharp = max(abs(own) * windows[w], abs(narrower) * windows[w - 1], abs(wider) * windows[w])
        if not (weight > 0 and np.isfinite(rise + before + over) and sharp < 1 and abs(g) < _STEEP):
            continue
        noise = shared[mix[p]] * scale[p] ** 2
        both, across = g * g * noise[0] - 2 * g * noise[1] + noise[2], g * noise[3] - noise[4]
        sums = out[number[cell(points, p, _CELL)]]
        sums[0] += 1
        sums[1] += weight
        sums[2] += weight * windows[w]
        sums[3] += weight * over * over - both
        sums[4] += weight * over * rise - across
        sums[5] += weight * rise * rise - noise[5]
        sums[6] += weight * rise * before - noise[6]
        sums[7] += both
        sums[8] += across
        sums[9] += noise[5]
        sums[10] += noise[7]
    return out


@njit(cache=True, nogil=True)
def _extrapolate(
    first: int, last: int, places: Numbers, number: Numbers, total: Doubles, square: Doubles, error: Doubles
) -> None:
    """Mean square of the bias in each patch, and its standard error.

    The true H is own - more·rise, and the bias over + more·rise, with more = ratio/(1 - ratio).
    """
    for i in range(first, last):
        sums = sums_around(places[i], number, total)
        if not sums[1] > 0:
            continue
        width = sums[2] / sums[1]
        windows = max((_ACROSS / width) ** 2, 1.0)
        prior = sums[10] / (windows * _UNSURE**2)
        steep = max(sums[5], 0.0) + prior
        ratio = (max(sums[6], 0.0) + _RATIO * prior) / steep if steep > 0 else _RATIO
        ratio = min(max(ratio, _LEAST), _MOST)
        more = ratio / (1 - ratio)
        square[i] = (sums[3] + more * (2 * sums[4] + more * sums[5])) / sums[1]
        noise = (sums[7] + more * (2 * sums[8] + more * sums[9])) / sums[1]
        error[i] = max(noise, 0.0) * np.sqrt(2 / windows) + (ROUNDING / width**2) ** 2
