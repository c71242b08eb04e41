"""Whether a spectrum is of the phases that a series has shown, while it is not whole.

What the post-edge will be is told by how spectra alike went on before. Of a phase that no scan has shown this says
nothing, and in the subspace it does not stand out: its own component is in the basis. But its part of the edge lies
where the population has no spectra. How far off is measured in standard deviations of these and of the noise, whatever
the jump (Mahalanobis distance).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from redoxscope.analysis.expected import Doubles, Prior

_NOTHING = 1e-3
"""What a direction holds besides the pre-edge line is rounding if it is less than this part of the largest."""

_LEAST = 0.1
"""Noise and population are not known to be less than this part of what is said: spectra without any are not strange."""


class Belonging(NamedTuple):
    """The distance of coefficients c (k,) is the sum of (test·c)² / (sample² + spread·half²), `half` the half jump."""

    test: NDArray[np.float32]
    """(q, k)"""
    spread: NDArray[np.float32]
    """(q,)"""
    limit: float
    """The distance beyond which it is strange."""
    alone: bool
    """Whether strange ones are evaluated without the basis."""

    def strange(
        self, coefficients: NDArray[np.float32], sample: NDArray[np.floating], half: NDArray[np.float32]
    ) -> NDArray[np.bool_]:
        """(pixel,) which of these (k, pixel) are; `sample` (pixel,) or (1,) and `half` (pixel,) as above."""
        return _distance(self.test, self.spread, coefficients, sample, half) > self.limit


def nothing_known(terms: int) -> Belonging:
    """No coefficients of so many terms are strange."""
    return Belonging(np.zeros((0, terms), dtype=np.float32), np.zeros(0, dtype=np.float32), np.inf, False)


def belonging(
    prior: Prior,
    rise: Doubles,
    noise: Doubles,
    coefficients: NDArray[np.float32],
    sample: NDArray[np.floating],
    half: NDArray[np.float32],
    sure: float,
) -> Belonging:
    """What tells strange spectra from those of a population.

    Parameters
    ----------
    prior : the population, at n energies
    rise : (n, k) from coefficients to the spectrum over its pre-edge line
    noise : (n, n) covariance of the latter, in units of a sample's variance
    coefficients, sample, half : (k, pixel), (pixel,) or (1,), (pixel,) of some spectra, most of them of the population
    sure : how seldom one of the population is taken for a strange one, in standard deviations of a normal number
    """
    rows = prior.rows
    factor = np.linalg.cholesky(rows @ noise @ rows.T + np.eye(len(rows)) * 1e-9 * np.trace(noise) / len(noise))
    white = np.linalg.solve(factor, rows)
    along, size, across = np.linalg.svd(white @ rise, full_matrices=False)
    kept = size > _NOTHING * size[0]
    along, ahead = along[:, kept], size[kept, None] * across[kept]
    # Whatever the jump: what is left beside the mean.
    mean = along.T @ white @ prior.mean
    beside = np.linalg.svd(mean[None])[2][1:]
    look = beside @ along.T @ white
    value, vector = np.linalg.eigh(look @ prior.covariance @ look.T)
    test, spread = vector.T @ beside @ ahead, 4 * np.maximum(value, 0.0)
    if len(test) == 0:
        return nothing_known(rise.shape[1])
    distance = _distance(test.astype(np.float32), spread, coefficients, sample, half)
    # Noise and population may be known up to a factor only: the common spectra tell it.
    usual, many = float(np.median(distance)), 2 / (9 * len(test))
    limit = max(usual / _quantile(0.0, many), _LEAST) * _quantile(sure, many)
    return Belonging(test.astype(np.float32), spread.astype(np.float32), limit, False)


def _distance(
    test: NDArray[np.float32],
    spread: NDArray[np.floating],
    coefficients: NDArray[np.float32],
    sample: NDArray[np.floating],
    half: NDArray[np.float32],
) -> NDArray[np.floating]:
    looked = test @ coefficients
    return np.asarray((looked**2 / (sample**2 + spread[:, None] * half**2)).sum(axis=0))


def _quantile(z: float, many: float) -> float:
    """Of a sum of squares of 2/(9·many) normal numbers (Wilson & Hilferty, Proc. Natl. Acad. Sci. 17, 684 (1931))."""
    return float(2 / (9 * many) * (1 - many + z * np.sqrt(many)) ** 3)
