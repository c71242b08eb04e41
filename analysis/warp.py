"""Drift, jitter and magnification of whole sets of projections undone, in one interpolation by cubic splines.

Not merged with `resample` (cubic convolution): a spline keeps more of the picture (error on exact projections 0.28 %
of the maximum where convolution has 0.31 %; median voxel error of the recorded 3D scan 0.115 and 0.119 eV), and costs
four times as much, mostly in the prefilter, and its noise factors are not those of four taps, which maps rely on.
"""

import numpy as np
from numba import njit, prange
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

Floats = NDArray[np.floating]


def spline_coefficients(frames: Floats) -> NDArray[np.float32]:
    """Cubic B-spline coefficients of (..., row, col), to be evaluated by `warp`."""
    out = ndimage.spline_filter1d(frames, 3, axis=-2, mode="mirror", output=np.float32)
    return np.asarray(ndimage.spline_filter1d(out, 3, axis=-1, mode="mirror", output=np.float32))


def warp(coefficients: NDArray[np.float32], shift: ArrayLike, scale: float = 1.0) -> NDArray[np.float32]:
    """Frames as they would be without drift and magnification, in one interpolation.

    out(y, x) = frame(c + scale·(p - c) + shift), with c the centre of the frame; the border is repeated outwards.

    Parameters
    ----------
    coefficients : (n, row, col) from `spline_coefficients`
    shift : (2,) px (dy, dx) for all frames, or (n, 2) for each
    scale : magnification of these frames
    """
    out = np.empty_like(coefficients)
    shifts = np.ascontiguousarray(np.broadcast_to(np.asarray(shift, dtype=np.float64), (len(out), 2)))
    _evaluate(np.ascontiguousarray(coefficients), shifts, float(scale), out)
    return out


@njit(inline="always")
def _knots(at: float, n: int, index: NDArray[np.intp], weight: NDArray[np.float32]) -> None:
    """The four spline knots around a position, mirrored at the border, and their weights."""
    p = min(max(at, 0.0), n - 1.0)
    base = int(np.floor(p))
    t = p - base
    weight[0] = (1 - t) ** 3 / 6
    weight[1] = (4 - 6 * t * t + 3 * t**3) / 6
    weight[2] = (1 + 3 * t + 3 * t * t - 3 * t**3) / 6
    weight[3] = t**3 / 6
    for k in range(4):
        i = abs(base - 1 + k)
        if i > n - 1:
            i = 2 * (n - 1) - i
        index[k] = max(i, 0)


@njit(parallel=True, cache=True, nogil=True)
def _evaluate(coef: Floats, shifts: Floats, scale: float, out: Floats) -> None:
    frames, rows, cols = coef.shape
    for f in prange(frames):
        iy = np.empty((rows, 4), dtype=np.intp)
        ix = np.empty((cols, 4), dtype=np.intp)
        wy = np.empty((rows, 4), dtype=np.float32)
        wx = np.empty((cols, 4), dtype=np.float32)
        for y in range(rows):
            _knots(0.5 * (rows - 1) * (1 - scale) + scale * y + shifts[f, 0], rows, iy[y], wy[y])
        for x in range(cols):
            _knots(0.5 * (cols - 1) * (1 - scale) + scale * x + shifts[f, 1], cols, ix[x], wx[x])
        line = np.empty(cols, dtype=np.float32)
        for y in range(rows):
            line[:] = 0
            for k in range(4):
                source = coef[f, iy[y, k]]
                for x in range(cols):
                    line[x] += wy[y, k] * source[x]
            for x in range(cols):
                s = np.float32(0.0)
                for k in range(4):
                    s += wx[x, k] * line[ix[x, k]]
                out[f, y, x] = s
