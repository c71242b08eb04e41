"""How absorbing the frames of a scan are, and which of them were not taken in the beam of their flats.

A frame whose beam was down, whose flat was exposed twice or taken through the sample, is off by one number in all its
pixels; near the edge that moves the whole map.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_JUMP = 1.0
"""A frame whose median absorbance is this far from that of the frames around it was taken without the full beam."""
_ALIKE = 300.0
"""eV over which a sample absorbs much the same, but for an edge: from one edge to the next it need not."""
_OFF = 0.25
"""Once all frames are there, so far may the air, or the thinnest of the sample, be off the frames around it,"""
_OF_RANGE = 0.35
"""and by this part of its range over the scan: without air the edge moves it, its white line by a third of that."""
_SHOWS = 0.25
"""A frame whose structure is less than this part of that of the frames around it does not show the sample."""
_SURELY = 6.0
"""Standard errors by which it must be less."""
_AROUND = 3
"""Frames on either side."""
_PIXELS = 40_000
"""The levels are taken over about so many."""
_THIN = 0.1
"""The thinnest: the median of a fifth of the pixels."""


class Levels:
    """Levels of absorbance by number of the frame.

    Parameters
    ----------
    energies : (n,) eV of the scan, in any order
    """

    def __init__(self, energies: NDArray[np.float64]) -> None:
        self._energies = energies
        self._order = np.argsort(energies, kind="stable")
        self._rank = np.argsort(self._order, kind="stable")
        self._found: dict[int, _Level] = {}

    def add(self, slot: int, value: NDArray[np.float32]) -> None:
        """The absorbance (y, x) of frame `slot`, NaN where unknown."""
        pick = value.ravel()[:: max(1, value.size // _PIXELS) | 1]
        pick = pick[np.isfinite(pick)]
        if pick.size:
            thin, median = np.quantile(pick, (_THIN, 0.5))
            lines = value[:: -(-value.size // _PIXELS)] - median
            self._found[slot] = _Level(float(thin), float(median), float(pick.mean()), *_structure(lines))

    def fault(self, slot: int, *, whole: bool) -> str:
        """In what way a frame's beam was not that of its flat or of the frames around it; empty if it was.

        `whole`: all frames of the scan are there, and not those before this one only.
        """
        if slot not in self._found:
            return ""
        below, above = self._around(slot)
        found, around = self._found[slot], [self._found[other] for other in (*below, *above)]
        if len(around) < _AROUND:
            return ""
        usual = float(np.median([level.median for level in around]))
        if abs(found.median - usual) > _JUMP:
            return f"its median absorbance is {found.median:.2f}, {usual:.2f} in those around it"
        if whole:
            off = _off(found.thin, [level.thin for level in around])
            ends = np.quantile([level.thin for level in self._found.values()], (0.05, 0.95))
            if abs(off) > _OFF + _OF_RANGE * float(np.ptp(ends)):
                return (
                    f"its absorbance is {off:+.2f} off those around it everywhere, its median absorbance "
                    f"{found.median:.2f}: its flat or itself was not taken in the usual beam"
                )
            if self._shows_nothing(found, around):
                return (
                    f"it does not show the sample: its median absorbance is {found.median:.2f}, and next to nothing "
                    f"varies"
                )
        return ""

    def _shows_nothing(self, found: "_Level", around: "list[_Level]") -> bool:
        """Whether next to nothing varies in a frame, and it absorbs like the thinnest of those around it.

        A film of even thickness shows as little where the spectra of its phases cross, but absorbs as usual there.
        """
        least, _ = _middle([level.structure for level in around])
        half = float(np.median([level.thin for level in around]) + np.median([level.mean for level in around])) / 2
        surely = least - found.structure > _SURELY * found.error
        return surely and found.structure < _SHOWS**2 * least and found.mean < half

    def _around(self, slot: int) -> tuple[list[int], list[int]]:
        """The nearest frames of lower and of higher energy whose levels are known."""
        rank, energy = int(self._rank[slot]), self._energies[slot]
        sides = (self._order[:rank][::-1], self._order[rank + 1 :])
        found = ([int(o) for o in side if abs(self._energies[o] - energy) < _ALIKE] for side in sides)
        lower, higher = ([o for o in side if o in self._found][:_AROUND] for side in found)
        return lower, higher


class _Level(NamedTuple):
    """Of one frame's absorbance."""

    thin: float
    """of the thinnest pixels"""
    median: float
    mean: float
    structure: float
    """what varies over the frame and is no noise: the covariance of neighbouring pixels"""
    error: float
    """its standard error"""


def _structure(lines: NDArray[np.floating]) -> tuple[float, float]:
    """Covariance of neighbours along the lines (y, x), NaN where unknown, and its standard error without structure."""
    known = lines[np.isfinite(lines)]
    product = lines[:, 1:] * lines[:, :-1]
    pairs = product[np.isfinite(product)]
    return (float(pairs.mean()), float(known.var() / np.sqrt(pairs.size))) if pairs.size else (0.0, 0.0)


def _off(value: float, around: list[float]) -> float:
    """By how much a level is not between the two in the middle of those around it, as it is on the slope of an edge."""
    low, high = _middle(around)
    return max(value - high, 0.0) - max(low - value, 0.0)


def _middle(values: list[float]) -> tuple[float, float]:
    """The two values in the middle; the same twice, if they are odd in number."""
    order = sorted(values)
    return order[(len(order) - 1) // 2], order[len(order) // 2]
