"""What must not go unnoticed in a 3D XANES scan: a sentence for a person about each thing that is wrong with it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from redoxscope.analysis.alignment.coarse_frames import bin_factor, coarse_frames
from redoxscope.analysis.alignment.gauge import Alignment
from redoxscope.analysis.alignment.geometry import geometry_check
from redoxscope.analysis.tomography.angles import wedge_warning

Floats = NDArray[np.floating]
_BEYOND = 0.15
"""Absorbance at the sides of the view, relative to the most, from which on the object is cut off."""
_BANDS = 8
_LEAP, _MUCH = 5.0, 6.0
"""A sample that is suddenly so many px, and so many times the usual step, from where it was, has moved."""
_STEADY = 9
"""Angles for which it must stay there."""
_LEAST_AXIS = 0.85
_MOST_FILLED = 0.05


def findings_of(
    projections: Sequence[Floats] | Floats, energies: Floats, angles: Floats, alignment: Alignment, scales: Floats
) -> tuple[str, ...]:
    """What a person should know of a scan and its alignment.

    The geometry is judged by `geometry_check`; a missing wedge, a sample that moved, an axis that the projections do
    not agree on and projections that were not there or not like the others are told as well.

    Parameters
    ----------
    projections : (energy, angle, row, col) absorbance, or a sequence of (angle, row, col); NaN where unknown
    energies : (energy,) eV
    angles : (angle,) degrees
    alignment : of these projections
    scales : (energy,) magnification relative to the first energy
    """
    wedge = wedge_warning(angles)
    out = [] if wedge is None else [wedge]
    out += geometry_check(projections, angles, alignment, scales=scales).findings
    out += _moves(energies, angles, alignment)
    if alignment.axis_quality < _LEAST_AXIS:
        out.append(
            f"the projections agree on the rotation axis only to a correlation of {alignment.axis_quality:.2f}: "
            "look at a slice for arcs; more counts or a steadier stage help"
        )
    return (*out, *_filled(energies, alignment))


def reaches_beyond(projections: Sequence[Floats] | Floats, used: NDArray[np.intp]) -> str | None:
    """What to say of an object that is wider than the view; None if it is within.

    It is judged by the absorbance at the left and right border, at the energy among those `used` (numbers) where there
    is most; the beam beside the sample must be at about 0.
    """
    few = used[np.unique(np.linspace(0, used.size - 1, min(4, used.size)).astype(int))]
    cut, known = np.zeros(0, dtype=bool), np.zeros(0, dtype=bool)
    most = 0.0
    for tomogram in (np.asarray(projections[i]) for i in few):
        frames, there = coarse_frames(tomogram, bin_factor(tomogram.shape))
        bands = np.stack([band.mean(axis=1) for band in np.array_split(frames, min(_BANDS, frames.shape[1]), axis=1)])
        border = max(1, frames.shape[2] // 32)
        sides = np.maximum(bands[..., :border].mean(axis=2), bands[..., -border:].mean(axis=2)).max(axis=0)
        peak = float(np.percentile(bands[:, there].max(axis=2), 90)) if there.any() else 0.0
        if peak > most:
            most, cut, known = peak, sides > _BEYOND * peak, there
    count = int((cut & known).sum())
    if count <= 0.02 * max(known.sum(), 1):
        return None
    return (
        f"the object reaches beyond the sides of the view in {count} of {int(known.sum())} projections: it is "
        "reconstructed as if it went on there; jumps are right but for a constant, voxels near the sides are not"
    )


def _moves(energies: Floats, angles: Floats, alignment: Alignment) -> list[str]:
    """Steps between energies, and within the rotation of one."""
    out = []
    used = np.flatnonzero(np.isfinite(alignment.drift).all(axis=1))
    steps = np.hypot(*np.diff(alignment.drift[used], axis=0).T)
    usual = float(np.median(steps)) if steps.size else 0.0
    for i in np.flatnonzero(steps > max(_LEAP, _MUCH * usual)):
        out.append(
            f"the sample moved by {steps[i]:.0f} px between {energies[used[i]]:g} and {energies[used[i + 1]]:g} eV: "
            "it is followed; what left the view is lost"
        )
    order = np.argsort(angles, kind="stable")
    for i in used if angles.size > 2 * _STEADY else ():
        slow = ndimage.median_filter(alignment.shifts[i][order], (_STEADY, 1), mode="nearest")
        # A step, not the slow change that a translation of the object makes.
        leap = np.hypot(*(slow[2:] - slow[:-2]).T)
        at = int(np.argmax(leap))
        if leap[at] > max(_LEAP, _MUCH * float(np.median(leap))):
            out.append(
                f"the sample moved by {leap[at]:.0f} px at about {angles[order][at + 1]:.0f}° of the rotation at "
                f"{energies[i]:g} eV: it is followed, but should it have turned, this energy is blurred"
            )
    return out


def _filled(energies: Floats, alignment: Alignment) -> list[str]:
    """Projections that are missing, or unlike those of the other energies."""
    out = []
    used = np.flatnonzero(np.isfinite(alignment.drift).all(axis=1))
    gone = np.setdiff1d(np.arange(energies.size), used)
    if gone.size:
        out.append(f"no projection at {_listed(energies[gone])} can be used: the volume is made of the other energies")
    lacking = 1.0 - (alignment.quality[used] > 0).mean(axis=1)
    poor = lacking > _MOST_FILLED
    if poor.any():
        out.append(
            f"at {_listed(energies[used[poor]])} up to {100 * lacking.max():.0f} % of the projections are missing or "
            "unlike the others: what they would have shown is told by the other energies"
        )
    return out


def _listed(energies: Floats) -> str:
    few = ", ".join(f"{energy:g}" for energy in energies[:5])
    return f"{few}{f' and {energies.size - 5} more energies' if energies.size > 5 else ''} eV"
