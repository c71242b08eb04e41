"""What is counted on surfaces of the front: areas, signs and histograms of their curvature, and their topology.

Everything is weighted by area. Pieces may end at the border of the particle; Gauss-Bonnet's sum then has a part of the
border, which is taken from the triangles.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from redoxscope.analysis.topography.bootstrap import share_interval
from redoxscope.analysis.topography.curvature import principal_curvatures
from redoxscope.analysis.topography.front_surfaces import FrontSurface
from redoxscope.analysis.topography.surface import border_edges, components, euler_characteristic, vertex_areas

Floats = NDArray[np.floating]
Doubles = NDArray[np.float64]

BINS = 100
SHAPE_BINS = 50
_BEYOND = 0.6
"""Voxels from where a surface is cut to where the particle ends, along the surface: 0.47 if it goes straight out,
more where it meets the border at a slant. With it, the areas of fronts in particles are 0.96 to 0.99 of the true ones,
without it 0.90 to 0.93."""
RANGE = 0.5
"""1/voxel, largest curvature of the default histograms: a sphere of two voxels' radius."""


@dataclass(frozen=True)
class Bins:
    """Edges of the histograms, ascending; what lies beyond the ends counts in the outermost bins."""

    mean: Doubles
    """(bin + 1,) 1/µm, of H"""
    gaussian: Doubles
    """(bin + 1,) 1/µm², of K"""
    shape: Doubles
    """(b + 1,) 1/µm, of κ₁ and κ₂"""

    @classmethod
    def make(cls, voxel_size: float, mean: ArrayLike | None = None) -> "Bins":
        """Default bins for a voxel size in µm, or given ones of the mean curvature.

        Raises ValueError if those do not ascend.
        """
        edges = np.linspace(-RANGE, RANGE, BINS + 1) / voxel_size if mean is None else np.asarray(mean, dtype=float)
        if edges.ndim != 1 or edges.size < 2 or not np.all(np.diff(edges) > 0):
            raise ValueError("the curvature histogram's edges must ascend and be at least two")
        # The squares of curvatures crowd about zero: half the range per length is enough.
        gaussian = np.linspace(-((RANGE / 2) ** 2), (RANGE / 2) ** 2, BINS + 1) / voxel_size**2
        return cls(edges, gaussian, np.linspace(-RANGE, RANGE, SHAPE_BINS + 1) / voxel_size)


@dataclass(frozen=True)
class ShapeStatistics:
    """Statistics of surfaces at several edge energies."""

    area: Doubles
    """(iso,) µm²; 0 without a surface."""
    positive: Doubles
    """(iso,) share of the area with H > 0; NaN without a surface."""
    negative: Doubles
    """(iso,) share of the area with H < 0; NaN without a surface."""
    positive_interval: Doubles
    """(iso, 2) 95 % interval of `positive`; see `bootstrap.share_interval`."""
    negative_interval: Doubles
    """(iso, 2)"""
    components: NDArray[np.int64]
    """(iso,) connected pieces of surface."""
    euler: NDArray[np.int64]
    """(iso,) Euler characteristic: 2 per closed piece without handles, 1 per open one, 1 less for each border that it
    has besides the first; the steps of the particle's border make none."""
    euler_from_curvature: Doubles
    """(iso,) the same by Gauss-Bonnet, (∫K dA + turning of the borders)/2π: how far they differ says how good K is."""
    curvature_histogram: Doubles
    """(iso, bin) share of the area per bin of H; each row sums to 1, a row without a surface is all 0."""
    gaussian_histogram: Doubles
    """(iso, bin) the same of K."""
    shape_distribution: Doubles
    """(iso, b, b) interfacial shape distribution: share of the area per bin of κ₁ (first) and κ₂ ≤ κ₁; sums to 1."""
    curvature_edges: Doubles
    """(bin + 1,) 1/µm"""
    gaussian_edges: Doubles
    """(bin + 1,) 1/µm²"""
    shape_edges: Doubles
    """(b + 1,) 1/µm"""


def shape_statistics(surfaces: Sequence[FrontSurface], bins: Bins, patch: float, voxel_size: float) -> ShapeStatistics:
    """Statistics of the front's surfaces.

    Parameters
    ----------
    surfaces : one per level
    bins : of the histograms
    patch : µm over which the smoothing joins vertices, for the bootstrap
    voxel_size : µm
    """
    rows = [_row(surface, bins, patch, voxel_size) for surface in surfaces]
    names = [f.name for f in fields(ShapeStatistics) if not f.name.endswith("_edges")]
    columns = {name: np.array([row[name] for row in rows]) for name in names}
    if not rows:
        empty = _row(None, bins, patch, voxel_size)
        columns = {name: np.empty((0, *np.shape(empty[name]))) for name in names}
    for name in ("components", "euler"):
        columns[name] = columns[name].astype(np.int64)
    return ShapeStatistics(**columns, curvature_edges=bins.mean, gaussian_edges=bins.gaussian, shape_edges=bins.shape)


def histogram_curvatures(surface: FrontSurface) -> tuple[Doubles, Doubles]:
    """Mean and Gaussian curvature (n,) that statistics are made of: those of one fixed window."""
    return surface.mean_curvature_fixed, surface.gaussian_curvature_fixed


