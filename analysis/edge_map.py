"""The incremental edge-energy map: a frame in, map and uncertainty and state out.

A frame is filed under the number of its energy, and everything else is a function of what is on file. Hence any order,
duplication or loss of frames ends at the result of the batch function `xanes.edge_energy` on the same frames, which is
built on this class. Memory: one scan of frames, float32.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from redoxscope.analysis.crossing import bridge_spectra, first_crossing
from redoxscope.analysis.subspace import Basis, identity, learn, misfits
from redoxscope.analysis.xanes import Edge, Floats, Functionals, functionals

NONE, PROVISIONAL, FINAL = 0, 1, 2
_MISSING = 0.3
"""A pixel without valid samples in more than this part of a window's frames has no edge energy."""


@dataclass(frozen=True)
class Map:
    """What is known so far; all arrays have the pixels' shape."""

    edge_energy: NDArray[np.float32]
    """eV, NaN where there is no material or the crossing has not been seen."""
    sigma: NDArray[np.float32]
    """One standard deviation, eV."""
    jump: NDArray[np.float32]
    """Edge jump; NaN while the post-edge has not been seen, in this scan or an earlier one."""
    state: NDArray[np.uint8]
    """NONE, PROVISIONAL or FINAL."""
    jump_slope: float
    """Relative change of the jump per eV: the two baselines are not quite parallel."""
    jump_noise: float
    """Variance of the jump in units of that of one sample."""
    components: int
    """Spectral components that the spectra were folded into; 0 if they were not."""
    misfits: int
    """Pixels whose spectrum these do not describe: they were evaluated without."""


