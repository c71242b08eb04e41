"""One camera frame: what the documents say of it, and where its pixels are."""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlparse

import h5py
import numpy as np
from numpy.typing import NDArray

Kind = Literal["sample", "flat", "dark"]
_OPEN_FILES = 8

Pixels = NDArray[Any]
"""Counts or transmission, of any numeric type."""


class FrameError(Exception):
    """A frame's pixels cannot be had, now (the file is being written) or ever; the message says why."""


class UnreadableFile(FrameError):
    """The file with the pixels is not there or not whole: its writer may not have closed it yet."""


@dataclass(frozen=True)
class Frame:
    """A frame of a run, its pixels unread."""

    run: str
    """Start uid."""
    kind: Kind
    index: int
    """Number of the event in its stream, from 0."""
    energy: float
    """eV; NaN if not recorded (darks)."""
    angle: float
    """Degrees; NaN if not recorded."""
    time: float
    """Seconds since the epoch, by the data."""
    temperature: float
    """°C; NaN if not recorded."""
    exposure: float
    """s; NaN if not recorded."""
    transmission: bool
    """Whether the pixels are a transmission already, not counts."""
    read: Callable[[], Pixels] = field(repr=False, compare=False)
    """(y, x) pixels, or FrameError; several exposures of one event are averaged."""


def time_at_edge(frames: Iterable[Frame], search: tuple[float, float]) -> float:
    """When the edge was looked at: median time of the frames within the search window (eV), s since the epoch.

    One time stamp that is centuries off does not move it. Of all frames if none is there; NaN without any.
    """
    low, high = search
    all_frames = list(frames)
    near = [frame.time for frame in all_frames if low <= frame.energy <= high]
    return float(np.median(near or [frame.time for frame in all_frames] or [np.nan]))


def path_of_uri(uri: str) -> Path:
    """Where on this machine the file of an address lies."""
    return Path(unquote(urlparse(uri).path))


def open_frames(path: Path) -> h5py.File:
    """Open a file, also while a detector is writing it (SWMR).

    All threads must open files in this one way: HDF5 refuses a file that the process has open with another one.
    """
    try:
        return h5py.File(path, "r", libver="latest", swmr=True)
    except (OSError, ValueError):
        return h5py.File(path, "r")


class FrameFiles:
    """HDF5 files with frames, a few of them held open, also while a detector is writing them (SWMR)."""

    def __init__(self) -> None:
        self._open: OrderedDict[Path, h5py.File] = OrderedDict()

    def read(self, path: Path, dataset: str, start: int, count: int) -> Pixels:
        """Mean of `count` frames from number `start` of a dataset (frame, y, x) or (y, x).

        Raises FrameError, naming file and frame.
        """
        try:
            data = self._file(path)[dataset]
            if not isinstance(data, h5py.Dataset) or data.ndim not in (2, 3) or data.dtype.kind not in "uif":
                raise FrameError(f"{path}: {dataset} does not hold frames")
            if data.ndim == 2:
                return np.asarray(data[()])
            if start + count > data.shape[0]:
                data.id.refresh()
            if start < 0 or count < 1 or start + count > data.shape[0]:
                # A file that was opened while it was written may show no more until it is opened anew.
                self.forget(path)
                raise UnreadableFile(f"{path}: frames {start} to {start + count - 1} of {dataset} are not there")
            frames = data[start : start + count]
            return np.asarray(frames[0] if count == 1 else frames.mean(axis=0, dtype=np.float32))
        except (OSError, KeyError, RuntimeError, ValueError) as error:
            self.forget(path)
            raise UnreadableFile(f"{path}: frame {start} of {dataset}: {error}") from error

    def forget(self, path: Path) -> None:
        """Close a file, to open it anew the next time."""
        held = self._open.pop(path, None)
        if held is not None:
            held.close()

    def close(self) -> None:
        """Close all files."""
        for path in list(self._open):
            self.forget(path)

    def _file(self, path: Path) -> h5py.File:
        if path in self._open:
            self._open.move_to_end(path)
            return self._open[path]
        while len(self._open) >= _OPEN_FILES:
            self.forget(next(iter(self._open)))
        opened = open_frames(path)
        self._open[path] = opened
        return opened
