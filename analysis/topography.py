"""Topography of the reaction front: isosurfaces of the edge energy, their curvature and its statistics.

The low-energy side is the new (reduced) phase. Curvature is positive where the new phase is convex, a nucleus, and
negative in the necks between merging domains; see `curvature` for formulas and `Topography` for what is reported.
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from redoxscope.analysis.alternation import Alternation
from redoxscope.analysis.curvature import SmoothField, curvatures, derivatives, smooth_field
from redoxscope.analysis.domains import Domains
from redoxscope.analysis.front_statistics import front_statistics
from redoxscope.analysis.particle_table import ParticleTable
from redoxscope.analysis.shape_statistics import Bins, ShapeStatistics
from redoxscope.analysis.surface import isosurface, vertex_areas

Floats = NDArray[np.floating]
Indices = NDArray[np.intp]

DEFAULT_LEVELS = np.arange(8338.0, 8342.01, 0.5)
"""eV, as in Mu et al. (2018), Fig. 4."""
DEFAULT_WINDOW = 2.5
"""σ of the flat-top window, voxels."""
BORDER = 2.0
"""Voxels; a vertex closer than this to missing voxels is flagged: its curvature rests on an extrapolation."""


@dataclass(frozen=True)
class FrontSurface:
    """The front at one edge energy; the arrays are empty if there is none."""

    iso_energy: float
    vertices: NDArray[np.float64]
    """(n, 3) in (z, y, x), µm from the centre of voxel (0, 0, 0)."""
    faces: Indices
    """(m, 3) vertex numbers."""
    mean_curvature: NDArray[np.float64]
    """(n,) 1/µm, positive where the new phase is convex."""
    gaussian_curvature: NDArray[np.float64]
    """(n,) 1/µm²."""
    vertex_area: NDArray[np.float64]
    """(n,) µm², a third of the triangles around it."""
    near_border: NDArray[np.bool_]
    """(n,) within two voxels of missing data, where curvature is extrapolated."""


@dataclass(frozen=True)
class Topography(ShapeStatistics):
    """Fronts at several edge energies and their statistics, all weighted by area."""

    iso_energy: NDArray[np.float64]
    """(iso,) eV."""
    surfaces: tuple[FrontSurface, ...]
    domains: Domains
    """Nuclei, islands and necks."""
    particles: ParticleTable
    alternation: Alternation
    """Signs of curvature under each reading of the paper."""


def topography(
    field: Floats,
    levels: ArrayLike = DEFAULT_LEVELS,
    voxel_size: float = 1.0,
    *,
    window: float = DEFAULT_WINDOW,
    curvature_edges: ArrayLike | None = None,
) -> Topography:
    """Isosurfaces of an edge-energy volume with their curvature.

    Surfaces are those of the smoothed field, end where the field is missing, and pieces smaller than a sphere of
    the window's radius are left out: the window does not resolve them.

    Parameters
    ----------
    field : (z, y, x) eV on cubic voxels, NaN where there is no material
    levels : (iso,) eV
    voxel_size : µm
    window : σ of the flat-top smoothing window, voxels
    curvature_edges : (bin + 1,) 1/µm; by default 100 bins over ±0.5 per voxel

    Raises
    ------
    ValueError
        If the field is not three-dimensional, or voxel size or histogram edges are unusable. A level without a
        surface, or a field without any value, is a result and no error.
    """
    if field.ndim != 3:
        raise ValueError(f"the edge-energy field has {field.ndim} dimensions: (z, y, x) is needed")
    if not (np.isfinite(voxel_size) and voxel_size > 0):
        raise ValueError(f"voxel size {voxel_size:g} µm: a positive length is needed")
    iso = np.atleast_1d(np.asarray(levels, dtype=np.float64))
    bins = Bins.make(voxel_size, curvature_edges)
    known = np.isfinite(field)
    smooth = smooth_field(field, window) if known.any() else None
    if smooth is None:
        surfaces = tuple(_no_front(float(level)) for level in iso)
    else:
        depth = ndimage.distance_transform_edt(np.pad(known, 1))[1:-1, 1:-1, 1:-1]
        surfaces = tuple(_front(smooth, depth, float(level), voxel_size) for level in iso)
    found = front_statistics(field, smooth, surfaces, iso, voxel_size, bins)
    return Topography(
        **{f.name: getattr(found.shape, f.name) for f in fields(found.shape)},
        iso_energy=iso,
        surfaces=surfaces,
        domains=found.domains,
        particles=found.particles,
        alternation=found.alternation,
    )


def _front(smooth: SmoothField, depth: Floats, level: float, voxel_size: float) -> FrontSurface:
    target = level - smooth.offset
    surface = isosurface(smooth.values, target, min_area=4 * np.pi * smooth.window**2)
    if not len(surface.faces):
        return _no_front(level)
    # Marching cubes places vertices by linear interpolation: one Newton step puts them onto the field's surface.
    value, gradient, _ = derivatives(smooth, surface.vertices)
    square = np.maximum((gradient**2).sum(axis=1), 1e-30)
    step = ((target - value) / square)[:, None] * gradient
    length = np.linalg.norm(step, axis=1, keepdims=True)
    points = surface.vertices + step * np.minimum(1.0, 0.5 / np.maximum(length, 1e-30))
    _, gradient, hessian = derivatives(smooth, points)
    mean, gauss = curvatures(gradient, hessian)
    at = np.clip(np.rint(points).astype(np.intp), 0, np.array(depth.shape) - 1)
    vertices = points * voxel_size
    return FrontSurface(
        level,
        vertices,
        surface.faces,
        mean / voxel_size,
        gauss / voxel_size**2,
        vertex_areas(vertices, surface.faces),
        depth[tuple(at.T)] <= BORDER,
    )


def _no_front(level: float) -> FrontSurface:
    none = np.empty(0)
    no_faces = np.empty((0, 3), dtype=np.intp)
    return FrontSurface(level, np.empty((0, 3)), no_faces, none, none, none, np.empty(0, dtype=bool))
