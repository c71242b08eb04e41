"""The incremental edge-energy map: a frame in, map and uncertainty and state out.

Baselines are linear in the frames, so six moments per pixel and window stand for all its frames; only the frames of
the search window are kept. Hence any order, duplication or loss of frames ends at the result of the batch function
`xanes.edge_energy` on the same frames, which is built on this class.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from redoxscope.analysis.xanes import Edge, Floats, half_jump

NONE, PROVISIONAL, FINAL = 0, 1, 2
_SCALE = 100.0
"""Energies enter the moments as (E - nominal)/100 eV, which keeps the sums well conditioned."""


@dataclass(frozen=True)
class Baselines:
    """The baselines of a completed scan, from which the next one starts provisionally."""

    pre: NDArray[np.float64]
    """(6, pixel) moments of the pre-edge window: n, Σx, Σx², Σ A, Σ x A, Σ var A."""
    post: NDArray[np.float64]


@dataclass(frozen=True)
class Map:
    """What is known so far; all arrays have the pixels' shape."""

    edge_energy: NDArray[np.float32]
    """eV, NaN where there is no material or the crossing has not been seen."""
    sigma: NDArray[np.float32]
    """One standard deviation, eV."""
    jump: NDArray[np.float32]
    state: NDArray[np.uint8]
    """NONE, PROVISIONAL or FINAL."""


class EdgeMap:
    """Accumulates one XANES scan of one field of view.

    Parameters
    ----------
    energies : (n,) eV, in any order; repeated energies are separate samples
    shape : the pixels' shape
    edge : windows and thresholds
    """

    def __init__(self, energies: Floats, shape: tuple[int, ...], edge: Edge) -> None:
        self.energies = np.asarray(energies, dtype=np.float64)
        self.edge = edge
        self.shape = shape
        self.seen = np.zeros(self.energies.size, dtype=bool)
        pixels = int(np.prod(shape))
        self._pre = np.zeros((6, pixels))
        self._post = np.zeros((6, pixels))
        members = edge.members(self.energies, edge.search)
        members = members[np.argsort(self.energies[members], kind="stable")]
        self._row = {int(index): row for row, index in enumerate(members)}
        self._x = (self.energies - edge.nominal) / _SCALE
        self._near_x = self._x[members]
        self._near = np.full((members.size, pixels), np.nan, dtype=np.float32)
        self._pre_members = {int(i) for i in edge.members(self.energies, edge.pre)}
        self._post_members = {int(i) for i in edge.members(self.energies, edge.post)}

    @property
    def complete(self) -> bool:
        """Whether every energy has been seen."""
        return bool(self.seen.all())

    def update(self, index: int, absorbance: Floats, variance: Floats | float | None = None) -> bool:
        """Take in the frame of energy number `index`; False (and no change) if it is there already.

        NaN pixels are left out. `variance` is that of the absorbance, per pixel or one number.
        """
        if self.seen[index]:
            return False
        self.seen[index] = True
        image = absorbance.reshape(-1)
        noise = np.nan if variance is None else variance.reshape(-1) if isinstance(variance, np.ndarray) else variance
        row = self._row.get(index)
        if row is not None:
            self._near[row] = image
        for members, moments in ((self._pre_members, self._pre), (self._post_members, self._post)):
            if index in members:
                _add(moments, float(self._x[index]), image, noise)
        return True

    def merge(self, other: Self) -> None:
        """Take in another accumulator of the same scan that has seen other frames.

        Raises ValueError if both have seen the same frame.
        """
        both = np.flatnonzero(self.seen & other.seen)
        if both.size:
            raise ValueError(f"frames {both.tolist()} are in both parts: each frame may count once")
        self._pre += other._pre
        self._post += other._post
        for index, row in self._row.items():
            if other.seen[index]:
                self._near[row] = other._near[row]
        self.seen |= other.seen

    def baselines(self) -> Baselines:
        """The baselines as they are now (shared, not copied)."""
        return Baselines(self._pre, self._post)

    def result(self, *, previous: Baselines | None = None, closed: bool = False) -> Map:
        """The map from the frames seen so far.

        It is final when all frames are in, or when the scan is `closed` and no more will come. Until then a pixel is
        provisional: the jump comes from the `previous` scan's baselines, without one from the post-edge seen so far.
        """
        final = closed or self.complete
        pixels = self._pre.shape[1]
        # In float64: one unit in the last place of a float32 at 8341 eV is already a meV.
        crossing = np.empty(pixels)
        sigma, jump, jump_sigma = (np.empty(pixels, dtype=np.float32) for _ in range(3))
        early = not final and previous is not None
        low, high = (previous.pre, previous.post) if early and previous is not None else (self._pre, self._post)
        pre = self._pre if not early or all(self.seen[i] for i in self._pre_members) else low
        half_jump(self._near, self._near_x, pre, low, high, early, crossing, sigma, jump, jump_sigma)
        edge = self.edge
        with np.errstate(invalid="ignore"):
            # A sigma of NaN means that no noise was given: then only the jump itself decides.
            material = (jump > edge.min_jump) & ~(jump < edge.min_jump_over_noise * jump_sigma)
        known = material & np.isfinite(crossing)
        unknown = np.float32(np.nan)
        energy = edge.nominal + edge.energy_offset + _SCALE * crossing
        state = np.where(known, np.uint8(FINAL if final else PROVISIONAL), np.uint8(NONE))
        return Map(
            np.where(known, energy, unknown).astype(np.float32).reshape(self.shape),
            np.where(known, np.float32(_SCALE) * sigma, unknown).reshape(self.shape),
            jump.reshape(self.shape),
            state.reshape(self.shape),
        )


def _add(moments: NDArray[np.float64], x: float, image: Floats, variance: Floats | float) -> None:
    """Add one frame to the moments of a window."""
    valid = np.isfinite(image)
    value = np.where(valid, image, 0.0)
    moments[0] += valid
    moments[1] += x * valid
    moments[2] += x * x * valid
    moments[3] += value
    moments[4] += x * value
    moments[5] += np.where(valid, variance, 0.0)
