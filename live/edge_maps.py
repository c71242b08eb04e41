"""The maps of one XANES scan: that of the profile's edge, and those of the other edges that the scan covers.

Each edge sees the frames from its pre-edge to its post-edge only: spectra over thousands of eV with three edges in them
have more components than a subspace should keep.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from redoxscope.analysis.edge_map import EdgeMap, Map
from redoxscope.live.profile import Profile
from redoxscope.live.profile_tables import EdgeTable
from redoxscope.live.reference_spectra import references

_MARGIN = 0.5
"""eV beyond an edge's windows from which frames still count."""


@dataclass(frozen=True)
class Maps:
    """What is known so far of every edge."""

    main: Map
    """Of the profile's edge; of no pixel where the scan does not cover it."""
    others: Mapping[str, Map] = field(default_factory=dict)
    """Of the other edges that the scan covers, by name."""


def edges_left_out(profile: Profile, energies: NDArray[np.float64]) -> dict[str, str]:
    """Names of the profile's edges that a scan over these energies (eV) does not cover, and why."""
    reasons = {}
    for table in profile.edges:
        try:
            table.edge().check(energies)
        except ValueError as error:
            reasons[table.name] = str(error)
    return reasons


class EdgeMaps:
    """Accumulates the frames of one scan, in one `EdgeMap` per edge.

    Parameters
    ----------
    energies : (n,) eV of the scan
    shape : of a frame
    profile : says which edges there are; one that the scan does not cover is left out
    """

    def __init__(self, energies: NDArray[np.float64], shape: tuple[int, int], profile: Profile) -> None:
        missing = edges_left_out(profile, energies)
        tables = [profile.edge, *(table for table in profile.other_edges if table.name not in missing)]
        self._edges = [_OfOneEdge(table, energies, shape, alone=not profile.other_edges) for table in tables]

    def update(self, slot: int, frame: NDArray[np.float32], variance: NDArray[np.float32] | None) -> None:
        """File the frame of energy number `slot`, which no edge may be interested in."""
        for edge in self._edges:
            edge.update(slot, frame, variance)

    def result(self, main: Map | None, others: Mapping[str, Map], *, closed: bool = False) -> Maps:
        """The maps, provisional ones with the baselines of the previous scan's, `main` and `others`."""
        first, *rest = self._edges
        return Maps(
            first.result(main, closed), {edge.name: edge.result(others.get(edge.name), closed) for edge in rest}
        )


class _OfOneEdge:
    """An edge's accumulator, the numbers of its frames, and its last result."""

    def __init__(self, table: EdgeTable, energies: NDArray[np.float64], shape: tuple[int, int], alone: bool) -> None:
        low, high = (-np.inf, np.inf) if alone else (table.pre[0] - _MARGIN, table.post[1] + _MARGIN)
        members = np.flatnonzero((energies >= low) & (energies <= high))
        self.name = table.name
        self._subspace = table.subspace
        self._number = {int(slot): number for number, slot in enumerate(members)}
        self._map = EdgeMap(energies[members], shape, table.edge(), references(table))
        self._last: tuple[bool, Map] | None = None

    def update(self, slot: int, frame: NDArray[np.float32], variance: NDArray[np.float32] | None) -> None:
        number = self._number.get(slot)
        if number is not None and self._map.update(number, frame, variance):
            self._last = None

    def result(self, previous: Map | None, closed: bool) -> Map:
        """While frames of other edges come, nothing is computed again."""
        final = closed or self._map.complete
        if self._last is None or self._last[0] != final:
            self._last = final, self._map.result(previous=previous, closed=final, subspace=self._subspace)
        return self._last[1]
