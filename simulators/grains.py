"""The unreacted particle: a rough ball of Voronoi grains with voids and open cracks."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

CRACKED = 0.12
"""Share of the grain boundaries that stand open."""


@dataclass(frozen=True)
class Grains:
    """Structure on a (z, y, x) grid."""

    solid: NDArray[np.float32]
    """Volume fraction of material, 0..1; 0 below one third."""
    nickel: NDArray[np.float32]
    """Nickel density, 0..1: the solid times a factor that differs from grain to grain."""
    label: NDArray[np.int32]
    """Number of the grain a voxel belongs to (also outside the material)."""
    boundary: NDArray[np.float32]
    """Distance to the nearest grain boundary, voxels."""
    inner_wall: NDArray[np.bool_]
    """Solid voxels beside a void or an open crack."""
    surface: NDArray[np.bool_]
    """Solid voxels of the outer surface."""


def make_grains(size: int, rng: np.random.Generator, grains: int = 60) -> Grains:
    """Grow a particle that fills nine tenths of a cube of `size` voxels."""
    z, y, x = (g - (size - 1) / 2 for g in np.ogrid[:size, :size, :size])
    radius = np.sqrt(z * z + y * y + x * x)
    roughness = gaussian_filter(rng.standard_normal((size,) * 3, dtype=np.float32), size / 9)
    roughness *= 0.035 * size / roughness.std()
    outer = np.clip(0.43 * size + np.clip(roughness, -0.08 * size, 0.055 * size) - radius, -0.5, 0.5) + 0.5

    label, boundary, pair = _voronoi(size, rng, grains)
    opened = rng.random((grains, grains)) < CRACKED
    opened |= opened.T
    crack = opened[pair[..., 0], pair[..., 1]] * np.clip(size / 80 + 0.5 - boundary, 0, 1)
    void = _voids(size, rng)
    solid = np.asarray(outer * (1 - np.maximum(crack, void)), dtype=np.float32)
    solid[solid < 1 / 3] = 0
    nickel = solid * rng.uniform(0.85, 1.0, grains).astype(np.float32)[label]

    def beside(field: NDArray[np.float32]) -> NDArray[np.bool_]:
        return np.asarray((gaussian_filter(field, 1.0) > 0.15) & (solid > 0.8))

    return Grains(
        solid=solid,
        nickel=nickel,
        label=label,
        boundary=boundary,
        inner_wall=beside(np.where(outer > 0.9, np.maximum(crack, void), 0).astype(np.float32)),
        surface=beside((1 - outer).astype(np.float32)),
    )


def _voronoi(
    size: int, rng: np.random.Generator, grains: int
) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int32]]:
    """Grain label, distance to its nearest boundary plane (voxels), and the two grains that meet there."""
    seeds = rng.uniform(0.05 * size, 0.95 * size, (grains, 3))
    grid = np.stack(np.meshgrid(*[np.arange(size)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    distance, nearest = cKDTree(seeds).query(grid, k=2)
    gap = np.linalg.norm(seeds[nearest[:, 0]] - seeds[nearest[:, 1]], axis=1)
    boundary = (distance[:, 1] ** 2 - distance[:, 0] ** 2) / (2 * gap)
    cube = (size,) * 3
    pair = nearest.astype(np.int32).reshape(*cube, 2)
    return pair[..., 0], boundary.astype(np.float32).reshape(cube), pair


def _voids(size: int, rng: np.random.Generator, count: int = 12) -> NDArray[np.float32]:
    """Soft-edged spherical pores, 0..1, of two to six hundredths of the size in radius."""
    void = np.zeros((size,) * 3, dtype=np.float32)
    centres = rng.normal(size / 2, size / 6, (count, 3))
    for (cz, cy, cx), r in zip(centres, rng.uniform(0.02, 0.06, count) * size, strict=True):
        z, y, x = np.ogrid[:size, :size, :size]
        distance = np.sqrt((z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2)
        np.maximum(void, np.clip(r + 0.5 - distance, 0, 1), out=void, casting="same_kind")
    return void
