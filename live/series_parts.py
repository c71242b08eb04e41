"""What a series consists of: facts, and XANES scans with a file each."""

import importlib.metadata
import json
import platform
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from redoxscope.live.nexus import (
    CURVES,
    FRAME_COUNTS,
    MAPS,
    SCAN,
    SHARED,
    new_file,
    open_read,
    put,
    set_data,
)

_NAMED = ("redoxscope", "numpy", "scipy", "scikit-image", "finufft", "numba", "h5py", "bluesky", "tiled")
_ENERGY_TOLERANCE = 0.05
"""eV; a monochromator's readings repeat better than this."""


@dataclass(frozen=True)
class FrameCount:
    """Frames of a scan or a series."""

    expected: int = 0
    used: int = 0
    lost: int = 0
    bad: int = 0

    def __add__(self, other: "FrameCount") -> "FrameCount":
        return FrameCount(*(getattr(self, name) + getattr(other, name) for name in FRAME_COUNTS))


@dataclass(frozen=True)
class SeriesFacts:
    """What is known of a series without its arrays."""

    series: str
    created: float = 0.0
    """s since the epoch."""
    raw_uids: tuple[str, ...] = ()
    profile: Mapping[str, Any] = field(default_factory=dict)
    """As used, plain values only."""
    source: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    frames: FrameCount = field(default_factory=FrameCount)
    finished: bool = False

    @classmethod
    def new(cls, series: str, *, profile: Mapping[str, Any], source: str) -> "SeriesFacts":
        """Of a series that begins now, with the software that is installed."""
        return cls(series, time.time(), profile=profile, source=source, versions=software())

    def to_json(self) -> str:
        """As text; what JSON does not know becomes a string."""
        return json.dumps(asdict(self), indent=1, default=str)

    @classmethod
    def from_json(cls, text: str) -> "SeriesFacts":
        """Raises ValueError if it is something else."""
        try:
            known = {name: json.loads(text)[name] for name in (f.name for f in fields(cls))}
            known["raw_uids"] = tuple(known["raw_uids"])
            known["frames"] = FrameCount(**known["frames"])
            return cls(**known)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not the facts of a series: {error!r}") from error


@dataclass(frozen=True)
class ScanRecord:
    """The results of one XANES scan."""

    raw_uid: str
    frames: FrameCount
    edge_energy: NDArray[np.floating]
    """(y, x) eV, NaN where there is no material."""
    edge_energy_sigma: NDArray[np.floating]
    """(y, x) eV."""
    edge_jump: NDArray[np.floating]
    """(y, x) absorbance."""
    state: NDArray[np.integer]
    """(y, x) 0 none, 1 provisional, 2 final."""
    front: NDArray[np.integer] | NDArray[np.bool_]
    """(y, x) 1 within the window."""
    front_probability: NDArray[np.floating]
    """(y, x)"""
    histogram: NDArray[np.floating]
    """(bin,) pixels."""
    histogram_edges: NDArray[np.floating]
    """(bin + 1,) eV."""
    transformed_fraction: float
    time: float
    """s since the epoch."""
    temperature: float
    """°C, NaN where not recorded."""
    energy: NDArray[np.floating]
    """(n,) eV."""
    shift: NDArray[np.floating]
    """(n, 2) px (dy, dx)."""
    magnification: NDArray[np.floating]
    """(n,)"""
    shift_quality: NDArray[np.floating]
    """(n,) 0 to 1."""

    def __post_init__(self) -> None:
        n = np.size(self.energy)
        wanted: dict[str, tuple[int, ...]] = dict.fromkeys(MAPS, np.shape(self.edge_energy))
        wanted |= {"histogram": (np.size(self.histogram_edges) - 1,), "shift": (n, 2)}
        wanted |= {"magnification": (n,), "shift_quality": (n,), "energy": (n,)}
        if np.ndim(self.edge_energy) != 2:
            raise ValueError(f"the edge-energy map has the shape {np.shape(self.edge_energy)}: (y, x) is needed")
        for name, shape in wanted.items():
            if np.shape(getattr(self, name)) != shape:
                raise ValueError(f"{name} has the shape {np.shape(getattr(self, name))} instead of {shape}")


@dataclass(frozen=True)
class ScanPart:
    """A scan's file without its maps."""

    path: Path
    raw_uid: str
    frames: FrameCount
    shape: tuple[int, ...]
    """(y, x)"""
    small: Mapping[str, NDArray[np.float64]]
    """`CURVES` and `SHARED` by name."""

    @classmethod
    def read(cls, path: Path) -> "ScanPart":
        """Raises OSError, KeyError or ValueError if the file is not a whole scan."""
        with open_read(path) as file:
            shapes = {file[name].shape for name in MAPS}
            if len(shapes) != 1:
                raise ValueError("its maps differ in shape")
            small = {name: np.asarray(file[name][()]) for name in (*CURVES, *SHARED)}
            return cls(path, str(file.attrs["raw_uid"]), _frames(file), shapes.pop(), small)

    def difference(self, shape: tuple[int, ...], energy: Any, histogram_edges: Any) -> str:
        """Why a scan with these cannot stand in one series with this one; empty if it can."""
        if shape != self.shape:
            return f"its maps are {shape} instead of {self.shape} pixels"
        if not _same(energy, self.small["energy"], _ENERGY_TOLERANCE):
            return f"its {np.size(energy)} energies are not the {self.small['energy'].size} of the series"
        if not _same(histogram_edges, self.small["histogram_edges"], 1e-6):
            return "its histogram's bins are not those of the series"
        return ""


def write_scan(path: Path, record: ScanRecord, version: int | None = None) -> None:
    """One scan; `version` counts the states of a scan in progress."""
    with new_file(path) as file:
        for name, quantity in SCAN.items():
            put(file, name, getattr(record, name), quantity)
        set_data(file, "edge_energy", (".", "."), [name for name in MAPS if name != "edge_energy"])
        file.attrs["raw_uid"] = record.raw_uid
        for name in FRAME_COUNTS:
            file.attrs[f"frames_{name}"] = getattr(record.frames, name)
        if version is not None:
            file.attrs["version"] = version


def read_scan(path: Path) -> tuple[ScanRecord, int]:
    """A scan and its version, 0 for a completed one."""
    with open_read(path) as file:
        values = {name: file[name][()] for name in SCAN}
        values |= {name: float(values[name]) for name in ("transformed_fraction", "time", "temperature")}
        record = ScanRecord(raw_uid=str(file.attrs["raw_uid"]), frames=_frames(file), **values)
        return record, int(file.attrs.get("version", 0))


def software() -> dict[str, str]:
    """Versions of what the results depend on."""
    versions = {"python": platform.python_version()}
    for name in _NAMED:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _frames(file: h5py.File) -> FrameCount:
    return FrameCount(*(int(file.attrs[f"frames_{name}"]) for name in FRAME_COUNTS))


def _same(one: Any, other: Any, tolerance: float) -> bool:
    return np.shape(one) == np.shape(other) and np.allclose(one, other, rtol=0, atol=tolerance, equal_nan=True)
