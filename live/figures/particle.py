"""The particle's own shape, for the pictures: its outline, and the outline with a corner cut out."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import marching_cubes

from redoxscope.live.figures import style
from redoxscope.live.figures.rendering import Layer
from redoxscope.live.stored import Array, Solid

_PAD = 3
_SIGMA, _SLIGHTLY = 1.2, 0.7
_LARGEST = 200
"""Voxels along an edge; of a larger volume every second, third … voxel makes the picture."""


def bounds(solid: Solid) -> Array:
    """(2, 3) the low and high corner, (x, y, z), of the box that holds the particle; of the volume if it is empty."""
    known = np.isfinite(solid.edge_energy)
    ends = []
    for axis in range(3):
        inside = np.flatnonzero(known.any(axis=tuple({0, 1, 2} - {axis})))
        ends.append((inside[0], inside[-1]) if inside.size else (0, known.shape[axis] - 1))
    return np.array(ends, dtype=np.float64)[::-1].T * solid.voxel


def coarse(solid: Solid) -> Solid:
    """The same volume with few enough voxels to draw."""
    step = -(-max(solid.edge_energy.shape) // _LARGEST)
    return solid if step == 1 else Solid(solid.edge_energy[::step, ::step, ::step], solid.voxel * step, solid.unit)


def outline(solid: Solid) -> tuple[Array, NDArray[np.integer]]:
    """Points (x, y, z) and faces of the particle's smoothed border; empty if there is none."""
    smooth = _smooth(solid)
    if not smooth.max() > 0.5:
        return np.empty((0, 3)), np.empty((0, 3), dtype=np.int64)
    points, faces, _, _ = marching_cubes(smooth, 0.5)
    return np.ascontiguousarray((points[:, ::-1] - _PAD) * solid.voxel), faces


def _smooth(solid: Solid, sigma: float = _SIGMA) -> Array:
    """What is known, smoothed over so many voxels: above 0.5 inside. Padded by `_PAD`."""
    known = np.pad(np.isfinite(solid.edge_energy), _PAD).astype(np.float32)
    return np.asarray(ndimage.gaussian_filter(known, sigma))


def cutaway(solid: Solid, limits: tuple[float, float]) -> list[Layer]:
    """The particle's border coloured by its edge energy, its near upper quarter cut out to show what is inside."""
    points, faces = outline(solid)
    if not len(points):
        return []
    filled = _filled(solid.edge_energy)
    centre = np.array(ndimage.center_of_mass(np.isfinite(solid.edge_energy)))[::-1] * solid.voxel
    # Towards the camera: larger x, larger y, smaller z.
    signs = np.array([1.0, 1.0, -1.0])
    away = (points - centre) * signs
    points, faces = _clipped(points, faces, -away.min(axis=1))
    layers = [Layer(points, faces, _sample(filled, points, solid.voxel), limits, style.ENERGY_MAP)]
    # Cracks too narrow for the outline are left open.
    known = _smooth(solid, _SLIGHTLY)
    for axis in range(3):
        points, faces = _cap(known, solid.voxel, axis, centre, signs)
        values = _sample(filled, points, solid.voxel)
        layers.append(Layer(points, faces, values, limits, style.ENERGY_MAP, lit=False))
    return [*layers, _cut_edges(solid, centre, signs)]


def _cap(known: Array, voxel: float, axis: int, centre: Array, signs: Array) -> tuple[Array, NDArray[np.integer]]:
    """The face of the cut that stands across `axis` (x, y, z): a quarter plane through the centre, where it is known
    by `_smooth`.
    """
    first, second = (i for i in range(3) if i != axis)
    steps = np.arange(max(known.shape)) * voxel
    grid = np.empty((steps.size, steps.size, 3))
    grid[..., axis] = centre[axis]
    grid[..., first] = centre[first] + signs[first] * steps[:, None]
    grid[..., second] = centre[second] + signs[second] * steps
    points = grid.reshape(-1, 3)
    number = np.arange(len(points)).reshape(steps.size, steps.size)
    a, b, c, d = number[:-1, :-1], number[1:, :-1], number[1:, 1:], number[:-1, 1:]
    faces = np.concatenate([np.stack(corner, axis=-1).reshape(-1, 3) for corner in ((a, b, c), (a, c, d))])
    return _clipped(points, faces, _sample(known, points + _PAD * voxel, voxel, outside=0.0) - 0.5)


def _cut_edges(solid: Solid, centre: Array, signs: Array) -> Layer:
    """Thin lines where the faces of the cut meet, from the centre to the particle's border."""
    known = np.isfinite(solid.edge_energy).astype(np.float32)
    steps = np.arange(max(known.shape))[:, None]
    points = [centre]
    for axis in range(3):
        path = centre + steps * solid.voxel * signs[axis] * np.eye(3)[axis]
        inside = np.flatnonzero(_sample(known, path, solid.voxel, outside=0.0) > 0.5)
        points.append(path[inside[-1]] if inside.size else centre)
    lines = np.array([(0, 1), (0, 2), (0, 3)])
    return Layer(np.array(points), np.empty((0, 3), dtype=np.int64), colour="#303030", lines=lines, width=0.7)


def _clipped(points: Array, faces: NDArray[np.integer], value: Array) -> tuple[Array, NDArray[np.integer]]:
    """The part of a mesh in which a value at its points is positive, triangles cut at zero."""
    import pyvista as pv

    mesh: Any = pv.PolyData.from_regular_faces(np.asarray(points, np.float64), np.asarray(faces))
    mesh["value"] = value
    part = mesh.clip_scalar(scalars="value", value=0.0, invert=False).triangulate()
    return np.asarray(part.points, dtype=np.float64), part.regular_faces


def _filled(field: Array) -> Array:
    """Missing voxels take the value of the nearest known one."""
    nearest = ndimage.distance_transform_edt(~np.isfinite(field), return_distances=False, return_indices=True)
    return np.asarray(field[tuple(nearest)])


def _sample(field: Array, points: Array, voxel: float, outside: float | None = None) -> Array:
    """Values at points (x, y, z); beyond the volume those at its border, or `outside`."""
    mode = {"mode": "nearest"} if outside is None else {"mode": "constant", "cval": outside}
    return np.asarray(ndimage.map_coordinates(field, points.T[::-1] / voxel, order=1, **mode))
