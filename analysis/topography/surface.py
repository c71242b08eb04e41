"""Isosurfaces of a field with missing voxels, as triangle meshes, and what can be counted on a mesh."""

from dataclasses import dataclass

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from redoxscope.analysis.threads import in_threads
from redoxscope.analysis.topography.flying_edges import flying_edges

Floats = NDArray[np.floating]
Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Surface:
    """A triangle mesh; open where the field ends."""

    vertices: NDArray[np.float64]
    """(n, 3) in (z, y, x), µm from the centre of voxel (0, 0, 0)."""
    faces: Indices
    """(m, 3) vertex numbers."""


def isosurface(field: Floats, level: float, voxel_size: float = 1.0, *, min_area: float = 12.0) -> Surface:
    """Surface field = level, by flying edges (Schroeder et al., IEEE LDAV 33 (2015)).

    A cell with a missing corner holds no surface: none is drawn at the border of the particle, at cracks and voids.
    Vertices lie on the edges between voxels, where the cubic through four voxels takes the level. Faces are ordered
    such that their normal, by the right-hand rule in (x, y, z), points to larger values.

    Parameters
    ----------
    field : (z, y, x), NaN where missing
    level : in the field's units
    voxel_size : µm
    min_area : voxel²; smaller pieces are left out. A single deviating voxel makes at most 7.

    Raises
    ------
    ValueError
        If the field is not three-dimensional.
    """
    if field.ndim != 3:
        raise ValueError(f"the field has {field.ndim} dimensions: (z, y, x) is needed")
    nothing = Surface(np.empty((0, 3)), np.empty((0, 3), dtype=np.intp))
    if min(field.shape) < 2:
        return nothing
    values = np.ascontiguousarray(field, dtype=None if field.dtype in (np.float32, np.float64) else np.float64)
    low, high, gaps, equal = _look(values, level)
    if not (low.min() < level < high.max()):
        return nothing
    if equal.any():
        # Such a voxel would make faces without area: it is moved by the least there is.
        values = (values - level).astype(np.float32)
        values[values == 0] = np.finfo(np.float32).tiny
    vertices, faces = flying_edges(values, 0.0 if equal.any() else level)
    if gaps.any():
        whole = np.empty(len(faces), dtype=np.bool_)
        given = vertices, faces, values, whole
        in_threads(len(faces), lambda first, last: _in_whole_cells(first, last, *given))
        faces = faces[whole]
    if min_area > 0 and len(faces):
        count, member = components(faces)
        large = piece_areas(vertices, faces, member, count) >= min_area
        if not large.all():
            faces = faces[large[member[faces[:, 0]]]]
    vertices, faces = used_vertices(vertices, faces)
    in_threads(len(vertices), lambda first, last: _refine(first, last, field, level, vertices))
    vertices *= voxel_size
    return Surface(vertices, faces)


def components(faces: Indices) -> tuple[int, Indices]:
    """Number of connected pieces of a mesh, and the piece of each vertex (-1 for vertices without a face)."""
    if not faces.size:
        return 0, np.empty(0, dtype=np.intp)
    member = np.full(int(faces.max()) + 1, -1, dtype=np.intp)
    return int(_number_pieces(faces, member)), member


def euler_characteristic(faces: Indices) -> int:
    """Vertices - edges + faces of a mesh; vertices without a face do not count."""
    if not faces.size:
        return 0
    vertices, edges = _count(faces, int(faces.max()) + 1)
    return int(vertices - edges + len(faces))


def border_edges(faces: Indices) -> Indices:
    """(b, 2) vertex numbers of the edges that belong to one face only."""
    if not faces.size:
        return np.empty((0, 2), dtype=np.intp)
    return np.asarray(_border_edges(faces, int(faces.max()) + 1), dtype=np.intp)


