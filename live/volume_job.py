"""The 3D analysis, in a process of its own: `python -m redoxscope.live.volume_job JOB.json`.

The job names the journals of the 3D scan's runs; what is in them is all it needs. Projections are normalised into one
file of float32, so that memory holds one energy at a time. Progress goes to stdout, a line of JSON each.
"""

import json
import os
import sys
import tempfile
import time
import traceback
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from redoxscope.live import journal
from redoxscope.live.calibration import BEAM_JUMP, SAME_ENERGY, Calibration
from redoxscope.live.documents import RunReader
from redoxscope.live.errors import UserError
from redoxscope.live.frames import Frame, FrameError, FrameFiles, UnreadableFile
from redoxscope.live.profile import Profile

_PATIENCE = 10.0
"""Seconds in which files may be closed."""
_SAME_ANGLE = 0.05
"""Degrees: projections closer than this are of one angle."""


@dataclass(frozen=True)
class VolumeJob:
    """What the analysis needs to know."""

    journals: list[str]
    """Of the runs of one 3D scan."""
    profile: dict[str, object]
    folder: str
    """Series folder that the volume and the topography go into."""

    def save(self, path: Path) -> None:
        """Write the job for the process to read."""
        path.write_text(json.dumps(asdict(self)))


@dataclass(frozen=True)
class Tomograms:
    """The projections of a 3D scan."""

    absorbance: NDArray[np.float32]
    """(energy, angle, row, col), NaN where a projection is missing"""
    energies: NDArray[np.float64]
    """eV"""
    angles: NDArray[np.float64]
    """degrees"""
    pixel_size: float
    """µm; NaN if not recorded"""
    expected: int
    lost: int
    """Projections that never came."""
    bad: int
    """Projections that could not be used."""


def gather(journals: list[Path], profile: Profile, scratch: Path) -> Tomograms:
    """Normalise all projections of the runs in the journals into a file in `scratch`.

    Raises UserError if there are none that can be read.
    """
    files = FrameFiles()
    samples: dict[float, list[Frame]] = defaultdict(list)
    calibrations: dict[str, Calibration] = {}
    pixel_size, lost, nowhere = float("nan"), 0, 0
    for path in journals:
        reader: RunReader | None = None
        for frame, owner in _frames(path, profile, files):
            reader = owner
            calibration = calibrations.setdefault(frame.run, Calibration(profile.camera))
            if frame.kind != "sample":
                calibration.add(frame)
            elif np.isfinite(frame.energy) and np.isfinite(frame.angle):
                samples[_announced(frame.energy, owner.energies)].append(frame)
            else:
                nowhere += 1
        if reader is not None:
            pixel_size = reader.pixel_size
            lost += reader.lost
    _wait_for_files([group[-1] for group in samples.values()])
    angles = _angle_grid([frame.angle for group in samples.values() for frame in group])
    if not samples or angles.size == 0:
        raise UserError("the 3D scan holds no projection with an angle; check [documents] angle in the profile")
    energies = np.array(sorted(samples))
    out: NDArray[np.float32] | None = None
    if nowhere:
        say(warning=f"{nowhere} projections have no angle or no energy")
    bad = nowhere
    for i, energy in enumerate(energies):
        for frame in samples[energy]:
            try:
                image = calibrations[frame.run].absorbance(frame).value
            except FrameError as error:
                bad += 1
                say(warning=str(error))
                continue
            if out is None:
                shape = (energies.size, angles.size, *image.shape)
                out = np.lib.format.open_memmap(scratch / "projections.npy", "w+", np.float32, shape)
                out[:] = np.nan
            if image.shape != out.shape[2:]:
                bad += 1
                continue
            out[i, int(np.argmin(np.abs(angles - frame.angle)))] = image
        if out is not None:
            dim = _without_beam(out[i])
            out[i, dim] = np.nan
            bad += int(dim.sum())
            if dim.any():
                say(warning=f"{int(dim.sum())} projections at {energy:g} eV were taken without the full beam")
        say(stage="read", fraction=(i + 1) / energies.size)
    files.close()
    if out is None:
        raise UserError("no projection of the 3D scan can be read; see the log for the files")
    total = sum(len(group) for group in samples.values()) + nowhere
    return Tomograms(out, energies, angles, pixel_size, total + lost, lost, bad)


