"""From 3D XANES projections to the edge energy of every voxel.

Two steps. `plan_volume` finds what concerns all projections: drift, the rotation axis, the spectra to fold them into,
and what is material. `evaluate_rows` then does a slab of the volume on its own: align, fold, reconstruct, evaluate; any
number of slabs may be done at once, in any order, anywhere.

What a large scan costs: 2048² pixels × 721 angles × 100 energies, K = 8, in float32
-----------------------------------------------------------------------------------
Bytes      raw frames of 2 bytes 0.60 TB; normalised 1.21 TB on disk, written once and read once; folded
           8 · 721 · 2048² · 4 = 97 GB, of which a slab of 16 rows holds 0.76 GB; the volume 2048³ · 3 · 4 = 103 GB.
Memory     per slab of r rows: K slices of 2048² · 4 = 134 MB per row, and their edge energies: 2.2 GB for 16 rows.
Operations align: 3.0e11 pixels at 13 ns = 1.1 h of one core; fold: 2 · 8 per pixel, 4.8e12, minutes; reconstruct:
           8 · 2048 slices (2048² at 721 angles, about 0.14 s each by the figures of `bench`) = 0.64 h; evaluate 8.6e9
           voxels at 28 million a second and two cores = 5 min. About 2 h of one core, and the disk: 1.2 TB at 1 GB/s
           is 20 min for reading alone.
Workers    n of them with two cores each need 1 h/n, until the disk is the limit: 3 at 1 GB/s. Reconstruction of all
           100 energies instead of 8 spectra would take 8 h.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from redoxscope.analysis.alignment import align_energies
from redoxscope.analysis.folding import (
    MOST_COMPONENTS,
    Tomograms,
    aligned_rows,
    fold,
    fold_weights,
    is_strange,
    learn_basis,
    seen_rows,
    strangeness,
)
from redoxscope.analysis.rotation_axis import rotation_axis
from redoxscope.analysis.tomography import reconstruct
from redoxscope.analysis.voxels import VoxelEstimator, empty_covariance, specks, survey
from redoxscope.analysis.xanes import Edge

Floats = NDArray[np.floating]
Progress = Callable[[str, float], None]

_AXIS_ENERGIES = 12
"""Energies that the rotation axis is found from; more add time, not accuracy."""
_SCOUT_BLOCKS, _SCOUT_ROWS = 4, 6
"""Rows that the threshold and the noise are found from, in blocks."""
_SLAB_BYTES = 1e8


@dataclass(frozen=True)
class EdgePlan:
    """One edge of a 3D scan."""

    edge: Edge
    used: NDArray[np.intp]
    """(n,) numbers of the energies that are folded"""
    basis: NDArray[np.float64]
    """(K, n) orthonormal spectra; as many as energies if nothing is to be folded"""
    threshold: float = 0.0
    """A voxel is of the particle if its jump is larger."""
    covariance: NDArray[np.float64] | None = None
    """(K, K) noise of a voxel's coefficients"""

    @property
    def folds(self) -> bool:
        """Whether there are fewer spectra than energies."""
        return len(self.basis) < self.used.size


@dataclass(frozen=True)
class VolumePlan:
    """What is known of a 3D scan before its volume is made."""

    energies: NDArray[np.float64]
    """(energy,) eV"""
    angles: NDArray[np.float64]
    """(angle,) degrees"""
    shifts: NDArray[np.float64]
    """(energy, angle, 2) px (dy, dx) relative to the first energy; NaN for an energy without data"""
    shift_quality: NDArray[np.float64]
    """(energy,) 0 to 1, see `align_energies`; 0 for an energy without data"""
    scales: NDArray[np.float64]
    """(energy,) magnification relative to the first energy with data"""
    axis_offset: float
    """px, rotation axis minus the detector's centre column"""
    axis_quality: float
    """0 to 1, see `rotation_axis`"""
    filter_name: str
    edges: tuple[EdgePlan, ...]
    """The main one first."""


@dataclass(frozen=True)
class EdgeSlab:
    """Some rows of a volume; (row, y, x) float32."""

    edge_energy: NDArray[np.float32]
    """eV, NaN outside the particle."""
    sigma: NDArray[np.float32]
    """One standard deviation of the edge energy, eV, from the noise of the empty voxels."""
    jump: NDArray[np.float32]
    """Edge jump, absorbance per voxel, everywhere (it is about 0 outside)."""
    strange: bool
    """Whether it held spectra that the basis does not describe: then each energy was reconstructed."""


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
    strange_rows: NDArray[np.bool_]
    """(z,) whose spectra the basis did not describe: there each energy was reconstructed."""


