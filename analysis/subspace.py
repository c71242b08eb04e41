"""The few spectral components that stand above the noise.

A XANES series holds few independent spectra. Folding each pixel's n absorbances into K coefficients of a basis that is
learnt from all pixels leaves the signal and drops the noise of the other n - K directions: as many times fewer photons
for the same edge energy. Whitened principal components (Jolliffe, Principal Component Analysis, 2002); the number of
components from the noise's largest eigenvalue (Marchenko & Pastur, Math. USSR Sb. 1, 457 (1967)).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEARNERS = 20_000
"""A basis is learnt from about this many pixels."""
_RUN = 16
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


def learners(usable: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Indices of the pixels to learn from: all usable ones, or short runs of them, as memory likes to be read."""
    number = int(np.count_nonzero(usable))
    among = np.flatnonzero(usable)
    step = number // LEARNERS
    if step < 2:
        return among
    starts = np.arange(0, number - _RUN, _RUN * step)
    return np.asarray(among[(starts[:, None] + np.arange(_RUN)).ravel()])


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
    sample = spectra[:, :: max(1, pixels // LEARNERS)].astype(np.float64) / noise[:, None]
    count = sample.shape[1]
    value, vector = np.linalg.eigh(sample @ sample.T / count)
    value, vector = value[::-1], vector[:, ::-1]
    # The lower half is noise for sure: its median stands for the unit, the largest of pure noise for the limit.
    floor = float(np.median(value[n // 2 :]))
    limit = floor * (1 + np.sqrt(n / count)) ** 2 * 1.15
    rank = int(np.clip((value > limit).sum(), min(least, n), min(most, n)))
    kept = vector[:, :rank]
    return Basis(kept * noise[:, None], kept.T / noise)


def misfit_limit(
    spectra: NDArray[np.float32], basis: Basis, noise: NDArray[np.floating], sample: NDArray[np.floating]
) -> float:
    """The largest residual, in units of a pixel's sample variance, of a spectrum that the basis describes.

    A rare phase would be pulled to the common ones: a pixel beyond the limit must be evaluated without the basis.

    Parameters
    ----------
    spectra : (n, pixel) some of the pixels, absorbance without NaN
    noise : (n,) as for `learn`, which made the basis
    sample : (pixel,) or (1,) standard deviation of one sample; NaN where unknown
    """
    n, terms = basis.vectors.shape
    rest = spectra - (basis.vectors @ (basis.fold @ spectra)).astype(np.float32)
    rest *= (1 / noise).astype(np.float32)[:, None]
    residual = np.einsum("ip,ip->p", rest, rest)
    excess = residual / np.where(np.isfinite(sample) & (sample > 0), sample, 1.0) ** 2
    # The noise may be known up to a factor only: the common pixels tell it.
    return float(np.median(excess)) * (1 + _MISFIT * float(np.sqrt(2 / max(n - terms, 1))))


def identity(n: int) -> Basis:
    """The basis that leaves a spectrum of n energies as it is."""
    return Basis(np.eye(n), np.eye(n))