def histogram_weights(surface: FrontSurface, voxel_size: float) -> Doubles:
    """µm² (n,) that each vertex stands for in statistics: its area, and that from the surface's end to the particle's.

    Curvature differs most at the border, and the strip beyond the surface's end is a twentieth of many a front.
    """
    edges = border_edges(surface.faces)
    ends = surface.vertices[edges]
    strip = _BEYOND * voxel_size * np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1)
    share = np.bincount(edges.ravel(), np.repeat(strip / 2, 2), len(surface.vertices))
    return np.asarray(surface.vertex_area + share, dtype=np.float64)


def clip(surface: FrontSurface, keep: NDArray[np.bool_]) -> FrontSurface:
    """The part of a surface whose triangles have all their vertices among `keep` (n,); areas are its own."""
    faces = surface.faces[keep[surface.faces].all(axis=1)]
    used, corners = np.unique(faces, return_inverse=True)
    per_vertex: dict[str, Any] = {
        f.name: value[used]
        for f in fields(surface)
        if f.name != "faces" and isinstance(value := getattr(surface, f.name), np.ndarray)
    }
    faces = corners.reshape(-1, 3).astype(surface.faces.dtype)
    per_vertex |= {"faces": faces, "vertex_area": vertex_areas(per_vertex["vertices"], faces)}
    return replace(surface, **per_vertex)


def gauss_bonnet(vertices: Floats, faces: NDArray[np.intp], vertex_area: Floats, gaussian: Floats) -> float:
    """Euler characteristic from K: (∫K dA + Σ over border vertices of (π - angles of the triangles there)) / 2π.

    Parameters
    ----------
    vertices : (n, 3)
    faces : (m, 3)
    vertex_area, gaussian : (n,); where K is NaN it counts as the mean of the rest
    """
    if not len(faces):
        return 0.0
    known = np.isfinite(gaussian)
    covered = vertex_area[known].sum()
    total = (vertex_area[known] * gaussian[known]).sum() * (vertex_area.sum() / covered if covered > 0 else np.nan)
    at, times = np.unique(border_edges(faces), return_counts=True)
    angles = np.zeros(len(vertices))
    _sum_angles(vertices, faces, angles)
    # A border vertex has two border edges; where two borders touch it has four, and holds both sides together.
    turning = (np.pi * (2 - times / 2) - angles[at]).sum()
    return float((total + turning) / (2 * np.pi))


def _row(surface: "FrontSurface | None", bins: Bins, patch: float, voxel_size: float) -> dict[str, ArrayLike]:
    none = np.empty(0)
    if surface is None:
        vertices, faces, area, mean, gauss = np.empty((0, 3)), np.empty((0, 3), dtype=np.intp), none, none, none
        stands_for = none
    else:
        vertices, faces, area = surface.vertices, surface.faces, surface.vertex_area
        mean, gauss = histogram_curvatures(surface)
        stands_for = histogram_weights(surface, voxel_size)
    good = np.isfinite(mean) & np.isfinite(gauss)
    at, weight, mean_there, gauss_there = vertices[good], stands_for[good], mean[good], gauss[good]
    first, second = principal_curvatures(mean_there, gauss_there)
    x, y = (np.clip(kappa, bins.shape[0], bins.shape[-1]).astype(np.float64) for kappa in (first, second))
    pairs = np.histogram2d(x, y, bins=[bins.shape, bins.shape], weights=weight.astype(np.float64))[0]
    total = weight.sum()
    positive = negative = (np.nan, np.nan)
    if total > 0:
        positive = share_interval(at, weight, mean_there > 0, patch)
        # What is not positive is negative; where H is exactly 0 on some of it, it is neither.
        negative = (1 - positive[1], 1 - positive[0])
        if (mean_there == 0).any():
            negative = share_interval(at, weight, mean_there < 0, patch)
    return {
        "area": area.sum(),
        "positive": weight[mean_there > 0].sum() / total if total > 0 else np.nan,
        "negative": weight[mean_there < 0].sum() / total if total > 0 else np.nan,
        "positive_interval": positive,
        "negative_interval": negative,
        "components": components(faces)[0],
        "euler": euler_characteristic(faces),
        "euler_from_curvature": gauss_bonnet(vertices, faces, area, gauss),
        "curvature_histogram": _shares(mean_there, weight, bins.mean),
        "gaussian_histogram": _shares(gauss_there, weight, bins.gaussian),
        "shape_distribution": pairs / total if total > 0 else pairs,
    }


def _shares(values: Floats, weight: Floats, edges: Floats) -> Doubles:
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), bins=edges, weights=weight)
    return np.asarray(counts / weight.sum() if weight.sum() > 0 else counts, dtype=np.float64)


@njit(cache=True, nogil=True)
def _sum_angles(vertices: Floats, faces: NDArray[np.intp], out: Doubles) -> None:
    """Add up the angles of the triangles at each vertex."""
    for f in range(len(faces)):
        for i in range(3):
            here, one, two = vertices[faces[f, i]], vertices[faces[f, (i + 1) % 3]], vertices[faces[f, (i + 2) % 3]]
            z1, y1, x1, z2, y2, x2 = (
                one[0] - here[0], one[1] - here[1], one[2] - here[2],
                two[0] - here[0], two[1] - here[1], two[2] - here[2],
            )  # fmt: skip
            cross = np.sqrt((y1 * x2 - x1 * y2) ** 2 + (x1 * z2 - z1 * x2) ** 2 + (z1 * y2 - y1 * z2) ** 2)
            out[faces[f, i]] += np.arctan2(cross, z1 * z2 + y1 * y2 + x1 * x2)
