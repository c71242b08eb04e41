"""Whether the front's curvature alternates as Mu et al. (2018) report, under each reading of what they counted.

From 8338 to 8340 eV, the paper says, negative curvature gains probability and positive curvature slightly loses it;
from 8340 to 8342 eV it is the reverse. It gives no formula. So four quantities are counted, the mean curvature H, the
Gaussian curvature K and the principal curvatures κ₁ ≥ κ₂, with two signs:

phase
    by the phase, as everywhere in this package: positive where the new phase is convex
body
    by the closed body that a piece of surface bounds, as a viewer of the mesh sees it: of the two regions that the
    piece parts, new phase on one side and parent phase on the other, the one with fewer voxels. The last islands of
    parent phase are convex bodies then. The sign of K is the same either way.

What was found
--------------
On the simulator's particles (96 voxels, no noise; 5, 22 or 120 nuclei at surface, voids and grain boundaries, 40 at the
surface only, 40 inside only; four seeds each, all taken at 30, 50 and 70 % transformed; the first turn is the nearest
level with a surface, 8339 eV in 56 cases and 8338.5 eV in 4), the alternation shows

- by body, for H in 17, for κ₁ and κ₂ in 18 of the 20 particles that are 70 % transformed and in none of the other 40;
- by phase in 2 of 60 for H and κ₁, in 3 for κ₂; in 7 for K. Those of H have 5 nuclei.

With 0.2 eV of noise (two seeds, 50 and 70 %) it is the same: by body in 9 of 10 for H and κ₂ and in all 10 for κ₁ at
70 %, in none at 50 %; by phase in none of 20 for H.

The reason is in the counts. At 70 %, with 22 nuclei and more, 7.9 domains of new phase and 2.2 domains of parent phase
at 8339 eV become 2.9 and 4.6 at 8340 eV, and 1.1 and 11.9 at 8342 eV, while the necks that have closed go from 9.1 to
17.3 and 20.0: nuclei join, then islands part and vanish. P(H < 0) by phase only rises: 0.22, 0.35, 0.52. By body it
goes 0.22, 0.64, 0.48: between 8339 and 8340 eV nearly all of the surface (0.01, then 0.98) comes to bound the parent
phase, which turns its sign over; from there on what rises by phase falls by body. So the first half is no more than
the turn of the sign, if parent phase is the smaller part at 8340 eV, and the second half is islands. Taken at 30 or
50 %, the turn comes after 8340 eV.

If the body decides for closed pieces of surface only, the others keeping the phase's sign, nothing turns: closed
pieces have less than 1 % of the area, for nearly every piece ends at the particle's border, a void or a crack. The
alternation then shows in 2 of 60 for H, and in none if the closed pieces alone are counted. So it hangs on what is
taken for the body of an open piece.

The truth of a particle that reacts from its surface inwards, with one domain of either phase and no neck (`fxi_3d` of
the test data), does not show it under H, κ₁ and κ₂ with either sign, with windows from 1 to 2.7 voxels; under K it does
with one of 2 voxels and with no other: there the changes are a few hundredths.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from redoxscope.analysis.topography.curvature import principal_curvatures
from redoxscope.analysis.topography.level_tree import LevelTree
from redoxscope.analysis.topography.shape_statistics import histogram_curvatures, histogram_weights
from redoxscope.analysis.topography.surface import components

if TYPE_CHECKING:
    from redoxscope.analysis.topography.report import FrontSurface

Floats = NDArray[np.floating]
Doubles = NDArray[np.float64]

READINGS = ("H by phase", "H by body", "K", "k1 by phase", "k1 by body", "k2 by phase", "k2 by body")
ENERGIES = (8338.0, 8340.0, 8342.0)
"""eV, the turns of the reported alternation."""
_SAME = 0.05
"""eV within which a level is one of those."""


@dataclass(frozen=True)
class Alternation:
    """Shares of positive and negative curvature under each reading."""

    reading: tuple[str, ...]
    positive: Doubles
    """(reading, iso) share of the area with a positive value; NaN without a surface."""
    negative: Doubles
    """(reading, iso)"""
    parent_bodies: Doubles
    """(iso,) share of the area that bounds a body of parent phase; NaN without a surface."""
    turns: Doubles
    """(3,) eV between which the changes are taken: 8338, 8340 and 8342, or, where there is no surface at the first or
    the last, the level with one that is nearest to it on the same side of 8340; NaN if there are none."""
    negative_change: Doubles
    """(reading, 2) from the first turn to the second and from there to the third; NaN without turns."""
    positive_change: Doubles
    """(reading, 2)"""

    @property
    def shown(self) -> NDArray[np.bool_]:
        """(reading,) whether negative gains and positive loses at first, and the reverse afterwards."""
        up, down = self.negative_change, self.positive_change
        with np.errstate(invalid="ignore"):
            return np.asarray((up[:, 0] > 0) & (down[:, 0] < 0) & (up[:, 1] < 0) & (down[:, 1] > 0))

    def sentence(self) -> str:
        """The finding in words."""
        if not np.isfinite(self.negative_change).any():
            return "No surface at 8340 eV and on both sides of it: nothing can be said about the alternation."
        named = [name for name, shown in zip(self.reading, self.shown, strict=True) if shown]
        low, middle, high = self.turns
        how = f"({low:g} to {middle:g} eV negative gains, to {high:g} eV it loses)"
        return f"The alternation of curvature {how} shows under: {', '.join(named) if named else 'no reading'}."


def alternation(
    surfaces: "Sequence[FrontSurface]",
    lower: LevelTree,
    upper: LevelTree,
    values: Floats,
    offset: float,
    voxel_size: float,
) -> Alternation:
    """Count positive and negative curvature under each reading.

    Parameters
    ----------
    surfaces : one per level
    lower, upper : trees of `values` and of its negative
    values, offset : (z, y, x) and eV, the smoothed edge energy that they were made of is the sum of both
    voxel_size : µm
    """
    levels = np.array([surface.iso_energy for surface in surfaces])
    positive, negative = np.full((2, len(READINGS), levels.size), np.nan)
    bodies = np.full(levels.size, np.nan)
    for i, surface in enumerate(surfaces):
        mean, gauss = histogram_curvatures(surface)
        known = np.isfinite(mean) & np.isfinite(gauss)
        area = histogram_weights(surface, voxel_size)[known]
        if not area.sum() > 0:
            continue
        first, second = principal_curvatures(mean, gauss)
        parent = bounds_parent(surface, lower, upper, values, offset, voxel_size)
        readings = (
            mean,
            np.where(parent, -mean, mean),
            gauss,
            first,
            np.where(parent, -second, first),
            second,
            np.where(parent, -first, second),
        )
        for k, value in enumerate(readings):
            positive[k, i] = area[value[known] > 0].sum() / area.sum()
            negative[k, i] = area[value[known] < 0].sum() / area.sum()
        bodies[i] = area[parent[known]].sum() / area.sum()
    turns = _turns(levels, np.isfinite(bodies))
    changes = [
        np.full((len(READINGS), 2), np.nan) if turns is None else np.diff(a[:, turns]) for a in (negative, positive)
    ]
    energies = np.full(3, np.nan) if turns is None else levels[turns]
    return Alternation(READINGS, positive, negative, bodies, energies, *changes)


def bounds_parent(
    surface: "FrontSurface", lower: LevelTree, upper: LevelTree, values: Floats, offset: float, voxel_size: float
) -> NDArray[np.bool_]:
    """(n,) whether the body that a vertex' piece of surface bounds is parent phase."""
    count, piece = components(surface.faces)
    if not count:
        return np.zeros(len(surface.vertices), dtype=bool)
    level = surface.iso_energy - offset
    corner = np.floor(surface.vertices / voxel_size).astype(np.intp)
    corners = corner[:, None] + np.array(np.meshgrid(*[[0, 1]] * 3, indexing="ij")).reshape(3, 8).T
    corners = np.clip(corners, 0, np.array(values.shape) - 1)
    voxels = np.ravel_multi_index(tuple(np.moveaxis(corners, 2, 0)), values.shape)
    around = values.reshape(-1)[voxels]
    known = np.isfinite(around)
    row = np.arange(len(voxels))
    low = voxels[row, np.argmin(np.where(known, around, np.inf), axis=1)]
    high = voxels[row, np.argmax(np.where(known, around, -np.inf), axis=1)]
    new = _size_at(low, lower, values, level)
    parent = _size_at(high, upper, -values, -level)
    # Vertices of a piece agree, but for voxels exactly at the level: the piece decides as a whole.
    at = piece[: len(surface.vertices)]
    weight = np.bincount(at, weights=np.sign(new - parent), minlength=count)
    return np.asarray(weight[at] > 0)


def _size_at(voxel: NDArray[np.intp], tree: LevelTree, values: Floats, level: float) -> Doubles:
    """(n,) voxels of the region below the level that each voxel belongs to; 0 if it lies above."""
    root = tree.components(level)[tree.basin.reshape(-1)[voxel]]
    return np.where(root >= 0, tree.sizes(values, level)[root], 0).astype(np.float64)


def _turns(levels: Doubles, there: NDArray[np.bool_]) -> NDArray[np.intp] | None:
    """Numbers of the levels between which the changes are taken; None if there are not three of them."""
    low, middle, high = ENERGIES
    before = np.flatnonzero(there & (levels > low - _SAME) & (levels < middle - _SAME))
    turn = np.flatnonzero(there & (np.abs(levels - middle) <= _SAME))
    after = np.flatnonzero(there & (levels > middle + _SAME) & (levels < high + _SAME))
    if not (before.size and turn.size and after.size):
        return None
    return np.array([before[np.argmin(levels[before])], turn[0], after[np.argmax(levels[after])]])
