"""How far the edges of spectra move that a basis leaves where they are.

A component that does not stand above the noise is left out of a basis, and rightly so: it would cost more noise than it
brings signal. Where a sample is nearly of one phase that is the way of the edge itself. No pixel shows it then, but all
of them together do, as they have in common what a spectrum gains when it moves: its own derivative.
"""

import numpy as np
from numpy.typing import NDArray

from redoxscope.analysis.subspace import Basis

_ALIKE = 0.8
"""Correlation of the difference between two phases with a shift of the edge: 0.86 to 0.93 of NiO and LiNiO2, measured,
less where the white line changes, too."""


def unseen_shift(energies: NDArray[np.floating], basis: Basis) -> float:
    """Standard deviation (eV) of the edges' places that folded spectra do not show: a moment estimate, zero at least.

    Parameters
    ----------
    energies : (n,) eV, ascending; repeated ones count as one
    basis : learnt from spectra of these energies
    """
    at, group = np.unique(energies, return_inverse=True)
    mean = np.zeros((at.size, energies.size))
    mean[group, np.arange(energies.size)] = 1 / np.bincount(group)[group]
    white, rest, unit = _beside(basis)
    value, vector = np.linalg.eigh(white.T @ basis.products @ white - unit * np.diag(basis.excess**2))
    spectra = basis.vectors @ (vector * np.sqrt(np.maximum(value, 0)))
    moved = np.gradient(mean @ spectra, at, axis=0)[group] / basis.noise[:, None]
    part = float(((rest @ moved) ** 2).sum() / max(float((moved**2).sum()), 1e-300))
    variance, _ = variance_beside(basis, moved @ moved.T)
    return float(np.sqrt(max(variance, 0.0) * part)) / _ALIKE


def variance_beside(basis: Basis, covariance: NDArray[np.float64]) -> tuple[float, float]:
    """How much of something the spectra have, by what of it is not in the basis, and the standard error of that.

    The variance that makes the mean products of the spectra what they are (moment estimate of a variance component;
    Searle, Casella & McCulloch, Variance Components, 1992).

    Parameters
    ----------
    covariance : (n, n) of spectra that have a unit of it, over the noise
    """
    white, rest, unit = _beside(basis)
    left = rest @ covariance @ rest
    square = max(float((left**2).sum()), 1e-300)
    variance = (float((left * basis.products).sum()) / unit - float(np.trace(left))) / square
    return variance, float(np.sqrt(2 / square * basis.learnt / white.shape[1]))


def _beside(basis: Basis) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """(n, K) whitened components, (n, n) projection on what they leave, and the unit of the noise there."""
    white = basis.vectors / basis.noise[:, None]
    rest = np.eye(len(white)) - white @ white.T
    return white, rest, float(np.trace(rest @ basis.products)) / max(len(white) - white.shape[1], 1)
