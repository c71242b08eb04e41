"""The isosurfaces of a series, a file for each energy."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from redoxscope.live.atomic import need_room, replacing
from redoxscope.live.errors import UserError
from redoxscope.live.export.targets import check_target, told
from redoxscope.live.series_folder import SeriesFolder
from redoxscope.live.stored import StoredSurface, read_series

Writer = Callable[[Path, StoredSurface, str], None]
"""Takes path, surface and unit of length."""

_ABOUT = {
    "mean_curvature": "curvature is positive where the new (low-energy) phase is convex",
    "mean_curvature_fixed": (
        "shares and histograms are made of mean_curvature_fixed (one window for all vertices); mean_curvature is the "
        "best estimate vertex by vertex, and the choice of windows distorts its distribution"
    ),
    "speed": (
        "speed is along the normal until the next 3D scan, positive where the new (low-energy) phase grew, NaN where "
        "no front was met"
    ),
}


def write_surfaces(
    folder: SeriesFolder,
    target: Path,
    write: Writer,
    progress: Callable[[float], None],
) -> list[Path]:
    """NAME-8340.0.vtp and so on for NAME.vtp; energies without a surface are left out.

    Raises UserError if there is no surface at all.
    """
    topography = read_series(folder.index_path).topography
    if topography is None or not topography.drawable:
        raise UserError(f"cannot export to {target}: the series {folder.name} has no front at any energy")
    check_target(folder, target)
    made = []
    for number, index in enumerate(topography.drawable):
        surface = topography.surface(index)
        path = target.with_name(f"{target.stem}-{energy_name(surface.energy)}{target.suffix}")
        check_target(folder, path)
        write_surface(path, surface, topography.unit, write)
        made.append(path)
        progress((number + 1) / len(topography.drawable))
    return made


def write_surface(path: Path, surface: StoredSurface, length: str, write: Writer) -> None:
    """One surface, whole or not at all; `length` is its unit. Raises UserError if that fails."""
    with told(path), replacing(path) as temporary:
        need_room(temporary, 2 * (surface.points.nbytes + surface.faces.nbytes))
        write(temporary, surface, length)


def energy_name(energy: float) -> str:
    """An energy in a file's name: at least one decimal, as many as it takes."""
    return next(text for digits in range(1, 7) if float(text := f"{energy:.{digits}f}") == round(energy, 6))


def remarks(surface: StoredSurface) -> list[str]:
    """What a user of the file should know, a line each."""
    first = f"redoxscope: front at {surface.energy:g} eV; faces look to higher energies"
    return [first, *(text for name, text in _ABOUT.items() if name in surface.values)]


def scalars(surface: StoredSurface) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    """What is stored at the vertices, (n,) each, and the energy of the surface."""
    values = {name: np.ascontiguousarray(value, dtype=np.float32) for name, value in surface.values.items()}
    return {**values, "iso_energy": np.full(len(surface.points), surface.energy, dtype=np.float32)}


def units(surface: StoredSurface, length: str) -> dict[str, str]:
    """Of the coordinates and of each scalar."""
    return {"x": length, "y": length, "z": length, **surface.units, "iso_energy": "eV"}