def run(job: VolumeJob) -> None:
    """Volume and topography of a 3D scan, written into the series folder."""
    from redoxscope.analysis.topography import topography
    from redoxscope.analysis.volume import edge_volume
    from redoxscope.live.series_folder import SeriesFolder

    profile = Profile.model_validate(job.profile)
    if profile.edge.definition != "half_jump":
        raise UserError(f"the edge energy of voxels is known by half_jump only, not by {profile.edge.definition}")
    folder = SeriesFolder(Path(job.folder))
    with tempfile.TemporaryDirectory(dir=folder.path, prefix=".projections-") as scratch:
        data = gather([Path(p) for p in job.journals], profile, Path(scratch))
        scales = [profile.magnification(float(e), float(data.energies[0]), tomogram=True) for e in data.energies]
        volume = edge_volume(
            data.absorbance,
            data.energies,
            data.angles,
            profile.xanes_edge(),
            scales=scales,
            progress=lambda stage, fraction: say(stage=stage, fraction=fraction),
        )
    size = data.pixel_size if np.isfinite(data.pixel_size) else None
    folder.set_volume(volume, size, [Path(p).stem for p in job.journals])
    say(stage="topography", fraction=0.0)
    levels = profile.iso_energies.values()
    surfaces = topography(volume.edge_energy, levels, size or 1.0, sigma=volume.sigma)
    folder.set_topography(surfaces)
    say(
        done=True,
        voxels=int(np.isfinite(volume.edge_energy).sum()),
        axis_offset=volume.axis_offset,
        axis_quality=volume.axis_quality,
        expected=data.expected,
        lost=data.lost,
        bad=data.bad,
    )


def say(**facts: object) -> None:
    """A line of progress for the parent."""
    print(json.dumps(facts), flush=True)


def _frames(path: Path, profile: Profile, files: FrameFiles) -> Iterator[tuple[Frame, RunReader]]:
    reader: RunReader | None = None
    for _, name, doc in journal.read(path):
        if name == "start":
            reader = RunReader(doc, profile, files)
        elif reader is not None:
            try:
                for frame in reader.read(name, doc):
                    yield frame, reader
            except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
                say(warning=f"a {name} document of run {reader.uid} makes no sense: {error!r}")


def _wait_for_files(frames: list[Frame]) -> None:
    """Until frames can be read: plans unstage the detector, which closes its file, after the run's stop."""
    patience = _PATIENCE
    for frame in frames:
        while patience > 0:
            try:
                frame.read()
                break
            except UnreadableFile:
                time.sleep(0.5)
                patience -= 0.5
            except FrameError:
                break


def _announced(energy: float, energies: NDArray[np.float64]) -> float:
    """The announced energy (eV) that a reading stands for; the reading itself, to a hundredth, if there is none."""
    if energies.size and np.abs(energies - energy).min() < SAME_ENERGY:
        return float(energies[np.argmin(np.abs(energies - energy))])
    return round(energy, 2)


def _without_beam(projections: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(angle,) which projections of one energy are brighter or darker as a whole than a turning sample can be."""
    known = np.isfinite(projections).any(axis=(1, 2))
    level = np.full(len(projections), np.nan)
    level[known] = np.nanmedian(projections[known], axis=(1, 2))
    usual = float(np.median(level[known])) if known.any() else 0.0
    return np.asarray(np.abs(level - usual) > BEAM_JUMP)


def _angle_grid(angles: list[float]) -> NDArray[np.float64]:
    """The distinct angles, ascending."""
    values = np.sort(np.asarray(angles, dtype=np.float64))
    values = values[np.isfinite(values)]
    if values.size == 0:
        return values
    return np.asarray(values[np.concatenate([[True], np.diff(values) > _SAME_ANGLE])])


def main(arguments: list[str]) -> int:
    """Run the job in the file named; errors are said in a line of JSON."""
    os.nice(5)
    try:
        run(VolumeJob(**json.loads(Path(arguments[0]).read_text())))
    except Exception as error:
        traceback.print_exc()
        say(error=str(error) or type(error).__name__)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
