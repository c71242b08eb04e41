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
    ABSENT,
    CURVES,
    EDGE_MAPS,
    FRAME_COUNTS,
    LINES,
    MAPS,
    SCAN,
    SHARED,
    in_pixels,
    new_file,
    open_read,
    put,
    set_data,
    set_edge_data,
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
class EdgeRecord:
    """The maps of an edge beside the main one."""

    edge: str
    """Its name, as in the profile."""
    nominal: float
    """eV."""
    edge_energy: NDArray[np.floating]
    """(y, x) eV, NaN where there is no material."""
    edge_energy_sigma: NDArray[np.floating]
    """(y, x) eV."""
    edge_jump: NDArray[np.floating]
    """(y, x) absorbance."""
    state: NDArray[np.integer]
    """(y, x) 0 none, 1 provisional, 2 final."""


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
    pixel_size: float = np.nan
    """µm; NaN if it is not known: then lengths are in px."""
    sigma_noise_share: float = np.nan
    """Part of a pixel's sigma that is photon noise, the median: longer exposures make that smaller; the rest comes with
    the energies still to come."""
    front_length: float = np.nan
    """µm or px."""
    front_components: int = -1
    """Pieces of the front line; -1 if not known."""
    front_speed: float = np.nan
    """µm/s or px/s, median along the normal since the scan before."""
    front_speed_sigma: float = np.nan
    """Standard error of that."""
    front_line: NDArray[np.floating] = field(default_factory=lambda: np.zeros((0, 2)))
    """(point, 2) px (y, x)."""
    front_line_number: NDArray[np.integer] = field(default_factory=lambda: np.zeros(0, dtype=np.int32))
    """(point,) number of the piece that a point is on."""
    edges: Mapping[str, EdgeRecord] = field(default_factory=dict)
    """The other edges that the scan covers, by `EdgeTable.group`."""

    @property
    def length_unit(self) -> str:
        """Of the front's length and speed: µm or px."""
        return "µm" if np.isfinite(self.pixel_size) else "px"

    def __post_init__(self) -> None:
        n = np.size(self.energy)
        wanted: dict[str, tuple[int, ...]] = dict.fromkeys(MAPS, np.shape(self.edge_energy))
        wanted |= {"histogram": (np.size(self.histogram_edges) - 1,), "shift": (n, 2)}
        wanted |= {"magnification": (n,), "shift_quality": (n,), "energy": (n,)}
        points = np.size(self.front_line_number)
        wanted |= {"front_line": (points, 2), "front_line_number": (points,)}
        if np.ndim(self.edge_energy) != 2:
            raise ValueError(f"the edge-energy map has the shape {np.shape(self.edge_energy)}: (y, x) is needed")
        for name, shape in wanted.items():
            if np.shape(getattr(self, name)) != shape:
                raise ValueError(f"{name} has the shape {np.shape(getattr(self, name))} instead of {shape}")
        for group, edge in self.edges.items():
            for name in EDGE_MAPS:
                if np.shape(getattr(edge, name)) != np.shape(self.edge_energy):
                    raise ValueError(f"{name} of {group} differs in shape from the edge-energy map")


@dataclass(frozen=True)
class ScanPart:
    """A scan's file without its maps."""

    path: Path
    raw_uid: str
    frames: FrameCount
    shape: tuple[int, ...]
    """(y, x)"""
    small: Mapping[str, NDArray[Any]]
    """`CURVES`, `SHARED` and `LINES` by name."""
    edges: Mapping[str, tuple[str, float]]
    """The other edges: name and nominal energy in eV, by group."""

    @classmethod
    def read(cls, path: Path) -> "ScanPart":
        """Raises OSError, KeyError or ValueError if the file is not a whole scan."""
        with open_read(path) as file:
            edges = _edges(file)
            shapes = {file[name].shape for name in MAPS}
            shapes |= {file[f"edges/{group}/{name}"].shape for group in edges for name in EDGE_MAPS}
            if len(shapes) != 1:
                raise ValueError("its maps differ in shape")
            small = {name: np.asarray(_value(file, name)) for name in (*CURVES, *SHARED, *LINES)}
            return cls(path, str(file.attrs["raw_uid"]), _frames(file), shapes.pop(), small, edges)

    def place(self, name: str, edge: str) -> str:
        """Where a map is in the file, of another edge if one is named; empty if it is not there."""
        if not edge:
            return name
        return f"edges/{edge}/{name}" if edge in self.edges else ""

    def has_energies(self, energy: Any) -> bool:
        """Whether these are its energies, eV."""
        return _same(energy, self.small["energy"], _ENERGY_TOLERANCE)

    def difference(self, shape: tuple[int, ...], energy: Any, histogram_edges: Any) -> str:
        """Why a scan with these cannot stand in one series with this one; empty if it can."""
        if shape != self.shape:
            return f"its maps are {shape} instead of {self.shape} pixels"
        if not self.has_energies(energy):
            return f"its {np.size(energy)} energies are not the {self.small['energy'].size} of the series"
        if not _same(histogram_edges, self.small["histogram_edges"], 1e-6):
            return "its histogram's bins are not those of the series"
        return ""


def write_scan(path: Path, record: ScanRecord, version: int | None = None) -> None:
    """One scan; `version` counts the states of a scan in progress."""
    with new_file(path) as file:
        for name, quantity in SCAN.items():
            of_length = name in CURVES and not np.isfinite(record.pixel_size)
            put(file, name, getattr(record, name), in_pixels(quantity) if of_length else quantity)
        for name, edge in record.edges.items():
            group = file.create_group(f"edges/{name}")
            for part, quantity in EDGE_MAPS.items():
                put(group, part, getattr(edge, part), quantity)
            set_edge_data(group, edge.edge, edge.nominal)
        set_data(file, "edge_energy", (".", "."), [name for name in MAPS if name != "edge_energy"])
        file.attrs["raw_uid"] = record.raw_uid
        for name in FRAME_COUNTS:
            file.attrs[f"frames_{name}"] = getattr(record.frames, name)
        if version is not None:
            file.attrs["version"] = version


def read_scan(path: Path) -> tuple[ScanRecord, int]:
    """A scan and its version, 0 for a completed one."""
    with open_read(path) as file:
        values: dict[str, Any] = {name: _value(file, name) for name in SCAN}
        values = {name: value if np.ndim(value) else np.asarray(value).item() for name, value in values.items()}
        edges = {
            group: EdgeRecord(*facts, **{name: file[f"edges/{group}/{name}"][()] for name in EDGE_MAPS})
            for group, facts in _edges(file).items()
        }
        record = ScanRecord(raw_uid=str(file.attrs["raw_uid"]), frames=_frames(file), edges=edges, **values)
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


def _value(file: h5py.File, name: str) -> Any:
    """Of a dataset that a scan has, or had not yet when it was stored."""
    return ABSENT[name] if name in ABSENT and name not in file else file[name][()]


def _edges(file: h5py.File) -> dict[str, tuple[str, float]]:
    """Name and nominal energy (eV) of the other edges in a scan's file, by group."""
    groups = file.get("edges", {})
    return {name: (str(g.attrs["edge"]), float(g.attrs["nominal_energy"])) for name, g in groups.items()}


def _same(one: Any, other: Any, tolerance: float) -> bool:
    return np.shape(one) == np.shape(other) and np.allclose(one, other, rtol=0, atol=tolerance, equal_nan=True)
