"""The half-jump crossing in spectra that lie by energy, as the folded projections of a volume do."""

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from redoxscope.analysis.finder import CROSSING, Finder, crossing_intervals
from redoxscope.analysis.finding import FAST, combine, find_edges

_BLOCK = 1024


@njit(parallel=True, cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _find_rows(
    spectra: NDArray[np.float32],
    fold: NDArray[np.float32],
    find: Finder,
    half: NDArray[np.float32],
    half_variance: float,
    at: NDArray[np.float32],
    sigma: NDArray[np.float32],
    jump: NDArray[np.float32],
) -> None:
    pixels = spectra.shape[1]
    for b in prange((pixels + _BLOCK - 1) // _BLOCK):
        low, high = b * _BLOCK, min(pixels, (b + 1) * _BLOCK)
        block = np.ascontiguousarray(spectra[:, low:high])
        c = np.zeros((fold.shape[0], high - low), dtype=np.float32)
        combine(fold, block, c)
        height = np.zeros((1, high - low), dtype=np.float32)
        combine(find.jump.reshape(1, -1), c, height)
        jump[low:high] = height[0]
        steep = np.empty(high - low, dtype=np.float32)
        find_edges(find, c, np.ascontiguousarray(half[:, low:high]), at[low:high], sigma[low:high], steep)
        for p in range(low, high):
            rise = steep[p - low]
            sigma[p] = np.sqrt(sigma[p] * sigma[p] + np.float32(half_variance) / (rise * rise))


def first_crossing(
    spectra: NDArray[np.float32],
    fold: NDArray[np.float32],
    above: NDArray[np.float32],
    jump_of: NDArray[np.float32],
    x: NDArray[np.float64],
    spread: NDArray[np.float64],
    half: NDArray[np.float32],
    half_variance: float,
    crossing: NDArray[np.float64],
    sigma: NDArray[np.float32],
    jump: NDArray[np.float32],
) -> None:
    """First upward crossing of zero by above·fold·A, pixel by pixel, in one pass over the spectra.

    Parameters
    ----------
    spectra : (n, pixel) absorbance without NaN
    fold : (k, n) coefficients of a subspace; above : (m, k), jump_of : (k,) functionals of the coefficients
    x : (m,) ascending, all different
    spread : (m, 2) or (m, 4) covariance of row j with rows j, j + 1 ..., for samples of unit variance. With two the
        crossing is on the straight line between two samples, with four on the cubic through the four around it
    half : (2, pixel) value at x = 0 and slope, subtracted from `above`; half_variance : its variance, in units of the
        pixel's sample variance
    crossing, sigma, jump : (pixel,) are filled; sigma in units of the samples' standard deviation; NaN where there
        is no crossing
    """
    m = x.size
    covariance = np.zeros((m, m))
    for k in range(min(spread.shape[1], m)):
        at = np.arange(m - k)
        covariance[at, at + k] = covariance[at + k, at] = spread[: m - k, k]
    intervals = crossing_intervals(x, covariance, cubic=spread.shape[1] >= 4)
    nothing = np.zeros((0, above.shape[1]), dtype=np.float32)
    find = Finder(above, x.astype(np.float32), nothing, CROSSING, *intervals, jump_of, np.zeros_like(jump_of))
    found = np.empty(spectra.shape[1], dtype=np.float32)
    _find_rows(spectra, fold, find, half, half_variance, found, sigma, jump)
    crossing[:] = found
