"""Whether a scan's geometry is what it is said to be: angles, axis and magnification, judged by the projections alone.

What no projection can tell: the sense of the rotation (reversed, the object comes out mirrored and as consistent as
before), an offset of all angles, and a common factor of the magnification.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from redoxscope.analysis.alignment.coarse_frames import bin_factor, coarse_frames
from redoxscope.analysis.alignment.frame_shifts import Frames, find_shifts, shifted
from redoxscope.analysis.alignment.gauge import Alignment
from redoxscope.analysis.alignment.mass_centre import mass_centres, silhouettes, sinusoid
from redoxscope.analysis.alignment.rotation_axis import HalfTurns, half_turns, mirror
from redoxscope.analysis.alignment.row_warp import warp

Floats = NDArray[np.floating]
_SCALES = np.linspace(0.94, 1.06, 49)
_ORDERS = (1, 2, 3, 4)
_BANDS = 6
"""Groups of rows whose moments are judged."""
_SURE = 4.0
"""Standard errors that a finding must stand out by."""
_SURE_ANGLE = 2.5
"""The same of the angle scale, whose standard error holds more than the noise (the parts of the object disagree)."""
_WORTH = {"angle": 0.004, "tilt": 0.1, "growth": 0.03}
"""Smaller errors of the angle scale, of the tilt (degrees) and of the magnification are not told: they matter little,
or (magnification) can be the changing contrast of the object, which moved it by up to 0.023 in trials."""
_MOST_ENERGIES, _MOST_ANGLES = 12, 24
_LIKE = 0.9
_WHOLE = 0.97
"""Part of its projections that an energy must have to be asked."""
_CALM = 3.0
"""px, standard deviation of the Gaussian under which turn and magnification are compared."""
_MOVED = 4.0
"""px; a sample that stays so far from its place for some angles has moved."""


@dataclass(frozen=True)
class Geometry:
    """What the projections say about the geometry; NaN where they do not."""

    angle_scale: float
    """True angles over those given, 1 for a right calibration; searched within 0.94 to 1.06."""
    angle_scale_error: float
    axis_tilt: float
    """Degrees by which the axis leans towards higher columns with the row number, in the detector's plane."""
    axis_tilt_error: float
    growth: NDArray[np.float64]
    """(energy,) magnification left over the one that was undone, minus 1, relative to the first energy; NaN where not
    looked at (of many energies some are taken)."""
    mirror_quality: float
    """0 to 1, median correlation of projections half a turn apart, one mirrored about the axis."""
    quality: float
    """0 to 1: 1 if nothing stands out, halved by each finding."""
    findings: tuple[str, ...]
    """Sentences for a person, one for each thing that is wrong."""


