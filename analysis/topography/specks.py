"""Small pieces of a surface: which are more than noise.

A large piece is no speck. A small one may be a nucleus or the last of an island, or the end of a domain that the
particle's border has cut off, or it may be noise, or what the smoothing makes of a single voxel that is far off. Noise
does not lift the smoothed field over a level by several of its standard deviations, and a single voxel does not bring
its neighbours with it.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from redoxscope.analysis.topography.surface import Surface, components, used_vertices

Floats = NDArray[np.floating]
Doubles = NDArray[np.float64]
Indices = NDArray[np.intp]

_DEPTH = 3.0
"""Standard deviations of the smoothed field by which it has to pass the level inside the piece."""
_SHARE = 1 / 3
"""Of the voxels inside that have to be on the piece's side of the level before smoothing, too."""


def without_specks(
    surface: Surface, smooth: Floats, field: Floats, level: float, offset: float, noise: float, large: float
) -> Surface:
    """A surface without the small pieces that noise may have made.

    Parameters
    ----------
    surface : in index units
    smooth : (z, y, x) the field whose level set it is, minus `offset`; NaN where missing
    field : (z, y, x) before smoothing
    level, offset : in the field's units
    noise : standard deviation of the smoothed field
    large : voxel² from which on a piece is no speck
    """
    count, member = components(surface.faces)
    if not count:
        return surface
    shape = np.zeros((count, 5))
    _shapes(surface.vertices, surface.faces, member, shape)
    keep = shape[:, 0] >= large
    _look_inside(shape, smooth, level - offset, field, level, _DEPTH * noise, keep)
    if keep.all():
        return surface
    vertices, faces = used_vertices(surface.vertices, surface.faces[keep[member[surface.faces[:, 0]]]])
    return Surface(vertices, faces)


@njit(cache=True, nogil=True)
def _shapes(vertices: Floats, faces: Indices, member: Indices, out: Doubles) -> None:
    """Area, centre (z, y, x), and whether larger values are outside (positive) or inside, of each piece."""
    for turn in range(2):
        for f in range(len(faces)):
            o, a, b = vertices[faces[f, 0]], vertices[faces[f, 1]], vertices[faces[f, 2]]
            p, q = a - o, b - o
            # In (x, y, z) the right-hand rule holds.
            nz, ny, nx = p[2] * q[1] - p[1] * q[2], p[0] * q[2] - p[2] * q[0], p[1] * q[0] - p[0] * q[1]
            area = 0.5 * np.sqrt(nz * nz + ny * ny + nx * nx)
            piece = out[member[faces[f, 0]]]
            if turn == 0:
                piece[0] += area
                for i in range(3):
                    piece[1 + i] += area * (o[i] + a[i] + b[i]) / 3
            else:
                middle = (o + a + b) / 3
                piece[4] += nz * (middle[0] - piece[1]) + ny * (middle[1] - piece[2]) + nx * (middle[2] - piece[3])
        if turn == 0:
            for piece in out:
                piece[1:4] /= max(piece[0], 1e-30)


@njit(cache=True, nogil=True)
def _look_inside(
    shape: Doubles, smooth: Floats, target: float, field: Floats, level: float, least: float, keep: NDArray[np.bool_]
) -> None:
    """Keep small pieces inside which the smoothed field passes the level by `least`, and the field does so often."""
    for i in range(len(shape)):
        if keep[i]:
            continue
        area, cz, cy, cx, side = shape[i]
        radius = 1.2 * np.sqrt(area / (4 * np.pi)) + 0.5
        deepest, inside, alike = 0.0, 0, 0
        for z in range(max(int(cz - radius), 0), min(int(cz + radius) + 2, smooth.shape[0])):
            for y in range(max(int(cy - radius), 0), min(int(cy + radius) + 2, smooth.shape[1])):
                for x in range(max(int(cx - radius), 0), min(int(cx + radius) + 2, smooth.shape[2])):
                    away = (z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2
                    value = (target - smooth[z, y, x]) * np.sign(side)
                    if away > radius * radius or not value > 0:
                        continue
                    inside += 1
                    deepest = max(deepest, value)
                    alike += (level - field[z, y, x]) * np.sign(side) > 0
        keep[i] = deepest >= least and alike > _SHARE * inside
