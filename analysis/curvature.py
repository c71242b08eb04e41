"""Curvature of a field's level sets, from the field's own derivatives, with a window that suits each place.

Curvature is a second derivative, and taken from triangles it amplifies noise: here it comes from the field, smoothed by
flat-top windows (of fourth order: no bias on cubic polynomials) of many widths. Where the front is flat a wide window
takes the noise away; where it bends sharply only a narrow one leaves the bend as it is. Which is right at a vertex
follows from the noise (Lepski, Theory Probab. Appl. 35, 454 (1991)): from the narrowest on, as long as the intervals
H ± 2.5 standard deviations of all windows so far have a value in common, a wider window is taken.

Distances are in voxels, coordinates in (z, y, x) index units. Sign: with f = E₀ the front and the normal
n = ∇f/|∇f| pointing from low f, the new phase, to high f, H = ½∇·n is positive where the new phase is convex.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from redoxscope.analysis.noise import Noise
from redoxscope.analysis.scale_space import levels, sample, widths
from redoxscope.analysis.smooth_field import flat_top_weights

Floats = NDArray[np.floating]
Doubles = NDArray[np.float64]
Image = NDArray[np.float32]

LEVELS = 10
"""Gaussians from 1.5 to 6.9 voxels; two neighbours make a flat-top window."""
WINDOWS = np.sqrt(np.array(widths(LEVELS)[:-1]) * np.array(widths(LEVELS)[1:]))
"""σ of the flat-top windows, voxels."""
_KAPPA = 2.5
_ROUNDS = 4
_BROAD = 0.2
_SLOPE_ERROR = 3e-4
"""Of 1/voxel: rounding and spline, so that a field without noise has a width of its intervals."""


@dataclass(frozen=True)
class WindowedCurvature:
    """Curvature at some points by each of the windows."""

    mean: Image
    """(window, n) 1/voxel."""
    gaussian: Image
    """(window, n) 1/voxel²."""
    slope: Image
    """(window, n) length of the gradient, field units per voxel."""


@dataclass(frozen=True)
class ChosenCurvature:
    """Curvature at some points by the window that suits each."""

    mean: Doubles
    """(n,) 1/voxel."""
    gaussian: Doubles
    """(n,) 1/voxel²."""
    sigma: Doubles
    """(n,) standard error of `mean`, 1/voxel."""
    window: NDArray[np.intp]
    """(n,) index into `WINDOWS`."""


def windowed_curvature(field: Image, points: Floats) -> WindowedCurvature:
    """Curvature of the level sets through some points, by all windows.

    Parameters
    ----------
    field : (z, y, x) without missing voxels, see `smooth_field.continue_field`
    points : (n, 3) in index units of the field
    """
    at = np.ascontiguousarray(points, dtype=np.float32)
    n = len(at)
    out = WindowedCurvature(*(np.empty((LEVELS - 1, n), dtype=np.float32) for _ in range(3)))
    before, after = np.empty((n, 10), dtype=np.float32), np.empty((n, 10), dtype=np.float32)
    width = 0.0
    for i, level in enumerate(levels(field, LEVELS)):
        sample(level.samples, level.step, at, after)
        if i:
            u, v = flat_top_weights(width, level.width)
            _combine(before, after, u, v, out.mean[i - 1], out.gaussian[i - 1], out.slope[i - 1])
        before, after, width = after, before, level.width
    return out


def choose_windows(
    curvature: WindowedCurvature, noise: Noise, scale: Floats, depth: Floats, faces: NDArray[np.intp]
) -> ChosenCurvature:
    """The widest window at each vertex that does not contradict the narrower ones, with its standard error.

    A vertex where noise alone has stopped the widening is among others where it has not: the choice is evened out over
    the mesh. The error is that by noise and, added in squares, twice the change of H from the next narrower window as
    far as it exceeds what noise explains: for a bias of fourth order in the width that is the bias itself.

    Parameters
    ----------
    noise : of the field
    scale : (n,) how much stronger than that it is at each vertex
    depth : (n,) distance to the nearest missing voxel: what is continued beyond makes the error larger
    faces : (m, 3) vertex numbers
    """
    unit = np.array([noise.of_curvature(a, b) for a, b in pairwise(widths(LEVELS))])
    deep, strength = np.ascontiguousarray(depth, np.float64), np.ascontiguousarray(scale, np.float64)
    widest, sigma = np.empty(len(deep)), np.empty(len(deep))
    _widest(curvature.mean, curvature.slope, unit, WINDOWS, strength, deep, widest)
    chosen = np.rint(_evened(widest, faces)).astype(np.intp)
    _errors(curvature.mean, curvature.slope, unit, WINDOWS, strength, deep, chosen, sigma)
    own = (chosen, np.arange(len(deep)))
    mean, gaussian = curvature.mean[own].astype(np.float64), curvature.gaussian[own].astype(np.float64)
    return ChosenCurvature(mean, gaussian, sigma, chosen)


def window_for_histograms(
    curvature: WindowedCurvature, noise: Noise, scale: Floats, area: Floats, counted: NDArray[np.bool_]
) -> int:
    """The narrowest window, as index, whose histogram of H is not broadened by noise.

    That is where the noise of H is below a fifth of H's own root mean square: the share of negative H in a normal
    distribution then moves by 0.005 at most. The choice per vertex would take wider windows, since bends that it cannot
    tell from noise do not count there; in a histogram they are what matters.

    Parameters
    ----------
    noise, scale : as for `choose_windows`
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


