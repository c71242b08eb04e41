"""Which format a target's name asks for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from redoxscope.live.errors import UserError
from redoxscope.live.export.hdf5 import export
from redoxscope.live.series_folder import SeriesFolder

Progress = Callable[[float], None]


@dataclass(frozen=True)
class Format:
    """One way to write a series."""

    part: str
    """What of the series it needs: volume, topography, or nothing."""
    write: Callable[[SeriesFolder, Path, Progress], list[Path]]


def _hdf5(folder: SeriesFolder, target: Path, progress: Progress) -> list[Path]:
    export(folder, target, progress)
    return [target]


# Each writer imports its library when it is used.


def _zarr(folder: SeriesFolder, target: Path, progress: Progress) -> list[Path]:
    from redoxscope.live.export.ome_zarr import write_zarr

    return write_zarr(folder, target, progress)


def _stack(folder: SeriesFolder, target: Path, progress: Progress) -> list[Path]:
    from redoxscope.live.export.tiff import write_stack

    return write_stack(folder, target, progress)


def _ome_tiff(folder: SeriesFolder, target: Path, progress: Progress) -> list[Path]:
    from redoxscope.live.export.tiff import write_ome_tiff

    return write_ome_tiff(folder, target, progress)


def _vtp(folder: SeriesFolder, target: Path, progress: Progress) -> list[Path]:
    from redoxscope.live.export.surfaces import write_surfaces
    from redoxscope.live.export.vtp import write_vtp

    return write_surfaces(folder, target, write_vtp, progress)


def _ply(folder: SeriesFolder, target: Path, progress: Progress) -> list[Path]:
    from redoxscope.live.export.ply import write_ply
    from redoxscope.live.export.surfaces import write_surfaces

    return write_surfaces(folder, target, write_ply, progress)


FORMATS: Mapping[str, Format] = {
    ".h5": Format("", _hdf5),
    ".hdf5": Format("", _hdf5),
    ".nxs": Format("", _hdf5),
    ".ome.zarr": Format("volume", _zarr),
    ".zarr": Format("volume", _zarr),
    ".ome.tif": Format("volume", _ome_tiff),
    ".ome.tiff": Format("volume", _ome_tiff),
    ".tif": Format("volume", _stack),
    ".tiff": Format("volume", _stack),
    ".vtp": Format("topography", _vtp),
    ".ply": Format("topography", _ply),
}
"""By the ending of a target's name; of two that fit, the longer."""
_IN_FOLDERS = (".h5", ".ome.zarr", ".ome.tif", ".vtp", ".ply")
"""What an existing folder as target gets."""


def export_as(
    folder: SeriesFolder, target: Path, progress: Progress | None = None, say: Callable[[str], None] | None = None
) -> list[Path]:
    """Write a series in the format of the target's ending; into an existing folder, in all formats.

    Surfaces become one file per energy, NAME-8340.0.vtp for NAME.vtp. Returns what has been written. `say` is called
    with a line for what a folder's export lacks. Raises UserError for an unknown ending, if the series has not what
    the format holds, or if the target cannot be written.
    """
    tell = progress or (lambda fraction: None)
    ending = ending_of(target)
    if ending is None and target.is_dir():
        return _everything(folder, target, tell, say or (lambda line: None))
    if ending is None:
        kinds = " ".join(FORMATS)
        raise UserError(f"cannot export to {target}: its ending is none of {kinds}; give one, or an existing folder")
    _need(folder, FORMATS[ending].part, target)
    return FORMATS[ending].write(folder, target, tell)


def ending_of(target: Path) -> str | None:
    """The longest known ending of a name, whatever its case."""
    name = target.name.lower()
    return max((ending for ending in FORMATS if name.endswith(ending) and name != ending), key=len, default=None)


def _need(folder: SeriesFolder, part: str, target: Path) -> None:
    if part and part not in folder.solids:
        raise UserError(
            f"cannot export to {target}: the series {folder.name} has no {part}, as no 3D scan has been analysed; "
            "its maps go into an .h5 file"
        )


def _everything(folder: SeriesFolder, where: Path, progress: Progress, say: Callable[[str], None]) -> list[Path]:
    made: list[Path] = []
    for number, ending in enumerate(_IN_FOLDERS):
        begun = number / len(_IN_FOLDERS)
        part = FORMATS[ending].part
        try:
            _need(folder, part, where / f"{folder.name}{ending}")
            made += FORMATS[ending].write(
                folder,
                where / f"{folder.name}{ending}",
                lambda fraction, begun=begun: progress(begun + fraction / len(_IN_FOLDERS)),  # type: ignore[misc]
            )
        except UserError as error:
            if not part or part in folder.solids:
                raise
            say(str(error))
    return made
