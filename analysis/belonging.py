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

_SURE = 2.33
"""One spectrum of the population in a hundred is taken for a strange one, if noise and population are known."""
_ALL_BUT_SURE, _LEAST = 3.09, 0.1
"""One in a thousand; and how much too wide what is known may be: spectra without any noise are not strange."""
_NOTHING = 1e-3
"""What a direction holds besides the pre-edge line is rounding if it is less than this part of the largest."""


class Belonging(NamedTuple):
    """The distance of coefficients c (k,) is the sum of (test·c)² / (sample² + spread·half²), `half` the half jump."""

    test: NDArray[np.float32]
    """(q, k)"""
    spread: NDArray[np.float32]
    """(q,)"""
    limit: float
    """The distance beyond which it is strange."""

    def strange(
        self, coefficients: NDArray[np.float32], sample: NDArray[np.floating], half: NDArray[np.float32]
    ) -> NDArray[np.bool_]:
        """(pixel,) which of these (k, pixel) are; `sample` (pixel,) or (1,) and `half` (pixel,) as above."""
        return self._distance(coefficients, sample, half) > self.limit

    def by_most(
        self, coefficients: NDArray[np.float32], sample: NDArray[np.floating], half: NDArray[np.float32]
    ) -> "Belonging":
        """With a limit that fits most of these: what is told of them may be much wider than they are."""
        if not len(self.spread):
            return self
        usual = float(np.median(self._distance(coefficients, sample, half))) / _quantile(0.0, len(self.spread))
        return self._replace(limit=max(usual, _LEAST) * _quantile(_ALL_BUT_SURE, len(self.spread)))

    def _distance(
        self, coefficients: NDArray[np.float32], sample: NDArray[np.floating], half: NDArray[np.float32]
    ) -> NDArray[np.floating]:
        looked = self.test @ coefficients
        return np.asarray((looked**2 / (sample**2 + self.spread[:, None] * half**2)).sum(axis=0))


def nothing_known(terms: int) -> Belonging:
    """No coefficients of so many terms are strange."""
    return Belonging(np.zeros((0, terms), dtype=np.float32), np.zeros(0, dtype=np.float32), np.inf)


def belonging(prior: Prior, rise: Doubles, noise: Doubles, rarest: float = 1.0) -> Belonging:
    """What tells strange spectra from those of a population.

    Parameters
    ----------
    prior : the population, at n energies
    rise : (n, k) from coefficients to the spectrum over its pre-edge line
    noise : (n, n) covariance of the latter, in units of a sample's variance
    rarest : the least part of the population that a phase of it may be: such a one is beyond the standard deviation by
        one over the root of that
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
    test, spread = vector.T @ beside @ ahead, 4 / rarest * np.maximum(value, 0.0)
    if len(test) == 0:
        return nothing_known(rise.shape[1])
    return Belonging(test.astype(np.float32), spread.astype(np.float32), _quantile(_SURE, len(test)))


def _quantile(z: float, count: int) -> float:
    """Of a sum of squares of so many normal numbers (Wilson & Hilferty, Proc. Natl. Acad. Sci. 17, 684 (1931))."""
    many = 2 / (9 * count)
    return float(count * (1 - many + z * np.sqrt(many)) ** 3)
