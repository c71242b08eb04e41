"""The microscope's camera: frames into HDF5 as an areaDetector HDF5 plugin does, or inline in the events."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from ophyd import Device, Kind, Signal

from redoxscope.simulators.status import Status
from redoxscope.simulators.world import World

DATASET = "/entry/data/data"
READOUT_TIME = 0.1
"""s after every exposure."""

Frame = NDArray[np.uint16]


class FrameFile:
    """One HDF5 file that grows by a frame at a time and can be read meanwhile (SWMR).

    Parameters
    ----------
    path : of the file, made anew
    shape : (H, W) of a frame
    """

    def __init__(self, path: Path, shape: tuple[int, int]):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file = h5py.File(path, "w", libver="latest")
        self._data = self._file.create_dataset(
            DATASET, shape=(0, *shape), maxshape=(None, *shape), chunks=(1, *shape), dtype="<u2"
        )
        self._file.swmr_mode = True

    def append(self, frame: Frame) -> int:
        """Write a frame and flush it; its index in the file."""
        index: int = self._data.shape[0]
        self._data.resize(index + 1, axis=0)
        self._data[index] = frame
        self._data.flush()
        return index

    def close(self) -> None:
        """No more frames."""
        self._file.close()


class Camera(Device):  # type: ignore[misc]
    """Keys `camera_image`, [1, H, W] uint16, and `camera_exposure_time`, s.

    One file per `stage`, `/entry/data/data` (n, H, W), whose frames the documents name by resource (spec
    `AD_HDF5`, `frame_per_point` 1) and datum (`point_number`, from 0 across all streams of the run).

    Parameters
    ----------
    world : what it looks at
    frames_dir : folder of the files, or None for frames inline in the events
    """

    def __init__(self, world: World, frames_dir: Path | None, *, name: str = "camera"):
        super().__init__("", name=name)
        self.world = world
        self.frames_dir = None if frames_dir is None else Path(frames_dir).absolute()
        self.exposure_time = ExposureTime(world, name=f"{name}_exposure_time", kind=Kind.normal)
        self._file: FrameFile | None = None
        self._resource = ""
        self._assets: list[tuple[str, dict[str, Any]]] = []
        self._reading: dict[str, Any] = {"value": "", "timestamp": world.time}

    def stage(self) -> list[object]:
        """Open a new file."""
        staged: list[object] = super().stage()
        if self.frames_dir is not None:
            path = self.frames_dir / f"{uuid.uuid4().hex}.h5"
            self._file = FrameFile(path, self.world.config.detector_shape)
            self._resource = self._announce(path)
        return staged

    def unstage(self) -> list[object]:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
        unstaged: list[object] = super().unstage()
        return unstaged

    def trigger(self) -> Status:
        """Take a frame.

        Raises
        ------
        RuntimeError
            If the camera writes files and is not staged.
        """
        frame, time = self._expose()
        if self.frames_dir is None:
            value: object = frame[np.newaxis]
        elif self._file is None:
            raise RuntimeError(f"{self.name} is not staged: stage it before it takes frames, so that it has a file")
        else:
            value = self._store(self._file, frame)
        self._reading = {"value": value, "timestamp": time}
        return self.world.sleep(self.world.exposure_time + READOUT_TIME)

    def read(self) -> dict[str, dict[str, Any]]:
        """The latest frame, or the datum that stands for it, and the exposure time."""
        return {f"{self.name}_image": self._reading, **self.exposure_time.read()}

    def describe(self) -> dict[str, dict[str, Any]]:
        """Data keys of `read`."""
        key: dict[str, Any] = {
            "source": f"SIM:{self.name}", "dtype": "array", "dtype_numpy": "<u2", "units": "counts",
            "shape": [1, *self.world.config.detector_shape],
        }  # fmt: skip
        if self.frames_dir is not None:
            key["external"] = "FILESTORE:"
        return {f"{self.name}_image": key, **self.exposure_time.describe()}

    def collect_asset_docs(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Resource and datum documents since the last call."""
        assets, self._assets = self._assets, []
        yield from assets

    def _expose(self) -> tuple[Frame, float]:
        """A frame and its simulated time."""
        return self.world.expose()

    def _store(self, file: FrameFile, frame: Frame) -> str:
        """Write the frame; the id of its datum."""
        return self._refer(self._resource, file.append(frame))

    def _announce(self, path: Path) -> str:
        """Queue a resource document; its uid."""
        uid = str(uuid.uuid4())
        self._assets.append(("resource", {
            "uid": uid, "spec": "AD_HDF5", "root": str(path.parent), "resource_path": path.name,
            "resource_kwargs": {"frame_per_point": 1}, "path_semantics": "posix",
        }))  # fmt: skip
        return uid

    def _refer(self, resource: str, point_number: int) -> str:
        """Queue a datum document; its id."""
        datum = f"{resource}/{point_number}"
        self._assets.append(
            ("datum", {"datum_id": datum, "resource": resource, "datum_kwargs": {"point_number": point_number}})
        )
        return datum


class ExposureTime(Signal):  # type: ignore[misc]
    """The world's exposure time in s, with simulated time stamps."""

    def __init__(self, world: World, **kwargs: Any):
        super().__init__(**kwargs)
        self._world = world

    def get(self, **kwargs: Any) -> float:
        """Exposure time, s."""
        return self._world.exposure_time

    def set(self, seconds: float, **kwargs: Any) -> Status:
        """Expose so many seconds from the next frame on.

        Raises
        ------
        ValueError
            If it is not positive.
        """
        if not seconds > 0:
            raise ValueError(f"an exposure of {seconds} s is not possible: give seconds above 0")
        self._world.exposure_time = float(seconds)
        return self._world.sleep(0.0)

    def read(self) -> dict[str, dict[str, Any]]:
        """Value and simulated time stamp."""
        return {self.name: {"value": self.get(), "timestamp": self._world.time}}

    def describe(self) -> dict[str, dict[str, Any]]:
        """A number in seconds."""
        return {
            self.name: {
                "source": f"SIM:{self.name}", "dtype": "number", "dtype_numpy": "<f8", "shape": [], "units": "s"
            }
        }  # fmt: skip
