"""The volume as OME-Zarr 0.4 (https://ngff.openmicroscopy.org/0.4), in the Zarr format 2 that most readers know.

Channels are edge energy, its sigma and the edge jump; each level of the pyramid halves the one before, averaging the
voxels that are known. NaN outside the particle.
"""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from redoxscope.live.atomic import need_room, replacing_folder
from redoxscope.live.errors import UserError
from redoxscope.live.export.targets import check_target, told
from redoxscope.live.export.volume_file import CHANNELS, Volume, VolumeFile, display_range
from redoxscope.live.series_folder import SeriesFolder

_CHUNK = 64
_SMALLEST = 64
"""Voxels along the longest edge at which the pyramid ends."""
_COLOURS = ("FFFFFF", "FF8800", "00AAFF")


def write_zarr(folder: SeriesFolder, target: Path, progress: Callable[[float], None]) -> list[Path]:
    """Write the volume to a folder; one that is there is replaced if it is a Zarr store. Raises UserError if not."""
    import zarr

    volume = VolumeFile.of(folder)
    check_target(folder, target, is_folder=True)
    _check_replaceable(target)
    shapes = level_shapes(volume.shape)
    windows = []
    with told(target), replacing_folder(target) as path:
        need_room(path, int(1.2 * 4 * len(CHANNELS) * np.prod(volume.shape)))
        group = zarr.open_group(str(path), mode="w", zarr_format=2)
        levels = [
            group.create_array(
                str(number), shape=(len(CHANNELS), *shape), chunks=(1, *(min(_CHUNK, n) for n in shape)),
                dtype="float32", fill_value=np.nan, chunk_key_encoding={"name": "v2", "separator": "/"},
            )
            for number, shape in enumerate(shapes)
        ]  # fmt: skip
        for index, name in enumerate(CHANNELS):
            values = volume.channel(name)
            windows.append(display_range(values))
            for number, level in enumerate(levels):
                values = values if number == 0 else halve(values)
                level[index] = values
            progress((index + 1) / len(CHANNELS))
        group.attrs.update(metadata(volume, len(shapes), folder.name, windows))
    return [target]


def level_shapes(shape: tuple[int, int, int]) -> list[tuple[int, int, int]]:
    """Shapes of the pyramid's levels, the volume's own first."""
    shapes = [shape]
    while max(shapes[-1]) > _SMALLEST:
        z, y, x = (-(-n // 2) for n in shapes[-1])
        shapes.append((z, y, x))
    return shapes


def halve(values: Volume) -> Volume:
    """Means of the known voxels in blocks of 2 × 2 × 2; NaN where none is known. Odd edges keep a half block."""
    padded = np.pad(values, [(0, n % 2) for n in values.shape], constant_values=np.nan)
    z, y, x = (n // 2 for n in padded.shape)
    blocks = padded.reshape(z, 2, y, 2, x, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # blocks without a value
        return np.asarray(np.nanmean(blocks, axis=(1, 3, 5)), dtype=np.float32)


def metadata(volume: VolumeFile, levels: int, name: str, windows: list[tuple[float, float]]) -> dict[str, Any]:
    """The group's attributes: axes with units, scale and place of each level, channels."""
    unit = {"unit": "micrometer"} if volume.unit == "um" else {}
    axes = [{"name": "c", "type": "channel"}, *({"name": axis, "type": "space", **unit} for axis in "zyx")]
    datasets = []
    for level in range(levels):
        step = 2**level
        # The centre of a level's first voxel lies between those of the voxels it stands for.
        moved = (step - 1) / 2 * volume.voxel
        transforms = [
            {"type": "scale", "scale": [1.0, *(step * volume.voxel,) * 3]},
            {"type": "translation", "translation": [0.0, *(moved,) * 3]},
        ]
        datasets.append({"path": str(level), "coordinateTransformations": transforms})
    channels = [
        {
            "label": f"{channel} ({unit_})",
            "color": colour,
            "active": index == 0,
            "window": {"start": low, "end": high, "min": low, "max": high},
        }
        for index, (channel, unit_, colour, (low, high)) in enumerate(
            zip(CHANNELS, volume.units, _COLOURS, windows, strict=True)
        )
    ]
    return {
        "multiscales": [
            {"version": "0.4", "name": name, "axes": axes, "datasets": datasets, "type": "mean of known voxels"}
        ],
        "omero": {"version": "0.4", "name": name, "channels": channels},
    }


def _check_replaceable(target: Path) -> None:
    if target.is_dir() and not any((target / name).exists() for name in (".zgroup", ".zarray", "zarr.json")):
        raise UserError(f"cannot export to {target}: this folder is no Zarr store; give another name")
    if target.exists() and not target.is_dir():
        raise UserError(f"cannot export to {target}: it is a file; give another name")
