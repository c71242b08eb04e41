"""A polycrystalline particle whose nickel reduces by nucleation and growth, its truth known at every extent."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.special import expit

from redoxscope.simulators.eikonal import first_arrival
from redoxscope.simulators.grains import make_grains

OXIDISED = 8343.0
"""Edge energy (half-jump) of the oxidised nickel, eV."""
REDUCED = 8338.5
"""Edge energy of the reduced nickel, eV."""
MIDWAY = 0.5 * (OXIDISED + REDUCED)

EARLIEST, LATEST = 0.12, 0.85
"""Extents at which the first voxel and 99 % of them are half reduced."""

GAS_CONSTANT = 8.314462618
ACTIVATION_ENERGY = 100e3
"""J/mol"""
COMPLETION_TIME = 17 * 3600.0
"""Seconds at 231 °C until the reaction extent is 1."""


def reaction_rate(temperature: float) -> float:
    """Arrhenius rate of the reaction extent, 1/s, at a temperature in °C.

    At 231 °C extent 1 is reached in 17 h; at 100 °C one and a half hours add 2e-5.
    """
    inverse = 1 / (temperature + 273.15) - 1 / (231 + 273.15)
    return float(np.exp(-ACTIVATION_ENERGY / GAS_CONSTANT * inverse) / COMPLETION_TIME)


class Particle:
    """Grains, voids and cracks on a (z, y, x) grid, and the reaction extent at which the front reaches each voxel.

    Nuclei appear at the surface, at void walls and at grain boundaries, each at an extent of its own; from there
    the front grows along the material, faster along grain boundaries and at a third of the speed across open
    space. The extent θ = ∫k(T)dt runs from 0 (oxidised) to 1 (reduced); a voxel's edge energy falls from
    `OXIDISED` to `REDUCED` as a logistic function of θ around the arrival. The same arguments make the same
    particle.

    Parameters
    ----------
    size : edge of the cube, voxels, at least 24
    seed : of all that is random in it
    grains, nuclei : how many
    front_width : logistic width of the front in space, voxels (10 to 90 % takes 4.4 of them); default: a
        thirty-secondth of the size, at least 2
    """

    def __init__(
        self, size: int = 64, seed: int = 0, *, grains: int = 60, nuclei: int = 22, front_width: float | None = None
    ):
        if size < 24:
            raise ValueError(f"a particle of {size} voxels is too small to hold grains: take 24 or more")
        rng = np.random.default_rng([seed, size])
        self.size = size
        self._structure = make_grains(size, rng, grains)
        self.solid = self._structure.solid
        """(z, y, x) float32 volume fraction of material."""
        self.density = self._structure.nickel
        """(z, y, x) float32 nickel density, 0..1."""
        self.inside = self.solid > 0
        """(z, y, x) where there is material."""
        front_width = max(2.0, size / 32) if front_width is None else front_width
        raw = self._grow(rng, grains, nuclei)
        low, high = np.percentile(raw[self.inside], [0, 99])
        scale = (LATEST - EARLIEST) / (high - low)
        self.arrival: NDArray[np.float32] = np.where(self.inside, EARLIEST + scale * (raw - low), np.nan)
        """(z, y, x) float32 extent at which the voxel is half reduced; NaN outside the material."""
        self.width = float(front_width * scale)
        """Logistic width of the transition, in extent."""

    def _grow(self, rng: np.random.Generator, grains: int, nuclei: int) -> NDArray[np.float32]:
        """Arrival in units of voxels at the bulk's speed, smoothed over a voxel as diffusion would."""
        s = self._structure
        slowness = rng.uniform(0.8, 1.25, grains).astype(np.float32)[s.label]
        slowness *= 1 - 0.45 * np.exp(-((s.boundary / (self.size / 48)) ** 2))
        slowness = np.where(s.solid > 0, slowness, np.float32(3.0))
        sites = [
            rng.permutation(np.argwhere(where))[: round(share * nuclei)]
            for where, share in (
                (s.surface, 0.6),
                (s.inner_wall, 0.2),
                ((s.boundary < 1) & (s.solid > 0.9) & ~s.surface, 0.2),
            )
        ]
        chosen = np.concatenate(sites)
        starts = rng.uniform(0, 0.35 * self.size, len(chosen))
        arrival = first_arrival(slowness.astype(np.float32), chosen, starts)
        return np.asarray(gaussian_filter(arrival, self.size / 64), dtype=np.float32)

    def edge_energy(self, extent: float) -> NDArray[np.float32]:
        """(z, y, x) float32 edge energy in eV at a reaction extent; NaN outside the material."""
        fraction = expit((np.float32(extent) - self.arrival) / np.float32(self.width))
        return np.asarray(OXIDISED - (OXIDISED - REDUCED) * fraction, dtype=np.float32)

    def transformed(self, extent: float) -> float:
        """Share of the material, 0..1, whose edge energy has fallen past `MIDWAY`."""
        return float(np.mean(self.arrival[self.inside] < extent))

    def extent_at(self, transformed: float) -> float:
        """Reaction extent at which the share `transformed` (0..1) of the material has fallen past `MIDWAY`."""
        return float(np.quantile(self.arrival[self.inside], transformed))
