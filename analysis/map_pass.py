"""The pass over all pixels of a XANES scan, from its frames to the map, compiled."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from redoxscope.analysis.finder import Finder
from redoxscope.analysis.finding import FAST, combine, find_edges
from redoxscope.analysis.frame_stack import BLACK, TILE, bridge


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _doubt(
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
def evaluate_tiles(
    first: int,
    last: int,
    frames: NDArray[np.float32],
    rows: NDArray[np.intp],
    holes: NDArray[np.int64],
    usable: NDArray[np.bool_],
    fold: NDArray[np.float32],
    whiten: NDArray[np.float32],
    limit: float,
    find: Finder,
    plain: Finder,
    half: NDArray[np.float32],
    half_variance: float,
    lacking: float,
    drift: float,
    trend: float,
    unseen: float,
    sample: NDArray[np.float32],
    at: NDArray[np.float32],
    sigma: NDArray[np.float32],
    total: NDArray[np.float32],
    jump: NDArray[np.float32],
    strange: NDArray[np.bool_],
    sums: NDArray[np.float64],
) -> None:
    """Edge, sigma and jump of the pixels of some tiles of a `FrameStack`, in one pass over them: see `in_threads`.

    Parameters
    ----------
    first, last : the tiles
    frames, rows, holes, usable : of the stack; only these rows are looked at. Where samples are missing in a tile that
        is said to have none, its `holes` become -1, and it is not evaluated
    fold : (k, n) coefficients of a basis as `learn` makes it, or (0, n): the samples are evaluated by `plain`
    whiten : (n,) one over the samples' relative standard deviation
    limit : a spectrum whose residual, in units of its sample variance, exceeds this is evaluated by `plain`
    find, plain : see `Finder`; of k coefficients, and of n samples
    half : (3, pixel) a line for `find_edges` and the edge it was right for, eV from the nominal one, or (0, pixel)
    half_variance, lacking : variance of its noise, and of what the folded rows may lack, in units of the pixel's sample
        variance
    drift, trend : relative standard deviation of the jump that comes on top of it, and that per eV of the edge's way
    unseen : standard deviation (eV) of the edge's place that folded spectra do not show
    sample : (pixel,) or (1,) standard deviation of a sample; NaN if unknown
    at, sigma, jump, strange : (pixel,) are filled; eV from the nominal edge, that by the samples' noise in eV; whether
        evaluated by `plain`
    total : (pixel,) is filled with sigma and what is not known on top of the noise; or (0,) where nothing is left open
    sums : (tile, 2) is filled with the sums of jump² and jump·slope
    """
    for b in range(first, last):
        block = _picked(frames, rows, b * TILE, min(TILE, at.size - b * TILE), holes[b] > 0)
        if holes[b] <= 0 and not _finite(block):
            holes[b] = -1
            continue
        part = slice(b * TILE, min(at.size, (b + 1) * TILE))
        noise = sample[part] if sample.size > 1 else np.repeat(sample, part.stop - part.start)
        sums[b, 0], sums[b, 1] = _evaluate(
            block,
            usable[part],
            fold,
            whiten,
            limit,
            find,
            plain,
            half[:, part],
            half_variance,
            lacking,
            drift,
            trend,
            unseen,
            noise,
            at[part],
            sigma[part],
            total[part],
            jump[part],
            strange[part],
        )


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _evaluate(
    block: NDArray[np.float32],
    usable: NDArray[np.bool_],
    fold: NDArray[np.float32],
    whiten: NDArray[np.float32],
    limit: float,
    find: Finder,
    plain: Finder,
    half: NDArray[np.float32],
    half_variance: float,
    lacking: float,
    drift: float,
    trend: float,
    unseen: float,
    noise: NDArray[np.float32],
    at: NDArray[np.float32],
    sigma: NDArray[np.float32],
    total: NDArray[np.float32],
    jump: NDArray[np.float32],
    strange: NDArray[np.bool_],
) -> tuple[float, float]:
    """One tile's pixels; its two sums."""
    n, terms, size = block.shape[0], fold.shape[0], at.size
    level = np.ascontiguousarray(half)
    height = np.zeros((2, size), dtype=np.float32)
    c = block
    if terms > 0:
        c = np.zeros((terms, size), dtype=np.float32)
        combine(fold, block, c)
    by = find if terms > 0 else plain
    combine(by.jump.reshape(1, -1), c, height[:1])
    combine(by.slope.reshape(1, -1), c, height[1:])
    steep = np.empty(size, dtype=np.float32)
    find_edges(by, c, level, at, sigma, steep)
    _doubt(at, steep, level, half_variance, lacking, height[0], drift, trend, noise, sigma, total)
    count = _misfits(block, c, whiten, noise, limit, usable, strange) if terms > 0 else 0
    if count > 0:
        own = np.empty((n, count), dtype=np.float32)
        own_level = np.empty((half.shape[0], count), dtype=np.float32)
        own_at, own_sigma = np.empty(count, dtype=np.float32), np.empty(count, dtype=np.float32)
        own_steep, own_noise = np.empty(count, dtype=np.float32), np.empty(count, dtype=np.float32)
        own_total = np.empty(min(count, total.size), dtype=np.float32)
        where = np.flatnonzero(strange)
        for q in range(count):
            p = where[q]
            own_noise[q] = noise[p]
            for i in range(n):
                own[i, q] = block[i, p]
            for i in range(own_level.shape[0]):
                own_level[i, q] = level[i, p]
        own_height = np.zeros((1, count), dtype=np.float32)
        combine(plain.jump.reshape(1, -1), own, own_height)
        find_edges(plain, own, own_level, own_at, own_sigma, own_steep)
        of_half = (half_variance, 0.0, own_height[0], drift, trend)
        _doubt(own_at, own_steep, own_level, *of_half, own_noise, own_sigma, own_total)
        for q in range(count):
            p = where[q]
            at[p], sigma[p], height[0, p] = own_at[q], own_sigma[q], own_height[0, q]
            if total.size > 0:
                total[p] = own_total[q]
    first, second = 0.0, 0.0
    tall, lean = height[0], height[1]
    for p in range(size):
        sigma[p] *= noise[p]
        jump[p] = tall[p] if usable[p] else np.float32(np.nan)
        if usable[p]:
            first += float(tall[p] * tall[p])
            second += float(tall[p] * lean[p])
    for p in range(total.size):
        over = np.float32(0.0) if strange[p] else np.float32(unseen)
        total[p] = np.sqrt(total[p] * noise[p] * total[p] * noise[p] + over * over)
    return first, second


