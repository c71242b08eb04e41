"""What is known of a field of view after a scan, or in the midst of it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from redoxscope.analysis.jump_trend import Trend
from redoxscope.analysis.previous_scan import NOBODY, Population
from redoxscope.analysis.xanes import Edge

NONE, PROVISIONAL, FINAL = 0, 1, 2
"""States of a pixel."""


@dataclass(frozen=True)
class Map:
    """What is known so far; all arrays have the pixels' shape."""

    edge_energy: NDArray[np.float32]
    """eV, NaN where there is no material or the crossing has not been seen."""
    sigma: NDArray[np.float32]
    """One standard deviation, eV."""
    noise_sigma: NDArray[np.float32]
    """Part of it that is the samples' noise, through the estimator: the scatter of a scan that is repeated. The rest
    is how far edges move by what stands too little above the noise for a component of its own (`unseen_shift`), what
    energies of the baselines might have shown that were lost, and of a provisional value what is not known yet, which
    one sample's pixels may have in common."""
    jump: NDArray[np.float32]
    """Edge jump; NaN while the post-edge has not been seen, in this scan or an earlier one."""
    state: NDArray[np.uint8]
    """NONE, PROVISIONAL or FINAL."""
    jump_slope: float
    """Relative change of the jump per eV: the two baselines are not quite parallel."""
    jump_noise: float
    """Variance of the jump in units of that of one sample."""
    jump_trend: float
    """Relative change of the jump per eV that the edge moves from scan to scan, and its standard deviation."""
    jump_trend_sigma: float
    jump_drift: float
    """Relative standard deviation of a pixel's jump from scan to scan where its edge stays; and, of a scan that lost
    energies of its baselines, what is doubtful of its own jumps on top."""
    spectra_energies: NDArray[np.float64]
    """(n,) eV: those of the two below."""
    spectra_mean: NDArray[np.float64]
    spectra_covariance: NDArray[np.float64]
    """(n,), (n, n) of the series' spectra so far, see `Population`; n = 0 if there are none."""
    components: int
    """Spectral components that the spectra were folded into; 0 if they were not."""
    misfits: int
    """Pixels whose spectrum these do not describe: they were evaluated without."""


def population_of(known: Map | None) -> Population:
    """The series' spectra, as a map has them."""
    if known is None:
        return NOBODY
    return Population(known.spectra_energies, known.spectra_mean, known.spectra_covariance)


def trend_until(known: Map | None, edge: Edge) -> Trend:
    """How jumps change: as the scans until this map show it, or as the profile says."""
    if known is None:
        return Trend(edge.jump_trend, edge.jump_trend_scatter, edge.jump_drift)
    return Trend(known.jump_trend, known.jump_trend_sigma, known.jump_drift)


def empty_map(shape: tuple[int, ...], known: Map | None, trend: Trend) -> Map:
    """A map of nothing but what another one knows already."""
    blank = np.full(shape, np.nan, dtype=np.float32)
    jump = blank if known is None else known.jump
    state = np.full(shape, NONE, dtype=np.uint8)
    images = (blank, blank.copy(), blank.copy(), jump, state)
    return Map(*images, 0.0, np.inf, trend.value, trend.sigma, trend.drift, *population_of(known), 0, 0)


def half_jump_before(
    known: Map, origin: float, share: float, slope: float, pick: NDArray[np.intp] | slice = slice(None)
) -> NDArray[np.float32]:
    """(3, pixel) half the jump that is expected: at the nominal edge, per eV, and the edge energy it was seen at.

    With the edge it changes by `jump_trend`, so that the line gives half the jump of a pixel whose edge is there.

    Parameters
    ----------
    known : the map of the scan before; origin : the nominal edge on its scale, eV
    share, slope : what of the jump before counts in the jump, and in its slope per eV
    pick : which pixels, all if left out
    """
    level = 0.5 * known.jump.reshape(-1)[pick]
    at = np.nan_to_num(known.edge_energy.reshape(-1)[pick] - origin)
    trend = np.float32(share * known.jump_trend)
    return np.stack([level * (np.float32(share) - trend * at), level * (np.float32(slope) + trend), at])
