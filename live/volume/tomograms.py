"""Normalised projections on disk, a file per energy, and what is known of each.

They outlive the process: what is there need not be normalised again.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from redoxscope.live.atomic import need_room, replacing


@dataclass(frozen=True)
class Made:
    """From what a tomogram was made."""

    frames: int
    flats: int
    darks: int
    bad: int
    """Frames that could not be used."""
    unread: bool = False
    """Whether a file could not be read: it may be readable later."""


class Tomogram:
    """(angle, row, col) float32 absorbance in a file; read piece by piece, it takes no memory of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.shape: tuple[int, ...] = self._open().shape
        self.ndim = len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> NDArray[np.float32]:
        # The mapping goes with the array it was copied from: what has been read does not stay in the process.
        return np.array(self._open()[index], dtype=np.float32)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype=dtype)

    def _open(self) -> NDArray[np.float32]:
        return np.load(self.path, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]


class TomogramFiles:
    """The tomograms of one 3D scan in a folder, by energy (eV, to a hundredth)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.angles: NDArray[np.float64] = np.empty(0)
        """Degrees, the same for all."""
        self.made: dict[float, Made] = {}
        self._list = folder / "tomograms.json"
        self._restore()

    @property
    def energies(self) -> list[float]:
        """eV, ascending."""
        return sorted(self.made)

    def __getitem__(self, energy: float) -> Tomogram:
        return Tomogram(self._path(energy))

    def all(self) -> list[NDArray[np.float32]]:
        """By ascending energy; as arrays, since one in a file can be sliced as they can."""
        tomograms: list[Any] = [self[energy] for energy in self.energies]
        return tomograms

    def start_over(self, angles: NDArray[np.float64]) -> None:
        """Other angles: nothing that is there fits any more."""
        for path in self.folder.iterdir():
            path.unlink()
        self.angles, self.made = angles, {}
        self._save()

    def put(self, energy: float, projections: NDArray[np.float32], made: Made) -> None:
        """Store a tomogram; raises OSError if the disk is full."""
        target = self._path(energy)
        need_room(target, projections.nbytes)
        with replacing(target) as path, path.open("wb") as file:
            np.save(file, projections, allow_pickle=False)
        self.made[energy] = made
        self._save()

    def drop(self, energy: float) -> None:
        """Forget a tomogram."""
        if self.made.pop(energy, None) is not None:
            self._save()

    def _path(self, energy: float) -> Path:
        return self.folder / f"{energy:.2f}.npy"

    def _save(self) -> None:
        known = {"angles": self.angles.tolist(), "made": {f"{e:.2f}": asdict(m) for e, m in self.made.items()}}
        with replacing(self._list) as path:
            path.write_text(json.dumps(known))

    def _restore(self) -> None:
        try:
            known = json.loads(self._list.read_text())
            made = {float(e): Made(**m) for e, m in known["made"].items()}
            angles = np.asarray(known["angles"], dtype=np.float64)
            self.made = {e: m for e, m in made.items() if self[e].shape[0] == angles.size}
            self.angles = angles
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            self.made, self.angles = {}, np.empty(0)
