"""What lasts from one XANES scan of a series to the next."""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from redoxscope.analysis.edge_map import Map
from redoxscope.analysis.registration import Registration
from redoxscope.live.atomic import replacing
from redoxscope.live.edge_maps import Maps
from redoxscope.live.profile import Profile

log = logging.getLogger(__name__)

_FILE = "state-{:04d}.npz"
_FILES = re.compile(r"state-(\d{4,})\.npz")
_MAP = [f.name for f in fields(Map)]


@dataclass
class Series:
    """The pixel grid of a series, where its frames lie on it, and its last maps."""

    name: str
    profile: Profile
    registration: Registration = field(init=False)
    reference_energy: float | None = None
    """eV, of the series' first frame: the grid's magnification."""
    shape: tuple[int, int] | None = None
    pixel_size: float = np.nan
    """µm on that grid, as the first run told; NaN if it did not."""
    previous: Map | None = None
    """The last one of the main edge."""
    previous_time: float = np.nan
    """When that was scanned, s since the epoch."""
    previous_others: dict[str, Map] = field(default_factory=dict)
    """The last ones of the other edges, by name."""

    def __post_init__(self) -> None:
        self.registration = Registration(self.profile.registration.minimum_quality)

    @classmethod
    def open(cls, name: str, profile: Profile, folder: Path, scans: int) -> "Series":
        """A series as it was when its folder held so many scans, or a new one."""
        series = cls(name, profile)
        path = folder / _FILE.format(scans)
        if path.exists():
            try:
                with np.load(path, allow_pickle=False) as held:
                    series._restore({key: held[key] for key in held.files})
            except (OSError, ValueError, KeyError, BadZipFile) as error:
                log.warning("%s is unreadable, the series starts anew: %s", path, error)
                return cls(name, profile)
        return series

    def next_scan(self, finished: Maps, time: float) -> None:
        """A scan is complete: its maps and its frames are what the next one starts from.

        A map without any jump (the scan did not cover this edge, or was cut short) does not replace an earlier one.
        """
        if self.previous is None or _known(finished.main):
            self.previous, self.previous_time = finished.main, time
        self.previous_others |= {name: found for name, found in finished.others.items() if _known(found)}
        self.registration.next_scan()

    def save(self, folder: Path, scans: int) -> None:
        """Keep it for a monitor that is started later; `scans` counts those in the folder, with the one that is next.

        It is saved before the scan is stored, and the state before it is kept: whichever of the two a killed monitor
        got to, the state that belongs to the scans in the folder is there.
        """
        if self.previous is None or self.reference_energy is None:
            return
        arrays: dict[str, Any] = _arrays("map", self.previous)
        for table in self.profile.other_edges:
            if table.name in self.previous_others:
                arrays |= _arrays(f"edge_{table.group}", self.previous_others[table.name])
        arrays |= {"pixel_size": self.pixel_size, "previous_time": self.previous_time}
        arrays |= self.registration.arrays()
        with replacing(folder / _FILE.format(scans)) as path, path.open("wb") as file:
            np.savez(file, reference_energy=self.reference_energy, **arrays)
        for old in folder.iterdir():
            if (number := _FILES.fullmatch(old.name)) and int(number[1]) < scans - 1:
                old.unlink(missing_ok=True)

    def _restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        previous = _map("map", arrays)
        groups = {table.name: f"edge_{table.group}" for table in self.profile.other_edges}
        self.previous_others = {
            name: _map(group, arrays) for name, group in groups.items() if f"{group}_state" in arrays
        }
        self.pixel_size, self.previous_time = (float(arrays.get(k, np.nan)) for k in ("pixel_size", "previous_time"))
        self.registration.restore(arrays)
        self.reference_energy, self.previous = float(arrays["reference_energy"]), previous
        height, width = previous.edge_energy.shape
        self.shape = (height, width)


def _known(found: Map) -> bool:
    return bool(np.isfinite(found.jump).any())


def _arrays(prefix: str, found: Map) -> dict[str, NDArray[Any]]:
    return {f"{prefix}_{name}": np.asarray(getattr(found, name)) for name in _MAP}


def _map(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> Map:
    found = {name: arrays[f"{prefix}_{name}"] for name in _MAP}
    values: dict[str, Any] = {name: value if value.ndim else value.item() for name, value in found.items()}
    return Map(**values)
