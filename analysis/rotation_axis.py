"""The rotation axis, from the projections themselves."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage, optimize

from redoxscope.analysis.tomography import fill_missing

Floats = NDArray[np.floating]


def rotation_axis(projections: Floats, angles: ArrayLike) -> tuple[float, float]:
    """Offset of the rotation axis from the detector's centre column, and how far to trust it.

    The centre of mass of the projections follows u_axis + a·cosθ + b·sinθ (the first Helgason-Ludwig condition), if
    the object is inside the view at all angles. Where mass is lost at the sides, the pairs of projections half a
    turn apart decide: one mirrored is the other, shifted by twice the offset.

    Parameters
    ----------
    projections : (angle, row, col) absorbance, NaN where unknown
    angles : (angle,) degrees, in any order

    Returns
    -------
    offset : px, axis minus (W - 1)/2
    quality : 0 to 1; correlation between projections half a turn apart about this axis, or, without such a pair, the
        share of the centre of mass' motion that the sinusoid explains. Below about 0.9 look at the sample's stage.

    Raises
    ------
    ValueError
        If there are fewer than three different angles or the projections hold no absorbance.
    """
    theta = np.asarray(angles, dtype=np.float64)
    if projections.ndim != 3 or theta.shape != projections.shape[:1]:
        raise ValueError(f"projections {projections.shape} for {theta.size} angles: (angle, row, col) is needed")
    if np.unique(np.round(np.mod(theta, 360.0), 6)).size < 3:
        raise ValueError(f"the rotation axis cannot be found from {theta.size} angles: at least 3 are needed")
    frames = fill_missing(projections)
    inside, sinusoid, explained = _centre_of_mass(frames, theta)
    pairs = _half_turn_pairs(theta)
    if not pairs:
        return sinusoid, explained if inside else 0.0
    offset = sinusoid if inside else _mirror_offset(frames, pairs)
    return offset, _mirror_quality(frames, pairs, offset)


def _centre_of_mass(frames: Floats, theta: Floats) -> tuple[bool, float, float]:
    """Whether the object is inside the view, the axis offset by the sinusoid, and the share explained."""
    width = frames.shape[2]
    profiles = frames.sum(axis=1, dtype=np.float64)
    border = max(1, width // 32)
    sides = np.concatenate([profiles[:, :border], profiles[:, -border:]], axis=1)
    profiles = profiles - np.median(sides)
    mass = profiles.sum(axis=1)
    if not np.median(mass) > 0:
        raise ValueError("the projections hold no absorbance above their borders: no rotation axis can be found")
    peak = profiles.max()
    lost = max(abs(profiles[:, :border].mean(axis=1)).max(), abs(profiles[:, -border:].mean(axis=1)).max()) / peak
    inside = bool(lost < 0.1 and np.std(mass) < 0.05 * np.mean(mass))
    column = np.arange(width) - (width - 1) / 2
    centre = profiles @ column / np.where(mass > 0.2 * np.median(mass), mass, np.nan)
    good = np.isfinite(centre)
    t = np.deg2rad(theta[good])
    design = np.stack([np.ones_like(t), np.cos(t), np.sin(t)], axis=1)
    # Robust against single bad frames; a circle of zero radius is explained as well as any.
    fit = optimize.least_squares(lambda p: design @ p - centre[good], [0.0, 0, 0], loss="soft_l1", f_scale=0.5)
    spread = np.mean((design @ fit.x - centre[good]) ** 2)
    explained = 1.0 - spread / (np.var(centre[good]) + 0.25)
    return inside, float(fit.x[0]), float(np.clip(explained, 0.0, 1.0))


def _half_turn_pairs(theta: Floats) -> list[tuple[int, int]]:
    """Pairs of projections half a turn apart, to a quarter of a step (at least 0.05°)."""
    steps = np.diff(np.unique(np.mod(theta, 360.0)))
    slack = max(0.05, 0.25 * float(np.median(steps)))
    distance = abs(np.mod(theta[None, :] - theta[:, None], 360.0) - 180.0)
    return [(int(i), int(j)) for i, j in zip(*np.nonzero(distance < slack), strict=True) if i < j]


def _mirror_mismatch(frames: Floats, pairs: list[tuple[int, int]], offset: float) -> float:
    """1 - correlation of one projection with the mirrored other about the axis, over the columns both cover."""
    width = frames.shape[2]
    column = np.arange(width, dtype=np.float64)
    mirrored = (width - 1) + 2 * offset - column
    both = np.flatnonzero((mirrored >= 0) & (mirrored <= width - 1))
    if both.size < width // 4:
        return 1.0
    total = 0.0
    for i, j in pairs:
        a = frames[i][:, both]
        rows = np.arange(a.shape[0], dtype=np.float64)
        b = ndimage.map_coordinates(frames[j], np.meshgrid(rows, mirrored[both], indexing="ij"), order=3)
        total += float(np.corrcoef(a.ravel(), b.ravel())[0, 1])
    return 1.0 - total / len(pairs)


def _mirror_offset(frames: Floats, pairs: list[tuple[int, int]]) -> float:
    """Axis offset that makes the pairs mirror images; coarse search over the view, then to 0.001 px."""
    few = pairs[:: max(1, len(pairs) // 8)]
    reach = frames.shape[2] // 3
    coarse = np.arange(-reach, reach + 0.5, 0.5)
    best = float(coarse[int(np.argmin([_mirror_mismatch(frames, few, c) for c in coarse]))])
    found = optimize.minimize_scalar(
        lambda c: _mirror_mismatch(frames, few, c), bounds=(best - 0.5, best + 0.5), method="bounded",
        options={"xatol": 1e-3},
    )  # fmt: skip
    return float(found.x)


def _mirror_quality(frames: Floats, pairs: list[tuple[int, int]], offset: float) -> float:
    few = pairs[:: max(1, len(pairs) // 8)]
    return float(np.clip(1.0 - _mirror_mismatch(frames, few, offset), 0.0, 1.0))
