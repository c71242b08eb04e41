"""Where frames lie that could not be placed: between those around them."""

import numpy as np

from redoxscope.analysis.registration import Placement

_FASTEST = 2.0
"""px from frame to frame: where the sample moved faster, there is no telling where a frame between two places lies."""


def bridged_shifts(placements: dict[int, Placement]) -> dict[int, Placement]:
    """Shifts that are not valid, interpolated between their valid neighbours in energy; none between distant ones.

    Parameters
    ----------
    placements : by number of the frame's energy; all are returned as they are if none is valid
    """
    valid = sorted(slot for slot, placement in placements.items() if placement.valid)
    if not valid:
        return placements
    shifts = np.array([placements[slot].shift for slot in valid])
    out = {}
    for slot, placement in placements.items():
        if not placement.valid:
            after = int(np.searchsorted(valid, slot))
            around = slice(max(after - 1, 0), after + 1)
            steps = np.diff(shifts[around], axis=0) / np.diff(valid[around])[:, None]
            if np.abs(steps).max(initial=0.0) > _FASTEST:
                continue
            dy, dx = (float(np.interp(slot, valid, shifts[:, axis])) for axis in (0, 1))
            placement = Placement((dy, dx), np.inf, 0.0, False)
        out[slot] = placement
    return out
