"""The few spectral components that stand above the noise.

A XANES series holds few independent spectra. Folding each pixel's n absorbances into K coefficients of a basis that is
learnt from all pixels leaves the signal and drops the noise of the other n - K directions: as many times fewer photons
for the same edge energy. Whitened principal components (Jolliffe, Principal Component Analysis, 2002); the number of
components from the noise's largest eigenvalue (Marchenko & Pastur, Math. USSR Sb. 1, 457 (1967)).
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from redoxscope.analysis.finding import FAST, combine
from redoxscope.analysis.frame_stack import FrameStack
from redoxscope.analysis.threads import in_threads

LEARNERS = 20_000
"""A basis is learnt from about this many pixels."""
RUN = 16
"""Pixels that are taken together."""
_MISFIT = 4.0
"""A pixel is a misfit if its residual exceeds the common one by this many standard deviations of pure noise."""
_ABOVE_NOISE = 1.15
"""A component counts if its eigenvalue exceeds the largest of pure noise by this factor."""
_SPARE = 4
"""Components more than those that stand above the noise are taken out of the spectra to see what the noise is."""

_PART, _BLOCK = 1024, 128
"""Pixels whose spectra are added up as one part, and those of them that stay in the first-level cache in float64."""
_AROUND = 4
"""Energies on either side over which the noise is averaged."""


@dataclass(frozen=True)
class Basis:
    """Coefficients c = fold·A; folded spectrum = vectors·c."""

    vectors: NDArray[np.float64]
    """(n, K)"""
    fold: NDArray[np.float64]
    """(K, n) weighted least squares: fold·vectors = 1"""
    noise: NDArray[np.float64]
    """(n,) standard deviation of the energies' samples as the spectra show it, in units of what was said of them"""
    excess: NDArray[np.float64]
    """(K,) standard deviation of a coefficient over that which the samples' noise gives: the basis has learnt a little
    of it"""
    hidden: float
    """Variance, in units of the noise's, that the spectra may have in each direction that is not in the basis"""
    learnt: float
    """The same that the noise of those it was learnt from puts into them: the basis points a little off, the more so
    the less a component stands above the noise"""
    number: int
    """Of the spectra it was learnt from"""
    products: NDArray[np.float64]
    """(n, n) mean products of these, in units of the noise"""

    def error(self, noise: NDArray[np.float64]) -> NDArray[np.float64]:
        """(K, n) square root of the coefficients' covariance, for samples (n,) of this standard deviation."""
        return np.asarray(self.excess[:, None] * self.fold * noise)

    def left_out(self, noise: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, n) square root of the covariance of what the folded spectra may lack."""
        return np.asarray(np.sqrt(self.hidden) * (np.eye(noise.size) - self.projection) * noise)

    def folded_error(self, noise: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, K + n) square root of the covariance of folded spectra: their noise, and what they may lack."""
        return np.concatenate([self.vectors @ self.error(noise), self.left_out(noise)], axis=1)

    @property
    def projection(self) -> NDArray[np.float64]:
        """(n, n) from a spectrum to its folded self."""
        return np.asarray(self.vectors @ self.fold)


def learners(usable: NDArray[np.bool_], number: int = LEARNERS) -> NDArray[np.intp]:
    """Indices of about `number` pixels to learn from: all usable ones, or short runs of them, as memory likes it."""
    count = int(np.count_nonzero(usable))
    step = count // number
    runs = np.arange(0, count - RUN, RUN * step)[:, None] + np.arange(RUN) if step > 1 else np.arange(count)
    among = runs.ravel()
    return among if count == usable.size else np.asarray(np.flatnonzero(usable)[among])