def used_vertices(vertices: NDArray[np.float64], faces: Indices) -> tuple[NDArray[np.float64], Indices]:
    """A mesh without the vertices that no face has."""
    used = np.zeros(len(vertices), dtype=bool)
    used[faces.ravel()] = True
    if used.all():
        return vertices, faces
    return vertices[used], (np.cumsum(used) - 1)[faces]


def vertex_areas(vertices: Floats, faces: Indices) -> NDArray[np.float64]:
    """(n,) a third of the area of the triangles around each vertex, in the vertices' unit squared."""
    out = np.zeros(len(vertices))
    _spread(vertices, faces, out)
    return out


@njit(parallel=True, cache=True, nogil=True)
def _look(field: Floats, level: float) -> tuple[Floats, Floats, NDArray[np.bool_], NDArray[np.bool_]]:
    """Each plane's extremes, and whether in it a voxel is missing, or one is at the level."""
    low, high = np.full(len(field), np.inf), np.full(len(field), -np.inf)
    gaps, equal = np.zeros(len(field), np.bool_), np.zeros(len(field), np.bool_)
    for z in prange(len(field)):
        least, most, missing, at = np.inf, -np.inf, False, False
        for y in range(field.shape[1]):
            for x in range(field.shape[2]):
                value = np.float64(field[z, y, x])
                missing |= not np.isfinite(value)
                at |= value == level
                least = value if value < least else least
                most = value if value > most else most
        low[z], high[z], gaps[z], equal[z] = least, most, missing, at
    return low, high, gaps, equal


@njit(cache=True, nogil=True)
def _in_whole_cells(
    first: int, last: int, vertices: Floats, faces: Indices, field: Floats, out: NDArray[np.bool_]
) -> None:
    """(m,) whether all eight corners of a face's cell are known."""
    nz, ny, nx = field.shape
    for f in range(first, last):
        a, b, c = vertices[faces[f, 0]], vertices[faces[f, 1]], vertices[faces[f, 2]]
        if np.isnan(a[0] + a[1] + a[2] + b[0] + b[1] + b[2] + c[0] + c[1] + c[2]):
            out[f] = False
            continue
        z = min(int(np.floor((a[0] + b[0] + c[0]) / 3)), nz - 2)
        y = min(int(np.floor((a[1] + b[1] + c[1]) / 3)), ny - 2)
        x = min(int(np.floor((a[2] + b[2] + c[2]) / 3)), nx - 2)
        known = True
        for i in range(8):
            known &= np.isfinite(field[z + (i >> 2), y + (i >> 1 & 1), x + (i & 1)])
        out[f] = known


@njit(cache=True, nogil=True)
def _refine(first: int, last: int, field: Floats, level: float, vertices: NDArray[np.float64]) -> None:
    """Move each vertex along its voxel edge to where the cubic through four voxels on it takes the level."""
    for p in range(first, last):
        axis = -1
        for i in range(3):
            if vertices[p, i] != np.floor(vertices[p, i]):
                axis = i
        if axis < 0:
            continue
        base = int(np.floor(vertices[p, axis]))
        if base < 1 or base + 2 >= field.shape[axis]:
            continue
        z, y, x = int(vertices[p, 0]), int(vertices[p, 1]), int(vertices[p, 2])
        sz, sy, sx = int(axis == 0), int(axis == 1), int(axis == 2)
        a, b = field[z - sz, y - sy, x - sx] - level, field[z, y, x] - level
        c, d = field[z + sz, y + sy, x + sx] - level, field[z + 2 * sz, y + 2 * sy, x + 2 * sx] - level
        if not (np.isfinite(a) and np.isfinite(d)):
            continue
        c3, c2 = (d - a) / 6 + (b - c) / 2, (a + c) / 2 - b
        c1 = c - b - c2 - c3
        t = vertices[p, axis] - base
        for _ in range(3):
            slope = c1 + t * (2 * c2 + 3 * t * c3)
            if slope == 0:
                break
            t = min(max(t - (b + t * (c1 + t * (c2 + t * c3))) / slope, 0.0), 1.0)
        vertices[p, axis] = base + t


