"""From aligned 3D XANES projections to the edge energy of every voxel.

A XANES series has few independent spectra. The projections are folded into K of them, learnt from the data, *before*
the reconstruction, which is linear: K reconstructions instead of one per energy, and less noise. Baselines and crossing
are linear functionals of a spectrum, hence of its K coefficients: voxels are evaluated without expanding them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu

from redoxscope.analysis.alignment import align_energies, sample_angles, spline_coefficients, warp
from redoxscope.analysis.rotation_axis import rotation_axis
from redoxscope.analysis.tomography import fill_missing, reconstruct
from redoxscope.analysis.xanes import Edge, first_crossing, functionals

Floats = NDArray[np.floating]
Progress = Callable[[str, float], None]

_LEAST_COMPONENTS, _MOST_COMPONENTS = 6, 10
"""Fewer components drag rare phases towards the common ones, more add only noise."""
_SCOUT_ROWS = 24
_SLAB_VOXELS = 2**22
_SPECK = 27
"""Voxels; a smaller island of material is noise."""


@dataclass(frozen=True)
class EdgeVolume:
    """Edge energy per voxel; the volumes are (z, y, x) float32, z along the detector's rows, centred on the axis."""

    edge_energy: NDArray[np.float32]
    """eV, NaN outside the particle."""
    sigma: NDArray[np.float32]
    """One standard deviation of the edge energy, eV, from the noise of the empty voxels."""
    jump: NDArray[np.float32]
    """Edge jump, absorbance per voxel, everywhere (it is about 0 outside)."""
    jump_threshold: float
    """A voxel is of the particle if its jump is larger."""
    components: int
    """K, the number of spectra that the projections were folded into."""
    axis_offset: float
    """px, rotation axis minus the detector's centre column."""
    axis_quality: float
    """0 to 1, see `rotation_axis`."""
    shifts: NDArray[np.float64]
    """(energy, 2) px (dy, dx) relative to the first energy; NaN for an energy without data."""
    shift_quality: NDArray[np.float64]
    """(energy,) 0 to 1, see `align_energies`."""


