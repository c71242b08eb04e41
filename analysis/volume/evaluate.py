"""From 3D XANES projections to the edge energy of every voxel.

Two steps. `plan_volume` finds what concerns all projections: drift, the rotation axis, the spectra to fold them into,
and what is material. `evaluate_rows` then does a slab of the volume on its own: align, fold, reconstruct, evaluate; any
number of slabs may be done at once, in any order, anywhere. Most of aligning and folding is done before, while the scan
goes on (`knots`).

What a large scan costs: 2048² pixels × 721 angles × 100 energies, K = 8, in float32
-----------------------------------------------------------------------------------
While      raw frames of 2 bytes 0.60 TB; normalised 1.21 TB on disk, written once. Each energy is read once (12 GB) to
it runs    be placed, warped and added to its two knots, which are read and written (48 GB): 6.0 TB over the scan, 60 s
           an energy at 1 GB/s. Measured on 1024² frames, one core, per pixel: normalise 12 ns, place 1.3, warp 4, add
           2.2, and the live slices 22: 42 ns · 3.0e9 pixels = 125 s an energy. Frames that come faster than that are
           caught up with at the end. Memory: two sets of one energy's frames, 24 GB.
At the     knots 16 · 12.1 GB = 0.19 TB, of which a slab of 4 rows reads 10, as the interpolation reaches 3 further:
end, read  0.48 TB; all energies at 8 angles, for the spectra and for strange ones 0.05 TB; 12 energies for the geometry
           0.15 TB: 0.7 TB, 12 min at 1 GB/s. Reading all energies for every slab instead, as where a slab is strange
           or drifted out of view, is 3.0 TB.
Memory     per process: the plan 0.4 GB, and per slab of 4 rows the coefficients 8 · 721 · 4 · 2048 · 4 = 0.19 GB and
           the slices 8 · 4 · 2048² · 4 = 0.54 GB: 1.3 GB, whatever the number of energies and rows. The volume is
           2048³ · 3 · 4 = 103 GB on disk.
Operations CPU time of one core, measured: warp and unmix 16 knots, 3 ns for each of 4.8e10 · 10/4 pixels = 0.1 h;
           reconstruct 8 · 2048 slices at 19 ms (2048² voxels, 721 angles; 6 ms for 1024²) = 0.09 h; evaluate 8.6e9
           voxels at 30 ns = 0.07 h. About a quarter of an hour, as long as the disk.
Workers    n of them with one core each need 0.26 h/n of it, each slab being on its own; one or two keep a disk of
           1 GB/s busy, ten one of 10 GB/s. Reconstruction of all 100 energies instead of 8 spectra would take 1.1 h.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from redoxscope.analysis.alignment.gauge import Alignment
from redoxscope.analysis.tomography.recipe import Recipe
from redoxscope.analysis.volume.folding import Tomograms
from redoxscope.analysis.volume.plan import (
    EdgePlan,
    Progress,
    VolumePlan,
    folded_rows,
    noisy_slices_of,
    plan_volume,
    slices_of,
    visible_voxels,
)
from redoxscope.analysis.volume.voxels import VoxelEstimator, empty_covariance, specks
from redoxscope.analysis.xanes import Edge

Floats = NDArray[np.floating]

_SLAB_BYTES = 1e8
_LEAST_SLABS, _LEAST_ROWS = 8, 4
"""Enough for several cores; fewer rows would be mostly the interpolation's border."""


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
    alignment: Alignment
    """Where every projection stood, and the rotation axis."""
    strange_rows: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=bool))
    """(z,) whose spectra the basis did not describe: there each energy was reconstructed; empty if none were."""
    recipe: Recipe = field(default_factory=Recipe)
    """How it was reconstructed."""
    findings: tuple[str, ...] = ()
    """What a person should know of the scan: a sentence each."""