@njit(cache=True, nogil=True)
def _number_pieces(faces: Indices, parent: Indices) -> int:
    """The piece of each vertex in place of -1, by union-find, and how many there are."""
    for f in range(len(faces)):
        top = -1
        for i in range(3):
            v = faces[f, i]
            if parent[v] < 0:
                parent[v] = v
            while parent[v] != v:
                parent[v] = parent[parent[v]]
                v = parent[v]
            if top < 0:
                top = v
            elif v < top:
                parent[top] = v
                top = v
            else:
                parent[v] = top
    count = 0
    for v in range(parent.size):
        # A root is the smallest of its piece, so the one above, if not the vertex itself, has its number already.
        if parent[v] == v:
            parent[v] = count
            count += 1
        elif parent[v] >= 0:
            parent[v] = parent[parent[v]]
    return count


@njit(cache=True, nogil=True)
def _file_edges(faces: Indices, size: int) -> tuple[Indices, Indices, NDArray[np.bool_]]:
    """Each face's edges filed under their smaller end: the other ends, and where each file starts; vertices used."""
    start = np.zeros(size + 1, dtype=np.int64)
    seen = np.zeros(size, dtype=np.bool_)
    for f in range(len(faces)):
        for i in range(3):
            a, b = faces[f, i], faces[f, (i + 1) % 3]
            seen[a] = True
            start[min(a, b) + 1] += 1
    start = np.cumsum(start)
    place = start[:-1].copy()
    ends = np.empty(start[-1], dtype=np.int64)
    for f in range(len(faces)):
        for i in range(3):
            a, b = faces[f, i], faces[f, (i + 1) % 3]
            ends[place[min(a, b)]] = max(a, b)
            place[min(a, b)] += 1
    return ends, start, seen


@njit(cache=True, nogil=True)
def _count(faces: Indices, size: int) -> tuple[int, int]:
    """Distinct vertices and edges."""
    ends, start, seen = _file_edges(faces, size)
    edges = 0
    for v in range(size):
        for i in range(start[v], start[v + 1]):
            new = True
            for j in range(start[v], i):
                new &= ends[j] != ends[i]
            edges += new
    return seen.sum(), edges


@njit(cache=True, nogil=True)
def _border_edges(faces: Indices, size: int) -> Indices:
    ends, start, _ = _file_edges(faces, size)
    out = np.empty((len(ends), 2), dtype=np.int64)
    n = 0
    for v in range(size):
        for i in range(start[v], start[v + 1]):
            times = 0
            for j in range(start[v], start[v + 1]):
                times += ends[j] == ends[i]
            if times == 1:
                out[n, 0], out[n, 1] = v, ends[i]
                n += 1
    return out[:n].copy()


@njit(cache=True, nogil=True)
def _face_area(vertices: Floats, face: Indices) -> float:
    o, a, b = vertices[face[0]], vertices[face[1]], vertices[face[2]]
    z1, y1, x1, z2, y2, x2 = a[0] - o[0], a[1] - o[1], a[2] - o[2], b[0] - o[0], b[1] - o[1], b[2] - o[2]
    return float(np.sqrt((y1 * x2 - x1 * y2) ** 2 + (x1 * z2 - z1 * x2) ** 2 + (z1 * y2 - y1 * z2) ** 2) / 2)


@njit(cache=True, nogil=True)
def piece_areas(vertices: Floats, faces: Indices, member: Indices, count: int) -> NDArray[np.float64]:
    """Area of each piece of a mesh, as `components` has numbered them."""
    out = np.zeros(count)
    for f in range(len(faces)):
        out[member[faces[f, 0]]] += _face_area(vertices, faces[f])
    return out


@njit(cache=True, nogil=True)
def _spread(vertices: Floats, faces: Indices, out: NDArray[np.float64]) -> None:
    for f in range(len(faces)):
        third = _face_area(vertices, faces[f]) / 3
        for i in range(3):
            out[faces[f, i]] += third
