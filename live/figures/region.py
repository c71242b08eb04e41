"""A box in the volume: given by the user, or chosen where most happens to the curvature."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from redoxscope.live.errors import UserError
from redoxscope.live.figures import style
from redoxscope.live.stored import Array, StoredSurface, StoredTopography

_SIDE = 0.3
"""Side of a chosen box, as a part of the surfaces' extent."""
_CELLS = 3
"""Cells that the side of a box is divided into while it is looked for."""


@dataclass(frozen=True)
class Region:
    """A box, corners included."""

    low: Array
    """(3,) (x, y, z) in the volume's unit."""
    high: Array

    def holds(self, points: Array) -> NDArray[np.bool_]:
        """(n,) whether points (n, 3) are in it."""
        return np.asarray(((points >= self.low) & (points <= self.high)).all(axis=1))

    def __str__(self) -> str:
        return ",".join(f"{a:.3g}:{b:.3g}" for a, b in zip(self.low[::-1], self.high[::-1], strict=True))


def parse_region(text: str) -> Region:
    """The region written as z0:z1,y0:y1,x0:x1. Raises UserError if it is none."""
    number = r"\s*([-+]?\d*\.?\d+(?:[eE][-+]?\d+)?)\s*"
    found = re.fullmatch(",".join([f"{number}:{number}"] * 3), text)
    if not found:
        raise UserError(f"--region {text}: write z0:z1,y0:y1,x0:x1, six numbers in µm")
    ends = np.array([float(value) for value in found.groups()]).reshape(3, 2)[::-1]
    if not (ends[:, 0] < ends[:, 1]).all():
        raise UserError(f"--region {text}: the first number of each pair must be the smaller")
    return Region(ends[:, 0], ends[:, 1])


def check_region(region: Region, topography: StoredTopography) -> None:
    """Raises UserError if no surface lies in it."""
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    for i in topography.drawable:
        points = topography.surface(i).points
        if region.holds(points).any():
            return
        low, high = np.minimum(low, points.min(axis=0)), np.maximum(high, points.max(axis=0))
    span = Region(low, high)
    raise UserError(
        f"--region {region} holds no front at any energy: choose a box within {span} ({style.nice(topography.unit)})"
    )


def choose_region(topography: StoredTopography) -> Region:
    """The box around the widest neck, where necks are stored; else where the curvature changes most with energy.

    The change in a box is that of the area's mean of H from each energy to the next, times the area they have in
    common, summed. Raises ValueError without a surface.
    """
    surfaces = [topography.surface(i) for i in topography.drawable]
    if not surfaces:
        raise ValueError("there is no surface at any energy")
    points = np.concatenate([surface.points for surface in surfaces])
    low, high = points.min(axis=0), points.max(axis=0)
    side = max(_SIDE * float((high - low).max()), 1e-6)
    neck = _widest_neck(topography)
    return _around(_busiest(surfaces, low, high, side) if neck is None else neck, side)


def clip(surface: StoredSurface, region: Region) -> tuple[Array, NDArray[np.integer], Array]:
    """Points, faces and mean curvature of the part of a surface in a box, triangles cut at its faces."""
    import pyvista as pv

    if not region.holds(surface.points).any():
        return np.empty((0, 3)), np.empty((0, 3), dtype=np.int64), np.empty(0)
    mesh: Any = pv.PolyData.from_regular_faces(np.asarray(surface.points, np.float64), np.asarray(surface.faces))
    mesh["mean_curvature"] = surface.values["mean_curvature"]
    for axis in range(3):
        for origin, sign in ((region.low, -1.0), (region.high, 1.0)):
            mesh = mesh.clip(normal=sign * np.eye(3)[axis], origin=origin)
    mesh = mesh.triangulate()
    return np.asarray(mesh.points), mesh.regular_faces, np.asarray(mesh["mean_curvature"])


def region_curvature(topography: StoredTopography, region: Region) -> tuple[Array, Array, Array]:
    """Of the vertices in a box at each energy: area, its mean of H, its share with H < 0; the last two NaN if none."""
    area, mean, negative = (np.full(len(topography.iso_energy), np.nan) for _ in range(3))
    area[:] = 0.0
    for i in topography.drawable:
        surface = topography.surface(i)
        # As in the shares and histograms of the whole: by one window for all vertices.
        curvature = surface.values.get("mean_curvature_fixed", surface.values["mean_curvature"])
        inside = region.holds(surface.points) & np.isfinite(curvature)
        weight = surface.values["vertex_area"][inside]
        if weight.sum() > 0:
            area[i] = weight.sum()
            mean[i] = np.average(curvature[inside], weights=weight)
            negative[i] = np.average(curvature[inside] < 0, weights=weight)
    return area, mean, negative


def _around(centre: Array, side: float) -> Region:
    return Region(centre - side / 2, centre + side / 2)


def _widest_neck(topography: StoredTopography) -> Array | None:
    """(x, y, z)"""
    position, width = topography.more.get("neck_position"), topography.more.get("neck_width")
    if position is None or width is None or position.ndim != 2 or not np.isfinite(width).any():
        return None
    return np.asarray(position[int(np.nanargmax(width))][::-1], dtype=np.float64)


def _busiest(surfaces: list[StoredSurface], low: Array, high: Array, side: float) -> Array:
    """Centre of the box; it is moved in steps of a third of its side."""
    cell = side / _CELLS
    counts = np.maximum(np.ceil((high - low) / cell).astype(int), _CELLS)
    edges = [start + cell * np.arange(count + 1) for start, count in zip(low, counts, strict=True)]
    areas, means = [], []
    for surface in surfaces:
        curvature, weight = surface.values["mean_curvature"], surface.values["vertex_area"]
        good = np.isfinite(curvature)
        points = surface.points[good]
        area = _boxes(np.histogramdd(points, edges, weights=weight[good])[0])
        total = _boxes(np.histogramdd(points, edges, weights=(weight * curvature)[good])[0])
        areas.append(area)
        means.append(total / np.maximum(area, 1e-12))
    common = np.minimum(areas[:-1], areas[1:]) if len(areas) > 1 else np.array(areas)
    change = np.abs(np.diff(means, axis=0)) if len(means) > 1 else np.abs(means)
    score = (common * change).sum(axis=0)
    # Boxes that stick out of the surfaces' extent lose.
    inner = tuple(slice(1, -1) for _ in range(3))
    best = np.array(np.unravel_index(int(np.argmax(score[inner])), score[inner].shape)) + 1
    return np.asarray(low + (best + 0.5) * cell)


def _boxes(cells: Array) -> Array:
    """Sum over the box of cells around each cell."""
    return np.asarray(ndimage.uniform_filter(cells, _CELLS, mode="constant") * _CELLS**3)
