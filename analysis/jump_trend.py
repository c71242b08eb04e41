"""How the edge jump changes where the edge moves.

The post-edge line lies across wiggles that differ between phases, so the same nickel has another jump when it has
reacted: 1 to 3 % per eV in nickel oxides. A provisional map takes the jump from the scan before; half of that error in
the jump would come out as 0.2 eV right after a large reaction.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_PIXELS = 40_000
_FEWEST = 100
_FAR, _CLEAR = 0.5, 10.0
"""eV, and standard deviations, that a pixel's edge must have moved: its noise and the jump's go together."""
_KNOWN = 0.3
"""Part of the scatter that stays, however many pixels were seen: the change is not quite linear."""


@dataclass(frozen=True)
class Trend:
    """Relative change of the jump per eV."""

    value: float
    sigma: float


Images = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
"""Edge energy, its sigma (eV) and jump of the same pixels."""


def learn_trend(before: Images, now: Images, trend: Trend, scatter: float) -> Trend:
    """The trend, with what two final maps of the same pixels tell of it.

    Parameters
    ----------
    before, now : of the maps
    trend : as known so far; scatter : what its sigma was before any map
    """
    step = max(1, before[0].size // _PIXELS)
    old, new = ([a.reshape(-1)[::step] for a in images] for images in (before, now))
    moved = new[0] - old[0]
    with np.errstate(invalid="ignore"):
        far = np.abs(moved) > np.maximum(_FAR, _CLEAR * np.hypot(old[1], new[1]))
    if np.count_nonzero(far) < _FEWEST:
        return trend
    way = (old[2] * moved)[far].astype(np.float64)
    change = (new[2] - old[2])[far].astype(np.float64)
    seen = float(change @ way) / float(way @ way)
    doubt = float(((change - seen * way) ** 2).mean()) / float(way @ way) + (_KNOWN * scatter) ** 2
    part = trend.sigma**2 / (trend.sigma**2 + doubt) if trend.sigma > 0 else 0.0
    value = trend.value + part * (seen - trend.value)
    return Trend(value, max(trend.sigma * float(np.sqrt(1 - part)), _KNOWN * scatter))
