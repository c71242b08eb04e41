"""How the edge jump changes where the edge moves.

The post-edge line lies across wiggles that differ between phases, so the same nickel has another jump when it has
reacted: 1 to 3 % per eV in nickel oxides. A provisional map takes the jump from the scan before; half of that error in
the jump would come out as 0.2 eV right after a large reaction.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

_PIXELS = 40_000
_FEWEST = 100
_FAR, _CLEAR = 0.5, 10.0
"""eV, and standard deviations, that a pixel's edge must have moved: its noise and the jump's go together."""
_KNOWN = 0.45
"""Part of the scatter that stays, however many pixels were seen: the change is not quite linear."""
_LAST, _STEADIEST = 0.75, 0.002
"""What the last two maps show of the drift counts so much against what was known; and the least there is of it."""


@dataclass(frozen=True)
class Trend:
    """Relative change of the jump per eV, and what comes on top of it."""

    value: float
    sigma: float
    drift: float
    """Relative standard deviation of a pixel's jump from scan to scan where its edge stays."""


Images = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
"""Edge energy, its sigma (eV) and jump of the same pixels."""


def learn_trend(before: Images, now: Images, noise: NDArray[np.float32], trend: Trend, scatter: float) -> Trend:
    """The trend, with what two final maps of the same pixels tell of it.

    Parameters
    ----------
    before, now : of the maps
    noise : (pixel,) or (1,) standard deviation of the difference of the two jumps, by the samples' noise
    trend : as known so far; scatter : what its sigma was before any map
    """
    step = max(1, before[0].size // _PIXELS)
    old, new = ([a.reshape(-1)[::step] for a in images] for images in (before, now))
    moved = new[0] - old[0]
    with np.errstate(invalid="ignore"):
        far = np.abs(moved) > np.maximum(_FAR, _CLEAR * np.hypot(old[1], new[1]))
        near = (np.abs(moved) <= _FAR) & (old[2] > 0)
    trend = replace(trend, drift=_drift(old[2], new[2], moved, near, noise[::step] if noise.size > 1 else noise, trend))
    if np.count_nonzero(far) < _FEWEST:
        return trend
    way = (old[2] * moved)[far].astype(np.float64)
    change = (new[2] - old[2])[far].astype(np.float64)
    seen = float(change @ way) / float(way @ way)
    doubt = float(((change - seen * way) ** 2).mean()) / float(way @ way) + (_KNOWN * scatter) ** 2
    part = trend.sigma**2 / (trend.sigma**2 + doubt) if trend.sigma > 0 else 0.0
    value = trend.value + part * (seen - trend.value)
    return Trend(value, max(trend.sigma * float(np.sqrt(1 - part)), _KNOWN * scatter), trend.drift)


def _drift(
    old: NDArray[np.float32],
    new: NDArray[np.float32],
    moved: NDArray[np.float32],
    near: NDArray[np.bool_],
    noise: NDArray[np.float32],
    trend: Trend,
) -> float:
    """The drift, with what the jumps of pixels show whose edge has hardly moved, beyond their noise."""
    known = noise if noise.size == 1 else noise[near]
    if np.count_nonzero(near) < _FEWEST or not np.isfinite(known).all():
        return trend.drift
    change = (new - old - trend.value * old * moved)[near].astype(np.float64)
    height = float(np.median(old[near]))
    usual = (1.4826 * float(np.median(np.abs(change)))) ** 2 - float(np.median(known)) ** 2
    shown = max(usual, (_STEADIEST * height) ** 2) / height**2
    return float(np.sqrt(_LAST * shown + (1 - _LAST) * trend.drift**2))
