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
from redoxscope.live.profile import Profile

log = logging.getLogger(__name__)

_FILE = "state-{:04d}.npz"
_FILES = re.compile(r"state-(\d{4,})\.npz")
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

    def next_scan(self, finished: Map) -> None:
        """A scan is complete: its map and its frames are what the next one starts from."""
        self.previous = finished
        self.registration.next_scan()

    def save(self, folder: Path, scans: int) -> None:
        """Keep it for a monitor that is started later; `scans` counts those in the folder, with the one that is next.

        It is saved before the scan is stored, and the state before it is kept: whichever of the two a killed monitor
        got to, the state that belongs to the scans in the folder is there.
        """
        if self.previous is None or self.reference_energy is None:
            return
        arrays: dict[str, Any] = {f"map_{name}": np.asarray(getattr(self.previous, name)) for name in _MAP}
        arrays |= self.registration.arrays()
        with replacing(folder / _FILE.format(scans)) as path, path.open("wb") as file:
            np.savez(file, reference_energy=self.reference_energy, **arrays)
        for old in folder.iterdir():
            if (number := _FILES.fullmatch(old.name)) and int(number[1]) < scans - 1:
                old.unlink(missing_ok=True)

    def _restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        found = {name: arrays[f"map_{name}"] for name in _MAP}
        values: dict[str, Any] = {name: value if value.ndim else value.item() for name, value in found.items()}
        previous = Map(**values)
        self.registration.restore(arrays)
        self.reference_energy, self.previous = float(arrays["reference_energy"]), previous
        height, width = previous.edge_energy.shape
        self.shape = (height, width)
