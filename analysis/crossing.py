"""The passes over all pixels of a XANES scan, compiled: bridging of missing samples, and the half-jump crossing.

Blocks of pixels stay in the cache while they are folded and evaluated, so that the spectra are read once; numpy would
write each step to memory and read it again.
"""

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def _cubic(x: NDArray[np.float64], y: NDArray[np.float64], at: float) -> tuple[float, float]:
    """Value and slope of the cubic through four points, in Newton's form."""
    a, b, c = (y[1] - y[0]) / (x[1] - x[0]), (y[2] - y[1]) / (x[2] - x[1]), (y[3] - y[2]) / (x[3] - x[2])
    d, e = (b - a) / (x[2] - x[0]), (c - b) / (x[3] - x[1])
    f = (e - d) / (x[3] - x[0])
    u, v, w = at - x[0], at - x[1], at - x[2]
    return y[0] + u * (a + v * (d + w * f)), a + d * (u + v) + f * (u * v + (u + v) * w)


@njit(cache=True, nogil=True)
def _root(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """Where the cubic through four points crosses zero between the middle two, and its slope there.

    A straight line between the two where the cubic bends too much to be believed.
    """
    low, high = x[1], x[2]
    rise = (y[2] - y[1]) / (x[2] - x[1])
    line = low - y[1] / rise
    at = line
    slope = rise
    for _ in range(12):
        value, slope = _cubic(x, y, at)
        if value < 0:
            low = at
        else:
            high = at
        step = -value / slope if slope > 0 else 0.0
        if slope <= 0 or not low <= at + step <= high:
            step = (low + high) / 2 - at
        at += step
        if abs(step) < 1e-4:
            break
    if slope < 0.3 * rise:
        return line, rise
    return at, slope


@njit(parallel=True, cache=True, nogil=True)
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
    n, pixels = spectra.shape
    terms = fold.shape[0]
    m = x.size
    smooth = spread.shape[1] >= 4
    block = 256
    for b in prange((pixels + block - 1) // block):
        low = b * block
        size = min(pixels, low + block) - low
        c = np.zeros((terms, size), dtype=np.float32)
        for k in range(terms):
            for i in range(n):
                w = fold[k, i]
                if w != 0.0:
                    for p in range(size):
                        c[k, p] += w * spectra[i, low + p]
        d = np.empty((m, size), dtype=np.float32)
        for j in range(m):
            for p in range(size):
                d[j, p] = -(half[0, low + p] + half[1, low + p] * np.float32(x[j]))
            for k in range(terms):
                w = above[j, k]
                if w != 0.0:
                    for p in range(size):
                        d[j, p] += w * c[k, p]
        y = np.empty(4)
        weights = np.empty(4)
        for p in range(size):
            q = low + p
            crossing[q] = np.nan
            sigma[q] = np.nan
            total = np.float32(0.0)
            for k in range(terms):
                total += jump_of[k] * c[k, p]
            jump[q] = total
            j = 1
            while j < m and not d[j - 1, p] < 0.0 <= d[j, p]:
                j += 1
            if j >= m:
                continue
            count, first = 2, j - 1
            slope = (d[j, p] - d[j - 1, p]) / (x[j] - x[j - 1])
            at = x[j - 1] - d[j - 1, p] / slope
            if smooth and 2 <= j < m - 1:
                count, first = 4, j - 2
                for i in range(4):
                    y[i] = d[first + i, p]
                at, slope = _root(x[first : first + 4], y)
            variance = half_variance
            for i in range(count):
                weights[i] = 1.0
                for k in range(count):
                    if k != i:
                        weights[i] *= (at - x[first + k]) / (x[first + i] - x[first + k])
                variance += weights[i] ** 2 * spread[first + i, 0]
                for k in range(i):
                    variance += 2 * weights[i] * weights[k] * spread[first + k, i - k]
            crossing[q] = at
            sigma[q] = np.sqrt(variance) / slope


@njit(parallel=True, cache=True, nogil=True)
def bridge_spectra(spectra: NDArray[np.float32], windows: NDArray[np.bool_], missing: NDArray[np.int32]) -> None:
    """Replace NaN samples, in place, by interpolation between the nearest valid ones on both sides in energy.

    `spectra` is (n, pixel), ascending in energy; `missing` (w, pixel) is filled with how many were NaN within each of
    the `windows` (w, n). A pixel without any valid sample becomes zero.
    """
    n, pixels = spectra.shape
    for p in prange(pixels):
        missing[:, p] = 0
        first = -1
        for i in range(n):
            if not np.isnan(spectra[i, p]):
                first = i
                break
        last = first
        for i in range(n):
            if not np.isnan(spectra[i, p]):
                last = i
                continue
            for w in range(windows.shape[0]):
                missing[w, p] += windows[w, i]
            after = i + 1
            while after < n and np.isnan(spectra[after, p]):
                after += 1
            if first < 0:
                spectra[i, p] = 0.0
            elif i < first:
                spectra[i, p] = spectra[first, p]
            elif after == n:
                spectra[i, p] = spectra[last, p]
            else:
                step = (spectra[after, p] - spectra[i - 1, p]) / (after - i + 1)
                spectra[i, p] = spectra[i - 1, p] + step
