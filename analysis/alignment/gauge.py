"""The alignment of a 3D XANES scan, and the convention in which its shifts are given.

Projections do not tell a translation of the object: it moves them by x·cosθ + y·sinθ along the rows and by a constant
along the columns. Nor do those of one energy tell a shift along the rows that all of them share from another place of
the axis. The first energy with data fixes all of it: its shifts along the rows have no part of 1, cosθ or sinθ (by
least squares over the angles), those down its columns no mean, and the constant along its rows is the axis offset. To
compare shifts with planted ones, take the same out of both.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Alignment:
    """Shifts of all projections of a 3D XANES scan, to be undone by `row_warp.warp`."""

    shifts: NDArray[np.float64]
    """(energy, angle, 2) px (dy, dx): what belongs at p stands at c + scale·(p - c) + shift, c the frame's centre; NaN
    for an energy without data."""
    quality: NDArray[np.float64]
    """(energy, angle) 0 to 1, correlation with the mixture of the other energies; 0 where interpolated."""
    drift: NDArray[np.float64]
    """(energy, 2) px, where each energy stands relative to the first; NaN for an energy without data."""
    jitter: NDArray[np.float64]
    """(energy, 2) px, rms of the angles' shifts about the drift and a translation of the object."""
    axis_offset: float
    """px, rotation axis minus the detector's centre column, once the shifts are undone."""
    axis_quality: float
    """0 to 1, median correlation of the projections with those of the object that they show."""


def turning(angles: ArrayLike) -> NDArray[np.float64]:
    """(angle, 3) 1, cosθ, sinθ: what shifts along the rows are fitted by; angles in degrees."""
    theta = np.deg2rad(np.asarray(angles, dtype=np.float64))
    return np.stack([np.ones_like(theta), np.cos(theta), np.sin(theta)], axis=1)


def gauge_of(first: Floats, design: Floats) -> tuple[NDArray[np.float64], float]:
    """What of the first energy's positions (angle, 2) is the object's place (angle, 2), and the axis offset in it.

    `design` is (angle, 3), as `turning` makes it.
    """
    fitted = np.linalg.lstsq(design, first[:, 1], rcond=None)[0]
    return np.stack([np.full(len(first), first[:, 0].mean()), design @ fitted], axis=1), float(fitted[0])


def fixed_gauge(
    positions: Floats, quality: Floats, angles: ArrayLike, scales: Floats, axis_quality: float
) -> Alignment:
    """Alignment from where the object stands.

    Parameters
    ----------
    positions : (energy, angle, 2) px (dy, dx) from the frame's centre, NaN for an energy without data, before
        magnification, up to a translation of the object common to all energies
    quality : (energy, angle)
    angles : (angle,) degrees
    scales : (energy,) magnification relative to the first energy
    axis_quality : handed on
    """
    design = turning(angles)
    used = np.isfinite(positions).all(axis=(1, 2))
    translation, axis_offset = gauge_of(positions[int(np.flatnonzero(used)[0])], design)
    shifts = (positions - translation) * np.asarray(scales)[:, None, None]
    drift, jitter = np.full((len(shifts), 2), np.nan), np.full((len(shifts), 2), np.nan)
    for i in np.flatnonzero(used):
        own = np.linalg.lstsq(design, shifts[i, :, 1], rcond=None)[0]
        drift[i] = shifts[i, :, 0].mean(), own[0]
        jitter[i] = shifts[i, :, 0].std(), (shifts[i, :, 1] - design @ own).std()
    return Alignment(shifts, np.asarray(quality, dtype=np.float64), drift, jitter, axis_offset, axis_quality)
