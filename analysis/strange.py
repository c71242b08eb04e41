"""Spectra that their basis, or the phases known so far, do not describe: found, and evaluated anew. Compiled."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from redoxscope.analysis.belonging import Belonging
from redoxscope.analysis.finder import Finder
from redoxscope.analysis.finding import FAST, combine, find_edges


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def add_doubt(
    at: NDArray[np.float32],
    steep: NDArray[np.float32],
    half: NDArray[np.float32],
    half_variance: float,
    lacking: float,
    jump: NDArray[np.float32],
    drift: float,
    trend: float,
    noise: NDArray[np.float32],
    sigma: NDArray[np.float32],
    total: NDArray[np.float32],
) -> None:
    """Add the noise of half the jump to sigma, and what that is not known to on top of it: see `evaluate_tiles`."""
    known = half.shape[0] > 0
    for p in range(total.size):
        level = (half[0, p] if known else np.float32(0.5) * jump[p]) / noise[p]
        moved = at[p] - half[2, p] if known else np.float32(0.0)
        part = np.float32(drift * drift) + np.float32(trend * trend) * moved * moved
        flat = np.float32(1.0) / (steep[p] * steep[p])
        seen = sigma[p] * sigma[p] + np.float32(half_variance) * flat
        sigma[p] = np.sqrt(seen)
        more = np.float32(lacking) + (level * level * part if drift > 0 else np.float32(0.0))
        total[p] = np.sqrt(seen + more * flat)


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def mark_misfits(
    block: NDArray[np.float32],
    c: NDArray[np.float32],
    whiten: NDArray[np.float32],
    noise: NDArray[np.float32],
    limit: float,
    usable: NDArray[np.bool_],
    odd: NDArray[np.bool_],
) -> None:
    """Mark the usable pixels of a block whose residual exceeds the limit.

    The coefficients being those of an orthonormal basis of whitened spectra, the residual is the sum of their squares
    less that of the coefficients'. Where no more than rounding is left, it is nothing.
    """
    n, size = block.shape
    total, inside = np.zeros(size, dtype=np.float32), np.zeros(size, dtype=np.float32)
    for i in range(0, n - 1, 2):
        u, v, a, b = block[i], block[i + 1], whiten[i] * whiten[i], whiten[i + 1] * whiten[i + 1]
        for p in range(size):
            total[p] += a * u[p] * u[p] + b * v[p] * v[p]
    if n % 2:
        u, a = block[n - 1], whiten[n - 1] * whiten[n - 1]
        for p in range(size):
            total[p] += a * u[p] * u[p]
    for k in range(c.shape[0]):
        u = c[k]
        for p in range(size):
            inside[p] += u[p] * u[p]
    for p in range(size):
        unit = noise[p] if noise[p] > np.float32(0.0) else np.float32(1.0)
        rest = total[p] - inside[p]
        large = (rest > np.float32(limit) * unit * unit) & (rest > np.float32(1e-6) * total[p])
        odd[p] = usable[p] & large


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def mark_strangers(
    c: NDArray[np.float32],
    known: Belonging,
    half: NDArray[np.float32],
    noise: NDArray[np.float32],
    usable: NDArray[np.bool_],
    odd: NDArray[np.bool_],
    unlike: NDArray[np.bool_],
) -> None:
    """Mark the usable pixels, if not odd, with coefficients c (k, pixel) that are too far from what is known."""
    distance = np.zeros(half.size, dtype=np.float32)
    looked = np.zeros((known.spread.size, half.size), dtype=np.float32)
    combine(known.test, c, looked)
    for q in range(known.spread.size):
        row, spread = looked[q], known.spread[q]
        for p in range(half.size):
            distance[p] += row[p] * row[p] / (noise[p] * noise[p] + spread * half[p] * half[p])
    for p in range(half.size):
        if usable[p] and not odd[p] and distance[p] > np.float32(known.limit):
            unlike[p] = True


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def evaluate_anew(
    marked: NDArray[np.bool_],
    values: NDArray[np.float32],
    find: Finder,
    half: NDArray[np.float32],
    half_variance: float,
    lacking: float,
    drift: float,
    trend: float,
    noise: NDArray[np.float32],
    at: NDArray[np.float32],
    sigma: NDArray[np.float32],
    total: NDArray[np.float32],
    jump: NDArray[np.float32],
) -> None:
    """Edge, sigma and jump of those pixels of a block that are marked, from their values (k, pixel) by `find`."""
    where = np.flatnonzero(marked)
    count = where.size
    if count == 0:
        return
    own = np.empty((values.shape[0], count), dtype=np.float32)
    own_half = np.empty((half.shape[0], count), dtype=np.float32)
    own_at, own_sigma, own_steep, own_noise = np.empty((4, count), dtype=np.float32)
    own_total = np.empty(min(count, total.size), dtype=np.float32)
    for q in range(count):
        p = where[q]
        own_noise[q] = noise[p]
        for i in range(values.shape[0]):
            own[i, q] = values[i, p]
        for i in range(half.shape[0]):
            own_half[i, q] = half[i, p]
    own_jump = np.zeros((1, count), dtype=np.float32)
    combine(find.jump.reshape(1, -1), own, own_jump)
    find_edges(find, own, own_half, own_at, own_sigma, own_steep)
    of_half = (half_variance, lacking, own_jump[0], drift, trend)
    add_doubt(own_at, own_steep, own_half, *of_half, own_noise, own_sigma, own_total)
    for q in range(count):
        p = where[q]
        at[p], sigma[p], jump[p] = own_at[q], own_sigma[q], own_jump[0, q]
        if total.size > 0:
            total[p] = own_total[q]
