"""The volume as TIFF: a stack of edge energies for ImageJ, or all quantities as OME-TIFF. NaN outside the particle."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from redoxscope.live.atomic import need_room, replacing
from redoxscope.live.errors import UserError
from redoxscope.live.export.targets import check_target, told
from redoxscope.live.export.volume_file import CHANNELS, VolumeFile, display_range
from redoxscope.live.series_folder import SeriesFolder

_LARGEST = 4 * 10**9
"""Bytes that ImageJ's TIFF can hold."""


def write_stack(folder: SeriesFolder, target: Path, progress: Callable[[float], None]) -> list[Path]:
    """float32 (z, y, x) of the edge energy, eV, with ImageJ's metadata of the voxel size."""
    import tifffile

    volume = VolumeFile.of(folder)
    check_target(folder, target)
    values = volume.channel("edge_energy")
    if values.nbytes > _LARGEST:
        raise UserError(f"cannot export to {target}: {values.nbytes / 1e9:.1f} GB are too much for it; use .ome.tif")
    low, high = display_range(values)
    metadata = {"axes": "ZYX", "spacing": volume.voxel, "unit": volume.unit, "min": low, "max": high}
    with told(target), replacing(target) as path:
        need_room(path, values.nbytes)
        tifffile.imwrite(path, values, imagej=True, resolution=(1 / volume.voxel,) * 2, metadata=metadata)
    progress(1.0)
    return [target]


def write_ome_tiff(folder: SeriesFolder, target: Path, progress: Callable[[float], None]) -> list[Path]:
    """float32 (channel, z, y, x): edge energy, its sigma and the edge jump, with OME's metadata of the voxel size."""
    import tifffile

    volume = VolumeFile.of(folder)
    check_target(folder, target)
    shape = (len(CHANNELS), *volume.shape)
    size = 4 * len(CHANNELS) * volume.shape[0] * volume.shape[1] * volume.shape[2]
    names = [f"{name} ({unit})" for name, unit in zip(CHANNELS, volume.units, strict=True)]
    metadata: dict[str, Any] = {"axes": "CZYX", "Name": folder.name, "Channel": {"Name": names}}
    if volume.unit == "um":
        metadata |= {f"PhysicalSize{axis}": volume.voxel for axis in "XYZ"}
        metadata |= {f"PhysicalSize{axis}Unit": "µm" for axis in "XYZ"}
    with told(target), replacing(target) as path:
        need_room(path, size)
        tifffile.imwrite(
            path, volume.slices(), shape=shape, dtype="float32", ome=True, photometric="minisblack",
            bigtiff=size > _LARGEST, metadata=metadata,
        )  # fmt: skip
    progress(1.0)
    return [target]
