"""How absorbing the frames of a scan are, and which of them were not taken in the beam of their flats.

A frame whose beam was down, whose flat was exposed twice or taken through the sample, is off by one number in all its
pixels; near the edge that moves the whole map.
"""

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
        self._found: dict[int, tuple[float, float]] = {}
        """Of the thinnest, and of half of the pixels."""
        self._structure: dict[int, float] = {}
        """What varies over the frame and is no noise: the root of the covariance of neighbouring pixels."""

    def add(self, slot: int, value: NDArray[np.float32]) -> None:
        """The absorbance (y, x) of frame `slot`, NaN where unknown."""
        pick = value.ravel()[:: max(1, value.size // _PIXELS) | 1]
        pick = pick[np.isfinite(pick)]
        if pick.size:
            thin, median = np.quantile(pick, (_THIN, 0.5))
            self._found[slot] = float(thin), float(median)
            self._structure[slot] = _structure(value[:: -(-value.size // _PIXELS)] - median)

    def fault(self, slot: int, *, whole: bool) -> str:
        """In what way a frame's beam was not that of its flat or of the frames around it; empty if it was.

        `whole`: all frames of the scan are there, and not those before this one only.
        """
        if slot not in self._found:
            return ""
        below, above = self._around(slot)
        thin, median = self._found[slot]
        around = [self._found[other] for other in (*below, *above)]
        if len(around) < _AROUND:
            return ""
        usual = float(np.median([level for _, level in around]))
        if abs(median - usual) > _JUMP:
            return f"its median absorbance is {median:.2f}, {usual:.2f} in those around it"
        if whole:
            # A level between the two in the middle, as on the slope of an edge, is no surprise.
            low, high = _middle([level for level, _ in around])
            off = max(thin - high, 0.0) - max(low - thin, 0.0)
            ends = np.quantile([found[0] for found in self._found.values()], (0.05, 0.95))
            if abs(off) > _OFF + _OF_RANGE * float(np.ptp(ends)):
                return (
                    f"its absorbance is {off:+.2f} off those around it everywhere, its median absorbance {median:.2f}: "
                    f"its flat or itself was not taken in the usual beam"
                )
            least, _ = _middle([self._structure[other] for other in (*below, *above)])
            if self._structure[slot] < _SHOWS * least:
                return f"it does not show the sample: its median absorbance is {median:.2f}, and next to nothing varies"
        return ""

    def _around(self, slot: int) -> tuple[list[int], list[int]]:
        """The nearest frames of lower and of higher energy whose levels are known."""
        rank, energy = int(self._rank[slot]), self._energies[slot]
        sides = (self._order[:rank][::-1], self._order[rank + 1 :])
        found = ([int(o) for o in side if abs(self._energies[o] - energy) < _ALIKE] for side in sides)
        lower, higher = ([o for o in side if o in self._found][:_AROUND] for side in found)
        return lower, higher


def _structure(lines: NDArray[np.floating]) -> float:
    """Root of the covariance of neighbours along the lines (y, x), NaN where unknown."""
    product = lines[:, 1:] * lines[:, :-1]
    known = product[np.isfinite(product)]
    return float(np.sqrt(max(0.0, known.mean()))) if known.size else 0.0


def _middle(values: list[float]) -> tuple[float, float]:
    """The two values in the middle; the same twice, if they are odd in number."""
    order = sorted(values)
    return order[(len(order) - 1) // 2], order[len(order) // 2]