def edge_volume(
    projections: Tomograms,
    energies: ArrayLike,
    angles: ArrayLike,
    edge: Edge,
    *,
    scales: ArrayLike | None = None,
    filter_name: str = "hann",
    subspace: bool = True,
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
    subspace : fold the energies into a few spectra first; False reconstructs each energy
    threads : of the reconstruction, see `reconstruct`
    progress : called with a stage's name and the fraction of it that is done

    Raises
    ------
    ValueError
        If the shapes disagree, or the energies with data do not cover the edge's windows.
    """
    tell = progress or (lambda stage, fraction: None)
    plan = plan_volume(
        projections, energies, angles, [edge], scales=scales, filter_name=filter_name, subspace=subspace, progress=tell
    )
    slabs = []
    parts = slab_rows(plan, projections[0].shape)
    for rows in parts:
        tell("reconstruct", rows.start / parts[-1].stop)
        slabs += evaluate_rows(projections, plan, rows, threads=threads)
    volume, sigma, jump = (
        np.concatenate([getattr(s, name) for s in slabs]) for name in ("edge_energy", "sigma", "jump")
    )
    remove_specks(volume, sigma)
    tell("reconstruct", 1.0)
    strange = np.concatenate([np.full(len(s.edge_energy), s.strange) for s in slabs])
    main = plan.edges[0]
    return EdgeVolume(
        volume,
        sigma,
        jump,
        main.threshold,
        len(main.basis),
        plan.axis_offset,
        plan.axis_quality,
        mean_shifts(plan),
        plan.shift_quality,
        strange,
    )


def plan_volume(
    projections: Tomograms,
    energies: ArrayLike,
    angles: ArrayLike,
    edges: Sequence[Edge],
    *,
    scales: ArrayLike | None = None,
    filter_name: str = "hann",
    subspace: bool = True,
    progress: Progress | None = None,
) -> VolumePlan:
    """Find what concerns all projections; parameters and errors as of `edge_volume`, for several edges, main one first.

    An edge after the first whose windows are not covered is left out.
    """
    tell = progress or (lambda stage, fraction: None)
    every = np.asarray(energies, dtype=np.float64)
    theta = np.asarray(angles, dtype=np.float64)
    if len(projections) != every.size:
        raise ValueError(f"{len(projections)} tomograms for {every.size} energies: one per energy is needed")
    used = np.array([i for i, p in enumerate(projections) if np.isfinite(p).any()], dtype=int)
    edges[0].check(every[used])
    given = [projections[i] for i in used]
    factors = np.ones(every.size) if scales is None else np.asarray(scales, dtype=np.float64)
    factors = factors / factors[used[0]]

    tell("align", 0.0)
    aligned = align_energies(given, scales=factors[used])
    shifts = np.full((every.size, theta.size, 2), np.nan)
    shifts[used] = aligned.shifts[:, None, :]
    quality = np.zeros(every.size)
    quality[used] = aligned.quality
    tell("align", 1.0)
    mean = np.zeros(given[0].shape, dtype=np.float32)
    few = used[:: max(1, used.size // _AXIS_ENERGIES)]
    some = [projections[i] for i in few]
    for part, frames in aligned_rows(some, slice(0, mean.shape[1]), shifts[few], factors[few]):
        mean[part] = frames.mean(axis=0)
        tell("axis", part.stop / theta.size)
    offset, axis_quality = rotation_axis(mean, theta)
    plan = VolumePlan(every, theta, shifts, quality, factors, offset, axis_quality, filter_name, ())
    found = [_plan_edge(projections, plan, edge, used, subspace) for edge in _covered(edges, every[used])]
    tell("survey", 1.0)
    return replace(plan, edges=tuple(found))


def evaluate_rows(
    projections: Tomograms, plan: VolumePlan, rows: slice, *, number: int = 0, threads: int = 1
) -> list[EdgeSlab]:
    """Some rows of the volume of edge `number`: one slab, or several one after the other.

    Where the folded spectra do not describe what is there, each energy is reconstructed instead.
    """
    edge = plan.edges[number]
    visible = _visible(plan, edge, projections[0].shape)[rows]
    estimator = VoxelEstimator(plan.energies[edge.used], edge.edge, edge.basis, edge.covariance)
    coefficients, strange = _folded(projections, plan, edge, rows)
    if not strange:
        slices = _reconstruct(coefficients, plan, threads)
        return [EdgeSlab(*estimator.evaluate(slices, edge.threshold, visible), False)]
    whole = replace(edge, basis=np.eye(edge.used.size), covariance=None)
    return [
        _evaluate_unfolded(projections, plan, whole, slice(row, row + 1), visible[[row - rows.start]], threads)
        for row in range(rows.start, rows.stop)
    ]


def slab_rows(plan: VolumePlan, shape: tuple[int, ...], budget: float = _SLAB_BYTES) -> list[slice]:
    """The ranges of rows that a volume is made in, for projections (angle, row, col) and so many bytes of slices."""
    count = max(len(edge.basis) for edge in plan.edges)
    step = max(4, int(budget / (4 * count * shape[2] ** 2)))
    return [slice(start, min(start + step, shape[1])) for start in range(0, shape[1], step)]


def remove_specks(edge_energy: NDArray[np.float32], sigma: NDArray[np.float32]) -> None:
    """Make NaN, in place, the islands of a volume that are too small to be a particle."""
    small = specks(np.isfinite(edge_energy))
    edge_energy[small] = sigma[small] = np.nan


def mean_shifts(plan: VolumePlan) -> NDArray[np.float64]:
    """(energy, 2) px: the drift of each energy, its angles' mean."""
    return np.asarray(plan.shifts.mean(axis=1))


def _covered(edges: Sequence[Edge], energies: Floats) -> list[Edge]:
    """The first edge, and the others whose windows the energies cover."""
    found = [edges[0]]
    for edge in edges[1:]:
        try:
            edge.check(energies)
        except ValueError:
            continue
        found.append(edge)
    return found


def _plan_edge(
    projections: Tomograms, plan: VolumePlan, edge: Edge, used: NDArray[np.intp], subspace: bool
) -> EdgePlan:
    given = [projections[i] for i in used]
    basis: NDArray[np.float64] = np.eye(used.size)
    if subspace and used.size > MOST_COMPONENTS:
        basis = learn_basis(given, plan.shifts[used], plan.scales[used]).astype(np.float64)
    found = EdgePlan(edge, used, basis)
    rows = given[0].shape[1]
    visible = _visible(plan, found, given[0].shape)
    # Each energy of many rows would fill the memory; their noise does not differ.
    blocks = _blocks(rows, _SCOUT_ROWS if found.folds else 1)
    scouts = np.concatenate([_reconstruct(_folded(projections, plan, found, b)[0], plan, 1) for b in blocks], axis=1)
    estimator = VoxelEstimator(plan.energies[used], edge, basis)
    threshold, covariance = survey(scouts, estimator, np.concatenate([visible[b] for b in blocks]))
    return replace(found, threshold=threshold, covariance=covariance)


def _blocks(rows: int, size: int) -> list[slice]:
    """Some blocks of neighbouring rows, spread over all; all rows, if there are not more."""
    if rows <= _SCOUT_BLOCKS * size:
        return [slice(0, rows)]
    starts = np.linspace(0, rows, 2 * _SCOUT_BLOCKS + 1)[1::2].astype(int) - size // 2
    return [slice(int(start), int(start) + size) for start in np.clip(starts, 0, rows - size)]


def _folded(projections: Tomograms, plan: VolumePlan, edge: EdgePlan, rows: slice) -> tuple[NDArray[np.float32], bool]:
    """Coefficients (K, angle, row, col), and whether there are spectra that they do not describe."""
    given = [projections[i] for i in edge.used]
    shifts, scales = plan.shifts[edge.used], plan.scales[edge.used]
    angles, height, width = given[0].shape
    weights = fold_weights(edge.basis, seen_rows(shifts, scales, height)[rows])
    out = np.empty((len(edge.basis), angles, rows.stop - rows.start, width), dtype=np.float32)
    residual = np.zeros((edge.used.size, edge.used.size))
    for part, frames in aligned_rows(given, rows, shifts, scales):
        out[:, part] = fold(frames, weights)
        if edge.folds:
            residual += strangeness(frames, edge.basis)
    return out, edge.folds and is_strange(residual, len(edge.basis))


def _evaluate_unfolded(
    projections: Tomograms,
    plan: VolumePlan,
    edge: EdgePlan,
    rows: slice,
    visible: NDArray[np.bool_],
    threads: int,
) -> EdgeSlab:
    slices = _reconstruct(_folded(projections, plan, edge, rows)[0], plan, threads)
    energies = plan.energies[edge.used]
    jump = VoxelEstimator(energies, edge.edge, edge.basis).jumps(slices)
    covariance = empty_covariance(slices, jump > edge.threshold, visible)
    estimator = VoxelEstimator(energies, edge.edge, edge.basis, covariance)
    return EdgeSlab(*estimator.evaluate(slices, edge.threshold, visible), True)


def _reconstruct(coefficients: NDArray[np.float32], plan: VolumePlan, threads: int) -> NDArray[np.float32]:
    return reconstruct(coefficients, plan.angles, plan.axis_offset, filter_name=plan.filter_name, threads=threads)


def _visible(plan: VolumePlan, edge: EdgePlan, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """(row, y, x) the voxels that are in view at all angles and enough energies."""
    _, height, width = shape
    across = np.arange(width) - (width - 1) / 2
    circle = np.hypot(across[:, None], across) <= width / 2 - abs(plan.axis_offset)
    weights = fold_weights(edge.basis, seen_rows(plan.shifts[edge.used], plan.scales[edge.used], height))
    known = np.abs(weights).max(axis=(1, 2)) > 0
    return np.asarray(known[:, None, None] & circle)
