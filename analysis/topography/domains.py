"""Nuclei of the new phase, islands of the parent phase, and the necks through which domains join.

As the edge energy E rises, the new phase {f ≤ E} appears at minima of the field f, its nuclei, and two of its domains
join at a saddle, a neck that closes. The parent phase {f > E} breaks into islands at saddles of the other kind, and
each of them vanishes at a maximum. All of these are the critical points of f that `level_tree` finds in the
smoothed field and its negative; what persists over less energy than the noise makes is left out. Positions and
energies are those of the field's own critical points, to a fraction of a voxel, except at the particle's border.

Necks are counted where two separate domains become one: n nuclei that end as one domain have n - 1 of them. Places
where a domain meets itself make handles, which the Euler characteristic counts.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from redoxscope.analysis.topography.critical_points import CriticalPoints, refine
from redoxscope.analysis.topography.level_tree import LevelTree
from redoxscope.analysis.topography.rays import first_rise
from redoxscope.analysis.topography.smooth_field import SmoothField

Floats = NDArray[np.floating]
Doubles = NDArray[np.float64]

SMOOTH_FACTOR, VOXEL_FACTOR = 4.0, 0.4
"""A region has to persist over this many standard deviations of the smoothed field and of the voxels, summed: inside,
the window averages; at the border, where it holds few voxels, it does so less. In a ball of 96 voxels of nothing but
noise the deepest of 2000 minima reached 0.7 to 0.85 of it, for noise from white to correlated over 1.5 voxels."""
LEAST_PERSISTENCE = 0.05
"""eV; of a field without noise: a quarter of a voxel's step of the border in a gradient of 0.2 eV per voxel."""
_RAYS = 48
_REACH = 30.0
"""Voxels from a neck's middle; what is wider than this is a neck no more."""


@dataclass(frozen=True)
class Regions:
    """Pieces of one phase over all energies."""

    position: Doubles
    """(n, 3) (z, y, x) µm: the nucleus' first point, the island's last."""
    energy: Doubles
    """(n,) eV: where a nucleus appears, or an island vanishes."""
    join: Doubles
    """(n,) eV: where a nucleus joins an older one, +inf if it never does; where an island parts from one that lasts
    longer, -inf if it was a piece of its own from the beginning."""

    def count(self, levels: Floats) -> NDArray[np.int64]:
        """(iso,) how many there are at each level."""
        low, high = np.minimum(self.energy, self.join), np.maximum(self.energy, self.join)
        at = np.asarray(levels)[:, None]
        return np.asarray(((low <= at) & (at < high)).sum(axis=1), dtype=np.int64)


@dataclass(frozen=True)
class Necks:
    """Where two domains of the new phase join."""

    position: Doubles
    """(n, 3) (z, y, x) µm."""
    energy: Doubles
    """(n,) eV at which the neck closes."""
    axis: Doubles
    """(n, 3) unit vector (z, y, x) from one domain to the other."""
    widths: Doubles
    """(n, iso) µm at each level: the diameter of the circle that has the area of the new phase in the plane through
    the neck across its axis, as far as it can be seen from the neck. NaN before it has closed, and where it has grown
    wider than 30 voxels to one side."""
    width: Doubles
    """(n,) µm at the first level above its energy; NaN above the last."""


@dataclass(frozen=True)
class Domains:
    """What the two phases consist of."""

    nuclei: Regions
    islands: Regions
    necks: Necks
    persistence: float
    """eV below which regions and necks were taken for noise."""


def least_persistence(voxel_noise: float, smooth_noise: float) -> float:
    """eV over which a region persists if it is more than noise, by the noise (eV) of the voxels and after smoothing."""
    return max(SMOOTH_FACTOR * smooth_noise + VOXEL_FACTOR * voxel_noise, LEAST_PERSISTENCE)


def find_domains(
    field: SmoothField, lower: LevelTree, upper: LevelTree, levels: Floats, voxel_size: float, least: float
) -> Domains:
    """Nuclei, islands and necks of an edge-energy field.

    Parameters
    ----------
    field : smoothed edge energy
    lower, upper : trees of `field.values` and of its negative
    levels : (iso,) eV at which the necks' widths are taken
    voxel_size : µm
    least : eV over which a region has to persist, see `least_persistence`

    A region that has not grown to a ball of the window's radius when it joins an older one is left out: among them are
    the steps of the particle's border, each of which is a minimum or a maximum.
    """
    nuclei, joins = _regions(field, field.values, lower, least, voxel_size, maxima=False)
    islands, _ = _regions(field, -field.values, upper, least, voxel_size, maxima=True)
    return Domains(nuclei, islands, _necks(field, joins, levels, voxel_size), least)


def no_domains(levels: int) -> Domains:
    """Those of a volume without a known voxel, at so many levels."""
    none, places = np.empty(0), np.empty((0, 3))
    regions = Regions(places, none, none)
    return Domains(regions, regions, Necks(places, none, places, np.empty((0, levels)), none), LEAST_PERSISTENCE)


def _regions(
    field: SmoothField, values: Floats, tree: LevelTree, least: float, voxel_size: float, *, maxima: bool
) -> tuple[Regions, CriticalPoints]:
    """Regions by their first points, and the saddles at which some of them join."""
    keep = (tree.persistence >= least) & (tree.grown(values) >= 4 / 3 * np.pi * field.window**3)
    point = refine(field, tree.place[keep], 3 if maxima else 0)
    real = keep[tree.younger]
    saddle = refine(field, tree.join_place[real], 2 if maxima else 1)
    join = np.full(keep.size, -np.inf if maxima else np.inf)
    join[tree.younger[real]] = saddle.value
    return Regions(point.position * voxel_size, point.value, join[keep]), saddle


def _necks(field: SmoothField, saddle: CriticalPoints, levels: Floats, voxel_size: float) -> Necks:
    widths = np.full((len(saddle.value), levels.size), np.nan)
    angle = np.arange(_RAYS) * 2 * np.pi / _RAYS
    circle = np.stack([np.cos(angle), np.sin(angle)])
    for i, level in enumerate(levels):
        closed = saddle.value < level
        rays = np.einsum("nij,jr->nri", saddle.axes[closed][:, :, 1:], circle).reshape(-1, 3)
        start = np.repeat(saddle.position[closed], _RAYS, axis=0)
        rise, end = first_rise(field.values, start, rays, level - field.offset, _REACH)
        lost = np.isnan(rise) & (end > _REACH - 1)
        radius = np.where(np.isnan(rise), np.where(lost, np.nan, end), rise).reshape(-1, _RAYS)
        widths[closed, i] = 2 * np.sqrt((radius**2).mean(axis=1)) * voxel_size
    later = np.where(levels > saddle.value[:, None], levels, np.inf)
    first = np.argmin(later, axis=1) if levels.size else np.zeros(0, dtype=np.intp)
    width = widths[np.arange(len(first)), first]  # NaN if none is later: no width was taken
    return Necks(saddle.position * voxel_size, saddle.value, saddle.axes[:, :, 0], widths, width)
