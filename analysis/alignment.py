"""Drift between the energies of a 3D XANES scan.

All projections of one energy share a shift. It is found on all of them at once by Gauss-Newton registration
(Lucas & Kanade, IJCAI 1981) against a mixture of images whose coefficients are fitted along with the shift: the
contrast may change across the edge, by any factor and between the components, without pulling the shift.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from skimage.registration import phase_cross_correlation

from redoxscope.analysis.drift import DriftTracker
from redoxscope.analysis.gauge import Alignment
from redoxscope.analysis.tomography import fill_missing
from redoxscope.analysis.warp import spline_coefficients as spline_coefficients
from redoxscope.analysis.warp import warp as warp

Floats = NDArray[np.floating]
_SMOOTH = 1.0
"""px, standard deviation of the Gaussian under which frames are compared."""
_LEAP = 8.0
"""px; drift between neighbouring energies is less."""
_MOST_ANGLES, _LEAST_ANGLES, _PIXELS = 32, 8, 2**17
"""Angles that take part in the registration, and pixels to have together; more add time, not accuracy."""


@dataclass(frozen=True)
class Shifts:
    """Drift of each energy's frames."""

    shifts: NDArray[np.float64]
    """(energy, 2) px (dy, dx): where the content of the first energy stands at this one."""
    quality: NDArray[np.float64]
    """(energy,) 0 to 1, correlation of the aligned frames with the mixture of the others; 0 where interpolated."""


def align_projections(
    projections: Sequence[Floats] | Floats, angles: ArrayLike, *, scales: ArrayLike | None = None, components: int = 3
) -> Alignment:
    """Shift of every projection of a 3D XANES scan: drift between energies, jitter between angles, and the axis.

    Parameters
    ----------
    projections : (energy, angle, row, col) absorbance, or a sequence of (angle, row, col); NaN where unknown
    angles : (angle,) degrees, in any order
    scales : (energy,) magnification relative to the first energy
    components : images in the mixture that projections are compared with

    While a scan runs, `drift.DriftTracker` does the same energy by energy.

    Raises
    ------
    ValueError
        If the shapes disagree, or no projection has data.
    """
    factors = _scales(scales, len(projections))
    tracker = DriftTracker(angles, components=components)
    for tomogram, factor in zip(projections, factors, strict=True):
        tracker.place(np.asarray(tomogram), float(factor))
    return tracker.finish(projections)


def align_energies(
    projections: Sequence[Floats] | Floats, *, scales: ArrayLike | None = None, components: int = 3, rounds: int = 1
) -> Shifts:
    """Shift of every energy relative to the first.

    Parameters
    ----------
    projections : (energy, angle, row, col) absorbance, or a sequence of (angle, row, col); NaN where unknown
    scales : (energy,) magnification relative to the first energy; it is undone about the detector's centre
    components : images in the mixture: the principal components of the aligned energies
    rounds : of alignment against that mixture, after the first one against the first energy

    Raises
    ------
    ValueError
        If the frames of the energies differ in shape, or the scales are not one per energy.
    """
    n = len(projections)
    factors = _scales(scales, n)
    if len({p.shape for p in projections}) != 1 or projections[0].ndim != 3:
        raise ValueError("every energy needs the same (angle, row, col) of projections to be aligned")
    angles = sample_angles(projections[0].shape)
    frames = [_smooth(np.asarray(p[angles])) for p in projections]
    first = warp(frames[0], np.zeros(2), factors[0])
    # Without its mean a picture correlates by its structure alone, whatever the beam did meanwhile.
    pictures = [f.mean(axis=0) - f.mean() for f in frames]
    shifts = np.zeros((n, 2))
    quality = np.ones(n)
    for i in range(n):
        start = phase_cross_correlation(pictures[i], pictures[0], normalization=None, upsample_factor=4)[0]
        shifts[i], quality[i] = _register(frames[i], first[None], start, factors[i])
    for _ in range(rounds if n > 2 else 0):
        shifts -= shifts[0]
        stack = np.stack([warp(f, s, m) for f, s, m in zip(frames, shifts, factors, strict=True)])
        mixture = _principal(stack, min(components, n - 1))
        for i in range(n):
            shifts[i], quality[i] = _register(frames[i], mixture, shifts[i], factors[i])
    return _validated(shifts - shifts[0], quality)


