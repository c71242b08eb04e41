"""The schema of our HDF5 files, NeXus-compliant: names, types, units and axes, in one place.

Files are written in the format of HDF5 1.10: it can be opened in SWMR mode, as Tiled does, and older readers know it;
what HDF5 2 calls the latest format they do not.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import ArrayLike

LIBVER = ("v110", "v110")
_BLOCK = 1 << 22
"""Bytes by which a file in memory grows."""
COMPRESSION: Mapping[str, Any] = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
"""Level 1: of a map with noise, higher levels take three times as long to save 2 % more."""


@dataclass(frozen=True)
class Quantity:
    """What a dataset holds."""

    dtype: str
    units: str
    long_name: str

    @property
    def missing(self) -> float:
        """What stands where there is no value."""
        return np.nan if self.dtype.startswith("f") else 0


def nice(unit: str) -> str:
    """A unit of the files as it is printed: um becomes µm, powers are raised."""
    return unit.replace("um", "µm").replace("^2", "²")


MAPS: Mapping[str, Quantity] = {
    "edge_energy": Quantity("f4", "eV", "edge energy, NaN where there is no material"),
    "edge_energy_sigma": Quantity("f4", "eV", "one standard deviation of the edge energy"),
    "edge_jump": Quantity("f4", "1", "edge jump, absorbance"),
    "state": Quantity("u1", "1", "0 none, 1 provisional, 2 final"),
    "front": Quantity("u1", "1", "1 within the front's window"),
    "front_probability": Quantity("f4", "1", "probability of being within the front's window"),
}
"""(y, x) per scan; stacked, (time, y, x)."""

EDGE_MAPS = {name: MAPS[name] for name in ("edge_energy", "edge_energy_sigma", "edge_jump", "state")}
"""Those of each of the other edges."""

CURVES: Mapping[str, Quantity] = {
    "histogram": Quantity("f8", "1", "pixels per bin of edge energy"),
    "transformed_fraction": Quantity("f8", "1", "transformed fraction"),
    "time": Quantity("f8", "s", "time since 1970-01-01T00:00:00Z"),
    "temperature": Quantity("f8", "degC", "temperature, NaN where not recorded"),
    "shift": Quantity("f8", "px", "shift (dy, dx) relative to the series' first frame"),
    "magnification": Quantity("f8", "1", "magnification relative to the series' first frame"),
    "shift_quality": Quantity("f8", "1", "shift quality, 0 to 1"),
    "sigma_noise_share": Quantity("f8", "1", "part of a pixel's sigma that is photon noise, median"),
    "front_length": Quantity("f8", "um", "length of the front line, NaN if not known"),
    "front_components": Quantity("i4", "1", "pieces of the front line, -1 if not known"),
    "front_speed": Quantity("f8", "um/s", "median normal speed of the front since the scan before, NaN if not known"),
    "front_speed_sigma": Quantity("f8", "um/s", "standard error of the front's median speed"),
}
"""Scalars, (bin), (energy) or (energy, 2) per scan; stacked along time."""

SHARED: Mapping[str, Quantity] = {
    "energy": Quantity("f8", "eV", "photon energy"),
    "histogram_edges": Quantity("f8", "eV", "edges of the histogram's bins"),
    "pixel_size": Quantity("f8", "um", "pixel size of the maps, NaN if not known: then lengths are in px"),
}
"""The same for all scans of a series."""

LINES: Mapping[str, Quantity] = {
    "front_line": Quantity("f4", "px", "front line: points (y, x), (0, 0) the first pixel's centre"),
    "front_line_number": Quantity("i4", "1", "number of the piece that a point of the front line is on"),
}
"""(point, 2) and (point) per scan; one after the other, with `front_line_scan` (point), the place along time."""

SCAN = {**MAPS, **CURVES, **SHARED, **LINES}

ABSENT: Mapping[str, Any] = {
    "sigma_noise_share": np.nan,
    "front_length": np.nan,
    "front_components": -1,
    "front_speed": np.nan,
    "front_speed_sigma": np.nan,
    "pixel_size": np.nan,
    "front_line": np.zeros((0, 2), dtype="f4"),
    "front_line_number": np.zeros(0, dtype="i4"),
}
"""What a scan that was stored before there were these is taken to say."""

FRAME_COUNTS = ("expected", "used", "lost", "bad")


@contextmanager
def new_file(path: Path) -> Iterator[h5py.File]:
    """A file that is made in memory and written at the end.

    HDF5 does not survive a failing write, as on a full disk: it ends the process. Python raises OSError.
    """
    with h5py.File(path, "w", driver="core", backing_store=False, block_size=_BLOCK, libver=LIBVER) as file:
        yield file
        file.flush()
        image = file.id.get_file_image()
    path.write_bytes(image)


def put(group: h5py.Group, name: str, values: ArrayLike, quantity: Quantity) -> None:
    """Write one dataset."""
    describe(group.create_dataset(name, data=np.asarray(values, dtype=quantity.dtype)), quantity)


def in_pixels(quantity: Quantity) -> Quantity:
    """A quantity whose length is in pixels instead of µm."""
    return replace(quantity, units=quantity.units.replace("um", "px"))


def put_text(group: h5py.Group, name: str, text: str | Iterable[str]) -> None:
    """Write a string, or several, as UTF-8."""
    data = text if isinstance(text, str) else np.array(list(text), dtype=object)
    group.create_dataset(name, data=data, dtype=h5py.string_dtype())


def describe(dataset: h5py.Dataset, quantity: Quantity) -> None:
    """Set a dataset's attributes."""
    dataset.attrs["units"] = quantity.units
    dataset.attrs["long_name"] = quantity.long_name