def edge_volume(
    projections: Tomograms,
    energies: ArrayLike,
    angles: ArrayLike,
    edge: Edge,
    *,
    scales: ArrayLike | None = None,
    recipe: Recipe | None = None,
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
    recipe : how slices are reconstructed; by default filtered backprojection with the filter "hann"
    subspace : fold the energies into a few spectra first; False reconstructs each energy
    threads : of the reconstruction, see `reconstruct`
    progress : called with a stage's name and the fraction of it that is done

    Raises
    ------
    ValueError
        If the shapes disagree, or the energies with data do not cover the edge's windows.
    """
    plan = plan_volume(
        projections, energies, angles, [edge], scales=scales, recipe=recipe, subspace=subspace, progress=progress
    )
    return planned_volume(projections, plan, threads=threads, progress=progress)


def planned_volume(
    projections: Tomograms,
    plan: VolumePlan,
    *,
    knots: Tomograms | None = None,
    threads: int = 1,
    progress: Progress | None = None,
) -> EdgeVolume:
    """The volume of the main edge, slab after slab; parameters as of `edge_volume` and `evaluate_rows`."""
    tell = progress or (lambda stage, fraction: None)
    slabs = []
    parts = slab_rows(plan, projections[0].shape)
    for rows in parts:
        tell("reconstruct", rows.start / parts[-1].stop)
        slabs += evaluate_rows(projections, plan, rows, knots=knots, threads=threads)
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
        plan.alignment,
        strange,
        plan.recipe,
        plan.findings,
    )


def evaluate_rows(
    projections: Tomograms,
    plan: VolumePlan,
    rows: slice,
    *,
    number: int = 0,
    knots: Tomograms | None = None,
    threads: int = 1,
) -> list[EdgeSlab]:
    """Some rows of the volume of edge `number`: one slab, or several one after the other.

    `knots` are those of this edge, if the plan was made with some. Where the folded spectra do not describe what is
    there, each energy is reconstructed instead.
    """
    edge = plan.edges[number]
    visible = visible_voxels(plan, edge, projections[0].shape, rows)
    estimator = VoxelEstimator(plan.energies[edge.used], edge.edge, edge.basis, edge.covariance)
    coefficients, strange = folded_rows(projections, plan, edge, rows, knots)
    if not strange:
        slices = slices_of(coefficients, plan, threads)
        return [EdgeSlab(*estimator.evaluate(slices, edge.threshold, visible), False)]
    whole = replace(edge, basis=np.eye(edge.used.size), covariance=None)
    return [
        _evaluate_unfolded(projections, plan, whole, slice(row, row + 1), visible[[row - rows.start]], threads)
        for row in range(rows.start, rows.stop)
    ]


def slab_rows(plan: VolumePlan, shape: tuple[int, ...], budget: float = _SLAB_BYTES) -> list[slice]:
    """The ranges of rows that a volume is made in, for projections (angle, row, col) and so many bytes of slices."""
    count = max(len(edge.basis) for edge in plan.edges)
    step = min(int(budget / (4 * count * shape[2] ** 2)), -(-shape[1] // _LEAST_SLABS))
    step = max(_LEAST_ROWS, step)
    return [slice(start, min(start + step, shape[1])) for start in range(0, shape[1], step)]


def remove_specks(edge_energy: NDArray[np.float32], sigma: NDArray[np.float32]) -> None:
    """Make NaN, in place, the islands of a volume that are too small to be a particle."""
    small = specks(np.isfinite(edge_energy))
    edge_energy[small] = sigma[small] = np.nan


def _evaluate_unfolded(
    projections: Tomograms,
    plan: VolumePlan,
    edge: EdgePlan,
    rows: slice,
    visible: NDArray[np.bool_],
    threads: int,
) -> EdgeSlab:
    folded = folded_rows(projections, plan, edge, rows)[0]
    slices = slices_of(folded, plan, threads)
    energies = plan.energies[edge.used]
    jump = VoxelEstimator(energies, edge.edge, edge.basis).jumps(slices)
    noisy = slices if plan.recipe.method != "tv" else noisy_slices_of(folded, plan, threads)
    covariance = empty_covariance(noisy, jump > edge.threshold, visible)
    estimator = VoxelEstimator(energies, edge.edge, edge.basis, covariance)
    return EdgeSlab(*estimator.evaluate(slices, edge.threshold, visible), True)