def curvatures(gradient: Floats, hessian: Floats) -> tuple[Doubles, Doubles]:
    """Mean and Gaussian curvature of the level set through a point.

    With g = ∇f, M the Hessian and the normal n = g/|g|, which points from low to high f:
    H = ½ ∇·n = (|g|² tr M - gᵀMg)/(2|g|³) and K = gᵀ adj(M) g/|g|⁴ (Goldman, CAGD 22, 632 (2005)). A sphere of
    radius r with low f inside, the new phase, has H = +1/r and K = 1/r².

    Parameters
    ----------
    gradient : (n, 3)
    hessian : (n, 6) zz, yy, xx, zy, zx, yx

    Returns
    -------
    H (n,) in 1/length and K (n,) in 1/length², NaN where the gradient vanishes
    """
    joined = np.concatenate([np.zeros((len(gradient), 1)), gradient, hessian], axis=1).astype(np.float64)
    mean, gauss, slope = (np.empty(len(joined)) for _ in range(3))
    _combine(joined, joined, 1.0, 0.0, mean, gauss, slope)
    return mean, gauss


def principal_curvatures(mean: Floats, gaussian: Floats) -> tuple[Doubles, Doubles]:
    """κ₁ ≥ κ₂ from H and K: H ± √(H² - K), where noise makes the root imaginary both are H."""
    root = np.sqrt(np.maximum(np.square(mean) - gaussian, 0.0))
    return np.asarray(mean + root, dtype=np.float64), np.asarray(mean - root, dtype=np.float64)


@njit(parallel=True, cache=True, nogil=True)
def _combine(before: Floats, after: Floats, u: float, v: float, mean: Floats, gaussian: Floats, slope: Floats) -> None:
    """Curvatures and slope of u·before + v·after, each (n, 10) value, gradient, Hessian."""
    for p in prange(len(before)):
        a, b = before[p], after[p]
        gz, gy, gx = u * a[1] + v * b[1], u * a[2] + v * b[2], u * a[3] + v * b[3]
        zz, yy, xx = u * a[4] + v * b[4], u * a[5] + v * b[5], u * a[6] + v * b[6]
        zy, zx, yx = u * a[7] + v * b[7], u * a[8] + v * b[8], u * a[9] + v * b[9]
        square = gz * gz + gy * gy + gx * gx
        slope[p] = np.sqrt(square)
        if square == 0:
            mean[p] = gaussian[p] = np.nan
            continue
        along = gz * gz * zz + gy * gy * yy + gx * gx * xx + 2 * (gz * gy * zy + gz * gx * zx + gy * gx * yx)
        adjoint = (
            gz * gz * (yy * xx - yx * yx)
            + gy * gy * (zz * xx - zx * zx)
            + gx * gx * (zz * yy - zy * zy)
            + 2 * gz * gy * (zx * yx - zy * xx)
            + 2 * gz * gx * (zy * yx - zx * yy)
            + 2 * gy * gx * (zy * zx - zz * yx)
        )
        mean[p] = (square * (zz + yy + xx) - along) / (2 * square * slope[p])
        gaussian[p] = adjoint / (square * square)


@njit(inline="always")
def _deviation(unit: float, slope: float, scale: float, window: float, depth: float) -> float:
    """Standard deviation of H by noise."""
    # Measured on shapes cut by the border: half as noisy again where the window looks over it, and worse the farther
    # it looks; 1.4 windows inside nothing is left of it.
    over = 1.5 * max(0.0, 1.4 - depth / window) * (window / 2.75) ** 2
    return unit * scale * (1 + over) / max(slope, 1e-30) + _SLOPE_ERROR / window**2


@njit(parallel=True, cache=True, nogil=True)
def _widest(
    mean: Image, slope: Image, unit: Floats, windows: Floats, scale: Floats, depth: Floats, chosen: Floats
) -> None:
    """The widest window whose interval still meets all narrower ones', point by point."""
    for p in prange(mean.shape[1]):
        low, high = -np.inf, np.inf
        chosen[p] = 0.0
        for w in range(mean.shape[0]):
            reach = _KAPPA * _deviation(unit[w], slope[w, p], scale[p], windows[w], depth[p])
            low, high = max(low, mean[w, p] - reach), min(high, mean[w, p] + reach)
            if not low <= high:
                break
            chosen[p] = w


@njit(cache=True, nogil=True)
def _evened(chosen: Doubles, faces: NDArray[np.intp]) -> Doubles:
    """Mean over the faces around each vertex, several times over."""
    for _ in range(_ROUNDS):
        total, count = np.zeros(len(chosen)), np.zeros(len(chosen))
        for f in range(len(faces)):
            a, b, c = faces[f]
            mean = (chosen[a] + chosen[b] + chosen[c]) / 3
            for v in (a, b, c):
                total[v] += mean
                count[v] += 1
        chosen = np.where(count > 0, total / np.maximum(count, 1), chosen)
    return chosen


@njit(parallel=True, cache=True, nogil=True)
def _errors(
    mean: Image, slope: Image, unit: Floats, windows: Floats, scale: Floats, depth: Floats,
    chosen: NDArray[np.intp], sigma: Doubles,
) -> None:  # fmt: skip
    """Noise, and what the last widening changed beyond it."""
    for p in prange(mean.shape[1]):
        w = chosen[p]
        sigma[p] = _deviation(unit[w], slope[w, p], scale[p], windows[w], depth[p])
        if w:
            narrower = _deviation(unit[w - 1], slope[w - 1, p], scale[p], windows[w - 1], depth[p])
            excess = max(0.0, (mean[w, p] - mean[w - 1, p]) ** 2 - narrower * narrower)
            sigma[p] = np.sqrt(sigma[p] * sigma[p] + 4 * excess)
