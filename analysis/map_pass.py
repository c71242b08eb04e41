"""The pass over all pixels of a XANES scan, from its frames to the map, compiled."""

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from redoxscope.analysis.finder import Finder
from redoxscope.analysis.finding import FAST, combine, find_edges
from redoxscope.analysis.frame_stack import bridge


@njit(cache=True, nogil=True, error_model="numpy")
def _spread_out(sample: NDArray[np.float32], low: int, out: NDArray[np.float32]) -> None:
    """The samples of `out`'s pixels, which begin at `low`; the same for all if there is only one."""
    if sample.size > 1:
        out[:] = sample[low : low + out.size]
    else:
        out[:] = sample[0]


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _more(
    half_variance: float,
    drift: float,
    half: NDArray[np.float32],
    jump: NDArray[np.float32],
    noise: NDArray[np.float32],
) -> NDArray[np.float32]:
    """(pixel,) variance of half the jump besides that of the samples, in units of it."""
    more = np.full(jump.size, half_variance).astype(np.float32)
    if drift > 0:
        for p in range(jump.size):
            off = np.float32(drift) * (half[0, p] if half.shape[0] > 0 else np.float32(0.5) * jump[p]) / noise[p]
            more[p] += off * off
    return more


@njit(parallel=True, cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def evaluate_tiles(
    tiles: NDArray[np.float32],
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
    drift: float,
    sample: NDArray[np.float32],
    at: NDArray[np.float32],
    sigma: NDArray[np.float32],
    jump: NDArray[np.float32],
    strange: NDArray[np.bool_],
    sums: NDArray[np.float64],
) -> None:
    """Edge, sigma and jump of all pixels of a `FrameStack`, in one pass over its tiles.

    Parameters
    ----------
    tiles, rows, holes, usable : of the stack; only these rows are looked at
    fold : (k, n) coefficients of a basis as `learn` makes it, or (0, n): the samples are evaluated by `plain`
    whiten : (n,) one over the samples' relative standard deviation
    limit : a spectrum whose residual, in units of its sample variance, exceeds this is evaluated by `plain`
    find, plain : see `Finder`; of k coefficients, and of n samples
    half : see `find_edges`; half_variance : its variance, in units of the pixel's sample variance
    drift : relative standard deviation of the jump that comes on top of it
    sample : (pixel,) or (1,) standard deviation of a sample; NaN if unknown
    at, sigma, jump, strange : (pixel,) are filled; eV from the nominal edge, sigma in eV; whether evaluated by `plain`
    sums : (tile, 2) is filled with the sums of jump² and jump·slope
    """
    n, terms = rows.size, fold.shape[0]
    tile = tiles.shape[2]
    for b in prange(tiles.shape[0]):
        low, high = b * tile, min(at.size, (b + 1) * tile)
        size = high - low
        block = np.empty((n, size), dtype=np.float32)
        for i in range(n):
            source, target = tiles[b, rows[i]], block[i]
            for p in range(size):
                target[p] = source[p]
        if holes[b] > 0:
            total = np.zeros(size, dtype=np.float32)
            for i in range(n):
                target = block[i]
                for p in range(size):
                    total[p] += target[p]
            for p in range(size):
                if np.isnan(total[p]):
                    bridge(block, p)
        noise = np.empty(size, dtype=np.float32)
        _spread_out(sample, low, noise)
        height = np.zeros((2, size), dtype=np.float32)
        level = np.ascontiguousarray(half[:, low:high])
        here, spread = at[low:high], sigma[low:high]
        if terms == 0:
            combine(plain.jump.reshape(1, -1), block, height[:1])
            combine(plain.slope.reshape(1, -1), block, height[1:])
            more = _more(half_variance, drift, level, height[0], noise)
            find_edges(plain, block, level, more, here, spread)
        else:
            c = np.zeros((terms, size), dtype=np.float32)
            combine(fold, block, c)
            combine(find.jump.reshape(1, -1), c, height[:1])
            combine(find.slope.reshape(1, -1), c, height[1:])
            more = _more(half_variance, drift, level, height[0], noise)
            find_edges(find, c, level, more, here, spread)
            odd = strange[low:high]
            count = _misfits(block, c, whiten, noise, limit, usable[low:high], odd)
            if count > 0:
                where = np.flatnonzero(odd)
                own, own_level = block[:, where], level[:, where]
                own_height = np.zeros((1, count), dtype=np.float32)
                combine(plain.jump.reshape(1, -1), own, own_height)
                own_at, own_sigma = np.empty(count, dtype=np.float32), np.empty(count, dtype=np.float32)
                find_edges(plain, own, own_level, more[where], own_at, own_sigma)
                for q in range(count):
                    here[where[q]] = own_at[q]
                    spread[where[q]] = own_sigma[q]
                    height[0, where[q]] = own_height[0, q]
        first, second = 0.0, 0.0
        ok, tall, lean, out = usable[low:high], height[0], height[1], jump[low:high]
        for p in range(size):
            spread[p] *= noise[p]
            out[p] = tall[p] if ok[p] else np.float32(np.nan)
            if ok[p]:
                first += float(tall[p] * tall[p])
                second += float(tall[p] * lean[p])
        sums[b, 0], sums[b, 1] = first, second


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


@njit(parallel=True, cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def judge(
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
    """Give pixels their `state`, and those without enough jump, or without a crossing, no edge energy.

    `energy` comes as eV from the nominal edge and leaves as eV, `origin` added. A jump of at most `least`, or of fewer
    than `over` standard deviations `sample` (another number where the pixel is `strange`), is not enough; a sample
    sigma of NaN means that no noise was given: then only the jump itself decides.
    """
    nothing = np.float32(np.nan)
    for b in prange((energy.size + 4095) // 4096):
        part = slice(b * 4096, min((b + 1) * 4096, energy.size))
        at, spread, out, height, odd = energy[part], sigma[part], state[part], jump[part], strange[part]
        noise = np.empty(at.size, dtype=np.float32)
        _spread_out(sample, b * 4096, noise)
        for p in range(at.size):
            enough = np.float32(over_strange if odd[p] else over) * noise[p]
            good = (height[p] > np.float32(least)) & (not height[p] < enough) & (not np.isnan(at[p]))
            at[p] = np.float32(at[p] + origin) if good else nothing
            spread[p] = spread[p] if good else nothing
            out[p] = np.uint8(known) if good else np.uint8(0)