def geometry_check(
    projections: Sequence[Floats] | Floats, angles: ArrayLike, alignment: Alignment, *, scales: ArrayLike | None = None
) -> Geometry:
    """Judge the geometry of a 3D XANES scan.

    Parameters
    ----------
    projections : (energy, angle, row, col) absorbance, or a sequence of (angle, row, col); NaN where unknown
    angles : (angle,) degrees as told by the stage
    alignment : of these projections, from `align_projections`
    scales : (energy,) magnification relative to the first energy, as told by the profile

    Angles are judged by the moments of the projections: that of order k over a row is a homogeneous polynomial of
    degree k in cosθ and sinθ (Helgason-Ludwig conditions; Natterer, "The Mathematics of Computerized Tomography",
    ch. 2). This needs the object inside the view, and 150° or more; elsewhere the angle scale is NaN.

    Raises
    ------
    ValueError
        If the number of energies or angles differs from that of the alignment.
    """
    theta = np.asarray(angles, dtype=np.float64)
    if alignment.shifts.shape[:2] != (len(projections), theta.size):
        raise ValueError(f"alignment of {alignment.shifts.shape[:2]} (energy, angle) for {len(projections)} energies "
                         f"and {theta.size} angles: give those that were aligned")  # fmt: skip
    factors = np.ones(len(projections)) if scales is None else np.asarray(scales, dtype=np.float64)
    there = np.mean(alignment.quality > 0, axis=1)
    # An energy that was cut short would say that the object is another at the angles that it lacks.
    used = np.flatnonzero(np.isfinite(alignment.shifts).all(axis=(1, 2)) & (there >= min(_WHOLE, there.max())))
    picks = used[np.unique(np.linspace(0, used.size - 1, min(_MOST_ENERGIES, used.size)).astype(int))]
    coarse = bin_factor(projections[0].shape)
    aligned = {}
    for i in picks:
        frames = coarse_frames(np.asarray(projections[i]), coarse)[0]
        frames = frames if factors[i] == 1.0 else warp(frames, (0.0, 0.0), factors[i])
        aligned[i] = shifted(frames, _unturned(alignment, i) / (coarse * factors[i]))
    mean = np.asarray(np.mean(list(aligned.values()), axis=0, dtype=np.float32))
    known = (alignment.quality[picks] > 0).all(axis=0)
    mean, theta = mean[known], theta[known]

    scale, scale_error = _angle_scale(mean, theta)
    axis = alignment.axis_offset / coarse
    pairs = {i: half_turns(frames[known], theta) for i, frames in aligned.items()}
    tilt, tilt_error = _tilt(list(pairs.values()), axis)
    growth = np.full(len(projections), np.nan)
    some = np.flatnonzero(known)[:: max(1, int(known.sum()) // _MOST_ANGLES)]
    if mass_centres(mean).inside[1]:
        outlines = {i: silhouettes(frames[some]) for i, frames in aligned.items()}
        growth[picks] = [_similarity(outlines[i], outlines[picks[0]], 1.5)[0] for i in picks]
    likeness = float(np.median([mirror(p, axis)[1] for p in pairs.values()])) if len(pairs[picks[0]].frames) else np.nan
    findings = _findings(scale, scale_error, tilt, tilt_error, growth, likeness)
    return Geometry(scale, scale_error, tilt, tilt_error, growth, likeness, 0.5 ** len(findings), findings)


def _findings(
    scale: float, scale_error: float, tilt: float, tilt_error: float, growth: Floats, like: float
) -> tuple[str, ...]:
    out = []
    if abs(scale - 1) > max(_WORTH["angle"], _SURE_ANGLE * scale_error):
        out.append(
            f"the stage turned {scale:.3f} ± {scale_error:.3f} times the angle that it told: check its calibration"
        )
    # Wrong angles make a right axis seem to lean.
    if not out and abs(tilt) > max(_WORTH["tilt"], _SURE * tilt_error):
        out.append(
            f"the rotation axis leans by {tilt:.2f} ± {tilt_error:.2f}° against the detector's columns: "
            "turn the camera or rotate the frames"
        )
    most = float(np.nanmax(np.abs(growth))) if np.isfinite(growth).any() else 0.0
    if most > _WORTH["growth"]:
        at = int(np.nanargmax(np.abs(growth)))
        out.append(
            f"at energy number {at} the image is {100 * abs(growth[at]):.1f} % "
            f"{'larger' if growth[at] > 0 else 'smaller'} than the profile's magnification says: check "
            "`magnification_3d`"
        )
    if like < _LIKE:
        out.append(
            f"projections half a turn apart are mirror images only to a correlation of {like:.2f}: "
            "the sample moved, or the angles are wrong"
        )
    return tuple(out)


def _angle_scale(frames: Frames, theta: Floats) -> tuple[float, float]:
    """Factor on the angles that makes the moments most consistent, and its standard error."""
    mass = mass_centres(frames)
    good = np.isfinite(mass.centre[:, 1])
    if not mass.inside[1] or np.ptp(theta) < 150 or good.sum() < 20:
        return np.nan, np.nan
    frames, theta = frames[good], theta[good]
    order = np.argsort(theta, kind="stable")
    frames, theta = frames[order], theta[order]
    sides = np.median(np.concatenate([frames[:, :, :2], frames[:, :, -2:]], axis=2).reshape(len(frames), -1), axis=1)
    rows = np.array_split(frames - sides[:, None, None], _BANDS, axis=1)
    profiles = np.stack([band.sum(axis=1, dtype=np.float64) for band in rows])
    total = profiles.sum(axis=2)
    profiles = profiles[np.median(total, axis=1) > 0.02 * np.median(total, axis=1).sum()]
    column = np.arange(frames.shape[2]) - (frames.shape[2] - 1) / 2
    shade = ndimage.maximum_filter1d(profiles.sum(axis=0).max(axis=0) > 0.02 * profiles.sum(axis=0).max(), 5)
    profiles, column = profiles[:, :, shade], column[shade]
    reach = np.sqrt(np.median((profiles.sum(axis=0) @ column**2) / profiles.sum(axis=(0, 2)))) * 1.5
    middle = 0.5 * (theta[0] + theta[-1])
    misfit = np.array([_misfit(profiles, column, reach, middle + s * (theta - middle), mass.centre[good][order, 1])
                       for s in _SCALES])  # fmt: skip
    total = misfit.sum(axis=(1, 2))
    found, curvature = _lowest(total)
    if not np.isfinite(found):
        return np.nan, np.nan
    # At its minimum the misfit counts degrees of freedom if the noise is white; where it is more, the error is, too.
    excess = max(1.0, float(total.min()) / (misfit[0].size * theta.size))
    # Of a nearly round object the moments say little, and what they say is the detector's: then the parts disagree.
    without = [total - misfit[:, k].sum(axis=1) for k in range(misfit.shape[1])]
    without_band = [total - misfit[:, :, k].sum(axis=1) for k in range(misfit.shape[2])]
    errors = [float(np.sqrt(excess / curvature)), *(_jackknifed(parts) for parts in (without, without_band))]
    return found, float(np.nanmax(errors))


def _lowest(misfit: Floats) -> tuple[float, float]:
    """Scale at which the misfit (scale,) is least, and half its second derivative there; NaN if it has no minimum."""
    k = int(np.clip(np.argmin(misfit), 1, misfit.size - 2))
    curve = np.polynomial.Polynomial.fit(_SCALES[k - 1 : k + 2], misfit[k - 1 : k + 2], 2).convert().coef
    if not curve[2] > 0:
        return np.nan, np.nan
    return float(np.clip(-curve[1] / (2 * curve[2]), _SCALES[0], _SCALES[-1])), float(curve[2])


def _jackknifed(parts: list[Floats]) -> float:
    """Standard error of a scale from the misfits that each leave one part out; NaN if there is one part only."""
    n = len(parts)
    return float(np.sqrt((n - 1) * np.var([_lowest(misfit)[0] for misfit in parts]))) if n > 1 else np.nan


def _misfit(profiles: Floats, column: Floats, reach: float, theta: Floats, centre: Floats) -> Floats:
    """(order, band) squares of what the Helgason-Ludwig polynomials leave of the moments, in units of their noise."""
    axis = sinusoid(theta, centre)[0][0]
    cos, sin = np.cos(np.deg2rad(theta)), np.sin(np.deg2rad(theta))
    out = []
    for k in _ORDERS:
        # What stands still is the detector's (a flat's noise, rings) and has a constant moment.
        still = [np.ones_like(cos)] if k % 2 else []
        design = np.stack([cos ** (k - j) * sin**j for j in range(k + 1)] + still, axis=1)
        moments = profiles @ ((column - axis) / reach) ** k
        rest = moments.T - design @ np.linalg.lstsq(design, moments.T, rcond=None)[0]
        # Third differences of the neighbours in angle hold noise only.
        noise = np.diff(moments, 3, axis=1).std(axis=1) / np.sqrt(20.0)
        out.append(np.sum((rest / np.maximum(noise, 1e-9 * abs(moments).max(axis=1))) ** 2, axis=0))
    return np.array(out)


def _unturned(alignment: Alignment, energy: int) -> Floats:
    """Shifts (angle, 2) of an energy without those in which an angle that is wrong would hide.

    That is its drift alone, unless the sample moved in mid-scan.
    """
    shifts, drift = alignment.shifts[energy], alignment.drift[energy]
    slow = ndimage.median_filter(shifts - np.median(shifts, axis=0), (9, 1), mode="nearest")
    return shifts if (abs(slow) > _MOVED).any() else np.broadcast_to(drift, shifts.shape)


def _tilt(energies: list[HalfTurns], axis: float) -> tuple[float, float]:
    """Lean of the axis in degrees, and its standard error: mirrored projections are turned by twice as much."""
    turns, errors = [], []
    for pairs in energies:
        if not len(pairs.frames):
            continue
        found = find_shifts(pairs.frames, pairs.mirrored[None], np.tile([0.0, 2 * axis], (len(pairs.frames), 1)))
        frames = shifted(pairs.frames, found.shifts)
        model = shifted(pairs.mirrored, np.zeros_like(found.shifts))
        width = frames.shape[2]
        seen = slice(max(0, int(np.ceil(-2 * axis))) + 2, width - max(0, int(np.ceil(2 * axis))) - 2)
        for k in np.flatnonzero(found.quality > 0.5):
            _, turn, error = _similarity(frames[k : k + 1, 2:-2, seen], model[k : k + 1, 2:-2, seen])
            if np.isfinite(turn) and error > 0:
                turns.append(np.rad2deg(turn) / 2)
                errors.append(np.rad2deg(error) / 2)
    if not turns:
        return np.nan, np.nan
    weight = np.array(errors) ** -2.0
    mean = float(np.average(turns, weights=weight))
    spread = np.sqrt(np.average((np.array(turns) - mean) ** 2, weights=weight) / len(turns))
    return mean, float(max(spread, 1 / np.sqrt(weight.sum())))


def _similarity(frames: Frames, reference: Frames, calm: float = _CALM) -> tuple[float, float, float]:
    """Magnification minus 1 and turn (radians, from columns to rows) of frames over the reference (n, row, col), and
    the turn's standard error, by linear least squares along with contrast, level and shift."""
    # Noise in the slopes would damp what is found.
    frames, reference = (ndimage.gaussian_filter(f, (0, calm, calm)) for f in (frames, reference))
    slope_y, slope_x = np.gradient(reference, axis=(1, 2))
    y, x = (np.arange(n, dtype=np.float32) - (n - 1) / 2 for n in reference.shape[1:])
    outward, around = slope_y * y[:, None] + slope_x * x, slope_y * x - slope_x * y[:, None]
    columns = (reference, np.ones_like(reference), slope_y, slope_x, outward, around)
    near = ndimage.maximum_filter(reference > 0.2 * reference.max(), (1, 9, 9)).ravel()
    parts = np.stack([a.ravel()[near] for a in columns]).astype(np.float64)
    value = frames.ravel()[near].astype(np.float64)
    normal = parts @ parts.T
    inverse = np.linalg.pinv(normal, rcond=1e-12, hermitian=True)
    solved = inverse @ (parts @ value)
    if not solved[0] > 0:
        return np.nan, np.nan, np.nan
    # What is left is smooth: so many pixels err together.
    together = 4 * np.pi * calm**2
    error = np.sqrt(together * np.mean((value - solved @ parts) ** 2) * inverse[5, 5]) / solved[0]
    return float(-solved[4] / solved[0]), float(-solved[5] / solved[0]), float(error)
