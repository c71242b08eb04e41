"""One series as one file that stands alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from redoxscope.live.atomic import need_room, replacing
from redoxscope.live.errors import UserError
from redoxscope.live.export.targets import check_target, told
from redoxscope.live.nexus import (
    COMPRESSION,
    EDGE_MAPS,
    LIBVER,
    MAPS,
    Quantity,
    map_chunks,
    open_read,
    set_default,
    start_file,
)
from redoxscope.live.series_folder import SeriesFolder
from redoxscope.live.series_index import write_provenance, write_scans

_COMPRESS_FROM = 1024
"""Values; smaller datasets are left as they are."""


def export(folder: SeriesFolder, target: Path, progress: Callable[[float], None] | None = None) -> None:
    """Write what a series has to one HDF5 file; an existing one is replaced at the end.

    One map is in memory at a time. `progress` is called with the fraction that is done. Raises UserError if the file
    cannot be written, or nothing would be in it.
    """
    target = Path(target)
    if not folder.scans and not folder.solids:
        raise UserError(
            f"cannot export to {target}: the series {folder.name} has neither a map nor a volume; wait for the end of "
            "its first scan, or choose another (redoxscope runs lists them)"
        )
    check_target(folder, target)
    with told(target), replacing(target) as path, h5py.File(path, "w", libver=LIBVER) as file:
        _write(file, folder, target.name, progress or (lambda fraction: None))


def _write(file: h5py.File, folder: SeriesFolder, name: str, progress: Callable[[float], None]) -> None:
    scans, solids = folder.scans, folder.solids
    edges = {name for scan in scans for name in scan.edges}
    steps = _Steps(progress, len(scans) * (len(MAPS) + len(edges) * len(EDGE_MAPS)) + len(solids))
    entry = start_file(file, name)

    def stacked(group: h5py.Group, map_name: str, quantity: Quantity, edge: str) -> h5py.Dataset:
        shape = (len(scans), *scans[0].shape)
        options: dict[str, Any] = {"chunks": map_chunks(shape), "fillvalue": quantity.missing, **COMPRESSION}
        out = group.create_dataset(map_name, shape, quantity.dtype, **options)
        for i, scan in enumerate(scans):
            if place := scan.place(map_name, edge):
                with open_read(scan.path) as part:
                    need_room(Path(file.filename), out.dtype.itemsize * scans[0].shape[0] * scans[0].shape[1])
                    out[i] = part[place][()]
            steps.done()
        return out

    write_scans(entry, scans, stacked)
    for solid, path in solids.items():
        with open_read(path) as part:
            _copy(part, entry.create_group(solid))
        steps.done()
    set_default(entry)
    write_provenance(entry, folder.facts, scans)


def _copy(source: h5py.Group, group: h5py.Group) -> None:
    """Copy a group, large datasets compressed and slice by slice."""
    _copy_attributes(source, group)
    for name, item in source.items():
        if isinstance(item, h5py.Group):
            _copy(item, group.create_group(name))
            continue
        options: dict[str, Any] = {}
        if item.size >= _COMPRESS_FROM:
            options = {**COMPRESSION, "chunks": map_chunks(item.shape)}
        out = group.create_dataset(name, item.shape, item.dtype, **options)
        for pick in range(item.shape[0]) if item.ndim > 2 else ((),):
            values = item[pick]
            need_room(Path(group.file.filename), np.size(values) * item.dtype.itemsize)
            out[pick] = values
        _copy_attributes(item, out)


def _copy_attributes(source: h5py.HLObject, target: h5py.HLObject) -> None:
    for name, value in source.attrs.items():
        target.attrs[name] = value


class _Steps:
    """Counts equal steps."""

    def __init__(self, progress: Callable[[float], None], total: int) -> None:
        self.progress, self.total, self.count = progress, max(1, total), 0

    def done(self) -> None:
        self.count += 1
        self.progress(self.count / self.total)
