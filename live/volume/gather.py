"""From the journals of a 3D scan to normalised projections, energy by energy, while the scan goes on.

An energy is taken when its run has ended, or when the next one has begun and its flats are there. Whatever came too
late for that (flats at the end, a file that could not be read yet, angles that the first energy did not have) is
settled at the end: the result does not depend on how the documents came.

Angles may come in any order; the grid is that of all energies together. Projections of one angle are averaged; without
an angle they are counted as bad. An energy that lacks angles keeps them empty: `volume_plan` takes from the other
energies what it would have shown. Flats of another size than the frames are told, those of the nearest energy serve.
"""

import itertools
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from redoxscope.live import journal
from redoxscope.live.calibration import BEAM_JUMP, SAME_ENERGY, Calibration
from redoxscope.live.documents import RunReader
from redoxscope.live.errors import UserError
from redoxscope.live.frames import Frame, FrameError, FrameFiles, UnreadableFile, time_at_edge
from redoxscope.live.profile import Profile
from redoxscope.live.volume.tomograms import Made, TomogramFiles

_PATIENCE = 10.0
"""Seconds in which files may be closed."""
_SAME_ANGLE = 0.05
"""Degrees: projections closer than this are of one angle."""


class Gatherer:
    """Follows journals and fills a folder with tomograms.

    Parameters
    ----------
    profile : of the beamline
    files : takes the tomograms
    warn : is told of what cannot be used
    """

    def __init__(self, profile: Profile, files: TomogramFiles, warn: Callable[[str], None]) -> None:
        self.profile = profile
        self.files = files
        self.pixel_size = float("nan")
        """µm; NaN if not recorded"""
        self.announced: set[float] = set()
        """Energies that the runs have announced, eV."""
        self._warn = warn
        self._frame_files = FrameFiles()
        self._journals: dict[Path, int] = {}
        """And how far each has been read."""
        self._readers: dict[str, RunReader] = {}
        self._by_path: dict[Path, RunReader] = {}
        self._samples: dict[float, list[Frame]] = defaultdict(list)
        self._calibrations: dict[str, Calibration] = {}
        self._latest: dict[str, float] = {}
        """Energy of the last frame of each run."""
        self._nowhere = 0
        """Frames without an angle or an energy."""

    def follow(self, path: Path) -> None:
        """One more journal of the scan."""
        self._journals.setdefault(path, 0)

    def read(self) -> None:
        """Take in what the journals have got since the last time."""
        for path in self._journals:
            for frame, reader in self._new_frames(path):
                calibration = self._calibrations.setdefault(frame.run, Calibration(self.profile.camera))
                if frame.kind != "sample":
                    calibration.add(frame)
                elif np.isfinite(frame.energy) and np.isfinite(frame.angle):
                    energy = _announced(frame.energy, reader.energies)
                    self._samples[energy].append(frame)
                    self._latest[frame.run] = energy
                else:
                    self._nowhere += 1

    def ready(self) -> list[float]:
        """Energies (eV) that are complete, as far as can be known, and not on file, as they came."""
        return [e for e in self._samples if e not in self.files.made and self._is_complete(e)]

    def gather(self, energy: float) -> bool:
        """Normalise the projections of an energy and file them; False if none can be used."""
        frames = self._samples[energy]
        if self.files.angles.size == 0:
            self.files.start_over(angle_grid([frame.angle for frame in frames]))
        angles = self.files.angles
        out: NDArray[np.float32] | None = None
        taken = np.zeros(angles.size, dtype=int)
        bad, unread = 0, False
        for frame in frames:
            slot = int(np.argmin(np.abs(angles - frame.angle)))
            try:
                image = self._calibrations[frame.run].absorbance(frame).value
                if out is not None and image.shape != out.shape[1:]:
                    raise FrameError(f"frame {frame.index} of run {frame.run} is {image.shape}, not {out.shape[1:]}")
            except FrameError as error:
                bad += 1
                unread |= isinstance(error, UnreadableFile)
                self._warn(str(error))
                continue
            if abs(angles[slot] - frame.angle) > _SAME_ANGLE:
                continue
            if out is None:
                out = np.full((angles.size, *image.shape), np.nan, dtype=np.float32)
            # Projections of one angle are averaged.
            taken[slot] += 1
            out[slot] = image if taken[slot] == 1 else out[slot] + (image - out[slot]) / taken[slot]
        for run in {frame.run for frame in frames}:
            for text in sorted(self._calibrations[run].misfits):
                self._warn(f"{text}: those of the nearest energy that fit are taken")
        if out is None:
            return False
        first = self.files.energies[:1]
        if first and self.files[first[0]].shape != out.shape:
            self._warn(f"projections at {energy:g} eV are {out.shape[1:]}, not {self.files[first[0]].shape[1:]}")
            return False
        dim = without_beam(out)
        out[dim] = np.nan
        if dim.any():
            self._warn(f"{int(dim.sum())} projections at {energy:g} eV were taken without the full beam")
        self.files.put(energy, out, self._made_of(energy, bad + int(dim.sum()), unread))
        return True

    def settle(self, progress: Callable[[float], None]) -> None:
        """Nothing more will come: file what is missing or was made of less than there is now.

        Raises UserError if there is no projection that can be used.
        """
        self._wait_for_files()
        if self._nowhere:
            self._warn(f"{self._nowhere} projections have no angle or no energy")
        grid = angle_grid([frame.angle for frames in self._samples.values() for frame in frames])
        if grid.size == 0:
            raise UserError("the 3D scan holds no projection with an angle; check [documents] angle in the profile")
        held = self.files.angles
        if held.shape != grid.shape or np.abs(held - grid).max() > 1e-6:
            self.files.start_over(grid)
        for calibration in self._calibrations.values():
            calibration.renew()
        for number, energy in enumerate(self._samples):
            made = self.files.made.get(energy)
            outdated = made is None or made != self._made_of(energy, made.bad, False)
            if outdated and not self.gather(energy):
                self.files.drop(energy)
            progress((number + 1) / len(self._samples))
        for energy in set(self.files.made) - set(self._samples):
            self.files.drop(energy)
        self._frame_files.close()
        if not self.files.made:
            raise UserError("no projection of the 3D scan can be read; see the log for the files")

    def time(self) -> float:
        """When the edge was looked at, as of a XANES scan: s since the epoch, NaN if it is not known."""
        return time_at_edge(itertools.chain(*self._samples.values()), self.profile.edge.search)

    def missing(self) -> list[str]:
        """What to say of energies that were announced and of which there is nothing."""
        gone = [e for e in sorted(self.announced) if all(abs(e - there) > SAME_ENERGY for there in self.files.made)]
        listed = ", ".join(f"{e:g}" for e in gone[:5]) + (f" and {len(gone) - 5} more" if len(gone) > 5 else "")
        return [f"no projection at {listed} eV can be used: the volume is made of the other energies"] if gone else []

    def counts(self) -> dict[str, int]:
        """Projections expected, lost on the way, and bad."""
        lost = sum(reader.lost for reader in self._readers.values())
        came = sum(len(frames) for frames in self._samples.values()) + self._nowhere
        unfiled = sum(len(frames) for e, frames in self._samples.items() if e not in self.files.made)
        bad = sum(made.bad for made in self.files.made.values()) + self._nowhere + unfiled
        return {"expected": came + lost, "lost": lost, "bad": bad}

    def _new_frames(self, path: Path) -> Iterator[tuple[Frame, RunReader]]:
        for offset, name, doc in journal.read(path, self._journals[path]):
            self._journals[path] = offset
            if name == "start":
                reader = RunReader(doc, self.profile, self._frame_files)
                self._readers[reader.uid] = self._by_path[path] = reader
                self.pixel_size = reader.pixel_size
                self.announced |= {round(float(e), 2) for e in reader.energies if np.isfinite(e)}
            elif path in self._by_path:
                reader = self._by_path[path]
                try:
                    for frame in reader.read(name, doc):
                        yield frame, reader
                except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
                    self._warn(f"a {name} document of run {reader.uid} makes no sense: {error!r}")

    def _is_complete(self, energy: float) -> bool:
        for run in {frame.run for frame in self._samples[energy]}:
            if self._readers[run].stop is not None:
                continue
            if abs(self._latest[run] - energy) < SAME_ENERGY or not self._calibrations[run].flats_at(energy):
                return False
        return True

    def _made_of(self, energy: float, bad: int, unread: bool) -> Made:
        frames = self._samples[energy]
        calibrations = [self._calibrations[run] for run in {frame.run for frame in frames}]
        # Without flats of its own an energy takes the nearest, and a nearer one may come.
        flats = sum(len(c.flats_at(energy)) for c in calibrations) or sum(c.flats for c in calibrations)
        return Made(len(frames), flats, sum(c.darks for c in calibrations), bad, unread)

    def _wait_for_files(self) -> None:
        """Until frames can be read: plans unstage the detector, which closes its file, after the run's stop."""
        patience = _PATIENCE
        for frame in [frames[-1] for frames in self._samples.values()]:
            while patience > 0:
                try:
                    frame.read()
                    break
                except UnreadableFile:
                    time.sleep(0.5)
                    patience -= 0.5
                except FrameError:
                    break


def without_beam(projections: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(angle,) which projections of one energy are brighter or darker as a whole than a turning sample can be."""
    known = np.isfinite(projections).any(axis=(1, 2))
    level = np.full(len(projections), np.nan)
    level[known] = np.nanmedian(projections[known], axis=(1, 2))
    usual = float(np.median(level[known])) if known.any() else 0.0
    return np.asarray(np.abs(level - usual) > BEAM_JUMP)


def angle_grid(angles: list[float]) -> NDArray[np.float64]:
    """The distinct angles (degrees), ascending."""
    values = np.sort(np.asarray(angles, dtype=np.float64))
    values = values[np.isfinite(values)]
    if values.size == 0:
        return values
    return np.asarray(values[np.concatenate([[True], np.diff(values) > _SAME_ANGLE])])


def _announced(energy: float, energies: NDArray[np.float64]) -> float:
    """The announced energy (eV) that a reading stands for; the reading itself if there is none; to a hundredth."""
    if energies.size and np.abs(energies - energy).min() < SAME_ENERGY:
        return round(float(energies[np.argmin(np.abs(energies - energy))]), 2)
    return round(energy, 2)
