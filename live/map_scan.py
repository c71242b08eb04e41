"""One XANES scan: frames in, edge-energy map out.

The path of a frame: `add` files it; as soon as its flat is there it is normalised (`calibration`), placed on the
series' grid (`registration`), moved there in one interpolation (`resample`) and filed in the maps (`edge_maps`). Frames
are taken in the order of their index. Whatever came too late for that, or could not be read or placed at once, is
settled at the end: `close` then does the whole scan again from the frames, so that the final map does not depend on how
they arrived.
"""

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from redoxscope.analysis.bridged_shifts import bridged_shifts
from redoxscope.analysis.registration import Placement
from redoxscope.analysis.resample import resample
from redoxscope.live.calibration import Absorbance, Calibration
from redoxscope.live.documents import RunReader
from redoxscope.live.edge_maps import EdgeMaps, Maps
from redoxscope.live.frames import Frame, FrameError, UnreadableFile
from redoxscope.live.levels import Levels
from redoxscope.live.series import Series

log = logging.getLogger(__name__)

_ENERGY_TOLERANCE = 0.5
"""eV between a frame's energy and the announced one."""
_PATIENCE = 3
"""A frame that is missing is passed over once this many later ones are ready."""


@dataclass(frozen=True)
class Placed:
    """Where the frame of one energy lies."""

    shift: tuple[float, float]
    scale: float
    quality: float


