"""How an edge energy is found in a spectrum, as tables for the compiled passes.

Whatever the definition of the edge, it comes down to three steps, each linear in the samples but the last: values at
near-edge energies (`rows`), an interval that they point out (`score`), and the root of a polynomial of at most third
order in that interval, with coefficients that are sums of a few of the values (`taps`). The variance of its value is a
polynomial too: hence sigma.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

CROSSING, MAXIMUM = 0, 1
_STEADY = 2.0
"""eV on either side of an interval's middle: over so much the rise of noisy values is taken."""
_PLACES = np.arange(0.1, 1.0, 0.2)
"""Parts of an interval at which an edge is tried."""
_SPLINE = 4
"""Values that a spline needs."""
_MOST = 2.0
"""A typical spectrum that is as noisy as its edge is high says no more."""


class Finder(NamedTuple):
    """One way to find the edge in spectra given by k coefficients; numba reads the fields."""

    rows: NDArray[np.float32]
    """(m, k) the values at the near-edge energies"""
    x: NDArray[np.float32]
    """(m,) these energies, eV from the nominal edge"""
    score: NDArray[np.float32]
    """(s, k) what points out the interval; (0, k) if that is the rows themselves"""
    mode: int
    """CROSSING: the interval before the first score >= 0 that follows one < 0; MAXIMUM: that of the largest score"""
    first: NDArray[np.int64]
    """(s,) the first of the values that an interval's polynomial is made of"""
    taps: NDArray[np.float32]
    """(s, 4, w) coefficients of the polynomial, from w values"""
    noise: NDArray[np.float32]
    """(s, 7) coefficients of the variance of its value, for samples of unit variance"""
    low: NDArray[np.float32]
    """(s,) where an interval begins, eV from the nominal edge"""
    width: NDArray[np.float32]
    """(s,) its width: the polynomial is in t = (x - low)/width, and its root in 0..1; 0: the interval has no root"""
    jump: NDArray[np.float32]
    """(k,) the edge jump"""
    slope: NDArray[np.float32]
    """(k,) the jump's slope, per eV"""
    around: NDArray[np.int64]
    """(s,) the first of the values that tell how fast they rise, per eV"""
    rise: NDArray[np.float32]
    """(s, v) what of these does; (s, 0): the polynomial's own slope"""


Intervals = tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
"""first, taps, noise, low, width of a Finder"""


def crossing_intervals(x: NDArray[np.float64], covariance: NDArray[np.float64], *, cubic: bool) -> Intervals:
    """Between two neighbouring values: the cubic through the four around, or the straight line.

    Parameters
    ----------
    x : (m,) ascending, all different; covariance : (m, m) of the values
    cubic : wherever there are two values on either side
    """
    m = x.size
    size = min(4 if cubic else 2, m)
    first = np.zeros(m, dtype=np.int64)
    taps = np.zeros((m, 4, size))
    j = np.arange(1, m)
    first[j] = np.minimum(j - 1, m - size)
    at = j - 1 - first[j]
    taps[j, 0, at], taps[j, 1, at], taps[j, 1, at + 1] = 1.0, -1.0, 1.0
    if size == 4:
        j = np.arange(2, m - 1)
        first[j] = j - 2
        t = (x[j[:, None] + np.arange(-2, 2)] - x[j - 1, None]) / (x[j] - x[j - 1])[:, None]
        taps[j] = np.linalg.inv(t[:, :, None] ** np.arange(4))
    return _intervals(first, taps, covariance, x[np.arange(m) - (np.arange(m) > 0)], np.diff(x, prepend=x[0]))


