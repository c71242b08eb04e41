"""A field with missing voxels, continued and smoothed by one window: its values, and its derivatives at any point."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from redoxscope.analysis.topography.border import FIT, continued, depth
from redoxscope.analysis.topography.grid_values import values_on_grid
from redoxscope.analysis.topography.scale_space import SPLINE_VARIANCE, Level, sample, smoothed

Floats = NDArray[np.floating]
Doubles = NDArray[np.float64]
Image = NDArray[np.float32]

_MARGIN = 12
"""Voxels around the known ones: three samples of the coarsest grid."""
_NARROWEST = 1.0
APART = 2.0**0.125
"""The two Gaussians of a flat-top window, over and under its width."""


@dataclass(frozen=True)
class ContinuedField:
    """The part of a field that holds its known voxels, with a margin, and without missing voxels."""

    values: Image
    """(z, y, x) minus `offset`."""
    depth: Image
    """(z, y, x) distance to the nearest missing voxel, 0 where missing itself; voxels."""
    offset: float
    """About the field's middle: a float32 near 8341 eV resolves a meV only, too little to be differentiated."""
    origin: NDArray[np.intp]
    """(3,) index in the field of the first of `values`."""
    shape: tuple[int, ...]
    """Of the field."""

    def crop(self, other: Floats) -> Image:
        """The same part of another array of the field's shape; the margin is NaN."""
        inner = tuple(slice(o + _MARGIN, o + n - _MARGIN) for o, n in zip(self.origin, self.values.shape, strict=True))
        return np.pad(other[inner].astype(np.float32), _MARGIN, constant_values=np.nan)


@dataclass(frozen=True)
class SmoothField:
    """A field smoothed by one window, to be evaluated between the voxels."""

    values: Image
    """(z, y, x) smoothed field minus `offset`, NaN where the original was missing."""
    offset: float
    levels: tuple[Level, Level]
    """The two Gaussian smoothings that it is the weighted sum of."""
    origin: NDArray[np.intp]
    """(3,) index in `values` of the first of their samples."""
    window: float
    """σ of the flat-top Gaussian, voxels."""


def continue_field(field: Floats) -> ContinuedField:
    """Fill the missing voxels of a field, also those around the array, from the known ones.

    Parameters
    ----------
    field : (z, y, x), NaN where missing; what lies outside the array is missing as well

    Raises
    ------
    ValueError
        If the field is not three-dimensional or has no known voxel.
    """
    if field.ndim != 3:
        raise ValueError(f"the field has {field.ndim} dimensions: (z, y, x) is needed")
    known = np.isfinite(field)
    if not known.any():
        raise ValueError("the field has no known voxel: there is nothing to smooth")
    box = ndimage.find_objects(known.view(np.uint8))[0]
    offset = float(np.median(field[known]))
    cropped = np.where(known[box], field[box] - offset, np.nan).astype(np.float32)
    padded = np.pad(cropped, _MARGIN, constant_values=np.nan)
    origin = np.array([s.start - _MARGIN for s in box])
    return ContinuedField(continued(padded), depth(np.isfinite(padded)), offset, origin, field.shape)


def recontinued(whole: ContinuedField, window: float) -> ContinuedField:
    """The same field, its missing voxels filled as suits a flat-top window.

    A window at the border sees as much of the continuation as of the field. Parabolas through few voxels follow their
    noise, and P(H < 0) tends to one half. These are as wide as the window has made the others, and hold no more noise
    than it leaves; still wider ones hide where a front bends within a few windows of the border.

    Parameters
    ----------
    whole : a field and its continuation
    window : σ of the flat-top Gaussian, voxels
    """
    known = np.where(whole.depth > 0, whole.values, np.float32(np.nan))
    return replace(whole, values=continued(known, float(np.hypot(FIT, window))))


def smooth_field(field: Floats | ContinuedField, window: float) -> SmoothField:
    """Smooth a field with missing voxels by a flat-top window.

    Parameters
    ----------
    field : (z, y, x), NaN where missing, or what `continue_field` has made of it
    window : σ of the flat-top Gaussian, voxels, at least 1

    Raises
    ------
    ValueError
        If the field is not three-dimensional or has no known voxel, or the window is too narrow.
    """
    if not window >= _NARROWEST:
        raise ValueError(f"a window of {window:g} voxels is narrower than the grid resolves: at least 1 is needed")
    whole = field if isinstance(field, ContinuedField) else continue_field(field)
    inner, outer = window / APART, window * APART
    narrow = smoothed(whole.values, inner**2 - SPLINE_VARIANCE)
    wide = smoothed(narrow, outer**2 - inner**2)
    return smooth_field_on(whole, Level(inner, 1, narrow), Level(outer, 1, wide))


def smooth_field_on(whole: ContinuedField, narrow: Level, wide: Level) -> SmoothField:
    """The same, by the window between two levels of `whole.values`."""
    values = np.empty(whole.shape, dtype=np.float32)
    weights = flat_top_weights(narrow.width, wide.width)
    values_on_grid(narrow, wide, weights, whole.depth, whole.origin, values)
    return SmoothField(values, whole.offset, (narrow, wide), whole.origin, float(np.sqrt(narrow.width * wide.width)))


def flat_top_weights(narrow: float, wide: float) -> tuple[float, float]:
    """Weights of two Gaussian smoothings whose sum has no bias on cubic polynomials.

    The variances of the two cancel: (b²·G_a - a²·G_b)/(b² - a²) has a bias of -(ab)²/8·∇⁴f, the same as the flat-top
    window G - (w²/2)·∇²G (Wand & Schucany, Can. J. Stat. 18, 197 (1990)) of width w² = ab, without its derivatives.
    """
    a, b = narrow**2, wide**2
    return b / (b - a), -a / (b - a)


def derivatives(field: SmoothField, points: Floats) -> tuple[Doubles, Doubles, Doubles]:
    """Value, gradient and Hessian of a smooth field.

    Parameters
    ----------
    points : (n, 3) in (z, y, x) index units, within the field's known voxels

    Returns
    -------
    value minus the field's `offset` (n,), gradient (n, 3), Hessian (n, 6) as zz, yy, xx, zy, zx, yx; in units of the
    field per voxel and per voxel²
    """
    at = np.ascontiguousarray(points - field.origin, dtype=np.float32)
    found = np.empty((2, len(points), 10), dtype=np.float32)
    for level, out in zip(field.levels, found, strict=True):
        sample(level.samples, level.step, at, out)
    u, v = flat_top_weights(field.levels[0].width, field.levels[1].width)
    wide = u * found[0].astype(np.float64) + v * found[1]
    return wide[:, 0], wide[:, 1:4], wide[:, 4:]
