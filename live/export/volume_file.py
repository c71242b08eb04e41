"""The edge-energy volume for those who write it in another format: one slice or one quantity at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from redoxscope.live.nexus import open_read
from redoxscope.live.series_folder import SeriesFolder

CHANNELS = ("edge_energy", "edge_energy_sigma", "edge_jump")

Volume = NDArray[np.float32]


@dataclass(frozen=True)
class VolumeFile:
    """A stored volume."""

    path: Path
    shape: tuple[int, int, int]
    voxel: float
    """Edge of a voxel in `unit`."""
    unit: str
    """um, or voxel where the size of a voxel is unknown."""
    units: tuple[str, ...]
    """Of the `CHANNELS`."""
    time: float
    """s since the epoch, of the 3D scan; NaN if it is not known."""

    @classmethod
    def of(cls, folder: SeriesFolder) -> "VolumeFile":
        """Raises KeyError if the series has none."""
        path = folder.solids["volume"]
        with open_read(path) as file:
            size = file["voxel_size"]
            units = tuple(str(file[name].attrs["units"]) for name in CHANNELS)
            z, y, x = file["edge_energy"].shape
            time = float(file["time"][()]) if "time" in file else float("nan")
            return cls(path, (z, y, x), float(size[()]), str(size.attrs["units"]), units, time)

    def channel(self, name: str) -> Volume:
        """(z, y, x), NaN outside the particle."""
        with open_read(self.path) as file:
            return np.asarray(file[name][()], dtype=np.float32)

    def slices(self) -> Iterator[Volume]:
        """(y, x) all slices of the first channel, then of the second, and so on."""
        with open_read(self.path) as file:
            for name in CHANNELS:
                for index in range(self.shape[0]):
                    yield np.asarray(file[name][index], dtype=np.float32)


def display_range(values: Volume) -> tuple[float, float]:
    """Limits that a viewer may begin with: what all but a hundredth of the known voxels at either end lie within."""
    known = values[np.isfinite(values)]
    if not known.size:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(known, [1, 99]))
    return (low, high) if high > low else (low - 0.5, low + 0.5)
