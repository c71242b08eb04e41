"""The curvature at each vertex by the window that suits it, and how exact it is there.

Where the front is flat a wide window takes the noise away; where it bends sharply only a narrow one leaves the bend as
it is: `window_risk` tells which is right where, and `curvature_regression` what its result means for the true
curvature. Distances are in voxels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numba import njit
from numpy.typing import NDArray

from redoxscope.analysis.threads import in_threads
from redoxscope.analysis.topography.curvature import (
    BASE,
    LEVELS,
    WINDOWS,
    WindowedCurvature,
    curvature_at,
    flat_tops,
    level_weights,
)
from redoxscope.analysis.topography.curvature_regression import regressed
from redoxscope.analysis.topography.noise import Noise
from redoxscope.analysis.topography.scale_space import Level, widths
from redoxscope.analysis.topography.smoothing_bias import squared_bias
from redoxscope.analysis.topography.window_risk import ROUNDING, over_border, windows_of_least_risk

Floats = NDArray[np.floating]
Doubles = NDArray[np.float64]
Image = NDArray[np.float32]

SOME = slice(None, None, 4)
"""Vertices that decide about the windows."""
_BROAD = 0.21


@dataclass(frozen=True)
class ChosenCurvature:
    """Curvature at some points by the window that suits each, and by what is regressed on that."""

    mean: Doubles
    """(n,) 1/voxel."""
    gaussian: Doubles
    """(n,) 1/voxel²."""
    sigma: Doubles
    """(n,) standard error of `mean`, 1/voxel."""
    window: NDArray[np.intp]
    """(n,) index into `curvature.MIXES`."""


def choose_curvature(
    ladder: Sequence[Level],
    points: Floats,
    some: WindowedCurvature,
    noise: Noise,
    scale: Floats,
    depth: Floats,
    shift: float = 0.0,
) -> ChosenCurvature:
    """Curvature by the window of least risk at each vertex.

    Some vertices decide for all: windows are wider than their distance. The standard error is that by noise, as the
    regression passes it on, that of the regression's own coefficients and, added in squares, the bias that
    `smoothing_bias` expects. Where the surface bends, a vertex that noise has displaced has another H than the place it
    stands for: by 2H² - K times the displacement.

    Parameters
    ----------
    ladder : of a field without missing voxels, see `curvature.ladder_of`
    points : (n, 3) in index units of the field
    some : curvatures of the points that decide, `points[SOME]`
    noise : of the field
    scale : (n,) how much stronger than that it is at each point
    depth : (n,) distance to the nearest missing voxel: what is continued beyond makes the error larger
    shift : standard deviation of the value at the points, as far as noise has displaced them, in the field's unit
    """
    covariance = noise.covariance_of_curvature(np.array(widths(LEVELS)), level_weights())
    width = [level.width for level in ladder]
    of_flat_tops = noise.covariance_of_curvature(np.array(width), flat_tops(width))
    unit = np.sqrt(np.diag(covariance))
    deep, strength = np.ascontiguousarray(depth, np.float64), np.ascontiguousarray(scale, np.float64)
    deciding = points[SOME]
    mix = windows_of_least_risk(deciding, some, covariance, strength[SOME], deep[SOME], points)
    by_window, gaussian_by_window, slope = curvature_at(ladder, points, mix)
    mean, gaussian, gain, unsure = regressed(
        deciding, some, mix[SOME], covariance, strength[SOME], deep[SOME], points, by_window, gaussian_by_window
    )
    biased = squared_bias(
        deciding, some, mean[SOME], gain[SOME], slope[SOME], mix[SOME], of_flat_tops, strength[SOME], deep[SOME], points
    )
    sigma = np.empty(len(points))
    known = mean, gaussian, slope, gain, unit, WINDOWS[BASE], strength, deep, mix, shift, unsure, biased, sigma
    in_threads(len(points), lambda first, last: _errors(first, last, *known))
    return ChosenCurvature(mean, gaussian, sigma, mix)


def window_for_histograms(
    curvature: WindowedCurvature, noise: Noise, scale: Floats, area: Floats, counted: NDArray[np.bool_]
) -> int:
    """The narrowest window, as index, whose histogram of H is not broadened by noise.

    That is where the noise of H is below about a fifth of H's own root mean square: the share of negative H in a normal
    distribution then moves by 0.005 at most. The choice per vertex would take wider windows, since bends that it cannot
    tell from noise do not count there; in a histogram they are what matters.

    Parameters
    ----------
    noise, scale : as for `choose_curvature`
    area : (n,) around each point
    counted : (n,) which points to look at
    """
    if not area[counted].sum() > 0:
        return 0
    weight = area[counted] / area[counted].sum()
    for w, (a, b) in enumerate(pairwise(widths(LEVELS))):
        mean, slope = curvature.mean[w, counted], curvature.slope[w, counted]
        spread = noise.of_curvature(a, b) * float(np.median(scale[counted] / np.maximum(slope, 1e-30)))
        # A few vertices on a kink or a plateau must not decide.
        total = float(weight @ np.square(np.clip(mean, *np.percentile(mean, [1, 99]))))
        if spread**2 < _BROAD**2 * (total - spread**2):
            return w
    return LEVELS - 2


@njit(inline="always")
def _deviation(unit: float, slope: float, scale: float, window: float, depth: float) -> float:
    """Standard deviation of H by noise."""
    return unit * scale * over_border(depth, window) / max(slope, 1e-30) + ROUNDING / window**2


@njit(cache=True, nogil=True)
def _errors(
    first: int, last: int,
    mean: Doubles, gaussian: Doubles, slope: Image, gain: Image, unit: Floats, windows: Floats, scale: Floats,
    depth: Floats, chosen: NDArray[np.intp], shift: float, unsure: Image, biased: Doubles, sigma: Doubles,
) -> None:  # fmt: skip
    """By noise and by displacement, both as the regression passes them on, by its coefficients, and by bias."""
    for p in range(first, last):
        w = chosen[p]
        by_noise = gain[p] * _deviation(unit[w], slope[p], scale[p], windows[w], depth[p])
        moved = gain[p] * (2 * mean[p] ** 2 - gaussian[p]) * shift * scale[p] / max(slope[p], 1e-30)
        sigma[p] = np.sqrt(by_noise * by_noise + moved * moved + unsure[p] + biased[p])
