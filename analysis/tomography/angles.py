"""What a set of projection angles covers, and what each of them counts for."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

_WEDGE_STEPS = 3
"""Typical steps between neighbours; a wider gap is a missing wedge, not a lost projection."""


def checked_angles(angles: ArrayLike, expected: int | None = None) -> NDArray[np.float64]:
    """Angles (degrees) as a flat array.

    Raises
    ------
    ValueError
        If there is none, if they are not finite numbers in one row, or not as many as the `expected` projections.
    """
    theta = np.asarray(angles, dtype=np.float64)
    if expected is not None and theta.shape != (expected,):
        raise ValueError(f"{theta.size} angles for {expected} projections: give one angle per projection")
    if theta.ndim != 1 or theta.size == 0:
        raise ValueError(f"angles of shape {theta.shape}: at least one angle in one row is needed")
    if not np.isfinite(theta).all():
        bad = np.flatnonzero(~np.isfinite(theta))
        raise ValueError(f"angle number {bad[0]} is {theta[bad[0]]} ({bad.size} such): leave these projections out")
    return theta


def angle_weights(angles: ArrayLike) -> NDArray[np.float64]:
    """Weight of each projection in the integral over half a turn, in radians.

    Each angle (degrees, in any order) stands for the half-way intervals to its neighbours modulo 180°, so that the two
    halves of a full turn contribute alike; projections that coincide share theirs. No interval counts for more than
    twice the typical step, so that the borders of a missing wedge do not dominate. The weights add up to π: where a
    wedge is missing, the mean density of a round body stays right.
    """
    member, count, gaps = _gaps(checked_angles(angles))
    gaps = np.minimum(gaps, 4 * _typical(gaps)) if gaps.size > 2 else gaps
    weights = gaps + np.roll(gaps, 1)
    weights *= np.pi / weights.sum()
    return np.asarray((weights / count)[member], dtype=np.float64)


def missing_wedge(angles: ArrayLike) -> float:
    """Degrees of half a turn that no projection covers: the widest gap between neighbours beyond their typical step.

    0 if the widest gap is less than three steps: single lost projections are no wedge.
    """
    gaps = _gaps(checked_angles(angles))[-1]
    widest, step = float(gaps.max()), _typical(gaps)
    return widest - step if widest > _WEDGE_STEPS * step else 0.0


def wedge_warning(angles: ArrayLike) -> str | None:
    """What a user should know about spectra from these angles; None if no wedge is missing."""
    wedge = missing_wedge(angles)
    if wedge == 0:
        return None
    return (
        f"{wedge:.0f}° of 180° are missing: neighbouring voxels' spectra mix (with 60° missing, edge energies erred by "
        "0.5 eV instead of 0.03 eV); SIRT or TV reduce the streaks, only the missing projections cure the mixing"
    )


def _gaps(theta: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Which of the distinct angles modulo 180° each angle is, how many are the same, and the gap behind each."""
    turned = np.mod(theta, 180.0)
    turned[turned > 180.0 - 1e-6] = 0.0
    distinct, member, count = np.unique(np.round(turned, 6), return_inverse=True, return_counts=True)
    gaps: NDArray[np.float64] = np.diff(distinct, append=distinct[0] + 180.0)
    return member, count, gaps


def _typical(gaps: NDArray[np.float64]) -> float:
    """Half of what is covered is covered by steps up to this one.

    The widest gap is not counted, as it may be a wedge. Angles and their opposites that nearly coincide make gaps of
    almost nothing: they are many, but cover little.
    """
    steps = np.sort(gaps)[: max(1, gaps.size - 1)]
    covered = np.cumsum(steps)
    return float(steps[np.searchsorted(covered, covered[-1] / 2)])
