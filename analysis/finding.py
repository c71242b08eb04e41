"""Edge energies of a block of pixels, compiled: what the passes over all pixels are made of.

Blocks stay in the cache from the samples to the edge energy, so that the spectra are read once; numpy would write each
step to memory and read it again. Inner loops run over the pixels of a block, on contiguous slices, in functions that
cannot fail (a division by zero is no error): only then does the compiler make vector instructions of them.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from redoxscope.analysis.finder import CROSSING, Finder

FAST = {"contract", "reassoc", "arcp", "nsz"}
"""Sums may be regrouped and products fused, the same way every time; NaN keep their meaning."""
_STEPS = 6


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def combine(weights: NDArray[np.float32], values: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Add weights (k, n) · values (n, pixel) to out (k, pixel).

    Four values at a time for all k: they come from the cache once, and each pass over `out` does four products.
    """
    terms, n = weights.shape
    size = out.shape[1]
    i = 0
    while i + 4 <= n:
        u, v, w, z = values[i], values[i + 1], values[i + 2], values[i + 3]
        for k in range(terms):
            a, b, c, d = weights[k, i], weights[k, i + 1], weights[k, i + 2], weights[k, i + 3]
            target = out[k]
            if (a != 0.0) | (b != 0.0) | (c != 0.0) | (d != 0.0):
                for p in range(size):
                    target[p] += (a * u[p] + b * v[p]) + (c * w[p] + d * z[p])
        i += 4
    while i + 2 <= n:
        u, v = values[i], values[i + 1]
        for k in range(terms):
            a, b = weights[k, i], weights[k, i + 1]
            target = out[k]
            for p in range(size):
                target[p] += a * u[p] + b * v[p]
        i += 2
    if i < n:
        u = values[i]
        for k in range(terms):
            a = weights[k, i]
            target = out[k]
            for p in range(size):
                target[p] += a * u[p]


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def find_edges(
    find: Finder,
    c: NDArray[np.float32],
    half: NDArray[np.float32],
    at: NDArray[np.float32],
    sigma: NDArray[np.float32],
    steep: NDArray[np.float32],
) -> None:
    """Edge (eV from the nominal one) and its sigma, in units of the samples', of pixels with coefficients c (k, pixel).

    `half` (2 or more, pixel), or (0, ...) for none, is a line (at the nominal edge, per eV) that is taken from the
    rows. `steep` is how fast they rise at the edge, per eV.
    """
    size = c.shape[1]
    m = find.x.size
    d = np.zeros((m, size), dtype=np.float32)
    if half.shape[0] > 0:
        level, rise = half[0], half[1]
        for j in range(m):
            target, x = d[j], find.x[j]
            for p in range(size):
                target[p] = -(level[p] + rise[p] * x)
    combine(find.rows, c, d)
    pointed = np.zeros(size, dtype=np.int32)
    if find.mode == CROSSING:
        for j in range(m - 1, 0, -1):
            _first_sign_change(d[j - 1], d[j], np.int32(j), pointed)
    else:
        score = np.zeros((find.score.shape[0], size), dtype=np.float32)
        combine(find.score, c, score)
        best = score[0].copy()
        for j in range(1, score.shape[0]):
            row, number = score[j], np.int32(j)
            for p in range(size):
                larger = row[p] > best[p]
                pointed[p] = number if larger else pointed[p]
                best[p] = row[p] if larger else best[p]
    a = np.empty((4, size), dtype=np.float32)
    e = np.empty((7, size), dtype=np.float32)
    low, width = np.empty(size, dtype=np.float32), np.empty(size, dtype=np.float32)
    _look_up(find, pointed, d.reshape(-1), a, e, low, width)
    _roots(a, e, low, width, at, sigma, steep)
    if find.rise.shape[1] > 0:
        _steady(find, pointed, d.reshape(-1), sigma, steep)


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _first_sign_change(
    before: NDArray[np.float32], after: NDArray[np.float32], number: np.int32, pointed: NDArray[np.int32]
) -> None:
    """Write the interval's number where it goes from below zero to above."""
    for p in range(pointed.size):
        up = (before[p] < np.float32(0.0)) & (after[p] >= np.float32(0.0))
        pointed[p] = number if up else pointed[p]


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _look_up(
    find: Finder,
    pointed: NDArray[np.int32],
    d: NDArray[np.float32],
    a: NDArray[np.float32],
    e: NDArray[np.float32],
    low: NDArray[np.float32],
    width: NDArray[np.float32],
) -> None:
    """Each pixel's polynomial, from its values d (m·pixel) and its interval's tables, and that of its variance.

    Unsigned numbers as indices: the others are asked whether they count from the end.
    """
    size = np.uint64(low.size)
    count = np.uint64(find.taps.shape[2])
    taps, noise = find.taps.reshape(-1), find.noise.reshape(-1)
    a0, a1, a2, a3 = a[0], a[1], a[2], a[3]
    e0, e1, e2, e3, e4, e5, e6 = e[0], e[1], e[2], e[3], e[4], e[5], e[6]
    one, two, three = np.uint64(1), np.uint64(2), np.uint64(3)
    for p in range(size):
        j = np.uint64(pointed[p])
        width[p] = find.width[j]
        low[p] = find.low[j]
        y = np.uint64(find.first[j]) * size + p
        t = j * np.uint64(4) * count
        b0 = b1 = b2 = b3 = np.float32(0.0)
        for i in range(count):
            v, r = d[y + i * size], t + i
            b0 += taps[r] * v
            b1 += taps[r + count] * v
            b2 += taps[r + two * count] * v
            b3 += taps[r + three * count] * v
        a0[p], a1[p], a2[p], a3[p] = b0, b1, b2, b3
        n = j * np.uint64(7)
        e0[p], e1[p], e2[p], e3[p] = noise[n], noise[n + one], noise[n + two], noise[n + three]
        n += three
        e4[p], e5[p], e6[p] = noise[n + one], noise[n + two], noise[n + three]


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _steady(
    find: Finder,
    pointed: NDArray[np.int32],
    d: NDArray[np.float32],
    sigma: NDArray[np.float32],
    steep: NDArray[np.float32],
) -> None:
    """Take how fast the values d (m·pixel) rise at the edge, and sigma by it, from more of them than the interval's."""
    size = np.uint64(steep.size)
    count = np.uint64(find.rise.shape[1])
    weights = find.rise.reshape(-1)
    for p in range(size):
        j = np.uint64(pointed[p])
        y, r = np.uint64(find.around[j]) * size + p, j * count
        slope = np.float32(0.0)
        for i in range(count):
            slope += weights[r + i] * d[y + i * size]
        slope = max(slope, np.float32(0.1) * steep[p])
        sigma[p] *= steep[p] / slope
        steep[p] = slope


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _roots(
    a: NDArray[np.float32],
    e: NDArray[np.float32],
    low: NDArray[np.float32],
    width: NDArray[np.float32],
    at: NDArray[np.float32],
    sigma: NDArray[np.float32],
    steep: NDArray[np.float32],
) -> None:
    """Root of a cubic a (4, pixel) between t = 0, where it is below zero, and 1: Newton's steps, kept in between.

    On the straight line between both ends where the cubic bends too much to be believed.
    """
    a0, a1, a2, a3 = a[0], a[1], a[2], a[3]
    e0, e1, e2, e3, e4, e5, e6 = e[0], e[1], e[2], e[3], e[4], e[5], e[6]
    zero, one, two, three = np.float32(0), np.float32(1), np.float32(2), np.float32(3)
    for p in range(low.size):
        rise = a1[p] + a2[p] + a3[p]
        line = -a0[p] / rise
        left, right, t = zero, one, line
        slope = rise
        for _ in range(_STEPS):
            value = a0[p] + t * (a1[p] + t * (a2[p] + t * a3[p]))
            slope = a1[p] + t * (two * a2[p] + t * three * a3[p])
            below = value < zero
            left = t if below else left
            right = right if below else t
            newton = t - value / slope
            inside = (slope > zero) & (newton >= left) & (newton <= right)
            t = newton if inside else (left + right) * np.float32(0.5)
        slope = a1[p] + t * (two * a2[p] + t * three * a3[p])
        bent = slope < np.float32(0.3) * rise
        t = line if bent else t
        slope = rise if bent else slope
        variance = e0[p] + t * (e1[p] + t * (e2[p] + t * (e3[p] + t * (e4[p] + t * (e5[p] + t * e6[p])))))
        found = (width[p] > zero) & (a0[p] < zero) & (rise > zero)
        at[p] = low[p] + width[p] * t if found else np.float32(np.nan)
        sigma[p] = width[p] * np.sqrt(variance) / slope if found else np.float32(np.nan)
        steep[p] = slope / width[p]
