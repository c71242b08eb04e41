"""Edge energy, sigma and jump of voxels, from the reconstructed coefficients of their spectra.

Baselines and crossing are linear functionals of a spectrum, hence of its coefficients: no spectrum is expanded.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu

from redoxscope.analysis.crossing import find_in_rows
from redoxscope.analysis.definitions import coefficient_finder
from redoxscope.analysis.xanes import Edge, functionals

Floats = NDArray[np.floating]
_SPECK = 27
"""Voxels; a smaller island of material is noise."""


class VoxelEstimator:
    """How an edge is found in coefficients of a basis.

    Parameters
    ----------
    energies : (n,) eV, of the folded tomograms
    edge : definition and windows; its thresholds are for projections, see `survey`
    basis : (K, n) orthonormal spectra
    covariance : (K, K) of the coefficients' noise; without it sigma means nothing

    Raises
    ------
    ValueError
        If a baseline has fewer than two different energies.
    """

    def __init__(self, energies: Floats, edge: Edge, basis: Floats, covariance: Floats | None = None) -> None:
        everything = np.ones(energies.size, dtype=bool)
        wanted = functionals(energies, everything, edge)
        if wanted is None:
            raise ValueError(f"the baselines of the {edge.name} edge need two different energies each")
        self.edge = edge
        self.components = len(basis)
        noise = np.eye(len(basis)) if covariance is None else np.asarray(covariance, dtype=np.float64)
        vectors = np.asarray(basis.T, dtype=np.float64)
        self._find = coefficient_finder(wanted, edge, vectors, noise, smooth=len(basis) < energies.size)
        self.jump = np.asarray(wanted.jump @ basis.T)
        """(K,)"""

    def jumps(self, coefficients: Floats) -> NDArray[np.float32]:
        """(K, ...) → edge jump (...), absorbance per voxel."""
        return np.tensordot(self.jump.astype(np.float32), coefficients, axes=1).astype(np.float32)

    def evaluate(
        self, coefficients: Floats, threshold: float, visible: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """(K, row, y, x) → edge energy, sigma, jump, each (row, y, x) float32.

        Edge energy and sigma are NaN where the jump is not above the threshold or the voxel is not `visible`. Sigma is
        first-order propagation of the coefficients' covariance through baselines and crossing.
        """
        jump = self.jumps(coefficients)
        material = (jump > threshold) & visible
        found, spread, _ = find_in_rows(np.ascontiguousarray(coefficients[:, material], dtype=np.float32), self._find)
        energy, sigma = (np.full(jump.shape, np.nan, dtype=np.float32) for _ in range(2))
        energy[material] = found + np.float32(self.edge.nominal + self.edge.energy_offset)
        sigma[material] = spread
        return energy, sigma, jump


def survey(scouts: Floats, estimator: VoxelEstimator, visible: NDArray[np.bool_]) -> tuple[float, NDArray[np.float64]]:
    """Jump threshold of the particle, and covariance (K, K) of the coefficients in the empty voxels around it.

    The threshold is Otsu's (IEEE Trans. SMC 9, 62 (1979)), about half the particle's jump; where that is less than
    half of `min_jump_over_noise` standard deviations, it is raised to it.

    Parameters
    ----------
    scouts : (K, row, y, x) coefficients of some rows; visible : (row, y, x) where they can be relied on

    Raises
    ------
    ValueError
        If nothing is visible.
    """
    if not visible.any():
        raise ValueError("no row of the particle is in view at enough energies: the sample moved too far between them")
    jump = estimator.jumps(scouts)
    threshold = float(threshold_otsu(jump[visible]))
    covariance = empty_covariance(scouts, jump > threshold, visible)
    noise = float(np.sqrt(estimator.jump @ covariance @ estimator.jump))
    return max(threshold, 0.5 * estimator.edge.min_jump_over_noise * noise) if noise > 0 else threshold, covariance


def empty_covariance(scouts: Floats, material: NDArray[np.bool_], visible: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(K, K) covariance of the coefficients (K, row, y, x) in the empty voxels, away from the material if possible."""
    near = ndimage.binary_dilation(material & visible, structure=np.ones((1, 3, 3)), iterations=3)
    for empty in (visible & ~near, visible & ~material):
        if np.count_nonzero(empty) >= 10 * len(scouts):
            return np.atleast_2d(np.cov(scouts[:, empty]))
    return np.full((len(scouts), len(scouts)), np.nan)


def specks(material: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Voxels of islands too small to be a particle."""
    labels, _ = ndimage.label(material)
    small = np.bincount(labels.ravel()) < _SPECK
    small[0] = False
    return np.asarray(small[labels])
