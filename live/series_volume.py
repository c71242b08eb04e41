"""The file of a series' edge-energy volume, finished or in the making."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np
from numpy.typing import ArrayLike

from redoxscope.live.atomic import need_room
from redoxscope.live.nexus import CURVES, LIBVER, MAPS, Quantity, describe, new_file, open_read, put, put_text, set_data
from redoxscope.live.profile_tables import group_name

if TYPE_CHECKING:
    from redoxscope.analysis.volume.evaluate import EdgeVolume

UNFINISHED = "unfinished"
"""Attribute of a volume that is being made."""
_VOLUMES = {
    "edge_energy": MAPS["edge_energy"],
    "edge_energy_sigma": MAPS["edge_energy_sigma"],
    "edge_jump": Quantity("f4", "1", "edge jump, absorbance per voxel"),
}
_SOURCES = ("0/edge_energy", "0/sigma", "0/jump")
"""The same in the file of a slab, for the first edge."""


def write_volume(
    path: Path,
    volume: "EdgeVolume",
    voxel_size: float | None,
    raw_uids: tuple[str, ...],
    others: "Mapping[str, EdgeVolume] | None" = None,
    time: float = np.nan,
) -> None:
    """The edge-energy volume, and those of other edges by name; without a voxel size, lengths are in voxels.

    `time` (s since the epoch) is that of the 3D scan.
    """
    with h5py.File(path, "w", libver=LIBVER) as file:
        _put_volume(path, file, volume)
        for name, value, quantity in _facts(volume, voxel_size):
            put(file, name, value, quantity)
        put(file, "time", time, replace(CURVES["time"], long_name="time of the 3D scan, NaN if not known"))
        _put_recipe(file, volume)
        file.attrs.create("raw_uids", list(raw_uids), shape=(len(raw_uids),), dtype=h5py.string_dtype())
        for name, other in (others or {}).items():
            group = file.require_group("edges").create_group(group_name(name))
            group.attrs["edge"] = name
            _put_volume(path, group, other)


def show_slabs(path: Path, slabs: Sequence[Path], rows: Sequence[int], width: int, voxel_size: float | None) -> None:
    """A volume that is being made: a view of the files of its slabs, which hold so many rows; NaN where none is yet."""
    with new_file(path) as file:
        file.attrs[UNFINISHED] = True
        for name, source, quantity in zip(_VOLUMES, _SOURCES, _VOLUMES.values(), strict=True):
            layout = h5py.VirtualLayout((sum(rows), width, width), quantity.dtype)
            start = 0
            for slab, count in zip(slabs, rows, strict=True):
                shape = (count, width, width)
                layout[start : start + count] = h5py.VirtualSource(os.path.relpath(slab, path.parent), source, shape)
                start += count
            describe(file.create_virtual_dataset(name, layout, fillvalue=np.nan), quantity)
        put(file, "voxel_size", voxel_size or 1.0, _voxel(voxel_size))
        set_data(file, "edge_energy", (".", ".", "."), ("edge_energy_sigma", "edge_jump"))


def is_finished(path: Path) -> bool:
    """Whether a volume's file is not a view of slabs in the making."""
    with open_read(path) as file:
        return UNFINISHED not in file.attrs


def _put_volume(path: Path, group: h5py.Group, volume: "EdgeVolume") -> None:
    arrays = (volume.edge_energy, volume.sigma, volume.jump)
    for (name, quantity), values in zip(_VOLUMES.items(), arrays, strict=True):
        need_room(path, values.size * np.dtype(quantity.dtype).itemsize)
        put(group, name, values, quantity)
    put(group, "jump_threshold", volume.jump_threshold, Quantity("f8", "1", "jump above which a voxel is material"))
    put(group, "spectra", volume.components, Quantity("i4", "1", "spectra that the projections were folded into"))
    strange = volume.strange_rows if volume.strange_rows.size else np.zeros(len(volume.edge_energy))
    put(group, "unfolded", strange, Quantity("u1", "1", "1 where each energy was reconstructed, by row"))
    set_data(group, "edge_energy", (".", ".", "."), ("edge_energy_sigma", "edge_jump"))


def _put_recipe(file: h5py.File, volume: "EdgeVolume") -> None:
    """How it was reconstructed, and what a person should know of the scan."""
    for name, value in asdict(volume.recipe).items():
        file.attrs[name] = value
    put_text(file, "findings", volume.findings)


def _facts(volume: "EdgeVolume", voxel_size: float | None) -> list[tuple[str, ArrayLike, Quantity]]:
    found = volume.alignment
    quality = Quantity("f8", "1", "quality of each projection's shift, 0 to 1; 0 where interpolated")
    return [
        ("voxel_size", voxel_size or 1.0, _voxel(voxel_size)),
        ("axis_offset", found.axis_offset, Quantity("f8", "px", "rotation axis minus the detector's centre column")),
        ("axis_quality", found.axis_quality, Quantity("f8", "1", "quality of the rotation axis, 0 to 1")),
        ("shift", found.drift, Quantity("f8", "px", "shift (dy, dx) of each energy relative to the first")),
        ("shift_quality", np.median(found.quality, axis=1), CURVES["shift_quality"]),
        ("jitter", found.jitter, Quantity("f8", "px", "rms (dy, dx) of an energy's projections about its shift")),
        ("projection_shift", found.shifts, Quantity("f8", "px", "shift (dy, dx) of each projection, (energy, angle)")),
        ("projection_quality", found.quality, quality),
    ]


def _voxel(voxel_size: float | None) -> Quantity:
    return Quantity("f8", "um" if voxel_size else "voxel", "edge length of a voxel")


def unit_of_length(volume: Path) -> str:
    """That of a volume's voxel size, um or voxel."""
    with open_read(volume) as file:
        return str(file["voxel_size"].attrs["units"])
