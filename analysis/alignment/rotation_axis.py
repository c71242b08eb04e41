"""The rotation axis, from the projections themselves."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from redoxscope.analysis.alignment.coarse_frames import bin_factor, coarse_frames
from redoxscope.analysis.alignment.frame_shifts import Frames, find_shifts
from redoxscope.analysis.alignment.mass_centre import mass_centres, sinusoid

Floats = NDArray[np.floating]
_MOST_PAIRS = 64
_LEAST_OVERLAP = 0.15
"""Part of the view that is seen from both sides, at least."""


@dataclass(frozen=True)
class HalfTurns:
    """Projections and the mirrored ones half a turn later, between angles where need be."""

    frames: Frames
    """(pair, row, col)"""
    mirrored: Frames
    """(pair, row, col): equals `frames` shifted by twice the axis offset."""


def rotation_axis(projections: Floats, angles: ArrayLike) -> tuple[float, float]:
    """Offset of the rotation axis from the detector's centre column, and how far to trust it.

    The centre of mass of the projections follows u_axis + a·cosθ + b·sinθ, if the object is inside the view at all
    angles; with jitter between the angles, which cannot be told from an axis elsewhere but by its average, nothing
    does better (over half a turn of n angles it errs by 2.3/√n of the jitter, over a full one by 1/√n). Where mass is
    lost at the sides, projections half a turn apart decide: one mirrored is the other, shifted by twice the offset.
    Half a turn has two such pairs only, so jitter of these four projections is not averaged.

    On planted scans (axis up to 20 px off the middle of 112 columns, with and without jitter) it errs by 0.03 px at
    most; algotom's `find_center_vo` by 0.05 to 0.20 where it is told the axis to 6 px, and by up to 61 where not.

    Parameters
    ----------
    projections : (angle, row, col) absorbance, NaN where unknown
    angles : (angle,) degrees, in any order

    Returns
    -------
    offset : px, axis minus (W - 1)/2
    quality : 0 to 1; median correlation between projections half a turn apart, mirrored about this axis, or, without
        such a pair, the share of the centre of mass' motion that the sinusoid explains. Below about 0.9 look at the
        sample's stage.

    Raises
    ------
    ValueError
        If there are fewer than three different angles or the projections hold no absorbance.
    """
    theta = np.asarray(angles, dtype=np.float64)
    if projections.ndim != 3 or theta.shape != projections.shape[:1]:
        raise ValueError(f"projections {projections.shape} for {theta.size} angles: (angle, row, col) is needed")
    factor = bin_factor(projections.shape)
    frames, known = coarse_frames(projections, factor)
    frames, theta = frames[known], theta[known]
    if np.unique(np.round(np.mod(theta, 360.0), 6)).size < 3:
        raise ValueError(f"the rotation axis cannot be found from {theta.size} angles: at least 3 are needed")
    mass = mass_centres(frames)
    pairs = half_turns(frames, theta)
    if not frames.std() > 0 or not (np.isfinite(mass.centre).any() or len(pairs.frames)):
        raise ValueError("the projections hold no absorbance above their borders: no rotation axis can be found")
    if mass.inside[1]:
        fitted, _ = sinusoid(theta, mass.centre[:, 1])
        offset = float(fitted[0])
        spread = np.nanvar(mass.centre[:, 1] - _wave(theta, fitted))
        quality = float(1.0 - spread / (np.nanvar(mass.centre[:, 1]) + 0.25 / factor**2))
        if len(pairs.frames):
            quality = mirror(pairs, offset)[1]
    elif len(pairs.frames):
        offset, quality = mirror(pairs, coarse_mirror(pairs))
    else:
        offset, quality = float(sinusoid(theta, mass.centre[:, 1])[0][0]), 0.0
    width = projections.shape[2]
    # The coarse frames' centre is not that of the full ones if some columns are left over.
    shift = 0.5 * (frames.shape[2] * factor - width)
    return offset * factor + shift, float(np.clip(quality, 0.0, 1.0))


def half_turns(frames: Frames, theta: Floats) -> HalfTurns:
    """Pairs of frames (angle, row, col) half a turn apart, angles in degrees.

    The later frame is interpolated between its neighbours in angle, or continued from the last two by up to a step
    and a half: 0°, 1° … 179° has its pairs, too.
    """
    turned = np.mod(theta, 360.0)
    order = np.argsort(turned, kind="stable")
    ascending = turned[order]
    step = float(np.median(np.diff(np.unique(np.round(ascending, 6)))))
    first, second = [], []
    for i in range(theta.size):
        weights = _between(ascending, float(np.mod(turned[i] + 180.0, 360.0)), step)
        if weights is not None:
            first.append(i)
            second.append([(order[j], w) for j, w in weights])
    if len(first) > _MOST_PAIRS:
        pick = np.linspace(0, len(first) - 1, _MOST_PAIRS).astype(int)
        first, second = [first[p] for p in pick], [second[p] for p in pick]
    mirrored = np.zeros((len(first), *frames.shape[1:]), dtype=np.float32)
    for out, parts in zip(mirrored, second, strict=True):
        for j, w in parts:
            out += np.float32(w) * frames[j, :, ::-1]
    return HalfTurns(frames[first], mirrored)


def _between(ascending: Floats, target: float, step: float) -> list[tuple[int, float]] | None:
    """Numbers and weights of the angles between which, or just beyond which, the target lies."""
    n = ascending.size
    after = int(np.searchsorted(ascending, target))
    low, high = (after - 1) % n, after % n
    to_low, to_high = float(np.mod(target - ascending[low], 360.0)), float(np.mod(ascending[high] - target, 360.0))
    if min(to_low, to_high) < 0.01 * step:
        return [(low if to_low < to_high else high, 1.0)]
    if to_low + to_high < 3 * step:
        return [(low, to_high / (to_low + to_high)), (high, to_low / (to_low + to_high))]
    for near, far, distance in ((low, (low - 1) % n, to_low), (high, (high + 1) % n, to_high)):
        gap = abs(float(ascending[near] - ascending[far]))
        if distance < 1.5 * step and 0 < gap < 3 * step:
            return [(near, 1 + distance / gap), (far, -distance / gap)]
    return None


def coarse_mirror(pairs: HalfTurns) -> float:
    """Offset (px) at which the pairs' fine structure is most alike, over all offsets that leave some overlap."""
    some = slice(None, None, max(1, len(pairs.frames) // 12))
    fine = [
        ndimage.gaussian_filter(f, (0, 0.7, 0.7)) - ndimage.gaussian_filter(f, (0, 4, 4))
        for f in (pairs.frames[some], pairs.mirrored[some])
    ]
    width = fine[0].shape[2]
    reach = int((1 - _LEAST_OVERLAP) * width)
    likeness = np.full(2 * reach + 1, -1.0)
    for k in range(-reach, reach + 1):
        a = fine[0][:, :, max(0, k) : width + min(0, k)].ravel()
        b = fine[1][:, :, max(0, -k) : width + min(0, -k)].ravel()
        scale = float(np.linalg.norm(a) * np.linalg.norm(b))
        # A narrow overlap is alike by chance more easily.
        likeness[k + reach] = float(a @ b) / scale * np.sqrt(1 - abs(k) / width) if scale > 0 else -1.0
    return 0.5 * (int(np.argmax(likeness)) - reach)


def mirror(pairs: HalfTurns, offset: float) -> tuple[float, float]:
    """Refined offset (px), the mean over the pairs, and their median correlation."""
    start = np.tile([0.0, 2 * offset], (len(pairs.frames), 1))
    found = find_shifts(pairs.frames, pairs.mirrored[None], start)
    good = np.isfinite(found.sigma) & (found.quality > 0.3)
    if not good.any():
        return offset, 0.0
    across = found.shifts[good, 1] / 2
    middle = float(np.median(across))
    usual = max(3 * 1.4826 * float(np.median(abs(across - middle))), 0.25)
    return float(across[abs(across - middle) <= usual].mean()), float(np.median(found.quality))


def _wave(theta: Floats, fitted: Floats) -> Floats:
    angle = np.deg2rad(theta)
    return np.asarray(fitted[0] + fitted[1] * np.cos(angle) + fitted[2] * np.sin(angle))
