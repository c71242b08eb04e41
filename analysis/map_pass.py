"""The pass over all pixels of a XANES scan, from its frames to the map, compiled."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from redoxscope.analysis.belonging import Belonging
from redoxscope.analysis.finder import Finder
from redoxscope.analysis.finding import FAST, combine, find_edges
from redoxscope.analysis.frame_stack import BLACK, TILE, bridge
from redoxscope.analysis.strange import add_doubt, evaluate_anew, mark_misfits, mark_strangers


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
    known: Belonging,
    find: Finder,
    other: Finder,
    plain: Finder,
    half: NDArray[np.float32],
    half_variance: float,
    lacking: float,
    drift: float,
    trend: float,
    own_drift: float,
    own_trend: float,
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
    known : one that is not of the phases that are known, by half the jump in `half`, is evaluated by `other`
    find, other, plain : see `Finder`; of k coefficients, and the last of n samples
    half : (3, pixel) a line for `find_edges` and the edge it was right for, eV from the nominal one, or (0, pixel)
    half_variance, lacking : variance of its noise, and of what the folded rows may lack, in units of the pixel's sample
        variance
    drift, trend : relative standard deviation of the jump that comes on top of it, and that per eV of the edge's way
    own_drift, own_trend : the same of what is evaluated by `other` or `plain`
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
            known,
            find,
            other,
            plain,
            half[:, part],
            half_variance,
            lacking,
            drift,
            trend,
            own_drift,
            own_trend,
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
    known: Belonging,
    find: Finder,
    other: Finder,
    plain: Finder,
    half: NDArray[np.float32],
    half_variance: float,
    lacking: float,
    drift: float,
    trend: float,
    own_drift: float,
    own_trend: float,
    unseen: float,
    noise: NDArray[np.float32],
    at: NDArray[np.float32],
    sigma: NDArray[np.float32],
    total: NDArray[np.float32],
    jump: NDArray[np.float32],
    strange: NDArray[np.bool_],
) -> tuple[float, float]:
    """One tile's pixels; its two sums."""
    terms, size = fold.shape[0], at.size
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
    add_doubt(at, steep, level, half_variance, lacking, height[0], drift, trend, noise, sigma, total)
    if terms > 0:
        mark_misfits(block, c, whiten, noise, limit, usable, strange)
        found = (at, sigma, total, height[0])
        if known.spread.size > 0:
            unlike = np.zeros(size, dtype=np.bool_)
            of_jump = level[0] if half.shape[0] > 0 else np.float32(0.5) * height[0]
            mark_strangers(c, known, of_jump, noise, usable, strange, unlike)
            evaluate_anew(unlike, c, other, level, half_variance, lacking, own_drift, own_trend, noise, *found)
        evaluate_anew(strange, block, plain, level, half_variance, 0.0, own_drift, own_trend, noise, *found)
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