def map_chunks(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Chunks of one map each."""
    return (*(1,) * max(0, len(shape) - 2), *shape[-2:])


def set_data(group: h5py.Group, signal: str, axes: Iterable[str], auxiliary: Iterable[str] = ()) -> None:
    """Make a group an NXdata with `signal` over `axes`; "." is an axis without values of its own."""
    names = list(axes)
    group.attrs["NX_class"] = "NXdata"
    group.attrs["signal"] = signal
    group.attrs["axes"] = names
    for i, name in enumerate(names):
        if name != ".":
            group.attrs[f"{name}_indices"] = i
    others = list(auxiliary)
    if others:
        group.attrs["auxiliary_signals"] = others


def set_scan_data(group: h5py.Group) -> None:
    """Make the group of the stacked scans an NXdata: edge energy over time, with the temperature as second axis."""
    set_data(group, "edge_energy", ("time", ".", "."), [name for name in MAPS if name != "edge_energy"])
    group["time"].attrs["start"] = "1970-01-01T00:00:00Z"
    group.attrs["temperature_indices"] = 0


def set_edge_data(group: h5py.Group, edge: str, nominal: float) -> None:
    """Make a group with the maps of one edge an NXdata that says which (its nominal energy in eV)."""
    axes = ("time", ".", ".") if "time" in group else (".", ".")
    set_data(group, "edge_energy", axes, [name for name in EDGE_MAPS if name != "edge_energy"])
    group.attrs["edge"] = edge
    group.attrs["nominal_energy"] = nominal
    group.attrs["nominal_energy_units"] = "eV"


def start_file(file: h5py.File, name: str) -> h5py.Group:
    """Write the root's attributes and return the new /entry."""
    file.attrs["NX_class"] = "NXroot"
    file.attrs["default"] = "entry"
    file.attrs["file_name"] = name
    file.attrs["file_time"] = datetime.now(UTC).isoformat(timespec="seconds")
    file.attrs["creator"] = f"redoxscope {version('redoxscope')}"
    entry = file.create_group("entry")
    entry.attrs["NX_class"] = "NXentry"
    return entry


def set_default(entry: h5py.Group) -> None:
    """Point the entry at the first data there is."""
    default = next((name for name in ("scan", "volume", "topography") if name in entry), None)
    if default:
        entry.attrs["default"] = default


def open_read(path: Path) -> h5py.File:
    """Open a file that is not being written.

    In SWMR mode, although nothing is written: HDF5 refuses to open a file in this mode, as Tiled may do from another
    thread, once this process has it open in the ordinary one. The reverse works.
    """
    try:
        return h5py.File(path, "r", swmr=True, libver="latest")
    except FileNotFoundError:
        raise
    except OSError:
        return h5py.File(path, "r")
