"""The file of a series' topography: the front's surfaces and their statistics."""

from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np
from numpy.typing import ArrayLike

from redoxscope.live.nexus import (
    COMPRESSION,
    Quantity,
    describe,
    map_chunks,
    new_file,
    put,
    put_text,
    set_data,
)

if TYPE_CHECKING:
    from redoxscope.analysis.topography.report import Topography


def write_topography(path: Path, topography: "Topography", length: str) -> None:
    """The front's surfaces and their statistics; `length` is the unit, um or voxel."""
    shape = _shape_quantities(length)
    histograms = _histogram_edges(length)
    domains, alternation = topography.domains, topography.alternation
    levels = topography.iso_energy
    other: dict[str, tuple[ArrayLike, Quantity]] = {
        "iso_energy": (levels, Quantity("f8", "eV", "edge energy of the surface")),
        "nuclei": (domains.nuclei.count(levels), Quantity("i8", "1", "domains of the new phase")),
        "islands": (domains.islands.count(levels), Quantity("i8", "1", "domains of the parent phase")),
        "nucleus_position": (domains.nuclei.position, Quantity("f8", length, "first point (z, y, x) of the nucleus")),
        "nucleus_energy": (domains.nuclei.energy, Quantity("f8", "eV", "edge energy at which the nucleus appears")),
        "island_position": (domains.islands.position, Quantity("f8", length, "last point (z, y, x) of the island")),
        "island_energy": (domains.islands.energy, Quantity("f8", "eV", "edge energy at which the island vanishes")),
        "neck_position": (domains.necks.position, Quantity("f8", length, "middle (z, y, x) of the neck")),
        "neck_energy": (domains.necks.energy, Quantity("f8", "eV", "edge energy at which two domains join")),
        "neck_width": (domains.necks.width, Quantity("f8", length, "width at the first level after that")),
        "neck_widths": (domains.necks.widths, Quantity("f8", length, "width at each level, NaN where there is none")),
        "alternation_positive": (alternation.positive, Quantity("f8", "1", "share with a positive value, by reading")),
        "alternation_negative": (alternation.negative, Quantity("f8", "1", "share with a negative value, by reading")),
        "parent_bodies": (alternation.parent_bodies, Quantity("f8", "1", "share that bounds bodies of parent phase")),
    }
    with new_file(path) as file:
        for name, (value, quantity) in other.items():
            put(file, name, value, quantity)
        for name, quantity in {**shape, **histograms}.items():
            put(file, name, getattr(topography, name), quantity)
        put_text(file, "alternation_reading", alternation.reading)
        put_text(file, "findings", alternation.sentence())
        set_data(file, "curvature_histogram", ("iso_energy", "curvature_edges"))
        _put_particles(file, topography, length)
        for i, surface in enumerate(topography.surfaces):
            group = file.create_group(f"surface_{i:03d}")
            group.attrs["NX_class"] = "NXcollection"
            group.attrs["iso_energy"] = surface.iso_energy
            for name, quantity in _surface_quantities(length).items():
                put(group, name, getattr(surface, name), quantity)


def _shape_quantities(length: str) -> dict[str, Quantity]:
    """What is known of surfaces at each level, of all particles and of each."""
    return {
        "area": Quantity("f8", f"{length}^2", "area"),
        "positive": Quantity("f8", "1", "share of the area with positive mean curvature"),
        "negative": Quantity("f8", "1", "share of the area with negative mean curvature"),
        "positive_interval": Quantity("f8", "1", "95 % interval of the share with positive mean curvature"),
        "negative_interval": Quantity("f8", "1", "95 % interval of the share with negative mean curvature"),
        "components": Quantity("i8", "1", "connected pieces of surface"),
        "euler": Quantity("i8", "1", "Euler characteristic"),
        "euler_from_curvature": Quantity("f8", "1", "Euler characteristic by the integral of Gaussian curvature"),
        "curvature_histogram": Quantity("f8", "1", "share of the area per bin of mean curvature"),
        "gaussian_histogram": Quantity("f8", "1", "share of the area per bin of Gaussian curvature"),
        "shape_distribution": Quantity("f8", "1", "share of the area per bin of the larger and the smaller curvature"),
    }


def _histogram_edges(length: str) -> dict[str, Quantity]:
    return {
        "curvature_edges": Quantity("f8", f"1/{length}", "mean curvature, positive where the new phase is convex"),
        "gaussian_edges": Quantity("f8", f"1/{length}^2", "Gaussian curvature"),
        "shape_edges": Quantity("f8", f"1/{length}", "principal curvatures, positive where the new phase is convex"),
    }


def _surface_quantities(length: str) -> dict[str, Quantity]:
    inverse = f"1/{length}"
    return {
        "vertices": Quantity("f4", length, "vertices (z, y, x) from the centre of the first voxel"),
        "faces": Quantity("i4", "1", "vertex numbers of the triangles"),
        "mean_curvature": Quantity("f4", inverse, "mean curvature, positive where the new phase is convex"),
        "gaussian_curvature": Quantity("f4", f"1/{length}^2", "Gaussian curvature"),
        "vertex_area": Quantity("f4", f"{length}^2", "a third of the triangles around the vertex"),
        "kappa1": Quantity("f4", inverse, "larger principal curvature"),
        "kappa2": Quantity("f4", inverse, "smaller principal curvature"),
        "mean_curvature_sigma": Quantity("f4", inverse, "standard error of the mean curvature"),
        "window": Quantity("f4", length, "sigma of the smoothing window of the curvatures"),
        "mean_curvature_fixed": Quantity("f4", inverse, "mean curvature by one window for all, as in the histograms"),
        "gaussian_curvature_fixed": Quantity("f4", f"1/{length}^2", "Gaussian curvature by one window for all"),
        "near_border": Quantity("u1", "1", "1 near missing voxels, where curvature is extrapolated"),
    }


def _put_particles(file: h5py.File, topography: "Topography", length: str) -> None:
    """The volume of particle numbers, and a table of the particles."""
    table = topography.particles
    chunks = map_chunks(table.label.shape)
    label = file.create_dataset("particle", data=table.label.astype("i4"), chunks=chunks, **COMPRESSION)
    describe(label, Quantity("i4", "1", "number of the particle, the largest is 1; 0 outside"))
    group = file.create_group("particles")
    group.attrs["NX_class"] = "NXcollection"
    values: dict[str, tuple[ArrayLike, Quantity]] = {
        "volume": (table.volume, Quantity("f8", f"{length}^3", "volume")),
        "centre": (table.centre, Quantity("f8", length, "centre of mass (z, y, x)")),
        "transformed": (table.transformed, Quantity("f8", "1", "share of the voxels below the level")),
        "nuclei": (table.nuclei, Quantity("i8", "1", "domains of the new phase")),
        "islands": (table.islands, Quantity("i8", "1", "domains of the parent phase")),
        "necks": (table.necks, Quantity("i8", "1", "necks that have closed")),
    }
    for name, quantity in _shape_quantities(length).items():
        each = [getattr(shape, name) for shape in table.shape]
        values[name] = (np.reshape(each, (len(each), *np.shape(getattr(topography, name)))), quantity)
    for name, (value, quantity) in values.items():
        put(group, name, value, quantity)
