"""From a map to what is stored and shown of a XANES scan."""

import numpy as np

from redoxscope.analysis.edge_map import Map
from redoxscope.analysis.front import front_mask, front_probability
from redoxscope.analysis.statistics import histogram, transformed_fraction
from redoxscope.live.map_scan import MapScan
from redoxscope.live.profile import Profile
from redoxscope.live.series_parts import FrameCount, ScanRecord


def scan_record(scan: MapScan, found: Map, profile: Profile) -> ScanRecord:
    """The map with its front, histogram and numbers, and where and when its frames were taken.

    The scan's time is the median over the frames of the search window: that is when the edge was looked at, and one
    time stamp that is centuries off does not move it.
    """
    window = profile.front_window()
    edges = profile.histogram.values()
    size = scan.energies.size
    shift = np.full((size, 2), np.nan)
    magnification, quality = np.full(size, np.nan), np.zeros(size)
    for slot, placed in scan.placed.items():
        shift[slot], magnification[slot], quality[slot] = placed.shift, placed.scale, placed.quality
    frames = list(scan.sample_frames())
    low, high = profile.edge.search
    near = [f.time for f in frames if low <= f.energy <= high] or [f.time for f in frames]
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
        time=float(np.median(near)) if near else float("nan"),
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
    )
