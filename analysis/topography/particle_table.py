"""The topography's numbers, particle by particle, the largest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from redoxscope.analysis.topography.domains import Domains, Regions
from redoxscope.analysis.topography.shape_statistics import Bins, ShapeStatistics, clip, shape_statistics

if TYPE_CHECKING:
    from redoxscope.analysis.topography.report import FrontSurface

Floats = NDArray[np.floating]
Doubles = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class ParticleTable:
    """What is known of each particle; row p is the particle with the number p + 1."""

    label: NDArray[np.int32]
    """(z, y, x) number of the particle, 0 outside."""
    volume: Doubles
    """(particle,) µm³"""
    centre: Doubles
    """(particle, 3) centre of mass, (z, y, x) µm from the centre of voxel (0, 0, 0)."""
    transformed: Doubles
    """(particle, iso) share of its voxels whose edge energy is below the level."""
    nuclei: Counts
    """(particle, iso) domains of the new phase."""
    islands: Counts
    """(particle, iso) domains of the parent phase."""
    necks: Counts
    """(particle, iso) necks that have closed."""
    shape: tuple[ShapeStatistics, ...]
    """(particle,) statistics of its part of the surfaces."""


def particle_table(
    label: NDArray[np.int32],
    field: Floats,
    levels: Floats,
    surfaces: "Sequence[FrontSurface]",
    whole: ShapeStatistics,
    domains: Domains,
    voxel_size: float,
    bins: Bins,
    patch: float,
) -> ParticleTable:
    """Numbers of each particle.

    Parameters
    ----------
    label : (z, y, x) from `segment_particles`
    field : (z, y, x) edge energy, eV, NaN where missing
    levels : (iso,) eV
    surfaces : one per level, of all particles together
    whole : statistics of all particles together: those of a particle that has all of the surfaces
    domains : of all particles together; each belongs to the particle that it lies in
    voxel_size : µm
    bins, patch : as for `shape_statistics`
    """
    count = int(label.max(initial=0))
    where = np.nonzero(label)
    number = label[where] - 1
    voxels = np.bincount(number, minlength=count).astype(np.float64)
    centre = np.stack([np.bincount(number, axis, minlength=count) for axis in where], axis=1) / voxels[:, None]
    # In which gap between the levels each voxel lies: all levels' shares in one pass. A voxel at a level is above it.
    ascending = np.argsort(levels, kind="stable")
    values = field[where]
    known = np.isfinite(values)
    gap = np.searchsorted(levels[ascending], values[known], side="right")
    below = np.bincount(number[known] * (levels.size + 1) + gap, minlength=count * (levels.size + 1))
    shares = np.cumsum(below.reshape(count, levels.size + 1), axis=1)
    transformed = np.empty((count, levels.size))
    with np.errstate(invalid="ignore", divide="ignore"):
        transformed[:, ascending] = shares[:, :-1] / shares[:, -1:]

    at_vertex = [_particle_at(label, surface.vertices, voxel_size) for surface in surfaces]
    shape = []
    for p in range(count):
        mine = [at == p + 1 for at in at_vertex]
        if all(keep.all() for keep in mine):
            shape.append(whole)
        else:
            parts = [clip(s, keep) for s, keep in zip(surfaces, mine, strict=True)]
            shape.append(shape_statistics(parts, bins, patch, voxel_size))
    return ParticleTable(
        label=label,
        volume=voxels * voxel_size**3,
        centre=centre * voxel_size,
        transformed=transformed,
        nuclei=_counts(domains.nuclei, label, levels, voxel_size),
        islands=_counts(domains.islands, label, levels, voxel_size),
        necks=_closed(domains, label, levels, voxel_size),
        shape=tuple(shape),
    )


def _particle_at(label: NDArray[np.int32], position: Floats, voxel_size: float) -> NDArray[np.int32]:
    """(n,) number of the particle at, or else beside, each place (n, 3), µm."""
    last = np.array(label.shape) - 1
    voxel = np.rint(position / voxel_size).astype(np.intp)
    number = np.asarray(label[tuple(np.clip(voxel, 0, last).T)])
    lost = np.flatnonzero(number == 0)
    first = np.floor(position[lost] / voxel_size).astype(np.intp)
    for corner in np.ndindex(2, 2, 2):
        number[lost] = np.maximum(number[lost], label[tuple(np.clip(first + corner, 0, last).T)])
    return number


def _counts(regions: Regions, label: NDArray[np.int32], levels: Floats, voxel_size: float) -> Counts:
    particle = _particle_at(label, regions.position, voxel_size)
    parts = [particle == p + 1 for p in range(int(label.max(initial=0)))]
    counts = [Regions(regions.position[a], regions.energy[a], regions.join[a]).count(levels) for a in parts]
    return np.array(counts, dtype=np.int64).reshape(len(parts), levels.size)


def _closed(domains: Domains, label: NDArray[np.int32], levels: Floats, voxel_size: float) -> Counts:
    particle = _particle_at(label, domains.necks.position, voxel_size)
    energies = [domains.necks.energy[particle == p + 1] for p in range(int(label.max(initial=0)))]
    counts = [(energy[:, None] <= levels).sum(axis=0) for energy in energies]
    return np.array(counts, dtype=np.int64).reshape(len(energies), levels.size)
