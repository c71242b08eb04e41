"""Minima, saddles and maxima of a smooth field, to a fraction of a voxel."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from redoxscope.analysis.topography.smooth_field import SmoothField, derivatives

Floats = NDArray[np.floating]
Doubles = NDArray[np.float64]

_STEPS = 12
_DRIFT = 2.0
"""Voxels that the grid's point may be away from the field's."""


@dataclass(frozen=True)
class CriticalPoints:
    """Places where the gradient vanishes, or voxels at the border that are lowest or highest without that."""

    position: Doubles
    """(n, 3) in (z, y, x) index units."""
    value: Doubles
    """(n,) in the field's units, its offset added."""
    bending: Doubles
    """(n, 3) eigenvalues of the Hessian, ascending, field per voxel²."""
    axes: Doubles
    """(n, 3, 3) their eigenvectors, as columns."""


def refine(field: SmoothField, voxels: NDArray[np.intp], index: int) -> CriticalPoints:
    """Newton's method from the voxels where a grid has its critical points.

    Where it leads to no critical point of the kind within two voxels, as at the border of the particle, where a voxel
    may be the lowest without being a minimum, the voxel stays.

    Parameters
    ----------
    voxels : (n, 3) of `field`, known ones
    index : negative eigenvalues of the Hessian: 0 minimum, 1 where two minima's regions join, 2 where two maxima's
        do, 3 maximum
    """
    start = voxels.astype(np.float64)
    point = start.copy()
    step = np.zeros_like(point)
    for _ in range(_STEPS if len(point) else 0):
        _, gradient, hessian = derivatives(field, point)
        bending, axes = _eigen(hessian)
        along = np.einsum("nij,ni->nj", axes, gradient) / np.where(np.abs(bending) < 1e-9, 1e-9, bending)
        step = -np.einsum("nij,nj->ni", axes, along)
        length = np.linalg.norm(step, axis=1, keepdims=True)
        step *= np.minimum(1.0, 0.5 / np.maximum(length, 1e-12))
        point += step
        point = start + np.clip(point - start, -2 * _DRIFT, 2 * _DRIFT)
    _, _, hessian = derivatives(field, point)
    bending, _ = _eigen(hessian)
    good = (np.linalg.norm(step, axis=1) < 0.01) & (np.linalg.norm(point - start, axis=1) <= _DRIFT)
    good &= (bending < 0).sum(axis=1) == index
    nearest = np.rint(point).astype(np.intp)
    within = ((nearest >= 0) & (nearest < np.array(field.values.shape))).all(axis=1)
    nearest[~within] = 0
    good &= within & np.isfinite(field.values[tuple(nearest.T)])
    point = np.where(good[:, None], point, start)
    value, _, hessian = derivatives(field, point)
    return CriticalPoints(point, value + field.offset, *_eigen(hessian))


def _eigen(hessian: Doubles) -> tuple[Doubles, Doubles]:
    zz, yy, xx, zy, zx, yx = hessian.T
    matrix = np.stack([zz, zy, zx, zy, yy, yx, zx, yx, xx], axis=1).reshape(-1, 3, 3)
    bending, axes = np.linalg.eigh(matrix)
    return bending, axes