def tall_learners(
    stack: FrameStack,
    rows: NDArray[np.intp],
    usable: NDArray[np.bool_],
    weights: NDArray[np.float64],
    noise: NDArray[np.float64],
    sample: NDArray[np.float32],
    least: float,
) -> NDArray[np.intp]:
    """Indices of pixels to learn from: those that hold material, if there are enough of them.

    Parameters
    ----------
    stack, rows, usable : where the spectra are, and which of them
    weights : (r,) of the samples, for something like the edge jump; least : of that in a pixel with material
    noise, sample : (r,) and (pixel,) or (1,), as for `learn`
    """
    used = np.flatnonzero(weights)
    # By runs: pixels chosen for their own noise would teach it to the basis.
    over = 3 * float(np.linalg.norm(weights * noise)) / np.sqrt(RUN)
    for number, enough in ((2 * LEARNERS, LEARNERS // 2), (8 * LEARNERS, 2000), (usable.size, 0)):
        pick = learners(usable, number)
        pick = pick[: pick.size // RUN * RUN].reshape(-1, RUN)
        lift = weights[used].astype(np.float32) @ stack.spectra(rows[used], pick.ravel())
        own = sample[pick].mean(axis=1) if sample.size > 1 else sample
        high = lift.reshape(pick.shape).mean(axis=1)
        tall = pick[(high > least) & ~(high < over * own)]
        if tall.size > enough or pick.size > usable.size // 2:
            break
    if tall.size < 4 * rows.size:
        return learners(usable)
    return np.asarray(tall[:: max(1, tall.size // LEARNERS)].ravel())


def learn(
    spectra: NDArray[np.float32],
    noise: NDArray[np.floating],
    sample: NDArray[np.floating] | None = None,
    *,
    least: int = 2,
    most: int = 10,
) -> Basis:
    """The components of the spectra that stand above their noise.

    The noise itself is taken from what the components leave: photon statistics know it up to the number of flats that
    were averaged, and to the absorbance of the typical pixel.

    Parameters
    ----------
    spectra : (n, pixel) absorbance without NaN
    noise : (n,) relative standard deviation of the energies' samples
    sample : (pixel,) or (1,) standard deviation of one sample; ones if it is left out
    least, most : bounds for K

    Raises
    ------
    ValueError
        If there are fewer pixels than energies.
    """
    n, count = spectra.shape
    if count < n:
        raise ValueError(f"{count} spectra of {n} energies: too few to learn a basis from")
    products = _mean_products(spectra, np.ones(1) if sample is None else unit(sample))
    given = np.asarray(noise, dtype=np.float64)
    shown = given
    if count >= 2 * n:
        kept, *_ = _components(products, given, count, least, most)
        # With more components than there seem to be: a weak one must not pass for noise at the edge.
        wide, *_ = _components(products, given, count, min(kept.shape[1] + _SPARE, n // 2), n // 2)
        rest = np.eye(n) - wide @ wide.T
        left = np.diagonal(rest @ (products / np.outer(given, given)) @ rest)
        free = (1 - (wide**2).sum(axis=1)) * (1 - wide.shape[1] / count)
        # It goes with the absorbance, hence smoothly: what is left of a component at one energy is none of it. Energies
        # that the components describe alone, as the last ones of a scan that is under way, show next to nothing of it.
        around = np.abs(np.subtract.outer(np.arange(n), np.arange(n))) <= _AROUND
        shown = given * np.sqrt(np.maximum(around @ left, 1e-12) / np.maximum(around @ free, 0.2))
    kept, excess, learnt = _components(products, shown, count, least, most)
    # A component is not seen below a spike of the root of n/count, wherever it points.
    hidden = float(np.sqrt(n / count)) / max(n - kept.shape[1], 1)
    whitened = products / np.outer(shown, shown)
    return Basis(kept * shown[:, None], kept.T / shown, shown, excess, hidden, learnt, count, whitened)


def _components(
    products: NDArray[np.float64], noise: NDArray[np.float64], count: int, least: int, most: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """(n, K) orthonormal components of whitened spectra with these mean products, `Basis.excess` and `learnt`."""
    n = noise.size
    value, vector = np.linalg.eigh(products / np.outer(noise, noise))
    value, vector = value[::-1], vector[:, ::-1]
    # The unit is what the rest shows, once the largest are gone, of noise or not; the limit the largest of pure noise.
    largest, gone = (1 + np.sqrt(n / count)) ** 2, min(10, n // 4)
    value /= float(value[gone:].sum()) / (n - gone * largest)
    stands = value > largest * _ABOVE_NOISE
    rank = int(np.clip(stands.sum(), min(least, n), min(most, n)))
    # A spike of this height is seen at `value`, and points off its true direction: the difference is noise
    # (Baik & Silverstein, J. Multivariate Anal. 97, 1382 (2006)).
    seen = np.maximum(value[:rank], largest) - 1 - n / count
    true = 0.5 * (seen + np.sqrt(np.maximum(seen**2 - 4 * n / count, 0)))
    cosine = (1 - n / count / true**2) / (1 + n / count / true)
    excess = np.sqrt(np.maximum(value[:rank] - true * cosine, 1.0))
    # What is not seen is anything from nothing to the least that would be.
    missed = true * np.where(stands[:rank], 1 - cosine, 0.5)
    return np.asarray(vector[:, :rank]), excess, float(missed.sum()) / max(n - rank, 1)


def misfit_limit(spectra: NDArray[np.float32], basis: Basis, sample: NDArray[np.floating]) -> float:
    """The largest residual, in units of a pixel's sample variance, of a spectrum that the basis describes.

    A rare phase would be pulled to the common ones: a pixel beyond the limit must be evaluated without the basis.

    Parameters
    ----------
    spectra : (n, pixel) some of the pixels, absorbance without NaN
    sample : (pixel,) or (1,) standard deviation of one sample, as for `learn`, which made the basis
    """
    n, terms = basis.vectors.shape
    given = (basis.fold, -basis.vectors, 1 / basis.noise)
    fold, unfold, whiten = (np.ascontiguousarray(a, dtype=np.float32) for a in given)
    excess = np.empty(spectra.shape[1], dtype=np.float32)
    parts = -(-excess.size // _PART)
    in_threads(parts, lambda first, last: _residuals(first, last, spectra, fold, unfold, whiten, excess))
    excess /= unit(sample) ** 2
    # The noise may be known up to a factor only: the common pixels tell it.
    return float(np.median(excess)) * (1 + _MISFIT * float(np.sqrt(2 / max(n - terms, 1))))


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _residuals(
    first: int,
    last: int,
    spectra: NDArray[np.float32],
    fold: NDArray[np.float32],
    unfold: NDArray[np.float32],
    whiten: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Squares of what whitened spectra hold besides their folded selves, of some parts; `unfold` is minus `vectors`."""
    for b in range(first, last):
        total = out[b * _PART : (b + 1) * _PART]
        rest = spectra[:, b * _PART : (b + 1) * _PART].copy()
        c = np.zeros((fold.shape[0], total.size), dtype=np.float32)
        combine(fold, rest, c)
        combine(unfold, c, rest)
        total[:] = np.float32(0.0)
        for i in range(whiten.size):
            row, by = rest[i], whiten[i]
            for p in range(total.size):
                total[p] += (by * row[p]) * (by * row[p])


def _mean_products(spectra: NDArray[np.float32], sample: NDArray[np.floating]) -> NDArray[np.float64]:
    """(n, n) of spectra (n, pixel) over their samples' standard deviation (pixel,) or (1,)."""
    n, count = spectra.shape
    over = np.broadcast_to(1 / sample.astype(np.float64), count)
    size = -(-n // 4) * 4
    sums = np.empty((-(-count // _PART), size, size))
    in_threads(len(sums), lambda first, last: _products(first, last, spectra, over, sums))
    lower = np.tril(sums.sum(axis=0)[:n, :n]) / count
    return np.asarray(lower + np.tril(lower, -1).T)


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _products(
    first: int, last: int, spectra: NDArray[np.float32], over: NDArray[np.float64], sums: NDArray[np.float64]
) -> None:
    """Sums of products (part, 4m, 4m) over the pixels of some parts; the upper triangles are not filled."""
    for b in range(first, last):
        sums[b] = 0
        for start in range(b * _PART, min((b + 1) * _PART, over.size), _BLOCK):
            scale = over[start : min(start + _BLOCK, (b + 1) * _PART)]
            block = np.zeros((sums.shape[1], scale.size))
            for i in range(spectra.shape[0]):
                source, target = spectra[i, start : start + scale.size], block[i]
                for p in range(scale.size):
                    target[p] = source[p] * scale[p]
            for i in range(block.shape[0]):
                for j in range(0, i + 1, 4):
                    four = _four_products(block[i], block[j], block[j + 1], block[j + 2], block[j + 3])
                    for k in range(4):
                        sums[b, i, j + k] += four[k]


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _four_products(
    x: NDArray[np.float64],
    u: NDArray[np.float64],
    v: NDArray[np.float64],
    w: NDArray[np.float64],
    z: NDArray[np.float64],
) -> tuple[float, float, float, float]:
    a = b = c = d = 0.0
    for p in range(x.size):
        a += x[p] * u[p]
        b += x[p] * v[p]
        c += x[p] * w[p]
        d += x[p] * z[p]
    return a, b, c, d


def unit(sample: NDArray[np.floating]) -> NDArray[np.float32]:
    """The samples' standard deviation, 1 where it is not known."""
    return np.where(np.isfinite(sample) & (sample > 0), sample, 1.0).astype(np.float32)


def identity(n: int) -> Basis:
    """The basis that leaves a spectrum of n energies as it is."""
    return Basis(np.eye(n), np.eye(n), np.ones(n), np.ones(n), 0.0, 0.0, 0, np.eye(n))
