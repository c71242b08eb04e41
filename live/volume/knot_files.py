"""The knots of a 3D scan on disk: sums of placed projections, which grow while the scan goes on."""

import os
import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from redoxscope.analysis.volume.knots import KNOTS
from redoxscope.live.atomic import need_room
from redoxscope.live.profile_tables import group_name
from redoxscope.live.volume.tomograms import Tomogram


class KnotFiles:
    """A folder for each edge, by the edge's name, and in it a file for each knot.

    A file is not there before something was added to it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def of(self, edge: str, shape: tuple[int, ...]) -> list[NDArray[np.float32]]:
        """The knots (angle, row, col) of an edge, as arrays that can be sliced; those that got nothing are zeros."""
        paths = [self._path(edge, knot) for knot in range(KNOTS)]
        nothing = np.broadcast_to(np.float32(0), shape)
        found: list[NDArray[np.float32]] = [Tomogram(p) if p.exists() else nothing for p in paths]  # type: ignore[misc]
        return found

    def add(self, edge: str, weights: NDArray[np.float64], projections: NDArray[np.float32]) -> None:
        """Add projections (angle, row, col), times the weights (knot,), to the knots; OSError if the disk is full."""
        for knot in np.flatnonzero(weights):
            total = self._opened(self._path(edge, int(knot)), projections.shape)
            weight = np.float32(weights[knot])
            for target, frame in zip(total, projections, strict=True):
                target += weight * frame

    def clear(self) -> None:
        """Forget all."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def sync(self) -> None:
        """Have everything on disk: what is made of the knots may outlive this process, and a power cut."""
        for path in self.folder.glob("*/*.npy"):
            with path.open("rb+") as file:
                os.fsync(file.fileno())

    def _path(self, edge: str, knot: int) -> Path:
        return self.folder / group_name(edge) / f"{knot:02d}.npy"

    def _opened(self, path: Path, shape: tuple[int, ...]) -> NDArray[np.float32]:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            size = 4 * int(np.prod(shape))
            need_room(path, size)
            np.lib.format.open_memmap(path, "w+", np.dtype(np.float32), shape)
            with path.open("rb+") as file:
                # Taken now: a disk that is full when a mapped page is written kills the process.
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        return np.load(path, mmap_mode="r+", allow_pickle=False)  # type: ignore[no-any-return]
