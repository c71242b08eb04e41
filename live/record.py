"""From the maps to what is stored and shown of a XANES scan."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from redoxscope.analysis.edge_map import Map
from redoxscope.analysis.front import FrontWindow, front_length, front_lines, front_mask, front_probability
from redoxscope.analysis.front_line import front_field, median_speed
from redoxscope.analysis.neighbours import with_neighbours
from redoxscope.analysis.statistics import histogram, transformed_fraction
from redoxscope.live.edge_maps import Maps
from redoxscope.live.frames import time_at_edge
from redoxscope.live.map_scan import MapScan
from redoxscope.live.profile import Profile
from redoxscope.live.profile_tables import EdgeTable
from redoxscope.live.series import Series
from redoxscope.live.series_parts import EdgeRecord, FrameCount, ScanRecord


def scan_record(scan: MapScan, maps: Maps, profile: Profile, *, complete: bool = False) -> ScanRecord:
    """The maps with front, histogram and numbers, and where and when the frames were taken.

    Noisy pixels lean on their neighbours here, if the profile does not say otherwise; the front line, which is smoothed
    as it needs, and the scans to come go by what each pixel says itself.

    The front line is that of a `complete` scan only: half a map has half a front.
    """
    found = _shown(maps.main, profile.edge)
    window = profile.front_window()
    edges = profile.histogram.values()
    size = scan.energies.size
    shift = np.full((size, 2), np.nan)
    magnification, quality = np.full(size, np.nan), np.zeros(size)
    for slot, placed in scan.placed.items():
        shift[slot], magnification[slot], quality[slot] = placed.shift, placed.scale, placed.quality
    frames = list(scan.sample_frames())
    time = time_at_edge(frames, profile.edge.search)
    warm = [f.temperature for f in frames if np.isfinite(f.temperature)]
    expected = scan.run.expected
    expected = max(size, 0 if expected is None else expected)
    return ScanRecord(
        edge_energy=found.edge_energy,
        edge_energy_sigma=found.sigma,
        edge_jump=found.jump,
        state=found.state,
        front=front_mask(found.edge_energy, window),
        front_probability=front_probability(found.edge_energy, found.sigma, window),
        histogram=histogram(found.edge_energy, edges),
        histogram_edges=edges,
        transformed_fraction=transformed_fraction(found.edge_energy, window.energy),
        time=time,
        temperature=float(np.median(warm)) if warm else float("nan"),
        energy=scan.energies,
        shift=shift,
        magnification=magnification,
        shift_quality=quality,
        raw_uid=scan.run.uid,
        frames=FrameCount(
            expected=expected,
            used=scan.used,
            lost=max(0, expected - scan.used - len(scan.bad)),
            bad=len(scan.bad),
        ),
        pixel_size=scan.series.pixel_size,
        sigma_noise_share=_noise_share(maps.main, found),
        edges={
            table.group: _edge_record(table, _shown(maps.others[table.name], table))
            for table in profile.other_edges
            if table.name in maps.others
        },
        **(_front(maps.main, time, scan.series, window) if complete else {}),
    )


def _noise_share(own: Map, shown: Map) -> float:
    """Median part of sigma that longer exposures make smaller: all but what pixels have in common."""
    known = np.isfinite(shown.edge_energy) & (shown.sigma > 0)
    common = (own.sigma**2 - own.noise_sigma**2)[known] / shown.sigma[known] ** 2
    return float(np.median(np.sqrt(np.clip(1 - common, 0, 1)))) if known.any() else float("nan")


def _shown(found: Map, table: EdgeTable) -> Map:
    if not table.neighbours:
        return found
    joined = with_neighbours(found.edge_energy, found.sigma, found.noise_sigma)
    return replace(found, **joined._asdict())


def _edge_record(table: EdgeTable, found: Map) -> EdgeRecord:
    return EdgeRecord(table.name, table.nominal, found.edge_energy, found.sigma, found.jump, found.state)


def _front(found: Map, time: float, series: Series, window: FrontWindow) -> dict[str, Any]:
    """Line, length and pieces of a map's front, and its speed since the series' previous map, if there is one."""
    if not np.isfinite(found.edge_energy).any():
        return {}
    field = front_field(found.edge_energy, found.sigma, window)
    lines = front_lines(field.energy, window)
    pixel = series.pixel_size if np.isfinite(series.pixel_size) else 1.0
    values: dict[str, Any] = {
        "front_length": front_length(lines, pixel),
        "front_components": len(lines),
        "front_line": np.concatenate([np.zeros((0, 2)), *lines]).astype(np.float32),
        "front_line_number": _numbered(lines),
    }
    previous, interval = series.previous, time - series.previous_time
    if previous is not None and interval > 0:
        before = front_field(previous.edge_energy, previous.sigma, window)
        speed = median_speed(before, field, window, interval)
        values |= {"front_speed": pixel * speed.median, "front_speed_sigma": pixel * speed.sigma}
    return values


def _numbered(lines: list[NDArray[np.float64]]) -> NDArray[np.int32]:
    return np.repeat(np.arange(len(lines), dtype=np.int32), [len(line) for line in lines])
