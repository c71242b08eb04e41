"""How far the edges of spectra move that a basis leaves where they are.

A component that does not stand above the noise is left out of a basis, and rightly so: it would cost more noise than it
brings signal. Where a sample is nearly of one phase that is the way of the edge itself. No pixel shows it then, but all
of them together do, as they have in common what a spectrum gains when it moves: its own derivative.
"""

import numpy as np
from numpy.typing import NDArray

from redoxscope.analysis.subspace import Basis

_ALIKE = 0.75
"""Correlation of the difference between two phases with a shift of the edge: 0.86 to 0.93 of NiO and LiNiO2, measured,
less where the white line changes, too."""


def unseen_shift(energies: NDArray[np.floating], basis: Basis, count: int) -> float:
    """Standard deviation (eV) of the edges' places that folded spectra do not show.

    The variance that makes the mean products of the spectra what they are (moment estimate of a variance component;
    Searle, Casella & McCulloch, Variance Components, 1992); none where it does not exceed its own standard error, nor
    where the basis has most of what a spectrum gains.

    Parameters
    ----------
    energies : (n,) eV, ascending; repeated ones count as one
    basis : learnt from `count` spectra of these energies
    """
    at, group = np.unique(energies, return_inverse=True)
    mean = np.zeros((at.size, energies.size))
    mean[group, np.arange(energies.size)] = 1 / np.bincount(group)[group]
    white = basis.vectors / basis.noise[:, None]
    rest = np.eye(energies.size) - white @ white.T
    unit = float(np.trace(rest @ basis.products)) / (energies.size - white.shape[1])
    value, vector = np.linalg.eigh(white.T @ basis.products @ white - unit * np.diag(basis.excess**2))
    spectra = basis.vectors @ (vector * np.sqrt(np.maximum(value, 0)))
    moved = np.gradient(mean @ spectra, at, axis=0)[group] / basis.noise[:, None]
    left = rest @ moved
    shape = left @ left.T
    size, square, part = float(np.trace(shape)), float((shape**2).sum()), float((left**2).sum() / (moved**2).sum())
    if not part > 0.5:
        return 0.0
    variance = (float((shape * basis.products).sum()) / unit - size) / square
    if variance < np.sqrt(2 / count / square):
        return 0.0
    return float(np.sqrt(variance * part)) / _ALIKE