@njit(cache=True, nogil=True, error_model="numpy")
def _picked(
    frames: NDArray[np.float32], rows: NDArray[np.intp], start: int, size: int, holed: bool
) -> NDArray[np.float32]:
    """(rows, size) of a tile's samples, missing ones bridged."""
    block = np.empty((rows.size, size), dtype=np.float32)
    total = np.zeros(size, dtype=np.float32)
    for i in range(rows.size):
        source, target = frames[rows[i], start : start + size], block[i]
        for p in range(size):
            target[p] = source[p]
        if holed:
            for p in range(size):
                total[p] += target[p]
    if holed:
        for p in range(size):
            if np.isnan(total[p]):
                bridge(block, p)
    return block


@njit(cache=True, nogil=True, error_model="numpy")
def _finite(block: NDArray[np.float32]) -> bool:
    samples, missing = block.reshape(-1), 0
    for i in range(samples.size):
        missing += 0 if abs(samples[i]) < np.float32(BLACK) else 1
    return missing == 0


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _misfits(
    block: NDArray[np.float32],
    c: NDArray[np.float32],
    whiten: NDArray[np.float32],
    noise: NDArray[np.float32],
    limit: float,
    usable: NDArray[np.bool_],
    odd: NDArray[np.bool_],
) -> int:
    """Mark the usable pixels of a block whose residual exceeds the limit; how many they are.

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
    count = 0
    for p in range(size):
        unit = noise[p] if noise[p] > np.float32(0.0) else np.float32(1.0)
        rest = total[p] - inside[p]
        large = (rest > np.float32(limit) * unit * unit) & (rest > np.float32(1e-6) * total[p])
        odd[p] = usable[p] & large
        count += 1 if odd[p] else 0
    return count


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def judge(
    first: int,
    last: int,
    energy: NDArray[np.float32],
    sigma: NDArray[np.float32],
    state: NDArray[np.uint8],
    jump: NDArray[np.float32],
    strange: NDArray[np.bool_],
    sample: NDArray[np.float32],
    least: float,
    over: float,
    over_strange: float,
    origin: float,
    known: int,
) -> None:
    """Give pixels of some tiles their `state`, and those without enough jump, or without a crossing, no edge energy.

    `energy` comes as eV from the nominal edge and leaves as eV, `origin` added. A jump of at most `least`, or of fewer
    than `over` standard deviations `sample` (another number where the pixel is `strange`), is not enough; a sample
    sigma of NaN means that no noise was given: then only the jump itself decides.
    """
    nothing = np.float32(np.nan)
    same = sample.size == 1
    for p in range(first * TILE, min(last * TILE, energy.size)):
        enough = np.float32(over_strange if strange[p] else over) * sample[0 if same else p]
        good = (jump[p] > np.float32(least)) & (not jump[p] < enough) & (not np.isnan(energy[p]))
        energy[p] = np.float32(energy[p] + origin) if good else nothing
        sigma[p] = sigma[p] if good else nothing
        state[p] = np.uint8(known) if good else np.uint8(0)
