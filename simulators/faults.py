"""What goes wrong at a beamline, on purpose and at fixed places, so that a test can count it."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np

from redoxscope.simulators.camera import Camera, Frame, FrameFile
from redoxscope.simulators.world import World

FAULTS = {
    "blank_frame": "every 37th frame is all zeros",
    "beam_drop": "the beam falls to 5 % for 3 of every 53 frames",
    "stage_jump": "the sample jumps by 30 px in the middle of the second run and stays there to its end",
    "lost_frame": "every 29th event document is swallowed before it is published",
    "duplicate": "every 5th event document is published twice",
    "dead_file": "the file of one frame is truncated in the second run, another's is missing in the third",
}

JUMP = (18.0, 24.0)
"""(dy, dx) px of the stage jump: 30 px in length."""
DEAD_POINT = 41
"""Point number of the frame whose file is dead: in a XANES scan of 53 energies a near-edge sample frame."""

Callback = Callable[[str, dict[str, Any]], object]


def check_faults(kinds: Collection[str]) -> frozenset[str]:
    """The kinds as a set.

    Raises
    ------
    ValueError
        If one is unknown; the message names those that exist.
    """
    for kind in kinds:
        if kind not in FAULTS:
            raise ValueError(f"no fault is called {kind!r}: choose from {', '.join(FAULTS)}")
    return frozenset(kinds)


class FaultyCamera(Camera):
    """A camera (and a beam and a stage) that fails in the given ways.

    Parameters
    ----------
    world, frames_dir, name : as for `Camera`
    faults : names from `FAULTS`
    """

    def __init__(self, world: World, frames_dir: Path | None, faults: Collection[str], *, name: str = "camera"):
        self._faults = check_faults(faults)
        if "dead_file" in self._faults and frames_dir is None:
            raise ValueError("the fault 'dead_file' needs frames in files: leave out inline")
        super().__init__(world, frames_dir, name=name)
        self._run = 0
        self._taken = 0
        self._taken_in_run = 0

    def stage(self) -> list[object]:
        """Begin a run; the sample is back in its place."""
        self._run += 1
        self._taken_in_run = 0
        self.world.kick = (0.0, 0.0)
        return super().stage()

    def _expose(self) -> tuple[Frame, float]:
        self._taken += 1
        self._taken_in_run += 1
        if "beam_drop" in self._faults:
            self.world.flux = 0.05 if self._taken % 53 in (20, 21, 22) else 1.0
        if "stage_jump" in self._faults and self._run == 2 and self._taken_in_run == 56:
            self.world.kick = JUMP
        frame, time = super()._expose()
        if "blank_frame" in self._faults and self._taken % 37 == 0:
            frame = np.zeros_like(frame)
        return frame, time

    def _store(self, file: FrameFile, frame: Frame) -> str:
        dead = "dead_file" in self._faults and self._run in (2, 3) and self._taken_in_run == DEAD_POINT + 1
        if not dead:
            return super()._store(file, frame)
        file.append(frame)
        path = file.path.with_name(f"{file.path.stem}_{DEAD_POINT}.h5")
        if self._run == 2:
            alone = FrameFile(path, self.world.config.detector_shape)
            alone.append(frame)
            alone.close()
            whole = path.read_bytes()
            path.write_bytes(whole[: len(whole) // 2])
        return self._refer(self._announce(path), 0)


def faulty(callback: Callback, faults: Collection[str]) -> Callback:
    """The callback behind a publisher that loses or repeats event documents.

    Parameters
    ----------
    callback : takes (name, document)
    faults : names from `FAULTS`; those of the camera change nothing here
    """
    kinds = check_faults(faults)
    events = 0

    def publish(name: str, doc: dict[str, Any]) -> None:
        nonlocal events
        events += name == "event"
        if name == "event" and "lost_frame" in kinds and events % 29 == 0:
            return
        callback(name, doc)
        if name == "event" and "duplicate" in kinds and events % 5 == 0:
            callback(name, doc)

    return publish
