"""How fast the front moves between two edge-energy volumes of the same particle."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from redoxscope.analysis.topography.rays import first_rise
from redoxscope.analysis.topography.smooth_field import derivatives, smooth_field
from redoxscope.analysis.topography.surface import isosurface, vertex_areas

Floats = NDArray[np.floating]

REACH = 20.0
"""Voxels; a front that moved farther is not found."""


@dataclass(frozen=True)
class SolidMotion:
    """How the front of one volume moved until the next."""

    vertices: NDArray[np.float64]
    """(n, 3) of the first volume's front, (z, y, x) µm from the centre of voxel (0, 0, 0)."""
    faces: NDArray[np.intp]
    """(m, 3)"""
    vertex_area: NDArray[np.float64]
    """(n,) µm²"""
    normal: NDArray[np.float64]
    """(n, 3) unit vectors (z, y, x) into the phase that has not reacted."""
    speed: NDArray[np.float64]
    """(n,) µm per s along the normal, positive where the reacted phase grew; NaN where no front was met."""

    @property
    def mean(self) -> float:
        """µm per s, weighted by area, over where the front was met; NaN if nowhere."""
        met = np.isfinite(self.speed)
        area = self.vertex_area[met]
        return float((self.speed[met] * area).sum() / area.sum()) if area.sum() > 0 else float("nan")

    @property
    def quartiles(self) -> tuple[float, float]:
        """µm per s, between which half of the area where the front was met lies; NaN if nowhere."""
        met = np.isfinite(self.speed)
        if not self.vertex_area[met].sum() > 0:
            return float("nan"), float("nan")
        low, high = np.quantile(self.speed[met], [0.25, 0.75], weights=self.vertex_area[met], method="inverted_cdf")
        return float(low), float(high)

    @property
    def met(self) -> float:
        """Share of the area from which the other front was met; NaN without a front."""
        area = self.vertex_area.sum()
        return float(self.vertex_area[np.isfinite(self.speed)].sum() / area) if area > 0 else float("nan")


def solid_front_speed(
    before: Floats,
    after: Floats,
    level: float,
    *,
    interval: float,
    voxel_size: float = 1.0,
    window: float = 2.5,
    reach: float = REACH,
) -> SolidMotion:
    """Normal displacement of the front between two volumes, over the time between them.

    Each vertex of the first front looks up the second volume's field at its place: where that is below the level, the
    front has passed and is looked for along the normal, into the parent phase, else backwards. No difference of the
    fields is divided by a gradient, so that the front may move farther than it is wide.

    Parameters
    ----------
    before, after : (z, y, x) edge energy, eV, NaN outside material, registered onto each other (`volume_shift`)
    level : eV
    interval : seconds between the two
    voxel_size : µm
    window : σ of the flat-top smoothing window, voxels
    reach : voxels; a front that moved farther is not found

    Raises
    ------
    ValueError
        If the volumes differ in shape, or the interval or the voxel size is not positive. Volumes without a front
        or without any value give no vertices, or speeds that are NaN.
    """
    if before.shape != after.shape:
        raise ValueError(f"volumes of {before.shape} and {after.shape}: both must stand on one grid")
    if not interval > 0:
        raise ValueError(f"{interval:g} s between two volumes: it must be positive")
    if not (np.isfinite(voxel_size) and voxel_size > 0):
        raise ValueError(f"voxel size {voxel_size:g} µm: a positive length is needed")
    none = np.empty((0, 3))
    if not np.isfinite(before).any():
        return SolidMotion(none, np.empty((0, 3), dtype=np.intp), np.empty(0), none, np.empty(0))
    first = smooth_field(before, window)
    surface = isosurface(first.values, level - first.offset, min_area=4 * np.pi * window**2)
    _, gradient, _ = derivatives(first, surface.vertices)
    with np.errstate(invalid="ignore", divide="ignore"):
        normal = gradient / np.linalg.norm(gradient, axis=1, keepdims=True)
    moved = np.full(len(normal), np.nan)
    if np.isfinite(after).any() and len(normal):
        second = smooth_field(after, window)
        # The other volume's noise displaces its front as this one's does: both are smoothed alike.
        target = level - second.offset
        ahead, _ = first_rise(second.values, surface.vertices, normal, target, reach)
        back, _ = first_rise(-second.values, surface.vertices, -normal, -target, reach)
        moved = np.where(ahead == 0, -back, ahead)
    vertices = surface.vertices * voxel_size
    area = vertex_areas(vertices, surface.faces)
    return SolidMotion(vertices, surface.faces, area, normal, moved * voxel_size / interval)
