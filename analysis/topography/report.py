"""Topography of the reaction front: isosurfaces of the edge energy, their curvature and its statistics.

The low-energy side is the new (reduced) phase. Curvature is positive where the new phase is convex, a nucleus, and
negative in the necks between merging domains; see `curvature` for formulas and `Topography` for what is reported.
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

from redoxscope.analysis.topography.alternation import Alternation
from redoxscope.analysis.topography.domains import Domains
from redoxscope.analysis.topography.front_statistics import front_statistics
from redoxscope.analysis.topography.front_surfaces import FrontSurface, front_surfaces
from redoxscope.analysis.topography.noise import Noise
from redoxscope.analysis.topography.particle_table import ParticleTable
from redoxscope.analysis.topography.shape_statistics import Bins, ShapeStatistics

__all__ = ["DEFAULT_LEVELS", "FrontSurface", "Topography", "topography"]

Floats = NDArray[np.floating]

DEFAULT_LEVELS = np.arange(8338.0, 8342.01, 0.5)
"""eV, as in Mu et al. (2018), Fig. 4."""
_NARROWEST, _WIDEST = 0.5, 12.0
"""Voxels: a narrower window smooths nothing, and a wider one reaches across a particle."""


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
    noise: Noise | None = None
    """Of the field, as it was found."""
    surface_window: float = float("nan")
    """σ of the window whose surfaces are drawn, µm; NaN if the field has no value."""
    fixed_window: float = float("nan")
    """σ of the window of signs and histograms, µm; NaN if there is no surface."""


def topography(
    field: Floats,
    levels: ArrayLike = DEFAULT_LEVELS,
    voxel_size: ArrayLike = 1.0,
    *,
    sigma: Floats | None = None,
    window: float | None = None,
    curvature_edges: ArrayLike | None = None,
) -> Topography:
    """Isosurfaces of an edge-energy volume with their curvature.

    Surfaces are those of the smoothed field and end at the outermost known voxels, without their steps (`ends`);
    pieces smaller than a sphere of 2.7 voxels radius are left out if noise or a single voxel may have made them
    (`specks`). Curvature is taken at each vertex by the window that suits the noise there, signs and histograms by one
    window for all.

    Parameters
    ----------
    field : (z, y, x) eV on cubic voxels, NaN where there is no material
    levels : (iso,) eV; without any, the result is empty
    voxel_size : µm; if the three axes' are given one by one, they must agree within a percent
    sigma : (z, y, x) standard deviation of the voxels, as far as known, to tell where the field is noisier than
        elsewhere; how noisy it is on the whole is found from the field itself
    window : σ of the flat-top window whose surfaces are drawn, voxels; by default the narrowest from 1.6 to 2.7 that
        keeps the noise of their position below 0.06 voxel
    curvature_edges : (bin + 1,) 1/µm; by default 100 bins over ±0.5 per voxel

    Raises
    ------
    ValueError
        If the field is not three-dimensional, a level is not finite, or voxel size, sigma, window or histogram edges
        are unusable. A level without a surface, a field without any value or of one voxel's thickness is a result
        without surfaces and no error.
    """
    field = np.asarray(field)
    if field.ndim != 3:
        raise ValueError(f"the edge-energy field has {field.ndim} dimensions: (z, y, x) is needed")
    if sigma is not None and sigma.shape != field.shape:
        raise ValueError(f"sigma has the shape {sigma.shape}, the field {field.shape}: they must be the same")
    size = _cubic(voxel_size)
    if window is not None and not _NARROWEST <= window <= _WIDEST:
        raise ValueError(f"a window of {window:g} voxels: give one from {_NARROWEST:g} to {_WIDEST:g}, or none")
    iso = np.atleast_1d(np.asarray(levels, dtype=np.float64))
    if iso.ndim > 1:
        raise ValueError(f"levels of the shape {iso.shape}: give one list of energies")
    strange = iso[~np.isfinite(iso)]
    if strange.size:
        raise ValueError(f"a level of {strange[0]:g} eV has no surface: levels must be finite")
    bins = Bins.make(size, curvature_edges)
    fronts = front_surfaces(field, iso, size, sigma, window)
    found = front_statistics(field, fronts, iso, size, bins)
    return Topography(
        **{f.name: getattr(found.shape, f.name) for f in fields(found.shape)},
        iso_energy=iso,
        surfaces=fronts.surfaces,
        domains=found.domains,
        particles=found.particles,
        alternation=found.alternation,
        noise=fronts.noise,
        surface_window=fronts.surface_window,
        fixed_window=fronts.fixed_window,
    )


def _cubic(voxel_size: ArrayLike) -> float:
    """The edge of a voxel, which windows, marching and the noise's model take to be a cube."""
    sizes = np.atleast_1d(np.asarray(voxel_size, dtype=np.float64))
    if sizes.size not in (1, 3) or not (np.isfinite(sizes) & (sizes > 0)).all():
        raise ValueError(f"voxel size {sizes.tolist()} µm: a positive length is needed, or three (z, y, x)")
    if sizes.max() > 1.01 * sizes.min():
        lengths = " × ".join(f"{s:g}" for s in sizes)
        raise ValueError(
            f"voxels of {lengths} µm (z, y, x) are not cubes: resample the volume first, "
            f"e.g. scipy.ndimage.zoom(field, {[round(float(s / sizes.min()), 3) for s in sizes]}, order=1, "
            "grid_mode=True, mode='nearest')"
        )
    return float(sizes.mean())
