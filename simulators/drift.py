"""Slow drift of the sample: a random walk in simulated time that never leaves the view."""

import numpy as np
from numpy.typing import NDArray

KNOT = 60.0
"""s between the steps of the walk; linear in between."""
LIMIT = 4.0
"""px, never exceeded in either direction."""


class Drift:
    """(dy, dx) against time.

    Parameters
    ----------
    start : s since the epoch
    per_root_hour : rms of each component after one hour, px
    rng : of the walk
    """

    def __init__(self, start: float, per_root_hour: float, rng: np.random.Generator):
        self._start = start
        self._sigma = per_root_hour * np.sqrt(KNOT / 3600)
        self._rng = rng
        self._walk: NDArray[np.float64] = np.zeros((1, 2))

    def at(self, time: float) -> tuple[float, float]:
        """(dy, dx) in px at a time in s since the epoch; (0, 0) at the start."""
        knot = max(0.0, (time - self._start) / KNOT)
        while len(self._walk) < knot + 2:
            steps = self._rng.normal(0, self._sigma, (256, 2))
            self._walk = np.concatenate([self._walk, self._walk[-1] + np.cumsum(steps, axis=0)])
        i = int(knot)
        dy, dx = LIMIT * np.tanh((self._walk[i] + (knot - i) * (self._walk[i + 1] - self._walk[i])) / LIMIT)
        return float(dy), float(dx)