def edge_volume(
    projections: Sequence[Floats] | Floats,
    energies: ArrayLike,
    angles: ArrayLike,
    edge: Edge,
    *,
    scales: ArrayLike | None = None,
    filter_name: str = "hann",
    threads: int = 1,
    progress: Progress | None = None,
) -> EdgeVolume:
    """Align, find the axis, reconstruct and evaluate the edge energy of every voxel.

    Parameters
    ----------
    projections : (energy, angle, row, col) absorbance, or a sequence of (angle, row, col); NaN where unknown. An
        energy without any finite value is left out
    energies : (energy,) eV
    angles : (angle,) degrees, the same for all energies
    edge : windows; its thresholds are for projections, here the jump's threshold is found from the volume
    scales : (energy,) magnification relative to the first energy
    filter_name : of the reconstruction; "hann" halves the error of "ramp" at ordinary counts
    threads : of the reconstruction, see `reconstruct`
    progress : called with a stage's name and the fraction of it that is done

    Raises
    ------
    ValueError
        If the shapes disagree, or the energies with data do not cover the edge's windows.
    """
    tell = progress or (lambda stage, fraction: None)
    all_energies = np.asarray(energies, dtype=np.float64)
    if len(projections) != all_energies.size:
        raise ValueError(f"{len(projections)} tomograms for {all_energies.size} energies: one per energy is needed")
    used = np.array([i for i, p in enumerate(projections) if np.isfinite(p).any()], dtype=int)
    e = all_energies[used]
    edge.check(e)
    given = [projections[i] for i in used]
    factors = np.ones(used.size) if scales is None else np.asarray(scales, dtype=np.float64)[used]
    factors = factors / factors[0]

    tell("align", 0.0)
    aligned = align_energies(given, scales=factors)
    tell("align", 1.0)
    basis = learn_basis(given, aligned.shifts, factors)
    weights = fold_weights(basis, aligned.shifts, factors, given[0].shape[1])
    folded, mean = fold(given, weights, aligned.shifts, factors, tell)
    offset, axis_quality = rotation_axis(mean, angles)
    tell("axis", 1.0)

    shifts = np.full((all_energies.size, 2), np.nan)
    quality = np.zeros(all_energies.size)
    shifts[used], quality[used] = aligned.shifts, aligned.quality
    estimator = _Estimator(e, edge, basis)
    rows, width = mean.shape[-2:]
    across = np.arange(width) - (width - 1) / 2
    circle = np.hypot(across[:, None], across) <= width / 2 - abs(offset)
    folds: NDArray[np.bool_] = np.abs(weights).max(axis=(1, 2)) > 0
    visible = folds[:, None, None] & circle

    def slab(pick: slice) -> NDArray[np.float32]:
        return reconstruct(folded[:, :, pick], angles, offset, filter_name=filter_name, threads=threads)

    scouts = slice(None, None, max(1, rows // _SCOUT_ROWS))
    threshold, covariance = _survey(slab(scouts), estimator, visible[scouts])
    out = [np.full((rows, width, width), np.nan, dtype=np.float32) for _ in range(3)]
    step = max(2, _SLAB_VOXELS // (len(basis) * width * width))
    for start in range(0, rows, step):
        tell("reconstruct", start / rows)
        pick = slice(start, start + step)
        parts = estimator.evaluate(slab(pick), threshold, covariance, visible[pick])
        for volume, part in zip(out, parts, strict=True):
            volume[pick] = part
    energy, sigma, jump = out
    specks = _specks(np.isfinite(energy))
    energy[specks] = sigma[specks] = np.nan
    tell("reconstruct", 1.0)
    return EdgeVolume(energy, sigma, jump, threshold, len(basis), offset, axis_quality, shifts, quality)


def learn_basis(projections: Sequence[Floats], shifts: Floats, scales: Floats) -> Floats:
    """(K, energy) orthonormal spectra that span the aligned projections down to their noise.

    They are the principal components over some of the angles; K counts those whose variance is more than twice
    the median one (that of the noise), within 6 to 10.
    """
    angles = sample_angles(projections[0].shape)
    stack = np.stack([_warped(p[angles], s, m).ravel() for p, s, m in zip(projections, shifts, scales, strict=True)])
    variance, vectors = np.linalg.eigh(stack @ stack.T)
    above = int(np.count_nonzero(variance > 2 * np.median(variance)))
    count = int(np.clip(above, min(_LEAST_COMPONENTS, len(stack)), min(_MOST_COMPONENTS, len(stack))))
    return np.asarray(vectors[:, ::-1].T[:count])


def fold_weights(basis: Floats, shifts: Floats, scales: Floats, rows: int) -> NDArray[np.float32]:
    """(row, K, energy): what each energy adds to each coefficient, by row.

    Where drift took a row out of the view at some energies, its coefficients are the least-squares fit to the
    others; if those do not determine them (noise would more than double), the row's weights are 0.
    """
    centre = (rows - 1) / 2
    source = centre + scales * (np.arange(rows)[:, None] - centre) + shifts[:, 0]
    seen = (source > -0.5) & (source < rows - 0.5)
    weights = np.zeros((rows, *basis.shape), dtype=np.float32)
    for pattern in np.unique(seen, axis=0):
        solve = np.zeros(basis.shape)
        if np.count_nonzero(pattern) >= len(basis):
            solve[:, pattern] = np.linalg.pinv(basis[:, pattern].T)
        if np.linalg.norm(solve, 2) <= 2:
            weights[(seen == pattern).all(axis=1)] = solve
    return weights


def fold(
    projections: Sequence[Floats], weights: Floats, shifts: Floats, scales: Floats, progress: Progress
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Coefficients (K, angle, row, col) of the aligned projections, and their mean over the energies.

    One energy is held at a time. Weights (row, K, energy) are from `fold_weights`.
    """
    count = weights.shape[1]
    mean = np.zeros(projections[0].shape, dtype=np.float32)
    folded = np.zeros((count, *mean.shape), dtype=np.float32)
    for i, (p, s, m) in enumerate(zip(projections, shifts, scales, strict=True)):
        frames = _warped(np.asarray(p), s, m)
        mean += frames / len(projections)
        for k in range(count):
            folded[k] += weights[:, k, i, None] * frames
        progress("fold", (i + 1) / len(projections))
    return folded, mean


def _warped(frames: Floats, shift: Floats, scale: float) -> NDArray[np.float32]:
    return warp(spline_coefficients(fill_missing(frames)), shift, scale)


class _Estimator:
    """Edge energy, sigma and jump of voxels, as functionals of their coefficients: no spectrum is expanded."""

    def __init__(self, energies: Floats, edge: Edge, basis: Floats) -> None:
        wanted = functionals(energies, np.ones(energies.size, dtype=bool), edge)
        if wanted is None:
            raise ValueError(f"the baselines of the {edge.name} edge need two different energies each")
        self.edge = edge
        self.x = wanted.near - edge.nominal
        self.above = wanted.above @ basis.T
        """(m, K)"""
        self.jump = wanted.jump @ basis.T
        """(K,)"""

    def evaluate(
        self, coefficients: Floats, threshold: float, covariance: Floats, visible: NDArray[np.bool_]
    ) -> tuple[Floats, Floats, Floats]:
        """(K, row, y, x) → edge energy, sigma, jump, each (row, y, x).

        Sigma is first-order propagation of the coefficients' covariance (K, K) through baselines and crossing.
        """
        jump = np.tensordot(self.jump, coefficients, axes=1).astype(np.float32)
        material = (jump > threshold) & visible
        voxels = coefficients[:, material].astype(np.float32)
        spread = np.zeros((self.x.size, 2))
        spread[:, 0] = np.einsum("mk,kl,ml->m", self.above, covariance, self.above)
        spread[:-1, 1] = np.einsum("mk,kl,ml->m", self.above[:-1], covariance, self.above[1:])
        n = voxels.shape[1]
        crossing, spreads, height = np.empty(n), np.empty(n, dtype=np.float32), np.empty(n, dtype=np.float32)
        whole, above, at = (a.astype(np.float32) for a in (np.eye(len(voxels)), self.above, self.jump))
        level = np.zeros((2, n), dtype=np.float32)
        first_crossing(voxels, whole, above, at, self.x, spread, level, 0.0, crossing, spreads, height)
        energy, sigma = (np.full(jump.shape, np.nan, dtype=np.float32) for _ in range(2))
        energy[material] = crossing + (self.edge.nominal + self.edge.energy_offset)
        sigma[material] = spreads
        return energy, sigma, jump


def _survey(scouts: Floats, estimator: _Estimator, visible: NDArray[np.bool_]) -> tuple[float, Floats]:
    """Jump threshold of the particle, and covariance (K, K) of the coefficients in the empty voxels around it.

    The threshold is Otsu's (IEEE Trans. SMC 9, 62 (1979)), about half the particle's jump; where that is less than
    half of `min_jump_over_noise` standard deviations, it is raised to it.
    """
    jump = np.tensordot(estimator.jump, scouts, axes=1)
    if not visible.any():
        raise ValueError("no row of the particle is in view at enough energies: the sample moved too far between them")
    threshold = float(threshold_otsu(jump[visible]))
    material = (jump > threshold) & visible
    near = ndimage.binary_dilation(material, structure=np.ones((1, 3, 3)), iterations=3)
    empty = visible & ~near
    if np.count_nonzero(empty) < 10 * len(scouts):
        empty = visible & ~material
    if np.count_nonzero(empty) < 10 * len(scouts):
        return threshold, np.full((len(scouts), len(scouts)), np.nan)
    covariance = np.atleast_2d(np.cov(scouts[:, empty]))
    noise = float(np.sqrt(estimator.jump @ covariance @ estimator.jump))
    return max(threshold, 0.5 * estimator.edge.min_jump_over_noise * noise), covariance


def _specks(material: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Voxels of islands too small to be a particle."""
    labels, _ = ndimage.label(material)
    small = np.bincount(labels.ravel()) < _SPECK
    small[0] = False
    return np.asarray(small[labels])
