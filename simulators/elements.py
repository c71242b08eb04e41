"""Manganese, cobalt and nickel of a layered oxide: K-edge absorption of each, for scans over several edges.

The spectra are the nickel formula moved to the element's edge, not measured ones. Nickel is what reacts; cobalt's edge
follows it part of the way, manganese's stays where it is.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from redoxscope.simulators.spectra import ENERGIES_53, NOMINAL, absorption, background

_MIDDLE = 8340.75
"""Half-way between oxidised and reduced nickel, eV."""


@dataclass(frozen=True)
class Element:
    """How an element absorbs, by the state of the nickel beside it."""

    edge: str
    """Name of its edge."""
    offset: float
    """eV from nickel's edge to its own."""
    jump: float
    """Its edge jump, in nickel's."""
    response: float
    """eV by which its edge moves when nickel's moves by one."""

    @property
    def nominal(self) -> float:
        """The edge jump is taken at this energy, eV."""
        return NOMINAL + self.offset

    @property
    def energies(self) -> NDArray[np.float64]:
        """(53,) eV: those of nickel's XANES scan, moved to this edge."""
        return ENERGIES_53 + self.offset

    def absorption(self, energy: ArrayLike, nickel_edge: ArrayLike) -> NDArray[np.float64]:
        """(n, ...) absorption at energies (n,) in eV, in jumps of nickel, where nickel's edge is at (...) eV."""
        e = np.asarray(energy, dtype=np.float64)
        state = _MIDDLE + self.response * (np.asarray(nickel_edge, dtype=np.float64) - _MIDDLE)
        if self.offset == 0.0 and self.jump == 1.0:
            return absorption(e, state)
        # The formula's background falls as if from nickel's edge on: put this edge's in its place.
        moved = background(e * 8333.0 / (8333.0 + self.offset)) / background(e - self.offset)
        spectrum = absorption(e - self.offset, state)
        return np.asarray(self.jump * spectrum * moved.reshape(e.shape + (1,) * state.ndim))


MANGANESE = Element("Mn K", -1794.0, 0.5, 0.0)
COBALT = Element("Co K", -624.0, 0.5, 0.4)
NICKEL = Element("Ni K", 0.0, 1.0, 1.0)
ELEMENTS = {element.edge: element for element in (MANGANESE, COBALT, NICKEL)}


def chosen(edges: Iterable[str]) -> tuple[Element, ...]:
    """The elements of these edges, by energy.

    Raises
    ------
    ValueError
        If there is none, or one is unknown; the message names those that exist.
    """
    names = list(edges)
    for name in names:
        if name not in ELEMENTS:
            raise ValueError(f"no edge is called {name!r}: choose from {', '.join(ELEMENTS)}")
    if not names:
        raise ValueError(f"a scan needs an edge: choose from {', '.join(ELEMENTS)}")
    return tuple(element for name, element in ELEMENTS.items() if name in names)
