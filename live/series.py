"""What lasts from one XANES scan of a series to the next."""

import logging
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
from redoxscope.live.profile import Profile

log = logging.getLogger(__name__)

_FILE = "state.npz"
_MAP = [f.name for f in fields(Map)]


@dataclass
class Series:
    """The pixel grid of a series, where its frames lie on it, and its last map."""

    name: str
    profile: Profile
    registration: Registration = field(init=False)
    reference_energy: float | None = None
    """eV, of the series' first frame: the grid's magnification."""
    shape: tuple[int, int] | None = None
    previous: Map | None = None

    def __post_init__(self) -> None:
        self.registration = Registration(self.profile.registration.minimum_quality)

    @classmethod
    def open(cls, name: str, profile: Profile, folder: Path) -> "Series":
        """A series as it was saved in its folder, or a new one."""
        series = cls(name, profile)
        path = folder / _FILE
        if path.exists():
            try:
                with np.load(path, allow_pickle=False) as held:
                    series._restore({key: held[key] for key in held.files})
            except (OSError, ValueError, KeyError, BadZipFile) as error:
                log.warning("%s is unreadable, the series starts anew: %s", path, error)
                return cls(name, profile)
        return series

    def next_scan(self, finished: Map) -> None:
        """A scan is complete: its map and its frames are what the next one starts from."""
        self.previous = finished
        self.registration.next_scan()

    def save(self, folder: Path) -> None:
        """Keep it for a monitor that is started later."""
        if self.previous is None or self.reference_energy is None:
            return
        arrays: dict[str, Any] = {f"map_{name}": np.asarray(getattr(self.previous, name)) for name in _MAP}
        arrays |= self.registration.arrays()
        with replacing(folder / _FILE) as path, path.open("wb") as file:
            np.savez(file, reference_energy=self.reference_energy, **arrays)

    def _restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        found = {name: arrays[f"map_{name}"] for name in _MAP}
        values: dict[str, Any] = {name: value if value.ndim else value.item() for name, value in found.items()}
        previous = Map(**values)
        self.registration.restore(arrays)
        self.reference_energy, self.previous = float(arrays["reference_energy"]), previous
        height, width = previous.edge_energy.shape
        self.shape = (height, width)
