"""What a stored series offers to figures and exports, read as it is needed from a file in the exported schema.

What some versions of the analysis do not write stands in mappings: who reads does without.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from redoxscope.live.nexus import open_read

Array = NDArray[np.floating]

_OPTIONAL = ("sigma_noise_share", "front_length", "front_components", "front_speed", "front_speed_sigma")
_STATISTICS = (
    "gaussian_histogram",
    "gaussian_edges",
    "positive_interval",
    "negative_interval",
    "shape_distribution",
    "shape_edges",
    "nuclei",
    "islands",
    "neck_position",
    "neck_width",
    "neck_energy",
)


@dataclass(frozen=True)
class Scans:
    """The maps of a series; one is read when it is asked for."""

    path: Path
    time: Array
    """(time,) s since the epoch."""
    temperature: Array
    """(time,) °C, NaN where not recorded."""
    fraction: Array
    """(time,) transformed."""
    histogram: Array
    """(time, bin) pixels."""
    histogram_edges: Array
    """(bin + 1,) eV."""
    pixel: float
    """Edge of a pixel in `unit`."""
    unit: str
    """um, or px where the size of a pixel is unknown."""
    metrics: Mapping[str, Array]
    """(time,) what else is stored of the front by scan: front_length, front_components, front_speed."""
    metric_units: Mapping[str, str]

    @property
    def hours(self) -> Array:
        """(time,) since the first scan."""
        return np.asarray((self.time - self.time[0]) / 3600)

    def map(self, index: int, name: str = "edge_energy") -> Array:
        """(y, x) of one scan."""
        with open_read(self.path) as file:
            return np.asarray(file["entry/scan"][name][index])

    def front_line(self, index: int) -> list[Array] | None:
        """The pieces of one scan's front line, each (n, 2) of (y, x) in pixels; None if no lines are stored."""
        with open_read(self.path) as file:
            group = file["entry/scan"]
            if not {"front_line", "front_line_number", "front_line_scan"} <= set(group):
                return None
            own = group["front_line_scan"][()] == index
            points = np.asarray(group["front_line"][()][own], dtype=np.float64)
            number = group["front_line_number"][()][own]
        return [points[number == piece] for piece in np.unique(number)]


@dataclass(frozen=True)
class Solid:
    """The edge-energy volume."""

    edge_energy: Array
    """(z, y, x) eV, NaN outside the particle."""
    voxel: float
    """Edge of a voxel in `unit`."""
    unit: str
    """um, or voxel where the size of a voxel is unknown."""


@dataclass(frozen=True)
class StoredSurface:
    """An isosurface with its values at the vertices."""

    energy: float
    points: Array
    """(n, 3) in (x, y, z), in the volume's unit."""
    faces: NDArray[np.integer]
    """(m, 3)"""
    values: Mapping[str, Array]
    """(n,) each: mean_curvature, gaussian_curvature, vertex_area, and whatever else is stored."""
    units: Mapping[str, str]


@dataclass(frozen=True)
class StoredTopography:
    """Statistics of all isosurfaces; a surface is read when it is asked for."""

    path: Path
    unit: str
    """um or voxel."""
    iso_energy: Array
    area: Array
    positive: Array
    negative: Array
    euler: Array
    components: Array
    histogram: Array
    """(iso, bin) shares of the area."""
    histogram_edges: Array
    """(bin + 1,) 1/unit."""
    more: Mapping[str, Array]
    """By name in the file, what else is stored over the energies."""

    @property
    def drawable(self) -> list[int]:
        """The numbers of the energies at which there is a surface."""
        return [int(i) for i in np.flatnonzero(self.area > 0)]

    def surface(self, index: int) -> StoredSurface:
        """One isosurface."""
        with open_read(self.path) as file:
            group = file["entry/topography"][f"surface_{index:03d}"]
            points = np.asarray(group["vertices"][()], dtype=np.float64)[:, ::-1]
            faces = np.asarray(group["faces"][()])
            names = [name for name, item in group.items() if item.shape == (len(points),)]
            values = {name: np.asarray(group[name][()]) for name in names}
            units = {name: str(group[name].attrs.get("units", "1")) for name in names}
        return StoredSurface(float(self.iso_energy[index]), np.ascontiguousarray(points), faces, values, units)


@dataclass(frozen=True)
class StoredSeries:
    """All there is."""

    name: str
    front_energy: float
    """eV, of the profile that the series was analysed with."""
    scans: Scans | None
    solid: Solid | None
    topography: StoredTopography | None


def read_series(path: Path, pixel_size: float | None = None) -> StoredSeries:
    """Read a series from its index or an exported file.

    `pixel_size` (µm) is that of the maps, if the file itself does not say. Raises OSError or KeyError if the file is
    none of ours.
    """
    with open_read(path) as file:
        entry = file["entry"]
        provenance = entry["provenance"]
        profile = json.loads(provenance["profile"].asstr()[()])
        return StoredSeries(
            name=str(provenance["series"].asstr()[()]),
            front_energy=front_energy_of(profile),
            scans=_scans(path, entry["scan"], pixel_size) if "scan" in entry else None,
            solid=_solid(entry["volume"]) if "volume" in entry else None,
            topography=_topography(path, entry["topography"]) if "topography" in entry else None,
        )


def front_energy_of(profile: Mapping[str, Any]) -> float:
    """eV, by the profile that a series was made with."""
    return float(profile.get("front", {}).get("energy", 8341.0))


def _scans(path: Path, group: h5py.Group, pixel_size: float | None) -> Scans:
    stored = _pixel_size(group)
    size = stored if stored is not None else pixel_size
    metrics = {name: np.asarray(group[name][()]) for name in _OPTIONAL if name in group}
    return Scans(
        path=path,
        time=_read(group, "time"),
        temperature=_read(group, "temperature"),
        fraction=_read(group, "transformed_fraction"),
        histogram=_read(group, "histogram"),
        histogram_edges=_read(group, "histogram_edges"),
        pixel=size or 1.0,
        unit="um" if size else "px",
        metrics={name: values for name, values in metrics.items() if values.shape == group["time"].shape},
        metric_units={name: str(group[name].attrs.get("units", "1")) for name in metrics},
    )


def _pixel_size(group: h5py.Group) -> float | None:
    if "pixel_size" not in group or group["pixel_size"].attrs.get("units") != "um":
        return None
    value = float(np.ravel(group["pixel_size"][()])[0])
    return value if np.isfinite(value) and value > 0 else None


def _solid(group: h5py.Group) -> Solid:
    size = group["voxel_size"]
    return Solid(_read(group, "edge_energy"), float(size[()]), str(size.attrs["units"]))


def _topography(path: Path, group: h5py.Group) -> StoredTopography:
    return StoredTopography(
        path=path,
        unit=str(group["area"].attrs["units"]).removesuffix("^2"),
        iso_energy=_read(group, "iso_energy"),
        area=_read(group, "area"),
        positive=_read(group, "positive"),
        negative=_read(group, "negative"),
        euler=_read(group, "euler"),
        components=_read(group, "components"),
        histogram=_read(group, "curvature_histogram"),
        histogram_edges=_read(group, "curvature_edges"),
        more={name: _read(group, name) for name in _STATISTICS if name in group},
    )


def _read(group: h5py.Group, name: str) -> Any:
    return np.asarray(group[name][()])
