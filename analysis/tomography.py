"""Tomography of many sinograms that share one geometry: filtered backprojection by non-uniform FFT.

Geometry: detector column u sees at angle θ the line u - u_axis = x·cosθ + y·sinθ, with x, y counted from the
rotation axis, u_axis = (W - 1)/2 + axis_offset, and the volume (row, y, x) centred on the axis at (N - 1)/2.

The Fourier slice theorem makes filtered backprojection one adjoint non-uniform FFT per slice (Kak & Slaney,
"Principles of Computerized Tomographic Imaging", IEEE Press 1988, ch. 3; Barnett et al., SIAM J. Sci. Comput. 41,
C479 (2019) for the transform). Its points depend on the geometry only, so one plan serves every row and energy; two
real slices travel as the real and imaginary part of one transform.
"""

from collections.abc import Callable

import finufft
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft, ndimage

Floats = NDArray[np.floating]
Complexes = NDArray[np.complex64]

_WINDOWS: dict[str, Callable[[Floats], Floats]] = {
    "ramp": np.ones_like,
    "shepp-logan": lambda k: np.sinc(k),
    "cosine": lambda k: np.cos(np.pi * k),
    "hamming": lambda k: 0.54 + 0.46 * np.cos(2 * np.pi * k),
    "hann": lambda k: 0.5 + 0.5 * np.cos(2 * np.pi * k),
}
FILTERS = tuple(_WINDOWS)
"""Names that `reconstruct` takes as `filter_name`."""
_BATCH_BYTES = 256e6


