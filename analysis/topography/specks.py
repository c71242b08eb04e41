"""Pieces of a surface: which are more than noise.

A small piece may be a nucleus or the last of an island, or the end of a domain that the particle's border has cut off,
or it may be noise, or what the smoothing makes of a single voxel that is far off. Noise does not lift the smoothed
field over a level by several of its standard deviations, and a single voxel does not bring its neighbours with it.
Where the field is nearly constant and close to the level, as far behind a front, noise makes larger pieces, too.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from redoxscope.analysis.topography.surface import Surface, components, piece_areas, used_vertices

Floats = NDArray[np.floating]
Doubles = NDArray[np.float64]
Indices = NDArray[np.intp]

SMALLEST = 8.0
"""Voxel²; a single deviating voxel makes at most 7 without being smoothed."""
_DEPTH = 3.0
"""Standard deviations of the smoothed field by which it has to pass the level inside the piece."""
_SURE = 20.0
"""Times `large`; even larger pieces are taken for granted."""
_FLAT = 0.2
"""A piece that bends round its middle by less than this part of what a sphere does has no inside."""
_SHARE = 1 / 3
"""Of the voxels inside that have to be on the piece's side of the level before smoothing, too."""


def without_specks(
    surface: Surface, smooth: Floats, field: Floats, level: float, offset: float, noise: float, large: float
) -> Surface:
    """A surface without the pieces that noise may have made.

    Parameters
    ----------
    surface : in index units
    smooth : (z, y, x) the field whose level set it is, minus `offset`; NaN where missing
    field : (z, y, x) before smoothing
    level, offset : in the field's units
    noise : standard deviation of the smoothed field
    large : voxel² from which on a piece is not made by a single voxel
    """
    count, member = components(surface.faces)
    if not count:
        return surface
    area = piece_areas(surface.vertices, surface.faces, member, count)
    keep = area >= _SURE * large
    unsure = ~keep & (area >= SMALLEST)
    if unsure.any():
        middle, side = np.zeros((count, 3)), np.zeros(count)
        _shapes(surface.vertices, surface.faces, member, unsure, middle, side)
        _look_inside(area, middle, side, unsure, smooth, level - offset, field, level, _DEPTH * noise, large, keep)
        # The middle of a front across a hollow particle lies in the hollow.
        again = unsure & ~keep & (area >= large)
        if again.any():
            depth = np.zeros((2, count))
            _look_along(surface.vertices, surface.faces, member, again, area, smooth, level - offset, depth)
            flat = np.abs(side) < _FLAT * 2 * area * np.sqrt(area / (4 * np.pi))
            inner = np.where(side > 0, depth[0], depth[1])
            keep |= again & (np.where(flat, depth.min(axis=0), inner) >= _DEPTH * noise)
    if keep.all():
        return surface
    vertices, faces = used_vertices(surface.vertices, surface.faces[keep[member[surface.faces[:, 0]]]])
    return Surface(vertices, faces)


@njit(cache=True, nogil=True)
def _shapes(
    vertices: Floats, faces: Indices, member: Indices, wanted: NDArray[np.bool_], middle: Doubles, side: Doubles
) -> None:
    """Centre (z, y, x) of each piece that is wanted, and whether larger values are outside (positive) or inside."""
    corners = np.zeros(len(wanted))
    for turn in range(2):
        for f in range(len(faces)):
            piece = member[faces[f, 0]]
            if not wanted[piece]:
                continue
            o, a, b = vertices[faces[f, 0]], vertices[faces[f, 1]], vertices[faces[f, 2]]
            if turn == 0:
                corners[piece] += 3
                for i in range(3):
                    middle[piece, i] += o[i] + a[i] + b[i]
            else:
                p, q, m = a - o, b - o, (o + a + b) / 3 - middle[piece]
                # In (x, y, z) the right-hand rule holds.
                nz, ny, nx = p[2] * q[1] - p[1] * q[2], p[0] * q[2] - p[2] * q[0], p[1] * q[0] - p[0] * q[1]
                side[piece] += nz * m[0] + ny * m[1] + nx * m[2]
        if turn == 0:
            for piece in range(len(wanted)):
                for i in range(3):
                    middle[piece, i] /= max(corners[piece], 1.0)


@njit(cache=True, nogil=True)
def _look_inside(
    areas: Doubles, middle: Doubles, side: Doubles, unsure: NDArray[np.bool_], smooth: Floats, target: float,
    field: Floats, level: float, least: float, large: float, keep: NDArray[np.bool_],
) -> None:  # fmt: skip
    """Keep pieces inside which the smoothed field passes the level by far and, if they are small, the field often."""
    for i in range(len(areas)):
        if not unsure[i]:
            continue
        cz, cy, cx = middle[i]
        radius = 1.2 * np.sqrt(areas[i] / (4 * np.pi)) + 0.5
        deepest, inside, alike = 0.0, 0, 0
        for z in range(max(int(cz - radius), 0), min(int(cz + radius) + 2, smooth.shape[0])):
            for y in range(max(int(cy - radius), 0), min(int(cy + radius) + 2, smooth.shape[1])):
                for x in range(max(int(cx - radius), 0), min(int(cx + radius) + 2, smooth.shape[2])):
                    away = (z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2
                    value = (target - smooth[z, y, x]) * np.sign(side[i])
                    if away > radius * radius or not value > 0:
                        continue
                    inside += 1
                    deepest = max(deepest, value)
                    alike += (level - field[z, y, x]) * np.sign(side[i]) > 0
        keep[i] = deepest >= least and (areas[i] >= large or alike > _SHARE * inside)


@njit(cache=True, nogil=True)
def _look_along(
    vertices: Floats, faces: Indices, member: Indices, wanted: NDArray[np.bool_], areas: Doubles, smooth: Floats,
    target: float, depth: Doubles,
) -> None:  # fmt: skip
    """How far the smoothed field passes the level below and above each piece (2, piece), along its normals."""
    for f in range(len(faces)):
        piece = member[faces[f, 0]]
        if not wanted[piece]:
            continue
        o, a, b = vertices[faces[f, 0]], vertices[faces[f, 1]], vertices[faces[f, 2]]
        p, q, m = a - o, b - o, (o + a + b) / 3
        # In (x, y, z) the right-hand rule holds.
        nz, ny, nx = p[2] * q[1] - p[1] * q[2], p[0] * q[2] - p[2] * q[0], p[1] * q[0] - p[0] * q[1]
        length = np.sqrt(nz * nz + ny * ny + nx * nx)
        if not length > 0:
            continue
        for up in range(2):
            sign = 2 * up - 1
            for s in range(1, int(1.2 * np.sqrt(areas[piece] / (4 * np.pi))) + 2):
                step = sign * s / length
                z, y, x = int(m[0] + step * nz + 0.5), int(m[1] + step * ny + 0.5), int(m[2] + step * nx + 0.5)
                if min(z, y, x) < 0 or z >= smooth.shape[0] or y >= smooth.shape[1] or x >= smooth.shape[2]:
                    break
                value = (smooth[z, y, x] - target) * sign
                # Missing, or beyond another surface; the first voxel may be this one's own.
                if np.isnan(value) or (s > 1 and value <= 0):
                    break
                depth[up, piece] = max(depth[up, piece], value)
