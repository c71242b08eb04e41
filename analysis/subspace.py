"""The few spectral components that stand above the noise.

A XANES series holds few independent spectra. Folding each pixel's n absorbances into K coefficients of a basis that is
learnt from all pixels leaves the signal and drops the noise of the other n - K directions: as many times fewer photons
for the same edge energy. Whitened principal components (Jolliffe, Principal Component Analysis, 2002); the number of
components from the noise's largest eigenvalue (Marchenko & Pastur, Math. USSR Sb. 1, 457 (1967)).
"""

from dataclasses import dataclass

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

_LEARNERS = 40_000
"""A basis is learnt from about this many pixels."""
_MISFIT = 4.0
"""A pixel is a misfit if its residual exceeds the common one by this many standard deviations of pure noise."""


@dataclass(frozen=True)
class Basis:
    """Coefficients c = fold·A; folded spectrum = vectors·c."""

    vectors: NDArray[np.float64]
    """(n, K)"""
    fold: NDArray[np.float64]
    """(K, n) weighted least squares: fold·vectors = 1"""

    @property
    def projection(self) -> NDArray[np.float64]:
        """(n, n) from a spectrum to its folded self."""
        return np.asarray(self.vectors @ self.fold)


def learn(spectra: NDArray[np.float32], noise: NDArray[np.floating], *, least: int = 3, most: int = 10) -> Basis:
    """The components of the spectra that stand above their noise.

    Parameters
    ----------
    spectra : (n, pixel) absorbance without NaN
    noise : (n,) relative standard deviation of the energies' samples
    least, most : bounds for K

    Raises
    ------
    ValueError
        If there are fewer pixels than energies.
    """
    n, pixels = spectra.shape
    if pixels < n:
        raise ValueError(f"{pixels} spectra of {n} energies: too few to learn a basis from")
    sample = spectra[:, :: max(1, pixels // _LEARNERS)].astype(np.float64) / noise[:, None]
    count = sample.shape[1]
    value, vector = np.linalg.eigh(sample @ sample.T / count)
    value, vector = value[::-1], vector[:, ::-1]
    # The lower half is noise for sure: its median stands for the unit, the largest of pure noise for the limit.
    floor = float(np.median(value[n // 2 :]))
    limit = floor * (1 + np.sqrt(n / count)) ** 2 * 1.15
    rank = int(np.clip((value > limit).sum(), min(least, n), min(most, n)))
    kept = vector[:, :rank]
    return Basis(kept * noise[:, None], kept.T / noise)


def misfits(
    spectra: NDArray[np.float32],
    basis: Basis,
    noise: NDArray[np.floating],
    sample: NDArray[np.floating],
    usable: NDArray[np.bool_],
) -> NDArray[np.intp]:
    """Indices of the pixels whose spectra the basis does not describe: a rare phase would be pulled to the common ones.

    Parameters
    ----------
    spectra : (n, pixel) absorbance without NaN
    noise : (n,) as for `learn`, which made the basis
    sample : (pixel,) standard deviation of one sample; NaN where unknown
    usable : (pixel,) pixels to look at
    """
    n, terms = basis.vectors.shape
    residual = np.empty(spectra.shape[1], dtype=np.float32)
    _residual(spectra, 1 / noise, basis.fold, residual)
    excess = residual / np.where(np.isfinite(sample) & (sample > 0), sample, 1.0) ** 2
    # The noise may be known up to a factor only: the common pixels tell it.
    limit = np.median(excess[usable]) * (1 + _MISFIT * np.sqrt(2 / max(n - terms, 1)))
    return np.flatnonzero(usable & (excess > limit))


@njit(parallel=True, cache=True, nogil=True)
def _residual(
    spectra: NDArray[np.float32],
    whiten: NDArray[np.float64],
    fold: NDArray[np.float64],
    residual: NDArray[np.float32],
) -> None:
    """Sum of squares of the whitened spectra minus that of their coefficients, pixel by pixel; rounding is cut off."""
    n, pixels = spectra.shape
    terms = fold.shape[0]
    block = 256
    for b in prange((pixels + block - 1) // block):
        low = b * block
        size = min(pixels, low + block) - low
        c = np.zeros((terms, size))
        total = np.zeros(size)
        for i in range(n):
            for p in range(size):
                total[p] += (whiten[i] * spectra[i, low + p]) ** 2
            for k in range(terms):
                w = fold[k, i]
                for p in range(size):
                    c[k, p] += w * spectra[i, low + p]
        for p in range(size):
            rest = total[p]
            for k in range(terms):
                rest -= c[k, p] ** 2
            residual[low + p] = rest if rest > 1e-6 * total[p] else 0.0


def identity(n: int) -> Basis:
    """The basis that leaves a spectrum of n energies as it is."""
    return Basis(np.eye(n), np.eye(n))
