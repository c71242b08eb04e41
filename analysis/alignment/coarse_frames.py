"""Projections made small, whole and smooth, to be compared with each other."""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from redoxscope.analysis.threads import in_threads
from redoxscope.analysis.tomography.reconstruction import fill_missing

Floats = NDArray[np.floating]
Frames = NDArray[np.float32]
_LARGEST = 192
"""Frames are binned down to at most about this many pixels for the comparison; more add time, not accuracy."""
_KNOWN = 0.5
"""Share of a frame's pixels that must be finite for it to take part."""


@dataclass(frozen=True)
class Coarse:
    """A tomogram as it is compared with others: a hundredth of its size, of 2048² px."""

    frames: Frames
    """(angle, row, col) absorbance without gaps."""
    known: NDArray[np.bool_]
    """(angle,) whether at least half of the pixels were finite."""


def bin_factor(shape: tuple[int, ...]) -> int:
    """Side of the squares of pixels that (..., row, col) frames are averaged over before they are compared."""
    return max(1, -(-max(shape[-2:]) // _LARGEST))


def coarse_frames(frames: Floats, factor: int) -> tuple[Frames, NDArray[np.bool_]]:
    """Frames (frame, row, col), NaN where unknown, for the comparison.

    Returns
    -------
    coarse : (frame, row // factor, col // factor) means over squares, smoothed by (1, 2, 1)/4 along both axes
    known : (frame,) whether at least half of the frame's pixels are finite
    """
    given = np.ascontiguousarray(frames, dtype=np.float32)
    finite = np.array([np.count_nonzero(np.isfinite(frame)) for frame in given])
    known = finite >= _KNOWN * given[0].size
    if (finite < given[0].size).any():
        given = fill_missing(np.where(known[:, None, None], given, np.float32(np.nan))).astype(np.float32)
    out = np.empty((len(given), given.shape[1] // factor, given.shape[2] // factor), dtype=np.float32)
    in_threads(len(given), lambda first, last: _bin(first, last, given, factor, out))
    return out, known


@njit(cache=True, nogil=True, fastmath=True)
def _bin(first: int, last: int, frames: Frames, factor: int, out: Frames) -> None:
    _, rows, cols = out.shape
    for f in range(first, last):
        small = np.empty((rows, cols), dtype=np.float32)
        line = np.empty(frames.shape[2], dtype=np.float32)
        for y in range(rows):
            line[:] = 0
            for k in range(factor):
                for x in range(line.size):
                    line[x] += frames[f, y * factor + k, x]
            for x in range(cols):
                total = np.float32(0.0)
                for k in range(factor):
                    total += line[x * factor + k]
                small[y, x] = total / np.float32(factor * factor)
        across = np.empty(cols, dtype=np.float32)
        quarter, half = np.float32(0.25), np.float32(0.5)
        for y in range(rows):
            up, down = max(y - 1, 0), min(y + 1, rows - 1)
            for x in range(cols):
                across[x] = quarter * (small[up, x] + small[down, x]) + half * small[y, x]
            out[f, y, 0] = quarter * (3 * across[0] + across[min(1, cols - 1)])
            for x in range(1, cols - 1):
                out[f, y, x] = quarter * (across[x - 1] + across[x + 1]) + half * across[x]
            out[f, y, cols - 1] = quarter * (3 * across[cols - 1] + across[max(cols - 2, 0)])
