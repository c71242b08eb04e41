"""Centres of mass of projections: they know where each frame stands, whatever the contrast.

The mass in a projection and the height of its centre do not depend on the angle, and its centre's column runs as
axis + a·cosθ + b·sinθ (the first Helgason-Ludwig conditions; Natterer, "The Mathematics of Computerized Tomography",
ch. 2), for an object that is inside the view at all angles.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from redoxscope.analysis.alignment.frame_shifts import find_shifts, shifted

Floats = NDArray[np.floating]
_MASS = 0.1
"""A frame whose mass differs by more than this part from the usual says nothing."""
_OUTLINE = 0.4
"""Part of the usual absorbance at which silhouettes are clipped: at 0.3 to 0.5 a drift's error from the contrast's
change across the edge was least, a tenth of that without clipping."""


@dataclass(frozen=True)
class MassCentres:
    """Centres of mass by projection."""

    centre: NDArray[np.float64]
    """(angle, 2) px (row, col) from the frame's centre; NaN where a frame's mass is not that of the others."""
    row_mass: NDArray[np.float64]
    """(angle, row) mass above the level of the sides."""
    inside: tuple[bool, bool]
    """Whether the object is inside the view (between top and bottom, between the sides) at all angles."""


def mass_centres(frames: Floats) -> MassCentres:
    """Centres of mass of (angle, row, col) absorbance without gaps; the level is that of the left and right border."""
    rows, width = frames.shape[1:]
    border = max(1, width // 32)
    level = _level(frames)
    column = (np.arange(width) - (width - 1) / 2).astype(np.float32)
    row_mass = frames.sum(axis=2, dtype=np.float64) - level[:, None] * width
    moment = (frames @ column).astype(np.float64)
    profiles = frames.sum(axis=1, dtype=np.float64) - level[:, None] * rows
    mass = row_mass.sum(axis=1)
    usual = float(np.median(mass))
    if not usual > 0:
        return MassCentres(np.full((len(frames), 2), np.nan), row_mass, (False, False))
    good = abs(mass / usual - 1) < _MASS
    whole = good.mean() > 0.7 and float(np.std(mass[good])) < 0.05 * usual
    inside = (
        bool(whole and _lost(row_mass[good], max(1, rows // 32)) < 0.1),
        bool(whole and _lost(profiles[good], border) < 0.1),
    )
    known = np.where(good, mass, np.nan)
    centre = np.stack([row_mass @ (np.arange(rows) - (rows - 1) / 2) / known, moment.sum(axis=1) / known], axis=1)
    return MassCentres(centre, row_mass, inside)


def silhouettes(frames: Floats) -> NDArray[np.float32]:
    """Absorbance (angle, row, col) clipped where it exceeds a part of what is usual in the object.

    What happens inside the object hardly shows: its outline stays where it is when its contrast changes.
    """
    above = np.asarray(frames - _level(frames)[:, None, None], dtype=np.float32)
    total = float(above.sum(dtype=np.float64))
    if not total > 0:
        return above
    limit = np.float32(_OUTLINE * float(np.vdot(above, above)) / total)
    return np.clip(above, -limit, limit)


def _level(frames: Floats) -> Floats:
    """(angle,) median of the left and right border."""
    border = max(1, frames.shape[2] // 32)
    sides = np.concatenate([frames[:, :, :border], frames[:, :, -border:]], axis=2)
    return np.asarray(np.median(sides.reshape(len(frames), -1), axis=1))


def _lost(profiles: Floats, border: int) -> float:
    """Largest mean at either border relative to the peak."""
    if profiles.size == 0:
        return 1.0
    ends = (abs(profiles[:, part].mean(axis=1)).max() for part in (slice(0, border), slice(-border, None)))
    return float(max(ends)) / float(profiles.max())


def sinusoid(angles: ArrayLike, centre: Floats, *, jitter: float = 0.5) -> tuple[Floats, float]:
    """Robust fit of axis + a·cosθ + b·sinθ to the columns of centres of mass.

    Parameters
    ----------
    angles : (angle,) degrees
    centre : (angle,) px, NaN where unknown
    jitter : px, residuals much larger than this count less

    Returns
    -------
    coefficients : (axis, a, b) px
    error : standard error of the axis, px, from the residuals
    """
    theta = np.deg2rad(np.asarray(angles, dtype=np.float64))
    good = np.isfinite(centre)
    design = np.stack([np.ones_like(theta), np.cos(theta), np.sin(theta)], axis=1)[good]
    if good.sum() < 3:
        return np.full(3, np.nan), np.inf
    weight: Floats = np.ones(int(good.sum()))
    fitted: Floats = np.zeros(3)
    for _ in range(10):  # of reweighting: a frame that is far off counts as 1 / its distance
        fitted = np.linalg.lstsq(design * weight[:, None], centre[good] * weight, rcond=None)[0]
        residual = abs(centre[good] - design @ fitted)
        usual = max(3 * float(np.median(residual)), jitter)
        weight = np.sqrt(np.minimum(1.0, usual / np.maximum(residual, 1e-12)))
    spread = float(np.sum((weight * residual) ** 2)) / max(good.sum() - 3, 1)
    inverse = np.linalg.pinv(design.T @ (design * weight[:, None] ** 2))
    return fitted, float(np.sqrt(spread * inverse[0, 0]))


def row_shifts(row_mass: Floats, good: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(angle,) px by which the mass in the rows is shifted, for an object that reaches beyond top or bottom.

    Parameters
    ----------
    row_mass : (angle, row)
    good : (angle,) profiles that take part
    """
    # A profile as an image that is constant along its rows has a shift down its columns only.
    frames = np.repeat(row_mass[:, :, None], 16, axis=2).astype(np.float32)
    shifts = np.zeros((len(frames), 2))
    for _ in range(3):
        mean = shifted(frames[good], shifts[good]).mean(axis=0)
        template = np.broadcast_to(mean, frames.shape)[None]
        shifts[:, 0] = find_shifts(frames, template, shifts).shifts[:, 0]
        shifts[:, 0] -= np.median(shifts[good, 0])
    return np.asarray(shifts[:, 0])