class EdgeMap:
    """Accumulates one XANES scan of one field of view.

    Parameters
    ----------
    energies : (n,) eV, in any order; repeated energies are separate samples
    shape : the pixels' shape
    edge : windows and thresholds
    """

    def __init__(self, energies: Floats, shape: tuple[int, ...], edge: Edge) -> None:
        self.edge = edge
        self.shape = shape
        given = np.asarray(energies, dtype=np.float64)
        order = np.argsort(given, kind="stable")
        self._row = np.argsort(order)
        self._energies = given[order]
        self._seen = np.zeros(given.size, dtype=bool)
        self._blank = np.zeros(given.size, dtype=bool)
        pixels = int(np.prod(shape))
        self._stack = np.full((given.size, pixels), np.nan, dtype=np.float32)
        self._variance = np.zeros(pixels)
        self._level = np.full(given.size, np.nan)

    @property
    def seen(self) -> NDArray[np.bool_]:
        """(n,) which of the energies, in the order given, are on file."""
        return np.asarray(self._seen[self._row])

    @property
    def complete(self) -> bool:
        """Whether every energy has been seen."""
        return bool(self._seen.all())

    def update(self, index: int, absorbance: Floats, variance: Floats | float | None = None) -> bool:
        """File the frame of energy number `index`; False (and no change) if it is on file already.

        NaN pixels are samples that are missing; a frame of nothing else counts as seen, and is left out. `variance`
        is that of the absorbance, per pixel or one number.
        """
        row = self._row[index]
        if self._seen[row]:
            return False
        self._seen[row] = True
        self._stack[row] = absorbance.reshape(-1)
        self._blank[row] = not np.isfinite(self._stack[row]).any()
        if variance is not None and not self._blank[row]:
            noise = np.broadcast_to(np.asarray(variance, dtype=np.float64), absorbance.shape).reshape(-1)
            known = np.isfinite(noise)
            level = float(np.median(noise[known])) if known.any() else np.nan
            self._variance += np.where(known, noise, level)
            self._level[row] = level
        return True

    def merge(self, other: Self) -> None:
        """Take in another accumulator of the same scan that has seen other frames.

        Raises ValueError if both have seen the same frame.
        """
        if np.any(self._seen & other._seen):
            both = np.flatnonzero(self.seen & other.seen).tolist()
            raise ValueError(f"frames {both} are in both parts: each frame may count once")
        self._stack[other._seen] = other._stack[other._seen]
        self._level[other._seen] = other._level[other._seen]
        self._variance += other._variance
        self._seen |= other._seen
        self._blank |= other._blank

    def result(self, *, previous: Map | None = None, closed: bool = False, subspace: bool = True) -> Map:
        """The map from the frames seen so far.

        It is final when all frames are in, or when the scan is `closed` and no more will come. Until then a pixel is
        provisional: its jump comes from the `previous` scan's map, without one from the post-edge seen so far.
        """
        final = closed or self.complete
        early = None if final else previous
        filed = self._seen & ~self._blank
        wanted = functionals(self._energies, filed, self.edge, jump_known=early is not None)
        if wanted is None or wanted.near.size < 2:
            return self._nothing(early)
        stack, usable = self._bridged(filed)
        noise, sample = self._relative_noise(filed), self._sample_sigma()
        solve = _Solver(wanted, filed, self.edge.nominal, noise, early)
        components = subspace and usable.sum() > len(stack)
        basis = learn(stack[:, usable], noise) if components else identity(len(stack))
        crossing, sigma, height, jump_noise = solve(stack, basis, slice(None), smooth=components)
        height_noise = np.full(height.size, jump_noise, dtype=np.float32)
        strange = misfits(stack, basis, noise, sample, usable) if components else np.empty(0, dtype=np.intp)
        if strange.size:
            own = solve(np.ascontiguousarray(stack[:, strange]), identity(len(stack)), strange, smooth=False)
            crossing[strange], sigma[strange], height[strange], height_noise[strange] = own
        slope = 0.0
        if early is not None:
            height, jump_noise, slope = early.jump.reshape(-1), early.jump_noise, early.jump_slope
            height_noise[:] = jump_noise
        else:
            slope_of = 2 * wanted.half_jump_line[1, filed]
            slope = _relative_slope(slope_of @ basis.projection, stack, height)
        with np.errstate(invalid="ignore"):
            # A sample sigma of NaN means that no noise was given: then only the jump itself decides.
            noisy = height < self.edge.min_jump_over_noise * np.sqrt(height_noise) * sample
            known = (height > self.edge.min_jump) & ~noisy & usable & np.isfinite(crossing)
        unknown = np.float32(np.nan)
        energy = crossing + (self.edge.nominal + self.edge.energy_offset)
        return Map(
            np.where(known, energy, unknown).astype(np.float32).reshape(self.shape),
            np.where(known, sigma * sample, unknown).astype(np.float32).reshape(self.shape),
            np.where(usable, height, unknown).astype(np.float32).reshape(self.shape),
            np.where(known, np.uint8(FINAL if final else PROVISIONAL), np.uint8(NONE)).reshape(self.shape),
            slope,
            jump_noise,
            basis.fold.shape[0] if components else 0,
            strange.size,
        )

    def _bridged(self, filed: NDArray[np.bool_]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """The frames on file with missing samples bridged, and which pixels have enough of them."""
        stack = self._stack[filed]
        energies = self._energies[filed]
        windows = np.zeros((3, len(stack)), dtype=bool)
        for window, limits in zip(windows, (self.edge.pre, self.edge.search, self.edge.post), strict=True):
            window[self.edge.members(energies, limits)] = True
        missing = np.empty((3, stack.shape[1]), dtype=np.int32)
        bridge_spectra(stack, windows, missing)
        usable = (missing <= _MISSING * windows.sum(1)[:, None]).all(axis=0)
        return stack, usable

    def _relative_noise(self, filed: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Standard deviation of each energy's samples over that of all; ones where no noise was given."""
        level = self._level[filed]
        known = np.isfinite(level) & (level > 0)
        if not known.any():
            return np.ones(level.size)
        level = np.where(known, level, level[known].mean())
        return np.asarray(np.sqrt(level / level.mean()))

    def _sample_sigma(self) -> NDArray[np.float32]:
        """(pixel,) standard deviation of one absorbance, mean over the frames; NaN if no noise was given."""
        given = np.isfinite(self._level).sum()
        if given == 0:
            return np.full(self._variance.size, np.nan, dtype=np.float32)
        return np.asarray(np.sqrt(self._variance / given), dtype=np.float32)

    def _nothing(self, early: Map | None) -> Map:
        blank = np.full(self.shape, np.nan, dtype=np.float32)
        jump = blank if early is None else early.jump
        return Map(blank, blank.copy(), jump, np.zeros(self.shape, dtype=np.uint8), 0.0, np.inf, 0, 0)


class _Solver:
    """Finds the crossing of spectra, folded into a basis, by one definition of the edge."""

    def __init__(
        self,
        wanted: Functionals,
        filed: NDArray[np.bool_],
        nominal: float,
        noise: NDArray[np.float64],
        early: Map | None,
    ) -> None:
        self._above, self._jump = wanted.above[:, filed], wanted.jump[filed]
        self._x = wanted.near - nominal
        self._noise = noise
        self._early = early

    def __call__(
        self, stack: NDArray[np.float32], basis: Basis, pick: slice | NDArray[np.intp], *, smooth: bool
    ) -> tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.float32], float]:
        """Crossing, its sigma in units of the samples', jump, and its variance in units of the samples'.

        `stack` are the spectra of the pixels `pick`.
        """
        pixels = stack.shape[1]
        above, jump = self._above @ basis.vectors, self._jump @ basis.vectors
        half, half_noise = np.zeros((2, pixels), dtype=np.float32), 0.0
        if self._early is not None:
            half[0] = 0.5 * self._early.jump.reshape(-1)[pick]
            half[1] = half[0] * self._early.jump_slope
            half_noise = 0.25 * self._early.jump_noise
        crossing = np.empty(pixels)
        sigma, height = (np.empty(pixels, dtype=np.float32) for _ in range(2))
        first_crossing(
            stack,
            basis.fold.astype(np.float32),
            above.astype(np.float32),
            jump.astype(np.float32),
            self._x,
            _spread(above @ basis.fold * self._noise, 4 if smooth else 2),
            half,
            half_noise,
            crossing,
            sigma,
            height,
        )
        return crossing, sigma, height, float((((jump @ basis.fold) * self._noise) ** 2).sum())


def _spread(weights: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """(m, width) covariance of each row of an estimator with itself and the next rows."""
    return np.stack([(weights * np.roll(weights, -k, axis=0)).sum(1) for k in range(width)], axis=1)


def _relative_slope(slope_of: NDArray[np.float64], stack: NDArray[np.float32], jump: NDArray[np.float32]) -> float:
    """Least-squares ratio of the jump's slope to the jump, over all pixels."""
    total = float(jump @ jump)
    return float(slope_of @ (stack @ jump)) / total if total > 0 else 0.0
