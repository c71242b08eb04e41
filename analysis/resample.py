"""Scale and shift an image in one interpolation.

Magnification and drift are separable, so four cubic taps per axis are enough. The kernel is Keys' cubic convolution
(a = -1/2), IEEE Trans. ASSP 29, 1153 (1981). White noise is damped by a known factor, which is returned, so that the
uncertainty of what is computed from the resampled frame stays honest.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from redoxscope.analysis.cubic_convolution import cubic_weights
from redoxscope.analysis.threads import in_threads

_RINGS = 3
"""Of pixels around a missing one, in which valid ones are looked for."""


def resample(
    image: NDArray[np.floating], scale: float, shift: tuple[float, float]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Take each output pixel p from the image at c + scale·(p - c) + shift, c being the image's centre.

    Parameters
    ----------
    image : (y, x); NaN pixels are bridged from their neighbours, and stay NaN where they are the nearest source
    scale : magnification of the image over that of the output grid
    shift : (dy, dx) pixels, position in the image minus position on the output grid

    Returns
    -------
    out : (y, x) float32, NaN outside the image's view
    noise_y, noise_x : (y,), (x,) the variance of white noise in out[i, j] is noise_y[i]·noise_x[j] of that in `image`
    """
    source = np.ascontiguousarray(image, dtype=np.float32)
    height, width = source.shape
    first_y, taps_y = _taps(height, scale, shift[0])
    first_x, taps_x = _taps(width, scale, shift[1])
    valid = np.isfinite(source)
    whole = bool(valid.all())
    bridged = source if whole else bridge(source)
    out = np.empty_like(source)
    given = bridged, valid, whole, first_y, taps_y, first_x, taps_x, out
    in_threads(height, lambda first, last: _separable(first, last, *given))
    return out, (taps_y**2).sum(axis=1), (taps_x**2).sum(axis=1)


def bridge(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """A copy whose NaN pixels hold the mean of valid ones around, else the nearest value; all NaN becomes zero."""
    out = image.copy()
    holes = np.argwhere(~np.isfinite(out))
    if len(holes) == out.size:
        return np.zeros_like(out)
    if _fill(out, image, holes) > 0:
        # A part of the sensor that is dead: to search it ring by ring would take minutes.
        deep = np.isnan(out)
        nearest = distance_transform_edt(~np.isfinite(image), return_distances=False, return_indices=True)
        out[deep] = image[tuple(index[deep] for index in nearest)]
    return out


@njit(cache=True, nogil=True)
def _fill(out: NDArray[np.float32], image: NDArray[np.float32], holes: NDArray[np.intp]) -> int:
    """Fill the holes (n, 2) that have valid pixels around, by the mean of the nearest ring; how many have none."""
    height, width = image.shape
    deep = 0
    for k in range(len(holes)):
        y, x = holes[k]
        out[y, x] = np.nan
        for ring in range(1, _RINGS + 1):
            total = 0.0
            count = 0
            for i in range(max(0, y - ring), min(height, y + ring + 1)):
                for j in range(max(0, x - ring), min(width, x + ring + 1)):
                    if np.isfinite(image[i, j]):
                        total += image[i, j]
                        count += 1
            if count > 0:
                out[y, x] = total / count
                break
        deep += np.isnan(out[y, x])
    return deep


def _taps(size: int, scale: float, shift: float) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """First source index and the four weights for each output index; the weights are NaN outside the view."""
    centre = (size - 1) / 2
    position = centre + scale * (np.arange(size) - centre) + shift
    base = np.floor(position).astype(np.int64)
    taps = np.stack(cubic_weights(position - base), axis=1).astype(np.float32)
    taps[(position < 0) | (position > size - 1)] = np.nan
    return base - 1, taps


@njit(cache=True, nogil=True)
def _separable(
    first: int,
    last: int,
    image: NDArray[np.float32],
    valid: NDArray[np.bool_],
    whole: bool,
    first_y: NDArray[np.int64],
    taps_y: NDArray[np.float32],
    first_x: NDArray[np.int64],
    taps_x: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    height, width = image.shape
    for y in range(first, last):
        row = np.zeros(width, dtype=np.float32)
        for k in range(4):
            w = taps_y[y, k]
            source = min(max(first_y[y] + k, 0), height - 1)
            for x in range(width):
                row[x] += w * image[source, x]
        near_y = min(max(first_y[y] + (1 if taps_y[y, 1] >= taps_y[y, 2] else 2), 0), height - 1)
        for x in range(width):
            value = np.float32(0.0)
            for k in range(4):
                value += taps_x[x, k] * row[min(max(first_x[x] + k, 0), width - 1)]
            if not whole:
                near_x = min(max(first_x[x] + (1 if taps_x[x, 1] >= taps_x[x, 2] else 2), 0), width - 1)
                if not valid[near_y, near_x]:
                    value = np.float32(np.nan)
            out[y, x] = value
