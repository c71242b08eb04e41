"""One pass over all pixels of a scan: spectra in, edge energies and their uncertainty out."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from redoxscope.analysis.belonging import Belonging
from redoxscope.analysis.finder import Finder
from redoxscope.analysis.frame_stack import FrameStack, NotWholeError
from redoxscope.analysis.known_map import FINAL, PROVISIONAL, Map
from redoxscope.analysis.map_pass import evaluate_tiles, judge
from redoxscope.analysis.subspace import Basis, identity
from redoxscope.analysis.threads import in_threads
from redoxscope.analysis.xanes import Edge


@dataclass(frozen=True)
class Estimator:
    """How a spectrum becomes an edge energy."""

    find: Finder
    """Of the coefficients of the basis."""
    plain: Finder
    """Of the samples, for a spectrum that the basis does not describe."""
    basis: Basis
    folds: bool
    """Whether there is a basis: else all spectra are evaluated by `plain`."""
    noise: NDArray[np.float64]
    """(n,) relative standard deviation of the energies' samples"""
    limit: float
    """Residual above which the basis does not describe a spectrum, in units of its sample variance."""
    unseen: float
    """Standard deviation (eV) of the edges' places that folded spectra do not show."""
    known: Belonging
    """Which spectra are of phases whose jump `find` can tell."""
    other: Finder
    """Of the coefficients of those that are not."""


@dataclass(frozen=True)
class KnownJump:
    """What of the jump is not taken from the spectra themselves; nothing, in the final map of a whole scan."""

    half: NDArray[np.float32]
    """(3, pixel) as of `known_map.half_jump_before`; (0, pixel) if it is taken from the spectra"""
    variance: float = 0.0
    """Of the noise in it, in units of the pixel's sample variance."""
    lacking: float = 0.0
    """The same of what folded spectra may lack."""
    drift: float = 0.0
    """Relative standard deviation of the jump that comes on top."""
    trend: float = 0.0
    """The same per eV that the edge moved."""
    own_drift: float = 0.0
    own_trend: float = 0.0
    """These two of spectra that are evaluated by `Estimator.plain` or `other`."""


@dataclass(frozen=True)
class Found:
    """What the pass fills; images are (pixel,)."""

    energy: NDArray[np.float32]
    """eV, NaN where there is none."""
    sigma: NDArray[np.float32]
    """eV."""
    noise_sigma: NDArray[np.float32]
    """eV, the part of it that is noise; the same array if that is all."""
    jump: NDArray[np.float32]
    state: NDArray[np.uint8]
    misfits: int
    """Pixels that the basis does not describe."""
    jump_noise: float
    """Variance of a jump in units of that of one sample."""
    jump_slope: float
    """Relative change of the jumps per eV."""


def evaluate_scan(
    stack: FrameStack,
    rows: NDArray[np.intp],
    usable: NDArray[np.bool_],
    sample: NDArray[np.float32],
    edge: Edge,
    how: Estimator,
    known: KnownJump,
    early: Map | None,
    *,
    final: bool,
) -> Found:
    """Edge energy, sigma, jump and state of every pixel.

    Parameters
    ----------
    stack : the frames; rows : those on file; usable : (pixel,) which have enough valid samples
    sample : (pixel,) or (1,) standard deviation of a sample
    early : the map before, if this one's jumps are its; final : whether nothing more will come

    Raises
    ------
    NotWholeError
        If samples are missing where the stack says that none are.
    """
    energy, noise_sigma, jump = (np.empty(usable.size, dtype=np.float32) for _ in range(3))
    noise_only = final and how.unseen == 0 and known.drift == 0
    doubted = np.empty(0 if noise_only else usable.size, dtype=np.float32)
    strange, state = np.zeros(usable.size, dtype=bool), np.empty(usable.size, dtype=np.uint8)
    sums = np.empty((stack.holes.size, 2))
    fold = how.basis.fold if how.folds else how.basis.fold[:0]
    folded = (fold.astype(np.float32, order="C"), (1 / how.basis.noise).astype(np.float32), how.limit)
    doubts = (known.variance, known.lacking, known.drift, known.trend, known.own_drift, known.own_trend, how.unseen)
    finders, filled = (how.known, how.find, how.other, how.plain), (energy, noise_sigma, doubted, jump, strange, sums)
    spectra = (stack.frames, rows, stack.holes, usable)
    given: tuple[Any, ...] = (*spectra, *folded, *finders, known.half, *doubts, sample, *filled)
    if early is None:
        height = jump
        jump_noise = _variance_of(how.find.jump, how.basis, how.noise)
        plain_noise = _variance_of(how.plain.jump, identity(rows.size), how.noise)
    else:
        height = np.where(usable, early.jump.reshape(-1), np.float32(np.nan))
        jump_noise = plain_noise = early.jump_noise
    over = edge.min_jump_over_noise * np.sqrt([jump_noise, plain_noise])
    sigma = noise_sigma if noise_only else doubted
    origin, reached = edge.nominal + edge.energy_offset, FINAL if final else PROVISIONAL
    asked = (height, strange, sample, edge.min_jump, *over, origin, reached)

    def evaluate(first: int, last: int) -> None:
        evaluate_tiles(first, last, *given)
        if (stack.holes[first:last] < 0).any():
            raise NotWholeError
        judge(first, last, energy, sigma, state, *asked)

    in_threads(len(sums), evaluate)
    if not noise_only:
        noise_sigma[np.isnan(energy)] = np.nan
    squares, products = sums.sum(axis=0)
    own_slope = float(products / squares) if squares > 0 else 0.0
    slope = own_slope if early is None else early.jump_slope
    return Found(energy, sigma, noise_sigma, height, state, int(np.count_nonzero(strange)), jump_noise, slope)


def _variance_of(weights: NDArray[np.float32], basis: Basis, noise: NDArray[np.float64]) -> float:
    """Variance of weights·coefficients in units of a sample's."""
    return float(((weights @ basis.error(noise)) ** 2).sum())