class MapScan:
    """Accumulates the frames of one run.

    Parameters
    ----------
    run : its reader
    series : which it belongs to; its registration is used and advanced
    """

    def __init__(self, run: RunReader, series: Series) -> None:
        self.run = run
        self.series = series
        self.energies: NDArray[np.float64] = run.energies
        self.placed: dict[int, Placed] = {}
        self.bad: dict[int, str] = {}
        """Frames that were set aside, with the reason."""
        self._calibration = Calibration(series.profile.camera)
        self._foreign: dict[int, str] = {}
        """Those of them that are of none of the scan's energies."""
        self._unread: set[int] = set()
        """Those whose file could not be read."""
        self._samples: dict[int, Frame] = {}
        self._queue: list[int] = []
        self._levels = Levels(self.energies)
        self._last = -1
        self._unsettled = False
        self._maps: EdgeMaps | None = None

    @property
    def used(self) -> int:
        """How many frames are placed; of those between the windows of several edges none is in a map."""
        return len(self.placed)

    @property
    def without_flat(self) -> int:
        """How many frames wait for a flat, while none has come."""
        return 0 if self._calibration.flats else len(self._queue)

    def add(self, frame: Frame) -> bool:
        """Take in a frame; whether another one is placed."""
        if frame.kind != "sample":
            self._calibration.add(frame)
            self._unsettled |= self._outdates(frame)
        else:
            slot = self._slot(frame)
            if slot is None:
                self.bad[frame.index] = self._foreign[frame.index] = (
                    f"{frame.energy:g} eV is not among the scan's energies"
                )
                return False
            held = self._samples.get(slot)
            if held is not None and (held.index == slot or frame.index != slot):
                return False
            self._samples[slot] = frame
            if slot < self._last or slot in self.placed:
                self._unsettled = True
            else:
                self._queue = sorted({*self._queue, slot})
        before = self.used
        while self._queue and self._take(self._queue):
            pass
        return self.used > before

    def result(self) -> Maps | None:
        """The maps as they are now; None before the first frame."""
        return None if self._maps is None else self._maps.result(self.series.previous, self.series.previous_others)

    @property
    def unreadable(self) -> bool:
        """Whether a file of frames that were set aside when the scan was closed still cannot be read."""
        for slot in sorted(self._unread)[:1]:
            try:
                self._samples[slot].read()
            except FrameError:
                return True
        return False

    def close(self) -> Maps | None:
        """The final maps, with all frames that came; None if none did.

        May be done again when files have become readable.
        """
        if self.energies.size == 0:
            self._announce()
        while self._queue and self._take(self._queue, ending=True):
            pass
        if (
            self._unsettled
            or self._unread
            or self._calibration.incomplete
            or any(self._levels.fault(slot, whole=True) for slot in self.placed)
        ):
            self._again()
        if self._maps is None:
            return None
        return self._maps.result(self.series.previous, self.series.previous_others, closed=True)

    def sample_frames(self) -> Iterator[Frame]:
        """The frames that are placed, by energy number."""
        for slot in sorted(self.placed):
            yield self._samples[slot]

    def _slot(self, frame: Frame) -> int | None:
        """Number of the frame's energy: its index, unless its reading says otherwise."""
        if self.energies.size == 0:
            return frame.index
        if 0 <= frame.index < self.energies.size:
            off = abs(frame.energy - self.energies[frame.index])
            if not off > _ENERGY_TOLERANCE:
                return frame.index
        distance = np.abs(self.energies - frame.energy)
        if not np.nanmin(distance, initial=np.inf) <= _ENERGY_TOLERANCE:
            return None
        return next((int(i) for i in np.argsort(distance) if i not in self._samples), None)

    def _outdates(self, frame: Frame) -> bool:
        """Whether a dark or flat comes too late for a frame that is in the map already."""
        if not self.placed:
            return False
        if frame.kind == "dark":
            return True
        return any(abs(self._samples[slot].energy - frame.energy) < _ENERGY_TOLERANCE for slot in self.placed)

    def _take(self, queue: list[int], *, ending: bool = False) -> bool:
        """Put the next frame of the queue into the maps, if it is its turn, or if nothing more will come."""
        if self.energies.size == 0:
            return False
        ready = queue if ending else [slot for slot in queue if self._has_flat(self._samples[slot])]
        if not ready:
            return False
        slot = ready[0]
        in_turn = slot == queue[0] == self._last + 1
        if not (in_turn or ending or len(ready) > _PATIENCE):
            return False
        # A flat that is missing is not waited for any longer: the end of the scan settles it.
        self._unsettled |= slot != queue[0]
        queue.remove(slot)
        self._last = max(slot, self._last)
        try:
            frame = self._prepare(slot)
            placement = self._place(slot, frame)
        except FrameError as error:
            # Perhaps its file is still being written.
            log.info("frame %d at %g eV waits for the end of the scan: %s", slot, self.energies[slot], error)
            self._unsettled = True
            return True
        self._unsettled |= not placement.valid
        self._fuse(slot, frame, placement)
        return True

    def _has_flat(self, frame: Frame) -> bool:
        if frame.transmission and max(self._samples) > frame.index:
            # It can do without; but the flat says how noisy it is, if it comes before the next frame.
            return True
        wanted = self.run.start.get("num_flats_per_energy", 1)
        return len(self._calibration.flats_at(frame.energy)) >= (wanted if isinstance(wanted, int) else 1)

    def _prepare(self, slot: int, *, whole: bool = False) -> Absorbance:
        """A frame's absorbance. Raises FrameError if there is none, or if the beam was not as in the frames around.

        `whole`: the levels of all frames are known.
        """
        frame = self._calibration.absorbance(self._samples[slot])
        self._levels.add(slot, frame.value)
        if reason := self._levels.fault(slot, whole=whole):
            raise FrameError(reason)
        return frame

    def _place(self, slot: int, frame: Absorbance) -> Placement:
        """Where a frame lies; the first of a series makes the grid."""
        if self.series.shape is None:
            self.series.shape = (frame.value.shape[0], frame.value.shape[1])
            self.series.pixel_size = self.run.pixel_size
        elif self.series.shape != frame.value.shape:
            raise FrameError(f"a frame of {frame.value.shape} in a series of {self.series.shape}")
        if self.series.reference_energy is None:
            self.series.reference_energy = float(self.energies[slot])
        # The noise of a part of the sensor that lies in shadow would hold on to where it is.
        seen = frame.value if frame.shaded is None else np.where(frame.shaded, np.float32(np.nan), frame.value)
        return self.series.registration.place(slot, seen, self._scale(slot))

    def _scale(self, slot: int) -> float:
        reference = self.series.reference_energy
        assert reference is not None
        return self.series.profile.magnification(float(self.energies[slot]), reference)

    def _fuse(self, slot: int, frame: Absorbance, placement: Placement) -> None:
        """Move a frame onto the grid and file it in the maps."""
        if self._maps is None:
            assert self.series.shape is not None
            self._maps = EdgeMaps(self.energies, self.series.shape, self.series.profile)
        moved, noise_y, noise_x = resample(frame.value, self._scale(slot), placement.shift)
        variance = None
        if frame.variance is not None:
            variance = frame.variance * noise_y[:, None] * noise_x
        self._maps.update(slot, moved, variance)
        quality = placement.quality if placement.valid else 0.0
        self.placed[slot] = Placed(placement.shift, self._scale(slot), quality)

    def _announce(self) -> None:
        """No list of energies came with the run: those of the frames are it."""
        self.energies = np.array([self._samples[slot].energy for slot in sorted(self._samples)])
        self._levels = Levels(self.energies)
        self._samples = {i: self._samples[slot] for i, slot in enumerate(sorted(self._samples))}
        self._queue = sorted(self._samples)

    def _again(self) -> None:
        """The whole scan once more, in order: place all frames, bridge the shifts that are not valid, file them."""
        self._maps = None
        self.placed, self._unread, self.bad = {}, set(), dict(self._foreign)
        self._levels = Levels(self.energies)
        self._calibration.renew()
        if self.series.previous is None:
            self.series.reference_energy = self.series.shape = None
        self.series.registration.restart_scan()
        placements: dict[int, Placement] = {}
        for slot in sorted(self._samples):
            # Every frame's level must be known before any is judged by those around it.
            with contextlib.suppress(FrameError):
                self._prepare(slot)
        for slot in sorted(self._samples):
            try:
                placements[slot] = self._place(slot, self._prepare(slot, whole=True))
            except FrameError as error:
                self._set_aside(slot, error)
        bridged = bridged_shifts(placements)
        for slot in sorted(placements.keys() - bridged.keys()):
            self._set_aside(slot, FrameError("it cannot be placed, and the sample jumped just before or after it"))
        for slot, placement in bridged.items():
            self._fuse(slot, self._calibration.absorbance(self._samples[slot]), placement)
        self._queue, self._unsettled = [], False

    def _set_aside(self, slot: int, error: FrameError) -> None:
        self.bad[slot] = str(error)
        if isinstance(error, UnreadableFile):
            self._unread.add(slot)
        log.warning("frame %d at %g eV is set aside: %s", slot, self.energies[slot], error)
