"""Intervals for shares of a surface's area, by resampling patches of it.

Neighbouring vertices are not independent: the smoothing window joins them, and so does the shape itself. Vertices are
therefore grouped into patches, the cells of a cubic grid, and patches are drawn with replacement (block bootstrap). How
large patches must be is read off the data: the share's standard error, from the spread between patches, grows with
their size until they are independent (Flyvbjerg & Petersen, J. Chem. Phys. 91, 461 (1989)).

The interval is that of the share in many surfaces of the same making, of which this one is a sample; it is wider than
what noise alone would do to the share of this one.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from scipy.stats import t as student_t

Floats = NDArray[np.floating]

DRAWS = 1000
LEAST_PATCHES = 16
"""With fewer, the spread between patches says little, and larger ones are not tried."""
_GROWTH = 2**0.5


def share_interval(
    points: Floats,
    area: Floats,
    chosen: NDArray[np.bool_],
    smallest: float,
    *,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Bootstrap interval for the share of a surface's area that is chosen.

    Parameters
    ----------
    points : (n, 3) vertices
    area : (n,) of each vertex
    chosen : (n,)
    smallest : edge of the smallest patches, in the points' unit: over this distance the smoothing joins vertices
    confidence : of the interval
    seed : of the draws; the same arguments give the same interval

    Returns
    -------
    low and high end; both NaN if the surface is smaller than three patches. If all patches agree, as on a sphere, the
    interval has no width: none of them hints at how often others deviate.
    """
    edge, sums, tried = smallest, _sums(points, area, chosen, smallest), []
    if len(sums) < 3:
        return float("nan"), float("nan")
    while True:
        best = sums
        tried.append((edge, _error(sums)))
        edge *= _GROWTH
        sums = _sums(points, area, chosen, edge)
        if len(sums) < LEAST_PATCHES:
            break
    count = len(best)
    total = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=DRAWS) @ best
    tail = (1 - confidence) / 2
    ends = np.quantile(total[:, 1] / total[:, 0], [tail, 1 - tail])
    share = best[:, 1].sum() / best[:, 0].sum()
    found = tried[-1][1]
    # Quantiles of few patches are those of a normal distribution where the t distribution's are due.
    wider = _error_of_large_patches(tried) / found if found > 0 else 1.0
    wider *= student_t.ppf(1 - tail, count - 1) / norm.ppf(1 - tail)
    low, high = np.clip(share + wider * (ends - share), 0, 1)
    return float(low), float(high)


def _error_of_large_patches(tried: list[tuple[float, float]]) -> float:
    """Standard error to which those of growing patches (edge, error) tend.

    What a patch misses of its neighbours' correlation is a matter of its faces: the variance's deficit falls as
    1/edge, and the last factor of two is continued along that line.
    """
    edge, error = np.array(tried).T
    last = edge > edge[-1] / 2.01
    largest = float(error.max())
    if last.sum() < 3:
        return largest
    variance = float(np.polyfit(1 / edge[last], error[last] ** 2, 1)[1])
    return min(max(float(np.sqrt(max(variance, 0.0))), largest), 2 * largest)


def _sums(points: Floats, area: Floats, chosen: NDArray[np.bool_], edge: float) -> Floats:
    """(patch, 2) area, and the part of it that is chosen, of the cells of a cubic grid of this edge."""
    cell = np.floor(points / edge).astype(np.int64)
    cell -= cell.min(axis=0, initial=np.iinfo(np.int64).max)
    size = cell.max(axis=0, initial=0) + 1
    number = (cell[:, 0] * size[1] + cell[:, 1]) * size[2] + cell[:, 2]
    if size.prod() > 8 * len(number):
        number = np.unique(number, return_inverse=True)[1]
    sums = np.stack([np.bincount(number, area), np.bincount(number, area * chosen)], axis=1)
    return np.asarray(sums[sums[:, 0] > 0])


def _error(sums: Floats) -> float:
    """Standard error of the ratio of sums over independent patches."""
    total = sums.sum(axis=0)
    rest = sums[:, 1] - total[1] / total[0] * sums[:, 0]
    n = len(sums)
    return float(np.sqrt((rest**2).sum() * n / (n - 1)) / total[0])
