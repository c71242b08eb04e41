"""How far the edges of spectra move that a basis leaves where they are.

A component that does not stand above the noise is left out of a basis, and rightly so: it would cost more noise than it
brings signal. Where a sample is nearly of one phase that is the way of the edge itself; else it may be a part of that.
No pixel shows it then, but all of them together do, as they have in common what a spectrum gains when it moves: its own
derivative.
"""

import numpy as np
from numpy.typing import NDArray

from redoxscope.analysis.finder import Finder
from redoxscope.analysis.finding import find_edges
from redoxscope.analysis.subspace import Basis

_ALIKE = 0.85
"""Correlation of the difference between two phases with a shift of the edge: 0.86 to 0.93 of NiO and LiNiO2, measured,
less where the white line changes, too."""
_LITTLE = 0.25
"""How much likelier little is than much, as a power of the shift. The larger, the narrower sigma where nothing moves,
which is two or three times as wide as the errors there, and the narrower, too, where a few per cent have reacted: it
is a third of the errors then, if what is found is believed."""
_TRIED = 0.25
"""eV by which an edge is moved to see what folding leaves of it."""


def unseen_shift(
    energies: NDArray[np.floating],
    basis: Basis,
    typical: NDArray[np.float64],
    half: NDArray[np.float32],
    find: Finder,
) -> float:
    """Standard deviation (eV) of the edges' places that folded spectra do not show.

    Parameters
    ----------
    energies : (n,) eV, ascending, all different
    basis : learnt from spectra of these energies
    typical : (n,) mean of them; half : (2 or more, pixel) the line of their half jump, see `find_edges`, or (0, pixel)
    find : how their edges are found, of n samples
    """
    known = np.isfinite(half).all(axis=0)
    if not known.any():
        return 0.0
    white, rest, unit = _beside(basis)
    value, vector = np.linalg.eigh(white.T @ basis.products @ white - unit * np.diag(basis.excess**2))
    components = basis.vectors @ (vector * np.sqrt(np.maximum(value, 0)))
    moved = np.gradient(components, energies, axis=0) / basis.noise[:, None]
    variance, error = variance_beside(basis, moved @ moved.T)
    shown = error * _expected(variance / error)
    # Of what the basis lacks altogether, a shift is like the true difference only so far.
    lacks = float(((rest @ moved) ** 2).sum() / max(float((moved**2).sum()), 1e-300))
    spread = np.sqrt(shown / (1 - lacks * (1 - _ALIKE**2)))
    # What folding leaves of an edge's way, tried on the typical spectrum.
    tried = typical[:, None] - _TRIED * np.gradient(typical, energies)[:, None] * np.array([1, -1])
    way, left = (_way(find, s, half[:, known]) for s in (tried, basis.projection @ tried))
    return float(spread * abs(1 - left / way)) if way > 0 and np.isfinite(left) else 0.0


def _way(find: Finder, spectra: NDArray[np.float64], half: NDArray[np.float32]) -> np.float32:
    """eV from the edge of the second of two spectra (n, 2) to that of the first; NaN if there is none."""
    edge, sigma, steep = (np.empty(2, dtype=np.float32) for _ in range(3))
    level = np.repeat(half.mean(axis=1, keepdims=True), 2, axis=1)
    find_edges(find, spectra.astype(np.float32), level, edge, sigma, steep)
    return np.float32(edge[0] - edge[1])


def _expected(found: float) -> float:
    """Mean of what a variance may be that is found with a standard error of 1.

    Half of what is found of nothing is above zero, and half of what is found of little is below.
    """
    root = np.linspace(0.0, np.sqrt(max(found, 0.0) + 8.0), 2001)[1:]
    likely = np.exp(-0.5 * ((root**2 - found) ** 2 - min(found, 0.0) ** 2)) * root**-_LITTLE
    return float((root**2 * likely).sum() / likely.sum())


def variance_beside(basis: Basis, covariance: NDArray[np.float64]) -> tuple[float, float]:
    """How much of something the spectra have, by what of it is not in the basis, and the standard error of that.

    The variance that makes the mean products of the spectra what they are (moment estimate of a variance component;
    Searle, Casella & McCulloch, Variance Components, 1992).

    Parameters
    ----------
    covariance : (n, n) of spectra that have a unit of it, over the noise
    """
    _, rest, unit = _beside(basis)
    left = rest @ covariance @ rest
    square = max(float((left**2).sum()), 1e-300)
    variance = (float((left * basis.products).sum()) / unit - float(np.trace(left))) / square
    return variance, float(np.sqrt(2 / square / max(basis.number, 1)))


def _beside(basis: Basis) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """(n, K) whitened components, (n, n) projection on what they leave, and the unit of the noise there."""
    white = basis.vectors / basis.noise[:, None]
    rest = np.eye(len(white)) - white @ white.T
    return white, rest, float(np.trace(rest @ basis.products)) / max(len(white) - white.shape[1], 1)
