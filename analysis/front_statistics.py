"""All statistics of the front in one volume."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from redoxscope.analysis.alternation import Alternation, alternation
from redoxscope.analysis.curvature import SmoothField
from redoxscope.analysis.domains import Domains, find_domains, least_persistence, no_domains
from redoxscope.analysis.field_noise import field_noise
from redoxscope.analysis.level_tree import level_tree
from redoxscope.analysis.particle_table import ParticleTable, particle_table
from redoxscope.analysis.particles import segment_particles
from redoxscope.analysis.shape_statistics import Bins, ShapeStatistics, shape_statistics

if TYPE_CHECKING:
    from redoxscope.analysis.topography import FrontSurface

Floats = NDArray[np.floating]

PATCH = 5.0
"""Voxels over which smoothing joins vertices, two windows: the edge of the smallest patches of the bootstrap."""


@dataclass(frozen=True)
class FrontStatistics:
    """What `topography` reports besides the surfaces."""

    shape: ShapeStatistics
    domains: Domains
    particles: ParticleTable
    alternation: Alternation


def front_statistics(
    field: Floats,
    smooth: SmoothField | None,
    surfaces: "Sequence[FrontSurface]",
    levels: Floats,
    voxel_size: float,
    bins: Bins,
) -> FrontStatistics:
    """Statistics of the front's surfaces and of the field that they were made of.

    Parameters
    ----------
    field : (z, y, x) eV, NaN where missing
    smooth : the field whose level sets the surfaces are; None if it has no known voxel
    surfaces : one per level
    levels : (iso,) eV
    voxel_size : µm
    bins : of the histograms
    """
    values = np.full(field.shape, np.nan, dtype=np.float32) if smooth is None else smooth.values
    lower, upper = level_tree(values), level_tree(-values)
    if smooth is None:
        domains = no_domains(levels.size)
    else:
        noise = field_noise(field, smooth)
        domains = find_domains(smooth, lower, upper, levels, voxel_size, least_persistence(noise.voxel, noise.smooth))
    patch = PATCH * voxel_size
    label = segment_particles(np.isfinite(field))
    shape = shape_statistics(surfaces, bins, patch)
    return FrontStatistics(
        shape,
        domains,
        particle_table(label, field, levels, surfaces, shape, domains, voxel_size, bins, patch),
        alternation(surfaces, lower, upper, values, 0.0 if smooth is None else smooth.offset, voxel_size),
    )
