"""The file that shows a series as one, in the exported schema, over the parts that it is stored in."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import h5py
import numpy as np

from redoxscope.live.nexus import (
    CURVES,
    EDGE_MAPS,
    FRAME_COUNTS,
    LINES,
    MAPS,
    SHARED,
    Quantity,
    describe,
    in_pixels,
    new_file,
    put,
    put_text,
    set_default,
    set_edge_data,
    set_scan_data,
    start_file,
)
from redoxscope.live.series_parts import ScanPart, SeriesFacts

STAMP = "parts"
"""Attribute of the index's root: which parts it shows."""

Stack = Callable[[h5py.Group, str, Quantity, str], h5py.Dataset]
"""Makes a dataset of this name in a group: the maps of all scans; of another edge, if one is named last."""


def write_index(path: Path, facts: SeriesFacts, scans: Sequence[ScanPart], linked: Sequence[str], stamp: str) -> None:
    """Write the index of the parts in its folder, whatever the folder is called.

    The maps are virtual datasets over the scans' files, volume and topography external links (`linked`). `stamp`
    stands for the parts that were there.
    """

    def virtual(group: h5py.Group, name: str, quantity: Quantity, edge: str) -> h5py.Dataset:
        layout = h5py.VirtualLayout((len(scans), *scans[0].shape), quantity.dtype)
        for i, scan in enumerate(scans):
            if place := scan.place(name, edge):
                layout[i] = h5py.VirtualSource(scan.path.name, place, scan.shape)
        return group.create_virtual_dataset(name, layout, fillvalue=quantity.missing)

    with new_file(path) as file:
        file.attrs[STAMP] = stamp
        entry = start_file(file, "series.h5")
        write_scans(entry, scans, virtual)
        for name in linked:
            entry[name] = h5py.ExternalLink(f"{name}.h5", "/")
        set_default(entry)
        write_provenance(entry, facts, scans)


def write_scans(entry: h5py.Group, scans: Sequence[ScanPart], stack: Stack) -> None:
    """/entry/scan and /entry/edges, if there are scans: small arrays are written, stacks of maps made by `stack`."""
    if not scans:
        return
    group = entry.create_group("scan")
    sizes = [float(scan.small["pixel_size"]) for scan in scans]
    pixel_size = next((size for size in sizes if np.isfinite(size)), np.nan)
    for name, quantity in CURVES.items():
        values = np.stack([scan.small[name] for scan in scans])
        if "um" in quantity.units and not np.isfinite(pixel_size):
            quantity = in_pixels(quantity)
        elif "um" in quantity.units:
            values = np.where(np.isfinite(sizes), values, values * pixel_size)
        put(group, name, values, quantity)
    for name, quantity in SHARED.items():
        put(group, name, pixel_size if name == "pixel_size" else scans[0].small[name], quantity)
    for name, quantity in MAPS.items():
        describe(stack(group, name, quantity, ""), quantity)
    _write_lines(group, scans)
    set_scan_data(group)
    _write_edges(entry, scans, stack)


def _write_lines(group: h5py.Group, scans: Sequence[ScanPart]) -> None:
    for name, quantity in LINES.items():
        put(group, name, np.concatenate([scan.small[name] for scan in scans]), quantity)
    counts = [len(scan.small["front_line"]) for scan in scans]
    number = Quantity("i4", "1", "place along time of the scan that a point of the front line is of")
    put(group, "front_line_scan", np.repeat(np.arange(len(scans)), counts), number)


def _write_edges(entry: h5py.Group, scans: Sequence[ScanPart], stack: Stack) -> None:
    """/entry/edges, if there are others than the main one: the maps of each, NaN for scans that lack it."""
    found = {name: facts for scan in scans for name, facts in scan.edges.items()}
    for name, facts in found.items():
        group = entry.require_group("edges").create_group(name)
        for part, quantity in EDGE_MAPS.items():
            describe(stack(group, part, quantity, name), quantity)
        group["time"] = entry["scan/time"]
        set_edge_data(group, *facts)
    if found:
        entry["edges"].attrs["NX_class"] = "NXcollection"


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
