"""Where a surface ends: at the border of the known voxels, without the steps that these have.

A surface that is drawn in every cell of known voxels, and in no other, ends in steps: along an oblique border they cut
holes, bridges and points at which it only just hangs together, dozens of them, each of which its Euler characteristic
counts. So it is drawn a voxel farther and then cut along a smooth line: where a narrow window sees as much of what is
missing as at the centres of the outermost voxels of a flat border. Holes as small as the smallest piece are left whole:
a pore or the end of a crack that is hardly wider than a voxel makes or unmakes them by chance.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import ndimage

from redoxscope.analysis.threads import in_threads
from redoxscope.analysis.topography.smooth_field import ContinuedField, SmoothField, derivatives
from redoxscope.analysis.topography.specks import SMALLEST
from redoxscope.analysis.topography.surface import (
    Surface,
    border_edges,
    components,
    used_vertices,
    vertex_areas,
)

Floats = NDArray[np.floating]
Image = NDArray[np.float32]

_WINDOW = 0.8
"""Voxels, σ. Narrower, it follows the steps: the narrower, the more often the Euler characteristic of a cracked
particle's fronts changes with the level (at 0.7 1.6 times as often as at 1.0); wider, it leaves nothing of what is two
voxels thick."""
_SHARE = 0.72
"""Known of what it sees; at the centres mentioned it is 0.75, in a layer of two voxels 0.73. Farther out, what partial
voxels mix bends the surface: cut at one half, its area is exact, but after tomography H < 0 is found on up to 0.03 too
much of it."""
_REACH = 3
"""Voxels that the window sees to each side."""


def up_to_border(field: SmoothField) -> Image:
    """(z, y, x) values of a smooth field, also at the missing voxels beside known ones (NaN at all others)."""
    known = np.isfinite(field.values)
    beside = np.nonzero(ndimage.binary_dilation(known, np.ones((3, 3, 3))) & ~known)
    out = field.values.copy()
    out[beside] = derivatives(field, np.stack(beside, axis=1))[0]
    return out


def ended(surface: Surface, whole: ContinuedField) -> Surface:
    """The part of a surface that lies within the border.

    Parameters
    ----------
    surface : in index units of the field
    whole : the field that it is one of, smoothed or not
    """
    height = known_share(whole.depth, surface.vertices - whole.origin) - _SHARE
    height[_small_holes(surface, height <= 0)] = _SHARE
    return _cut(surface, height)


def _small_holes(surface: Surface, outside: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Vertices of the parts that lie `outside` (n,), but are small, complete and surrounded by the rest."""
    faces = surface.faces[outside[surface.faces].any(axis=1)]
    corner = outside[faces]
    # Joined by what connects them outside only.
    first = faces[np.arange(len(faces)), corner.argmax(axis=1)]
    count, member = components(np.where(corner, faces, first[:, None]))
    vertices = np.flatnonzero(member >= 0)
    area = np.bincount(member[vertices], vertex_areas(surface.vertices, faces)[vertices], count)
    inner = np.zeros(count, dtype=np.bool_)
    inner[member[first[~corner.all(axis=1)]]] = True
    ends = border_edges(faces).ravel()
    inner[member[ends[outside[ends]]]] = False
    return vertices[(inner & (area < SMALLEST))[member[vertices]]]


def _cut(surface: Surface, height: Floats) -> Surface:
    """The part of a surface where what is linear between `height` (n,) at the vertices is positive."""
    vertices, faces, inside = surface.vertices, surface.faces, height > 0
    corners = inside[faces].sum(axis=1)
    cut = (corners == 1) | (corners == 2)
    if not cut.any():
        return surface if inside.all() else Surface(*used_vertices(vertices, faces[corners == 3]))
    # Each of these turned such that the corner that is alone on its side of the border comes first.
    one = corners[cut] == 1
    alone = np.argmax(inside[faces[cut]] == one[:, None], axis=1)
    a, b, c = (faces[cut][np.arange(len(one)), (alone + i) % 3] for i in range(3))
    ends = np.sort(np.stack([np.tile(a, 2), np.append(b, c)], axis=1), axis=1)
    edges, number = np.unique(ends[:, 0] * len(vertices) + ends[:, 1], return_inverse=True)
    low, high = edges // len(vertices), edges % len(vertices)
    along = (height[low] / (height[low] - height[high]))[:, None]
    p, q = len(vertices) + number.reshape(2, -1)
    rest = [np.stack([a, p, q], axis=1)[one], np.stack([p, b, c], axis=1)[~one], np.stack([p, c, q], axis=1)[~one]]
    border = (1 - along) * vertices[low] + along * vertices[high]
    return Surface(*used_vertices(np.concatenate([vertices, border]), np.concatenate([faces[corners == 3], *rest])))


def known_share(depth: Image, points: Floats) -> NDArray[np.float64]:
    """(n,) how much of what a narrow Gaussian window sees at each of the points (n, 3) is known, 0 to 1.

    Parameters
    ----------
    depth : (z, y, x) distance to the nearest missing voxel, 0 where missing, with a margin of missing ones
    points : in its index units
    """
    out = np.ones(len(points))
    in_threads(len(points), lambda first, last: _share(first, last, depth, points, out))
    return out


@njit(cache=True, nogil=True)
def _share(first: int, last: int, depth: Image, points: Floats, out: NDArray[np.float64]) -> None:
    for p in range(first, last):
        z, y, x = (int(points[p, 0] + 0.5), int(points[p, 1] + 0.5), int(points[p, 2] + 0.5))
        if depth[z, y, x] > 2 * _REACH:
            continue
        weight = np.empty((3, 2 * _REACH + 1))
        for axis in range(3):
            away, total = points[p, axis] - int(points[p, axis] + 0.5), 0.0
            for i in range(2 * _REACH + 1):
                weight[axis, i] = np.exp(-0.5 * ((i - _REACH - away) / _WINDOW) ** 2)
                total += weight[axis, i]
            for i in range(2 * _REACH + 1):
                weight[axis, i] /= total
        share = 0.0
        for i in range(2 * _REACH + 1):
            for j in range(2 * _REACH + 1):
                row = 0.0
                for k in range(2 * _REACH + 1):
                    row += weight[2, k] * (depth[z + i - _REACH, y + j - _REACH, x + k - _REACH] > 0)
                share += weight[0, i] * weight[1, j] * row
        out[p] = share