def _validated(shifts: Floats, quality: Floats) -> Shifts:
    """Shifts that none of the neighbours in energy comes near are interpolated between those; quality 0 flags them."""
    n = len(shifts)
    alone = np.zeros(n, dtype=bool)
    for i in range(1, n if n > 3 else 0):
        near = [j for j in (i - 2, i - 1, i + 1, i + 2) if 0 <= j < n]
        alone[i] = np.hypot(*(shifts[near] - shifts[i]).T).min() > _LEAP
    out, flagged = np.array(shifts, dtype=np.float64), np.where(alone, 0.0, quality)
    for axis in (0, 1):
        out[alone, axis] = np.interp(np.flatnonzero(alone), np.flatnonzero(~alone), shifts[~alone, axis])
    return Shifts(out, flagged)


def sample_angles(shape: tuple[int, ...]) -> NDArray[np.intp]:
    """Numbers of some projections of (angle, row, col), spread over all, that stand for the rest."""
    count = int(np.clip(_PIXELS // (shape[1] * shape[2]), _LEAST_ANGLES, _MOST_ANGLES))
    return np.unique(np.linspace(0, shape[0] - 1, count).astype(np.intp))


def _scales(scales: ArrayLike | None, n: int) -> Floats:
    factors = np.ones(n) if scales is None else np.asarray(scales, dtype=np.float64)
    if factors.shape != (n,):
        raise ValueError(f"scales {factors.shape} for {n} energies: one magnification per energy is needed")
    return factors


def _smooth(frames: Floats) -> NDArray[np.float32]:
    """Filled, smoothed, and as cubic-spline coefficients."""
    filled = fill_missing(frames).astype(np.float32)
    return spline_coefficients(ndimage.gaussian_filter(filled, (0, _SMOOTH, _SMOOTH), mode="nearest"))


def _principal(stack: Floats, count: int) -> Floats:
    """(energy, ...) → (count, ...) principal components of the energies, unit norm in the energies' space."""
    flat = stack.reshape(len(stack), -1)
    _, vectors = np.linalg.eigh(flat @ flat.T)
    return np.asarray((vectors[:, ::-1].T[:count] @ flat).reshape(count, *stack.shape[1:]))


def _register(coefficients: Floats, mixture: Floats, start: Floats, scale: float) -> tuple[Floats, float]:
    """Shift of the frames against a mixture (component, angle, row, col), and the correlation reached."""
    shift = np.asarray(start, dtype=np.float64).copy()
    rows, cols = mixture.shape[-2:]
    quality = 0.0
    for _ in range(12):
        frames = warp(coefficients, shift, scale)
        # What came from outside the view says nothing.
        inner = (slice(None), _seen(shift[0], rows), _seen(shift[1], cols))
        slope = [np.gradient(frames, axis=axis)[inner].ravel() for axis in (1, 2)]
        base = [m[inner].ravel() for m in mixture] + [np.ones(slope[0].size)]
        design = np.stack([*slope, *base]).astype(np.float64)
        target = frames[inner].ravel().astype(np.float64)
        normal = design @ design.T
        normal[np.diag_indices(len(normal))] *= 1 + 1e-9
        solved = np.linalg.lstsq(normal, design @ target, rcond=None)[0]
        # frames(shift + d) = frames + slope·d should be the mixture.
        step = np.clip(-solved[:2], -2.0, 2.0)
        shift += step
        model = solved[2:] @ design[2:]
        quality = float(np.corrcoef(model, target)[0, 1]) if target.std() > 0 and model.std() > 0 else 0.0
        if np.abs(step).max() < 1e-3:
            break
    return shift, max(quality, 0.0)


def _seen(shift: float, n: int) -> slice:
    """Pixels that a shifted frame fills from within the view, less one at either end."""
    low, high = 1 + max(0, int(np.ceil(-shift))), n - 1 - max(0, int(np.ceil(shift)))
    return slice(low, high) if high - low >= n // 4 else slice(None)
