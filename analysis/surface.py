"""Isosurfaces of a field with missing voxels, as triangle meshes, and what can be counted on a mesh.

Extraction is VTK's flying edges: at 200³ a fifth of the CPU time of scikit-image's marching cubes, with the same
vertices and faces. Neither knows of missing voxels: cells with a missing corner are taken out afterwards.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray
from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
from vtkmodules.vtkCommonDataModel import vtkImageData
from vtkmodules.vtkFiltersCore import vtkFlyingEdges3D

Floats = NDArray[np.floating]
Image = NDArray[np.float32]
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
    # A float32 near 8341 eV resolves a meV only: the level comes off first. Exact zeros would make faces without area.
    relative = (field - level).astype(np.float32, copy=False)
    known = np.isfinite(relative)
    filled = np.where(known, relative, np.float32(0))
    if not (filled.min() < 0 < filled.max()):
        return nothing
    filled[filled == 0] = np.finfo(np.float32).tiny
    vertices, faces = _flying_edges(filled)
    if not known.all():
        faces = faces[_in_whole_cells(vertices, faces, known)]
    count, member = components(faces)
    if count:
        area = np.bincount(member[faces[:, 0]], weights=_face_areas(vertices, faces), minlength=count)
        faces = faces[area[member[faces[:, 0]]] >= min_area]
    vertices, faces = _used(vertices, faces)
    _refine(relative, vertices)
    return Surface(vertices * voxel_size, faces)


def components(faces: Indices) -> tuple[int, Indices]:
    """Number of connected pieces of a mesh, and the piece of each vertex (-1 for vertices without a face)."""
    if not faces.size:
        return 0, np.empty(0, dtype=np.intp)
    root = _roots(faces, int(faces.max()) + 1)
    used = root >= 0
    first, number = np.unique(root[used], return_inverse=True)
    member = np.full(root.size, -1, dtype=np.intp)
    member[used] = number
    return int(first.size), member


def euler_characteristic(faces: Indices) -> int:
    """Vertices - edges + faces of a mesh; vertices without a face do not count."""
    if not faces.size:
        return 0
    vertices, edges = _count(faces, int(faces.max()) + 1)
    return int(vertices - edges + len(faces))


def vertex_areas(vertices: Floats, faces: Indices) -> NDArray[np.float64]:
    """(n,) a third of the area of the triangles around each vertex, in the vertices' unit squared."""
    out = np.zeros(len(vertices))
    _spread(faces, _face_areas(vertices, faces), out)
    return out


def _flying_edges(field: Image) -> tuple[NDArray[np.float64], Indices]:
    """Vertices (n, 3) in (z, y, x) index units and faces (m, 3) of field = 0; the field is finite."""
    grid = vtkImageData()
    grid.SetDimensions(*field.shape[::-1])
    flat = np.ascontiguousarray(field).ravel()
    grid.GetPointData().SetScalars(numpy_to_vtk(flat))  # which keeps `flat` alive
    contour = vtkFlyingEdges3D()
    contour.SetInputData(grid)
    contour.SetValue(0, 0.0)
    contour.ComputeNormalsOff()
    contour.ComputeScalarsOff()
    contour.Update()
    mesh = contour.GetOutput()
    if not mesh.GetNumberOfPolys():
        return np.empty((0, 3)), np.empty((0, 3), dtype=np.intp)
    vertices = vtk_to_numpy(mesh.GetPoints().GetData())[:, ::-1].astype(np.float64)
    faces = vtk_to_numpy(mesh.GetPolys().GetConnectivityArray()).reshape(-1, 3)
    # VTK's normals point to smaller values.
    return vertices, faces[:, ::-1].astype(np.intp)


@njit(cache=True, nogil=True)
def _in_whole_cells(vertices: Floats, faces: Indices, known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(m,) whether all eight corners of a face's cell are known."""
    out = np.ones(len(faces), dtype=np.bool_)
    for f in range(len(faces)):
        a, b, c = faces[f]
        corner = np.floor((vertices[a] + vertices[b] + vertices[c]) / 3).astype(np.intp)
        z, y, x = (
            min(corner[0], known.shape[0] - 2),
            min(corner[1], known.shape[1] - 2),
            min(corner[2], known.shape[2] - 2),
        )
        for i in range(8):
            out[f] &= known[z + (i >> 2), y + (i >> 1 & 1), x + (i & 1)]
    return out


def _used(vertices: NDArray[np.float64], faces: Indices) -> tuple[NDArray[np.float64], Indices]:
    """Without the vertices that no face has."""
    used = np.zeros(len(vertices), dtype=bool)
    used[faces.ravel()] = True
    if used.all():
        return vertices, faces
    return vertices[used], (np.cumsum(used) - 1)[faces]


@njit(parallel=True, cache=True, nogil=True)
def _refine(field: Image, vertices: NDArray[np.float64]) -> None:
    """Move each vertex along its voxel edge to where the cubic through the four nearest voxels on it is zero."""
    for p in prange(len(vertices)):
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
        a, b = field[z - sz, y - sy, x - sx], field[z, y, x]
        c, d = field[z + sz, y + sy, x + sx], field[z + 2 * sz, y + 2 * sy, x + 2 * sx]
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
def _roots(faces: Indices, size: int) -> Indices:
    """A vertex of its piece for each vertex, the same all over the piece, -1 without a face: union-find."""
    parent = np.full(size, -1, dtype=np.intp)
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
    for v in range(size):
        # A root is the smallest of its piece, so it has been settled already.
        if parent[v] >= 0:
            parent[v] = parent[parent[v]]
    return parent


@njit(cache=True, nogil=True)
def _count(faces: Indices, size: int) -> tuple[int, int]:
    """Distinct vertices and edges: each edge is filed under its smaller end."""
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
    edges = 0
    for v in range(size):
        for i in range(start[v], start[v + 1]):
            new = True
            for j in range(start[v], i):
                new &= ends[j] != ends[i]
            edges += new
    return seen.sum(), edges


@njit(parallel=True, cache=True, nogil=True)
def _face_areas(vertices: Floats, faces: Indices) -> NDArray[np.float64]:
    out = np.empty(len(faces))
    for f in prange(len(faces)):
        o, a, b = vertices[faces[f, 0]], vertices[faces[f, 1]], vertices[faces[f, 2]]
        z1, y1, x1, z2, y2, x2 = a[0] - o[0], a[1] - o[1], a[2] - o[2], b[0] - o[0], b[1] - o[1], b[2] - o[2]
        out[f] = np.sqrt((y1 * x2 - x1 * y2) ** 2 + (x1 * z2 - z1 * x2) ** 2 + (z1 * y2 - y1 * z2) ** 2) / 2
    return out


@njit(cache=True, nogil=True)
def _spread(faces: Indices, areas: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    for f in range(len(faces)):
        for i in range(3):
            out[faces[f, i]] += areas[f] / 3
