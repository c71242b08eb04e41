"""`redoxscope speed`: how fast the front moved between the 3D scans of two series."""

import math
from pathlib import Path

import numpy as np

from redoxscope.analysis.topography.solid_front import REACH, SolidMotion, solid_front_speed
from redoxscope.analysis.topography.volume_shift import moved, volume_shift
from redoxscope.live.errors import UserError
from redoxscope.live.export.surfaces import write_surface
from redoxscope.live.export.targets import check_target
from redoxscope.live.export.volume_file import Volume, VolumeFile
from redoxscope.live.nexus import nice
from redoxscope.live.series_folder import SeriesFolder, find_series
from redoxscope.live.stored import StoredSurface, front_energy_of

_SAME_SIZE = 1e-3
"""Part by which voxels may differ: over 500 of them half a voxel."""
_HOUR = 3600.0


def speed(data: Path, before: str, after: str, *, energy: float | None, out: Path | None) -> int:
    """Print how fast the front of one stored series moved until the 3D scan of another; returns the exit status.

    The second volume is moved onto the first by their edge jumps; a turn of the sample is not undone. `energy` (eV) is
    by default that of the first series' profile. `out` (.vtp) takes the first front with its `speed`. Raises UserError
    if the two cannot be compared, or there is no front.
    """
    folders = first, second = find_series(data, before), find_series(data, after)
    if first.path == second.path:
        raise UserError(f"{before} and {after} are both the series {first.name}; give two, see `redoxscope runs`")
    if out is not None:
        _check_out(out, folders)
    a, b = (_volume(folder, data) for folder in folders)
    _check_pair(first.name, a, second.name, b)
    level = front_energy_of(first.facts.profile) if energy is None else energy
    fields = a.channel("edge_energy"), b.channel("edge_energy")
    for folder, field in zip(folders, fields, strict=True):
        _check_front(folder.name, field, level)
    jumps = (np.where(np.isfinite(f), v.channel("edge_jump"), 0) for f, v in zip(fields, (a, b), strict=True))
    shift = volume_shift(*jumps)
    placed = moved(fields[1], shift)
    motion = solid_front_speed(fields[0], placed, level, interval=b.time - a.time, voxel_size=a.voxel)
    if not len(motion.vertices):
        raise UserError(f"{first.name} has no more than specks of a front at {level:g} eV; give another --energy")
    if not motion.met > 0:
        raise UserError(
            f"the front of {first.name} at {level:g} eV meets none of {second.name} within {REACH:g} voxels; choose "
            "another --energy, or 3D scans that are closer in time"
        )
    for line in _lines(motion, level, a.unit, (b.time - a.time) / _HOUR):
        print(line)
    common = np.isfinite(fields[0]) & np.isfinite(placed)
    share = 2 * common.sum() / sum(np.isfinite(f).sum() for f in (fields[0], placed))
    by = ", ".join(f"{s:+.2f}" for s in shift)
    print(
        f"{second.name} was moved by ({by}) voxels (z, y, x) onto {first.name}; they share {share:.0%} of their voxels"
    )
    if out is not None:
        _write(out, motion, level, a.unit)
        print(out)
    return 0


def _check_out(out: Path, folders: tuple[SeriesFolder, SeriesFolder]) -> None:
    if out.suffix.lower() != ".vtp":
        raise UserError(f"cannot write {out}: its ending is not .vtp; give one that is")
    for folder in folders:
        check_target(folder, out)


def _volume(folder: SeriesFolder, data: Path) -> VolumeFile:
    if not folder.has_volume:
        raise UserError(f"{folder.name} has no volume: no 3D scan of it has been analysed, see `redoxscope runs`")
    volume = VolumeFile.of(folder)
    if not math.isfinite(volume.time):
        raise UserError(
            f"the volume of {folder.name} does not say when its 3D scan was, as older ones do not; replay "
            f"{data / 'raw'} into another --data"
        )
    return volume


def _check_pair(first: str, a: VolumeFile, second: str, b: VolumeFile) -> None:
    """Raise UserError unless both stand on one grid and the second is later."""
    if a.unit != b.unit or abs(a.voxel / b.voxel - 1) > _SAME_SIZE:
        raise UserError(
            f"a voxel is {a.voxel:g} {a.unit} in {first} and {b.voxel:g} {b.unit} in {second}; give two scans of the "
            "same magnification"
        )
    if a.shape != b.shape:
        sizes = (" × ".join(map(str, v.shape)) for v in (a, b))
        raise UserError(f"{first} has {next(sizes)} voxels and {second} {next(sizes)}; give two scans of the same view")
    if not b.time > a.time:
        raise UserError(f"the 3D scan of {second} is not later than that of {first}; give the earlier one first")


def _check_front(name: str, field: Volume, level: float) -> None:
    known = field[np.isfinite(field)]
    if not known.size:
        raise UserError(f"the volume of {name} has no voxel with an edge energy; give another series")
    if not known.min() < level < known.max():
        raise UserError(
            f"{name} has no front at {level:g} eV: its edge energies are {known.min():.2f} to {known.max():.2f} eV; "
            "give another --energy"
        )


def _lines(motion: SolidMotion, level: float, unit: str, hours: float) -> list[str]:
    length = nice(unit)
    mean, low, high = (_HOUR * value for value in (motion.mean, *motion.quartiles))
    area = motion.vertex_area.sum()
    return [
        f"front at {level:g} eV: {mean:.3g} {length}/h on average, half of it {low:.3g} to {high:.3g} {length}/h; "
        "positive where the reacted phase grew",
        f"{motion.met:.0%} of its {area:.3g} {length}² met the other front, of {hours:.3g} h later, "
        f"within {REACH:g} voxels",
    ]


def _write(out: Path, motion: SolidMotion, level: float, unit: str) -> None:
    from redoxscope.live.export.vtp import write_vtp

    points = np.ascontiguousarray(motion.vertices[:, ::-1])
    values = {"speed": _HOUR * motion.speed, "vertex_area": motion.vertex_area}
    units = {"speed": f"{unit}/h", "vertex_area": f"{unit}^2"}
    write_surface(out, StoredSurface(level, points, motion.faces, values, units), unit, write_vtp)
