"""Curvature of a field's level sets, from the field's own derivatives, through windows of many widths.

Curvature is a second derivative, and taken from triangles it amplifies noise: here it comes from the field, smoothed by
flat-top windows (of fourth order: no bias on cubic polynomials) of many widths, and of sixth order between them, of
which `window_risk` picks one for each place.

Distances are in voxels, coordinates in (z, y, x) index units. Sign: with f = E₀ the front and the normal
n = ∇f/|∇f| pointing from low f, the new phase, to high f, H = ½∇·n is positive where the new phase is convex.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from redoxscope.analysis.topography.scale_space import Level, sample, scale_space, weighted_sum, wider, widths
from redoxscope.analysis.topography.smooth_field import flat_top_weights

Floats = NDArray[np.floating]
Doubles = NDArray[np.float64]
Image = NDArray[np.float32]

LEVELS = 10
"""Gaussians from 1.5 to 6.9 voxels; two neighbours make a flat-top window."""
WINDOWS = np.sqrt(np.array(widths(LEVELS)[:-1]) * np.array(widths(LEVELS)[1:]))
"""σ of the flat-top windows, voxels."""
_VOXELS = 100
"""That are added up in the time that sampling takes for one point, memory for the sum included."""
_BLOCK = 1 << 16
"""Points that are sampled in succession."""


def _mixes() -> tuple[NDArray[np.intp], Doubles]:
    """Flat-top windows, and between them windows of sixth order, by falling noise: base and weights of the flat tops.

    The bias of a flat top goes with the fourth power of its width, and the next one is 2^(1/4) as wide: twice the one
    minus the next has none on polynomials up to the fifth degree, at the price of more noise.
    """
    count = LEVELS - 1
    base, rows = [], []
    for w in range(count):
        plain = np.eye(count)[w]
        if 0 < w < count - 1:
            base.append(w)
            rows.append(2 * plain - np.eye(count)[w + 1])
        base.append(w)
        rows.append(plain)
    return np.array(base), np.array(rows)


BASE, MIXES = _mixes()
"""(mix,) the flat-top window that each is made of, and (mix, window) of how much of which."""
FLAT_TOPS = np.flatnonzero((np.eye(LEVELS - 1)[BASE] == MIXES).all(axis=1))
"""(window,) where the flat-top windows are among them."""


def ladder_of(field: Image) -> list[Level]:
    """A field without missing voxels by `LEVELS` Gaussians and a wider one, for the change beyond the last window."""
    ladder = scale_space(field, LEVELS)
    return [*ladder, wider(ladder[-1])]


def level_weights() -> Doubles:
    """(mix, LEVELS) how much of each Gaussian there is in each of `MIXES`."""
    return np.asarray(MIXES @ flat_tops(widths(LEVELS)))


def flat_tops(width: Sequence[float]) -> Doubles:
    """(window, level) how much of each Gaussian there is in the flat-top windows, one fewer, between them."""
    flat = np.zeros((len(width) - 1, len(width)))
    for w, pair in enumerate(pairwise(width)):
        flat[w, w : w + 2] = flat_top_weights(*pair)
    return flat


@dataclass(frozen=True)
class WindowedCurvature:
    """Curvature at some points by each of the windows."""

    mean: Image
    """(window, n) 1/voxel."""
    gaussian: Image
    """(window, n) 1/voxel²."""
    slope: Image
    """(window, n) length of the gradient, field units per voxel."""


def windowed_curvature(ladder: Sequence[Level], points: Floats) -> WindowedCurvature:
    """Curvature of the level sets through some points, by all windows.

    Parameters
    ----------
    ladder : two or more levels of a field without missing voxels, see `scale_space`
    points : (n, 3) in index units of the field
    """
    at = np.ascontiguousarray(points, dtype=np.float32)
    n = len(at)
    out = WindowedCurvature(*(np.empty((len(ladder) - 1, n), dtype=np.float32) for _ in range(3)))
    before, after = np.empty((n, 10), dtype=np.float32), np.empty((n, 10), dtype=np.float32)
    for i, level in enumerate(ladder):
        sample(level.samples, level.step, at, after)
        if i:
            u, v = flat_top_weights(ladder[i - 1].width, level.width)
            _combine(before, after, u, v, out.mean[i - 1], out.gaussian[i - 1], out.slope[i - 1])
        before, after = after, before
    return out


def curvature_at(ladder: Sequence[Level], points: Floats, mix: NDArray[np.intp]) -> tuple[Image, Image, Image]:
    """Mean and Gaussian curvature (n,) and the gradient's length (n,) at some points, each by a window of its own.

    Parameters
    ----------
    ladder : `LEVELS` of a field without missing voxels, or more
    points : as for `windowed_curvature`
    mix : (n,) index into `MIXES`
    """
    mean, gaussian, slope = (np.empty(len(points), dtype=np.float32) for _ in range(3))
    weights = level_weights()
    for m in np.unique(mix).tolist():
        own = np.flatnonzero(mix == m)
        parts = [(ladder[i].samples, ladder[i].step, float(weights[m, i])) for i in np.flatnonzero(weights[m]).tolist()]
        if len({step for _, step, _ in parts}) == 1 and len(own) * _VOXELS > parts[0][0].size:
            # One sampling of the sum instead of two or three.
            (first, step, u), (second, _, v), *more = parts
            total = np.empty_like(first)
            weighted_sum(first, second, u, v, total)
            for third, _, w in more:
                weighted_sum(total, third, 1.0, w, total)
            parts = [(total, step, 1.0)]
        for start in range(0, len(own), _BLOCK):
            block = own[start : start + _BLOCK]
            at = np.ascontiguousarray(points[block], dtype=np.float32)
            part, total = np.empty((len(at), 10), dtype=np.float32), np.zeros((len(at), 10), dtype=np.float32)
            for samples, step, weight in parts:
                sample(samples, step, at, part)
                total += np.float32(weight) * part
            found = [np.empty(len(at), dtype=np.float32) for _ in range(3)]
            _combine(total, total, 1.0, 0.0, *found)
            for out, values in zip((mean, gaussian, slope), found, strict=True):
                out[block] = values
    return mean, gaussian, slope


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
