"""By how much a particle stands elsewhere in one volume than in another, and that undone."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.registration import phase_cross_correlation

Floats = NDArray[np.floating]

_FINE = 20
"""Parts of a voxel."""


def volume_shift(fixed: Floats, moving: Floats) -> NDArray[np.float64]:
    """(3,) voxels (z, y, x) by which `moving` has to be moved to lie on `fixed`, to a twentieth.

    Without the normalisation of phase correlation: that makes much of the high frequencies, which are noise here. With
    a fifth of the jump as noise per voxel the shift is right within a tenth of a voxel.

    Parameters
    ----------
    fixed, moving : (z, y, x) of a particle that is whole in both, 0 outside: its edge jump, which a reaction leaves
        as it is. Turning it is not undone

    Raises
    ------
    ValueError
        If the shapes differ, or a volume is all 0.
    """
    if fixed.shape != moving.shape:
        raise ValueError(f"volumes of {fixed.shape} and {moving.shape}: both must stand on one grid")
    if not (fixed.any() and moving.any()):
        raise ValueError("a volume without material cannot be placed")
    shift, *_ = phase_cross_correlation(fixed, moving, upsample_factor=_FINE, normalization=None)
    return np.asarray(shift, dtype=np.float64)


def moved(field: Floats, shift: Floats) -> NDArray[np.float32]:
    """A field (z, y, x) with NaN where unknown, moved by (3,) voxels, linearly between known voxels.

    A voxel is known where most of what comes to lie on it is.
    """
    known = np.isfinite(field)
    offset = float(field[known].mean()) if known.any() else 0.0
    # Of what is about 0, float32 keeps enough of an edge energy of thousands of eV.
    values = np.where(known, field - offset, 0).astype(np.float32)
    weight = ndimage.shift(known.astype(np.float32), shift, order=1)
    values = ndimage.shift(values, shift, order=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(weight > 0.5, values / weight + np.float32(offset), np.float32(np.nan))
