"""The file that shows a series as one, in the exported schema, over the parts that it is stored in."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import h5py
import numpy as np

from redoxscope.live.nexus import (
    CURVES,
    FRAME_COUNTS,
    MAPS,
    SHARED,
    Quantity,
    describe,
    new_file,
    put,
    put_text,
    set_default,
    set_scan_data,
    start_file,
)
from redoxscope.live.series_parts import ScanPart, SeriesFacts

STAMP = "parts"
"""Attribute of the index's root: which parts it shows."""

Stack = Callable[[h5py.Group, str, Quantity], h5py.Dataset]


def write_index(path: Path, facts: SeriesFacts, scans: Sequence[ScanPart], linked: Sequence[str], stamp: str) -> None:
    """Write the index of the parts in its folder, whatever the folder is called.

    The maps are virtual datasets over the scans' files, volume and topography external links (`linked`). `stamp`
    stands for the parts that were there.
    """

    def virtual(group: h5py.Group, name: str, quantity: Quantity) -> h5py.Dataset:
        layout = h5py.VirtualLayout((len(scans), *scans[0].shape), quantity.dtype)
        for i, scan in enumerate(scans):
            layout[i] = h5py.VirtualSource(scan.path.name, name, scan.shape)
        missing = np.nan if quantity.dtype == "f4" else 0
        return group.create_virtual_dataset(name, layout, fillvalue=missing)

    with new_file(path) as file:
        file.attrs[STAMP] = stamp
        entry = start_file(file, "series.h5")
        write_scans(entry, scans, virtual)
        for name in linked:
            entry[name] = h5py.ExternalLink(f"{name}.h5", "/")
        set_default(entry)
        write_provenance(entry, facts, scans)


def write_scans(entry: h5py.Group, scans: Sequence[ScanPart], stack: Stack) -> None:
    """/entry/scan, if there is one: the small arrays are written, each map's stack is made by `stack`."""
    if not scans:
        return
    group = entry.create_group("scan")
    for name, quantity in CURVES.items():
        put(group, name, np.stack([scan.small[name] for scan in scans]), quantity)
    for name, quantity in SHARED.items():
        put(group, name, scans[0].small[name], quantity)
    for name, quantity in MAPS.items():
        describe(stack(group, name, quantity), quantity)
    set_scan_data(group)


def write_provenance(entry: h5py.Group, facts: SeriesFacts, scans: Sequence[ScanPart]) -> None:
    """/entry/provenance, where the results come from: the facts, and the run and frames of each scan."""
    group = entry.create_group("provenance")
    group.attrs["NX_class"] = "NXcollection"
    for name, text in (("series", facts.series), ("source", facts.source)):
        put_text(group, name, text)
    for name, values in (("profile", facts.profile), ("versions", facts.versions)):
        put_text(group, name, json.dumps(values, default=str))
    put_text(group, "raw_uids", facts.raw_uids)
    put_text(group, "scan_raw_uid", [scan.raw_uid for scan in scans])
    put(group, "created", facts.created, CURVES["time"])
    put(group, "finished", facts.finished, Quantity("u1", "1", "1 if the series is finished"))
    for name in FRAME_COUNTS:
        put(group, f"frames_{name}", getattr(facts.frames, name), Quantity("i8", "1", f"frames {name}"))
        of_scans = [getattr(scan.frames, name) for scan in scans]
        put(group, f"scan_frames_{name}", of_scans, Quantity("i8", "1", f"frames {name}, by scan"))