def reconstruct(
    projections: Floats,
    angles: ArrayLike,
    axis_offset: float = 0.0,
    *,
    size: int | None = None,
    filter_name: str = "ramp",
    accuracy: float = 1e-4,
    threads: int = 1,
) -> NDArray[np.float32]:
    """Filtered backprojection of any number of projection sets with one geometry.

    Parameters
    ----------
    projections : (..., angle, row, col) absorbance; NaN pixels are filled from their neighbours
    angles : (angle,) degrees, in any order, over 180° or more; gaps are weighted (`angle_weights`)
    axis_offset : px, rotation axis minus the detector's centre column (W - 1)/2
    size : N, width of the slices in voxels; by default the detector's width
    filter_name : "ramp", "shepp-logan", "cosine", "hamming" or "hann", from sharp to smooth
    accuracy : relative, of the non-uniform FFT
    threads : of the transforms; more than one helps on idle cores and costs a multiple on busy ones

    Returns
    -------
    (..., row, N, N) float32, absorbance per voxel in (row, y, x). Quantitative inside the circle that the view
    covers around the axis.

    Raises
    ------
    ValueError
        If the shapes disagree or the filter is unknown.
    """
    theta = np.asarray(angles, dtype=np.float64)
    if projections.ndim < 3 or theta.shape != projections.shape[-3:-2]:
        raise ValueError(f"projections {projections.shape} for {theta.size} angles: (..., angle, row, col) is needed")
    if filter_name not in _WINDOWS:
        raise ValueError(f"no filter {filter_name!r}: one of {', '.join(FILTERS)}")
    rows, width = projections.shape[-2:]
    n = size or width
    axis = (width - 1) / 2 + axis_offset
    padded = _odd_fast_length(int(np.ceil(width + n * np.sqrt(2) + 2 * abs(axis_offset))))
    k = fft.fftfreq(padded)
    response = (
        _ramp(padded) * _WINDOWS[filter_name](k) / padded
        * np.exp(2j * np.pi * k * axis) * angle_weights(theta)[:, None]
    )  # fmt: skip
    # The voxels' centres lie half a voxel from the transform's origin when N is even.
    y, x = (2 * np.pi * k * f(np.deg2rad(theta))[:, None] for f in (np.sin, np.cos))
    if n % 2 == 0:
        response = response * np.exp(0.5j * (x + y))
    response = response.astype(np.complex64)

    stack = projections.reshape(-1, *projections.shape[-3:])
    volumes = np.empty((len(stack), rows, n, n), dtype=np.float32)
    batch = int(np.clip(_BATCH_BYTES / (16 * x.size + 40 * n * n), 1, (rows + 1) // 2))
    plan = finufft.Plan(1, (n, n), batch, eps=accuracy, isign=1, dtype="complex64", nthreads=threads)
    plan.setpts(y.astype(np.float32).ravel(), x.astype(np.float32).ravel())
    for projection, volume in zip(stack, volumes, strict=True):
        for first in range(0, rows, 2 * batch):
            slab = slice(first, min(first + 2 * batch, rows))
            volume[slab] = _backproject(plan, fill_missing(projection[:, slab]), response, batch)
    return volumes.reshape(*projections.shape[:-3], rows, n, n)


def _backproject(plan: finufft.Plan, slab: Floats, response: Complexes, batch: int) -> Floats:
    """(angle, row, col) → (row, N, N), the rows in pairs."""
    rows = slab.shape[1]
    sinograms = np.zeros((2 * batch, slab.shape[0], slab.shape[2]), dtype=np.float32)
    sinograms[:rows] = slab.swapaxes(0, 1)
    pairs = (sinograms[0::2] + 1j * sinograms[1::2]).astype(np.complex64)
    spectra = fft.fft(pairs, response.shape[1], axis=-1, overwrite_x=True) * response
    slices = plan.execute(spectra.reshape(batch, -1)).reshape(batch, *plan.n_modes)
    return np.stack([slices.real, slices.imag], axis=1).reshape(2 * batch, *plan.n_modes)[:rows]


def angle_weights(angles: ArrayLike) -> NDArray[np.float64]:
    """Weight of each projection in the integral over half a turn, in radians.

    Each angle (degrees, in any order) stands for the half-way intervals to its neighbours modulo 180°; projections
    that coincide share theirs. No interval counts for more than twice the median step, so that the borders of a
    missing wedge do not dominate; without a wedge the weights add up to π.
    """
    theta = np.mod(np.asarray(angles, dtype=np.float64), 180.0)
    theta[theta > 180.0 - 1e-6] = 0.0
    distinct, member, count = np.unique(np.round(theta, 6), return_inverse=True, return_counts=True)
    gaps = np.diff(distinct, append=distinct[0] + 180.0)
    gaps = np.minimum(gaps, 4 * np.median(gaps)) if gaps.size > 2 else gaps
    weights = np.deg2rad(gaps + np.roll(gaps, 1)) / 2
    return np.asarray((weights / count)[member], dtype=np.float64)


def fill_missing(frames: Floats) -> Floats:
    """Replace NaN pixels of (..., frame, row, col) by the mean of their finite neighbours.

    Neighbourhoods in the frame grow until they hold finite pixels; a frame with none takes the mean of the nearest
    frames that have some, before and after it, and is 0 if there are none. The input is returned itself, not
    copied, if nothing is missing.
    """
    missing = ~np.isfinite(frames)
    if not missing.any():
        return frames
    filled = np.where(missing, 0, frames).astype(np.float32)
    shape = (-1, *frames.shape[-3:])
    for series, gaps in zip(filled.reshape(shape), missing.reshape(shape), strict=True):
        empty = gaps.all(axis=(1, 2))
        for i in np.flatnonzero(gaps.any(axis=(1, 2)) & ~empty):
            _fill_frame(series[i], gaps[i])
        known = np.flatnonzero(~empty)
        for i in np.flatnonzero(empty) if known.size else ():
            after = int(np.searchsorted(known, i))
            nearest = known[max(after - 1, 0) : after + 1]
            series[i] = series[nearest].mean(axis=0)
    return filled


def _fill_frame(frame: NDArray[np.float32], missing: NDArray[np.bool_]) -> None:
    """Fill one frame, 0 where missing, in place."""
    known = (~missing).astype(np.float32)
    todo, width = missing, 3
    given = frame.copy()
    while todo.any():
        weight = ndimage.uniform_filter(known, width, mode="nearest")
        mean = ndimage.uniform_filter(given, width, mode="nearest")
        reached = todo & (weight > 0.5 / width**2)
        frame[reached] = mean[reached] / weight[reached]
        todo, width = todo & ~reached, 2 * width + 1


def _ramp(length: int) -> Floats:
    """Response of the band-limited ramp from its impulse response: no bias at zero frequency (Kak & Slaney, eq. 61)."""
    n = np.minimum(np.arange(length), length - np.arange(length))
    odd = n % 2 == 1
    impulse = np.zeros(length)
    impulse[0] = 0.25
    impulse[odd] = -1 / (np.pi * n[odd]) ** 2
    return np.asarray(fft.fft(impulse).real)


def _odd_fast_length(least: int) -> int:
    """Smallest odd length with factors 3, 5, 7 only: without a Nyquist term a shifted real signal stays real."""
    powers: list[int] = [3**a * 5**b * 7**c for a in range(14) for b in range(10) for c in range(9)]
    return min(p for p in powers if p >= least)
