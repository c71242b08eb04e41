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
    for j in range(1, m):
        ends = slice(j - 2, j + 2) if cubic and 2 <= j < m - 1 else slice(j - 1, j + 1)
        first[j] = min(max(ends.start, 0), m - size)
        t = (x[ends] - x[j - 1]) / (x[j] - x[j - 1])
        at = ends.start - first[j]
        taps[j, : t.size, at : at + t.size] = np.linalg.inv(np.vander(t, increasing=True))
    return _intervals(first, taps, covariance, x[np.arange(m) - (np.arange(m) > 0)], np.diff(x, prepend=x[0]))


def _intervals(
    first: NDArray[np.int64],
    taps: NDArray[np.float64],
    covariance: NDArray[np.float64],
    low: NDArray[np.float64],
    width: NDArray[np.float64],
) -> Intervals:
    noise = np.zeros((len(first), 7))
    size = taps.shape[2]
    for j, start in enumerate(first):
        of = taps[j] @ covariance[start : start + size, start : start + size] @ taps[j].T
        for r in range(4):
            noise[j, r : r + 4] += of[r]
    narrow = (taps.astype(np.float32), noise.astype(np.float32), low.astype(np.float32), width.astype(np.float32))
    return first, *narrow
