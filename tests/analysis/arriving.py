"""A 3D scan whose energies are placed and folded one after the other, as they come."""

import numpy as np

from redoxscope.analysis.alignment.drift import DriftTracker
from redoxscope.analysis.alignment.row_warp import warp
from redoxscope.analysis.tomography.reconstruction import fill_missing
from redoxscope.analysis.volume.evaluate import planned_volume
from redoxscope.analysis.volume.knots import Early, knot_weights
from redoxscope.analysis.volume.plan import plan_volume


class Counted:
    """A tomogram that knows how many of its pixels were asked for."""

    def __init__(self, values):
        self.values, self.read = values, 0
        self.shape, self.ndim = values.shape, values.ndim

    def __len__(self):
        return len(self.values)

    def __getitem__(self, index):
        self.read += self.values[index].size
        return self.values[index]

    def __array__(self, dtype=None, copy=None):
        return self[:]


def arrived_volume(projections, energies, angles, edge):
    """As `edge_volume`; and how many times, on average, a projection was read once the scan was planned."""
    tracker = DriftTracker(angles)
    weights = knot_weights(energies, edge)
    knots = np.zeros((len(weights), *projections[0].shape), dtype=np.float32)
    placed = []
    for tomogram, shares in zip(projections, weights.T, strict=True):
        placed.append(tracker.place(tomogram))
        if np.isfinite(placed[-1].shifts).all():
            knots += shares[:, None, None, None].astype(np.float32) * warp(fill_missing(tomogram), placed[-1].shifts)
    shifts = np.array([p.shifts for p in placed])
    weights = weights * np.isfinite(shifts).all(axis=(1, 2))
    early = Early({edge.name: list(knots)}, {edge.name: weights}, shifts)
    plan = plan_volume(
        projections, energies, angles, [edge], alignment=tracker.finish(p.coarse for p in placed), early=early
    )
    files = [Counted(p) for p in projections]
    volume = planned_volume(files, plan, knots=list(knots))
    return volume, sum(f.read for f in files) / projections.size