def steady_rise(x: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Least-squares slope of the values around each interval, as `Finder.around` and `rise`.

    Where noise is as large as a step between two values, they cross where noise makes the step steep: its own slope
    would tell an error that is too small.

    Parameters
    ----------
    x : (m,) ascending, all different
    """
    m = x.size
    near = np.zeros((m, m), dtype=bool)
    near[1:] = _near(x, 0.5 * (x[:-1] + x[1:])[:, None], _STEADY)
    near |= np.eye(m, dtype=bool) | np.eye(m, k=-1, dtype=bool)
    away = np.where(near, x - np.average(np.broadcast_to(x, near.shape), axis=1, weights=near)[:, None], 0.0)
    weights = away / np.maximum((away**2).sum(axis=1, keepdims=True), 1e-300)
    weights[0] = 0
    used = weights != 0
    first, size = used.argmax(axis=1), int(max(np.ptp(np.flatnonzero(u)) + 1 if u.any() else 1 for u in used))
    first = np.minimum(first, m - size)
    rows = np.stack([w[f : f + size] for w, f in zip(weights, first, strict=True)])
    return first.astype(np.int64), rows.astype(np.float32)


def as_steep_as(find: Finder, typical: NDArray[np.float64], half: NDArray[np.float32]) -> Finder:
    """The finder of a crossing with `rise` scaled: so that it is how fast the two values around the crossing differ.

    Over more than these an edge is less steep, or steeper, by as much as its shape says, which the typical spectrum
    shows without noise.

    Parameters
    ----------
    typical : (k,) coefficients of the mean spectrum
    half : (2 or more, pixel) or (0, pixel) lines as for `finding.find_edges`, of the spectra it is the mean of
    """
    # Half of the time that a process takes to start, if they stood above.
    from scipy.interpolate import CubicSpline
    from scipy.optimize import brentq

    x = find.x.astype(np.float64)
    values = find.rows.astype(np.float64) @ typical
    if len(half):
        level, rise = np.nan_to_num(half[:2]).mean(axis=1, dtype=np.float64)
        values = values - level - rise * x
    crossings = np.flatnonzero((values[:-1] < 0) & (values[1:] >= 0)) + 1
    if not find.rise.shape[1] or not crossings.size or x.size < _SPLINE:
        return find
    j = crossings[0]
    step, curve = x[j] - x[j - 1], CubicSpline(x, values)
    at = brentq(curve, x[j - 1], x[j])
    weights = find.rise[j].astype(np.float64)
    near = slice(find.around[j], find.around[j] + weights.size)
    # Wherever between two values it crosses.
    shifted = curve(x - x[j - 1] + at - step * _PLACES[:, None])
    own = np.sqrt(np.mean(np.square((shifted[:, j] - shifted[:, j - 1]) / step)))
    scale = np.clip(own / np.mean(shifted[:, near] @ weights), 1 / _MOST, _MOST)
    return find._replace(rise=find.rise * np.float32(scale))


def peak_intervals(
    x: NDArray[np.float64], covariance: NDArray[np.float64], span: float, *, derivative: bool
) -> tuple[NDArray[np.float64], Intervals]:
    """Score (s, m) and intervals of the highest value, or of the steepest rise (the maximum of the first derivative).

    Both are smoothed by local polynomials over ± `span` (Savitzky & Golay, Anal. Chem. 36, 1627 (1964)). The peak is
    that of a cubic fitted around the highest value; the steepest rise that of the parabola through the largest
    derivative and its neighbours. Either is where a derivative, taken with its sign turned, rises through zero.

    Raises ValueError if there are fewer than three places with enough values around.
    """
    m = x.size
    order = 2 if derivative else 3
    centres = [j for j in range(m) if np.count_nonzero(_near(x, x[j], span)) > order]
    if len(centres) < 3:
        raise ValueError(
            f"the {span:g} eV around no three energies hold {order + 1} of them: give the edge a wider span"
        )
    fits = np.stack([_local_fit(x, x[j], span, order) for j in centres])
    score = fits[:, 1] if derivative else fits[:, 0]
    weights = np.zeros((len(centres), 4, m))
    low, width = np.zeros(len(centres)), np.zeros(len(centres))
    for s in range(1, len(centres) - 1):
        before, at, after = x[centres[s - 1 : s + 2]]
        if derivative:
            low[s], width[s] = before, after - before
            parabola = np.linalg.inv(np.vander([before - at, 0.0, after - at], increasing=True)) @ score[s - 1 : s + 2]
            falls = np.stack([-parabola[1], -2 * parabola[2]])
        else:
            reach = max(span / 2, at - before, after - at)
            low[s], width[s] = at - reach, 2 * reach
            falls = -fits[s, 1:] * np.array([1, 2, 3])[:, None]
        # A polynomial in x - at becomes one in t = (x - low)/width.
        away = np.polynomial.Polynomial([low[s] - at, width[s]])
        for r, line in enumerate(falls):
            power = (away**r).coef
            weights[s, : power.size] += power[:, None] * line
    used = np.abs(weights).max(axis=1) > 0
    reach_of = [np.flatnonzero(u) if u.any() else np.zeros(1, dtype=int) for u in used]
    size = max(int(np.ptp(r)) + 1 for r in reach_of)
    first = np.array([min(int(r[0]), m - size) for r in reach_of], dtype=np.int64)
    taps = np.stack([w[:, f : f + size] for w, f in zip(weights, first, strict=True)])
    return score, _intervals(first, taps, covariance, low, width)


def _near(x: NDArray[np.float64], at: float | NDArray[np.float64], span: float) -> NDArray[np.bool_]:
    return np.asarray(np.abs(x - at) <= span + 1e-3)


def _local_fit(x: NDArray[np.float64], at: float, span: float, order: int) -> NDArray[np.float64]:
    """(order + 1, m) coefficients in powers of x - at of the least-squares polynomial over at ± span."""
    near = _near(x, at, span)
    out = np.zeros((order + 1, x.size))
    out[:, near] = np.linalg.pinv(np.vander(x[near] - at, order + 1, increasing=True))
    return out


def _intervals(
    first: NDArray[np.int64],
    taps: NDArray[np.float64],
    covariance: NDArray[np.float64],
    low: NDArray[np.float64],
    width: NDArray[np.float64],
) -> Intervals:
    of = first[:, None] + np.arange(taps.shape[2])
    spread = taps @ covariance[of[:, :, None], of[:, None, :]] @ taps.transpose(0, 2, 1)
    noise = np.zeros((len(first), 7))
    for r in range(4):
        noise[:, r : r + 4] += spread[:, r]
    narrow = (taps.astype(np.float32), noise.astype(np.float32), low.astype(np.float32), width.astype(np.float32))
    return first, *narrow
