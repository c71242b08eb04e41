"""What is found on all projections of a 3D XANES scan before its volume is made: alignment, axis, spectra, noise."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from redoxscope.analysis.alignment.gauge import Alignment
from redoxscope.analysis.alignment.projections import align_projections
from redoxscope.analysis.tomography.recipe import Recipe
from redoxscope.analysis.tomography.reconstruction import reconstruct_all
from redoxscope.analysis.volume.findings import findings_of, reaches_beyond
from redoxscope.analysis.volume.folding import (
    MOST_COMPONENTS,
    Tomograms,
    aligned_rows,
    basis_of,
    fold,
    fold_weights,
    is_strange,
    seen_rows,
    spectral_products,
    strangeness,
    telling_angles,
)
from redoxscope.analysis.volume.knots import Early, Unmixing, of_edge, unmixing
from redoxscope.analysis.volume.voxels import VoxelEstimator, survey
from redoxscope.analysis.xanes import Edge

Floats = NDArray[np.floating]
Progress = Callable[[str, float], None]

_SCOUT_BLOCKS, _SCOUT_ROWS = 4, 6
"""Rows that the threshold and the noise are found from, in blocks."""


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
    unmixing: Unmixing | None = None
    """How coefficients are got from what was folded while the scan went on; None if nothing was."""

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
    alignment: Alignment
    """where every projection stands, and the rotation axis"""
    scales: NDArray[np.float64]
    """(energy,) magnification relative to that energy which the alignment is relative to"""
    recipe: Recipe
    edges: tuple[EdgePlan, ...] = ()
    """The main one first."""
    findings: tuple[str, ...] = ()
    """What a person should know of the scan: a sentence each."""


def plan_volume(
    projections: Tomograms,
    energies: ArrayLike,
    angles: ArrayLike,
    edges: Sequence[Edge],
    *,
    scales: ArrayLike | None = None,
    recipe: Recipe | None = None,
    subspace: bool = True,
    progress: Progress | None = None,
    alignment: Alignment | None = None,
    early: Early | None = None,
) -> VolumePlan:
    """Find what concerns all projections; parameters and errors as of `edge_volume`, for several edges, main one first.

    An edge after the first whose windows are not covered is left out. An alignment that was found while the scan went
    on is taken as it is, and what was folded meanwhile (`early`) is used as far as it goes. An object that reaches
    beyond the view is reconstructed as a truncated one, by filtered backprojection; that is among the findings, as is
    what `findings_of` has to say.
    """
    tell = progress or (lambda stage, fraction: None)
    every = np.asarray(energies, dtype=np.float64)
    theta = np.asarray(angles, dtype=np.float64)
    if len(projections) != every.size:
        raise ValueError(f"{len(projections)} tomograms for {every.size} energies: one per energy is needed")
    # Frame by frame: the first one mostly tells, and tomograms may lie in files.
    used = np.array([i for i, p in enumerate(projections) if any(np.isfinite(f).any() for f in p)], dtype=int)
    edges[0].check(every[used])
    factors = np.ones(every.size) if scales is None else np.asarray(scales, dtype=np.float64)
    if alignment is None:
        alignment = align_projections(
            projections, theta, scales=factors, progress=lambda fraction: tell("align", fraction)
        )
    tell("align", 1.0)
    recipe = recipe or Recipe()
    truncated = reaches_beyond(projections, used)
    if truncated is not None:
        recipe = replace(recipe, truncated=True, method="fbp")
    told = findings_of(projections, every, theta, alignment, factors)
    plan = VolumePlan(every, theta, alignment, factors, recipe, findings=(*((truncated,) if truncated else ()), *told))
    chosen = _covered(edges, every[used])
    found = []
    for edge in chosen:
        its = used[of_edge(every[used], edge, alone=len(chosen) == 1)]
        found.append(_plan_edge(projections, plan, edge, its, subspace, early))
    tell("survey", 1.0)
    return replace(plan, edges=tuple(found))


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
    projections: Tomograms, plan: VolumePlan, edge: Edge, used: NDArray[np.intp], subspace: bool, early: Early | None
) -> EdgePlan:
    given = [projections[i] for i in used]
    found = EdgePlan(edge, used, np.eye(used.size))
    knots: Tomograms | None = None
    if subspace and used.size > MOST_COMPONENTS:
        shifts, taken = plan.alignment.shifts[used], plan.alignment.quality[used] > 0
        products = spectral_products(given, shifts, plan.scales[used], taken)
        found = replace(found, basis=basis_of(products))
        if early is not None and edge.name in early.knots:
            knots, weights = early.knots[edge.name], early.weights[edge.name][:, used]
            found = replace(found, unmixing=unmixing(found.basis, products, weights, early.shifts[used], shifts, taken))
    rows = given[0].shape[1]
    # Each energy of many rows would fill the memory; their noise does not differ.
    blocks = _blocks(rows, _SCOUT_ROWS if found.folds else 1)
    folded = np.concatenate([folded_rows(projections, plan, found, b, knots)[0] for b in blocks], axis=2)
    visible = np.concatenate([visible_voxels(plan, found, given[0].shape, b) for b in blocks])
    estimator = VoxelEstimator(plan.energies[used], edge, found.basis)
    threshold, covariance = survey(noisy_slices_of(folded, plan, 1), estimator, visible)
    return replace(found, threshold=threshold, covariance=covariance)


def _blocks(rows: int, size: int) -> list[slice]:
    """Some blocks of neighbouring rows, spread over all; all rows, if there are not more."""
    if rows <= _SCOUT_BLOCKS * size:
        return [slice(0, rows)]
    starts = np.linspace(0, rows, 2 * _SCOUT_BLOCKS + 1)[1::2].astype(int) - size // 2
    return [slice(int(start), int(start) + size) for start in np.clip(starts, 0, rows - size)]


def folded_rows(
    projections: Tomograms, plan: VolumePlan, edge: EdgePlan, rows: slice, knots: Tomograms | None = None
) -> tuple[NDArray[np.float32], bool]:
    """Coefficients (K, angle, row, col), and whether there are spectra that they do not describe.

    With `knots`, what was folded as it came, all energies are read of some angles only: of those that show whether
    there are strange spectra, and of those where the knots lack a projection. Where drift took rows out of the view at
    some energies, knots hold what is not there: then there, too, all are read.
    """
    count, height, width = projections[0].shape
    every = np.arange(count)
    known = edge.unmixing
    seen = seen_rows(plan.alignment.shifts[edge.used], plan.scales[edge.used], height)[rows]
    if knots is None or known is None or not seen.all():
        return _folded_energies(projections, plan, edge, rows, every)
    slab = (count, rows.stop - rows.start, width)
    asked = telling_angles(slab, plan.alignment.quality[edge.used] > 0)
    pick = np.union1d(asked, np.flatnonzero(~known.sound))
    if pick.size > count // 2:
        return _folded_energies(projections, plan, edge, rows, every)
    out = np.empty((len(edge.basis), *slab), dtype=np.float32)
    weights = np.broadcast_to(known.mixing.astype(np.float32), (len(seen), *known.mixing.shape))
    still = np.broadcast_to(known.shifts, (len(knots), count, 2))
    for part, frames in aligned_rows(knots, rows, still, np.ones(len(knots))):
        out[:, part] = fold(frames, weights)
    out[:, pick], strange = _folded_energies(projections, plan, edge, rows, pick)
    return out, strange


def _folded_energies(
    projections: Tomograms, plan: VolumePlan, edge: EdgePlan, rows: slice, angles: NDArray[np.intp]
) -> tuple[NDArray[np.float32], bool]:
    """The same from all energies, at some angles (numbers)."""
    given = [projections[i] for i in edge.used]
    shifts, scales = plan.alignment.shifts[edge.used], plan.scales[edge.used]
    _, height, width = given[0].shape
    seen = seen_rows(shifts, scales, height)[rows]
    taken = plan.alignment.quality[edge.used][:, angles] > 0
    weights = fold_weights(edge.basis, seen)
    out = np.empty((len(edge.basis), angles.size, rows.stop - rows.start, width), dtype=np.float32)
    residual = np.zeros((edge.used.size, edge.used.size))
    for part, frames in aligned_rows(given, rows, shifts, scales, angles=angles):
        out[:, part] = fold(frames, weights)
        whole = taken[:, part].all(axis=0)
        for angle in np.flatnonzero(~whole) if edge.folds else ():
            # The others tell what an energy lacks at this angle; only if they do not, its neighbours in angle do.
            others = fold_weights(edge.basis, seen & taken[:, part][:, angle])
            if _rows_known(others)[_rows_known(weights)].all():
                out[:, part][:, angle] = fold(frames[:, angle : angle + 1], others)[:, 0]
        if edge.folds and whole.any():
            residual += strangeness(frames if whole.all() else frames[:, whole], edge.basis)
    return out, edge.folds and is_strange(residual, len(edge.basis))


def slices_of(coefficients: NDArray[np.float32], plan: VolumePlan, threads: int) -> NDArray[np.float32]:
    """(K, row, y, x) slices of folded projections (K, angle, row, col)."""
    return reconstruct_all(coefficients, plan.angles, plan.alignment.axis_offset, plan.recipe, threads)


def noisy_slices_of(coefficients: NDArray[np.float32], plan: VolumePlan, threads: int) -> NDArray[np.float32]:
    """The same, for the noise to be seen in: total variation leaves none where nothing is, though its voxels err.

    The noise of filtered backprojection stands for it, which is an upper bound.
    """
    recipe = replace(plan.recipe, method="fbp") if plan.recipe.method == "tv" else plan.recipe
    return reconstruct_all(coefficients, plan.angles, plan.alignment.axis_offset, recipe, threads)


def visible_voxels(plan: VolumePlan, edge: EdgePlan, shape: tuple[int, ...], rows: slice) -> NDArray[np.bool_]:
    """(row, y, x) which voxels of some rows are in view at all angles and enough energies."""
    _, height, width = shape
    across = np.arange(width) - (width - 1) / 2
    circle = np.hypot(across[:, None], across) <= width / 2 - abs(plan.alignment.axis_offset)
    weights = fold_weights(
        edge.basis, seen_rows(plan.alignment.shifts[edge.used], plan.scales[edge.used], height)[rows]
    )
    return np.asarray(_rows_known(weights)[:, None, None] & circle)


def _rows_known(weights: Floats) -> NDArray[np.bool_]:
    """(row,) which rows the weights (row, K, energy) say something of."""
    return np.asarray(np.abs(weights).max(axis=(1, 2)) > 0)
