"""All statistics of the front in one volume."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from redoxscope.analysis.topography.alternation import Alternation, alternation
from redoxscope.analysis.topography.domains import Domains, find_domains, least_persistence, no_domains
from redoxscope.analysis.topography.front_surfaces import Fronts
from redoxscope.analysis.topography.level_tree import level_tree
from redoxscope.analysis.topography.particle_table import ParticleTable, particle_table
from redoxscope.analysis.topography.particles import segment_particles
from redoxscope.analysis.topography.shape_statistics import Bins, ShapeStatistics, shape_statistics
from redoxscope.analysis.topography.smooth_field import APART

Floats = NDArray[np.floating]

PATCH = 2.0
"""Windows over which smoothing joins vertices: the edge of the smallest patches of the bootstrap."""


@dataclass(frozen=True)
class FrontStatistics:
    """What `topography` reports besides the surfaces."""

    shape: ShapeStatistics
    domains: Domains
    particles: ParticleTable
    alternation: Alternation


def front_statistics(field: Floats, fronts: Fronts, levels: Floats, voxel_size: float, bins: Bins) -> FrontStatistics:
    """Statistics of the front's surfaces and of the field that they were made of.

    Parameters
    ----------
    field : (z, y, x) eV, NaN where missing
    fronts : its surfaces, one per level
    levels : (iso,) eV
    voxel_size : µm
    bins : of the histograms
    """
    smooth, surfaces = fronts.smooth, fronts.surfaces
    values = np.full(field.shape, np.nan, dtype=np.float32) if smooth is None else smooth.values
    lower, upper = level_tree(values), level_tree(-values)
    if smooth is None:
        domains = no_domains(levels.size)
    else:
        left = fronts.noise.of_value(smooth.window / APART, smooth.window * APART)
        least = least_persistence(fronts.noise.sigma, left)
        domains = find_domains(smooth, lower, upper, levels, voxel_size, least)
    window = fronts.fixed_window if np.isfinite(fronts.fixed_window) else voxel_size
    patch = PATCH * window
    label = segment_particles(np.isfinite(field))
    shape = shape_statistics(surfaces, bins, patch, voxel_size)
    return FrontStatistics(
        shape,
        domains,
        particle_table(label, field, levels, surfaces, shape, domains, voxel_size, bins, patch),
        alternation(surfaces, lower, upper, values, 0.0 if smooth is None else smooth.offset, voxel_size),
    )
