"""Isosurfaces of a field with missing voxels, as triangle meshes, and what can be counted on a mesh."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from skimage.measure import marching_cubes

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
    """Surface field = level, by marching cubes (Lewiner et al., J. Graph. Tools 8, 1 (2003)).

    A cell with a missing corner holds no surface: none is drawn at the border of the particle, at cracks and voids.
    Faces are ordered such that their normal, by the right-hand rule in (x, y, z), points to larger values.

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
    known = np.isfinite(field)
    if min(field.shape) < 2 or not known.any():
        return nothing
    relative = np.where(known, field - level, 0).astype(np.float32)
    if not (relative.min() < 0 < relative.max()):
        return nothing
    # Marching cubes on the particle's box only; what it draws into missing cells goes afterwards.
    box = tuple(slice(max(s.start - 1, 0), s.stop + 1) for s in ndimage.find_objects(known.view(np.uint8))[0])
    whole = _whole_cells(known[box])
    try:
        vertices, faces, _, _ = marching_cubes(
            relative[box], 0.0, gradient_direction="ascent", allow_degenerate=False,
            mask=None if known.all() else ndimage.binary_dilation(known[box], np.ones((3, 3, 3))),
        )  # fmt: skip
    except RuntimeError:  # no surface in the known cells
        return nothing
    cell = np.floor(vertices[faces].mean(axis=1)).astype(np.intp)
    cell = np.minimum(cell, np.array(whole.shape) - 1)
    kept = faces[whole[tuple(cell.T)]].astype(np.intp)
    count, member = components(kept)
    if count:
        area = np.bincount(member[kept[:, 0]], weights=_face_area(vertices, kept), minlength=count)
        kept = kept[area[member[kept[:, 0]]] >= min_area]
    used, faces = np.unique(kept, return_inverse=True)
    corner = np.array([s.start for s in box])
    return Surface((vertices[used].astype(np.float64) + corner) * voxel_size, faces.reshape(-1, 3))


def components(faces: Indices) -> tuple[int, Indices]:
    """Number of connected pieces of a mesh, and the piece of each vertex (-1 for vertices without a face)."""
    if not faces.size:
        return 0, np.empty(0, dtype=np.intp)
    used, corners = np.unique(faces, return_inverse=True)
    f = corners.reshape(-1, 3)
    links = (np.ones(2 * len(f), dtype=bool), (np.r_[f[:, 0], f[:, 1]], np.r_[f[:, 1], f[:, 2]]))
    count, label = connected_components(coo_array(links, shape=(used.size, used.size)), directed=False)
    member = np.full(int(used[-1]) + 1, -1, dtype=np.intp)
    member[used] = label
    return int(count), member


def euler_characteristic(faces: Indices) -> int:
    """Vertices - edges + faces of a mesh; vertices without a face do not count."""
    ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).astype(np.int64)
    edges = ends.min(axis=1) * (int(ends.max(initial=0)) + 1) + ends.max(axis=1)
    return int(np.unique(faces).size - np.unique(edges).size + len(faces))


def vertex_areas(vertices: Floats, faces: Indices) -> NDArray[np.float64]:
    """(n,) a third of the area of the triangles around each vertex, in the vertices' unit squared."""
    third = np.repeat(_face_area(vertices, faces) / 3, 3)
    return np.bincount(faces.ravel(), weights=third, minlength=len(vertices)).astype(np.float64)


def _whole_cells(known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(z-1, y-1, x-1): whether all eight corners of a cell are known."""
    whole = known
    for axis in range(3):
        n = whole.shape[axis]
        whole = whole.take(range(n - 1), axis) & whole.take(range(1, n), axis)
    return whole


def _face_area(vertices: Floats, faces: Indices) -> NDArray[np.float64]:
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    return np.asarray(np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2, dtype=np.float64)
