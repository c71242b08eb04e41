"""The files of a series' 3D results: the edge-energy volume and the front's topography."""

from pathlib import Path

import h5py
import numpy as np
from numpy.typing import ArrayLike

from redoxscope.analysis.topography import Topography
from redoxscope.analysis.volume import EdgeVolume
from redoxscope.live.atomic import need_room
from redoxscope.live.nexus import CURVES, LIBVER, MAPS, Quantity, new_file, open_read, put, set_data


def write_volume(path: Path, volume: EdgeVolume, voxel_size: float | None, raw_uids: tuple[str, ...]) -> None:
    """The edge-energy volume; without a voxel size, lengths are in voxels."""
    length = "um" if voxel_size else "voxel"
    values: dict[str, tuple[ArrayLike, Quantity]] = {
        "edge_energy": (volume.edge_energy, MAPS["edge_energy"]),
        "edge_energy_sigma": (volume.sigma, MAPS["edge_energy_sigma"]),
        "edge_jump": (volume.jump, Quantity("f4", "1", "edge jump, absorbance per voxel")),
        "voxel_size": (voxel_size or 1.0, Quantity("f8", length, "edge length of a voxel")),
        "jump_threshold": (volume.jump_threshold, Quantity("f8", "1", "edge jump above which a voxel is material")),
        "spectra": (volume.components, Quantity("i4", "1", "spectra that the projections were folded into")),
        "axis_offset": (volume.axis_offset, Quantity("f8", "px", "rotation axis minus the detector's centre column")),
        "axis_quality": (volume.axis_quality, Quantity("f8", "1", "quality of the rotation axis, 0 to 1")),
        "shift": (volume.shifts, Quantity("f8", "px", "shift (dy, dx) of each energy relative to the first")),
        "shift_quality": (volume.shift_quality, CURVES["shift_quality"]),
    }
    with h5py.File(path, "w", libver=LIBVER) as file:
        for name, (value, quantity) in values.items():
            need_room(path, np.size(value) * np.dtype(quantity.dtype).itemsize)
            put(file, name, value, quantity)
        set_data(file, "edge_energy", (".", ".", "."), ("edge_energy_sigma", "edge_jump"))
        file.attrs.create("raw_uids", list(raw_uids), shape=(len(raw_uids),), dtype=h5py.string_dtype())


def unit_of_length(volume: Path) -> str:
    """That of a volume's voxel size, um or voxel."""
    with open_read(volume) as file:
        return str(file["voxel_size"].attrs["units"])


def write_topography(path: Path, topography: Topography, length: str) -> None:
    """The front's surfaces and their statistics; `length` is the unit, um or voxel."""
    inverse = f"1/{length}"
    values = {
        "iso_energy": Quantity("f8", "eV", "edge energy of the surface"),
        "curvature_histogram": Quantity("f8", "1", "share of the area per bin of mean curvature"),
        "curvature_edges": Quantity("f8", inverse, "mean curvature, positive where the new phase is convex"),
        "positive": Quantity("f8", "1", "share of the area with positive mean curvature"),
        "negative": Quantity("f8", "1", "share of the area with negative mean curvature"),
        "area": Quantity("f8", f"{length}^2", "area"),
        "components": Quantity("i8", "1", "connected pieces of surface"),
        "euler": Quantity("i8", "1", "Euler characteristic"),
    }
    surface_values = {
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
    with new_file(path) as file:
        for name, quantity in values.items():
            put(file, name, getattr(topography, name), quantity)
        set_data(file, "curvature_histogram", ("iso_energy", "curvature_edges"))
        for i, surface in enumerate(topography.surfaces):
            group = file.create_group(f"surface_{i:03d}")
            group.attrs["NX_class"] = "NXcollection"
            group.attrs["iso_energy"] = surface.iso_energy
            for name, quantity in surface_values.items():
                put(group, name, getattr(surface, name), quantity)
