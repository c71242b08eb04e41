"""How noisy a volume is, and over how many voxels the noise is correlated: estimated from the volume itself.

The difference of neighbouring voxels says little about noise that a filter has correlated: over 0.6 voxel it is a
fraction of what it is without, while what is left after smoothing, which bends the surfaces, is not. So the volume is
looked at in three bands of spatial frequency, an octave apart, and a spectrum P(k) = A·kᵃ·exp(-ρ²k²) is laid through
their variances. Each band combines four Gaussian smoothings such that every polynomial up to the fifth degree cancels,
so smooth structure leaves no trace in it; its spread is taken from the median, which disregards the sharp rest.
"""

from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from redoxscope.analysis.topography.scale_space import kernel, smoothed

Floats = NDArray[np.floating]
Doubles = NDArray[np.float64]
Image = NDArray[np.float32]

_VARIANCES = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Of the Gaussians, voxel²; each band takes four in succession."""
_BANDS = 3
_DEEP = 4.0
"""Voxels; nearer to missing ones the bands see the continuation of the field."""
_ENOUGH = 500
"""Voxels; with fewer deep ones, all known ones are looked at."""
_CORRELATIONS = np.concatenate([[0.0], np.geomspace(0.1, 1.25, 60)])
"""Voxels; what looks as if it were correlated farther is structure."""
_EXPONENTS = np.linspace(0.0, 2.0, 11)
_BLUE = 0.06
_CHANCE = 16.0
"""By how much the lowest band may be below what noise without exponent would have in it, in parts, and by how much more
chance may make it over √voxels: four standard deviations. Beyond, the exponent is needed."""
_GAUSS = 0.6745
"""Median of |x| of a normal distribution of unit width."""


@dataclass(frozen=True)
class Noise:
    """Stationary noise with the spectral density A·kᵃ·exp(-ρ²k²), k in radians per voxel."""

    sigma: float
    """Standard deviation of a voxel, in the field's unit."""
    correlation: float
    """ρ, voxels: white noise smoothed by a Gaussian of this σ has the same fall-off; 0 for white noise."""
    density: float
    """√A: what σ would be if all frequencies had the density of the lowest."""
    exponent: float = 0.0
    """a: 0 unless low frequencies are missing, as after the ramp filter of a tomographic reconstruction."""

    def of_curvature(self, narrow: float, wide: float) -> float:
        """Standard deviation of H times the gradient's length, 1/voxel times the field's unit per voxel.

        H = ½∇ₜ²f/|∇f| to first order in the noise, with the Laplacian ∇ₜ² in the tangential plane: its square
        averages to 8/15·k⁴ over the directions. For white noise this is 0.316·σ·w^(-7/2) with w² = narrow·wide.

        Parameters
        ----------
        narrow, wide : σ in voxels of the two Gaussians of the flat-top window (see `smooth_field.flat_top_weights`)
        """
        return float(np.sqrt(self._power(narrow, wide, 4) * 2 / 15))

    def covariance_of_curvature(self, widths: Floats, weights: Floats) -> Doubles:
        """(window, window) of the same quantity, between windows that are weighted sums of Gaussians.

        Parameters
        ----------
        widths : (gaussian,) σ in voxels
        weights : (window, gaussian)
        """
        k = np.linspace(0, 12 / np.min(widths), 2001)[1:]
        transfer = weights @ np.exp(-0.5 * np.square(np.outer(widths, k)))
        spectrum = self.density**2 * k**self.exponent * np.exp(-((self.correlation * k) ** 2))
        return np.asarray((transfer * (spectrum * k**6 * k[0] / (15 * np.pi**2))) @ transfer.T, dtype=np.float64)

    def of_value(self, narrow: float, wide: float) -> float:
        """Standard deviation of the smoothed field, in its unit."""
        return float(np.sqrt(self._power(narrow, wide, 0)))

    def _power(self, narrow: float, wide: float, order: int) -> float:
        k = np.linspace(0, 12 / narrow, 2001)[1:]
        a, b = narrow**2, wide**2
        window = (b * np.exp(-a * k * k / 2) - a * np.exp(-b * k * k / 2)) / (b - a)
        spectrum = self.density**2 * k**self.exponent * np.exp(-((self.correlation * k) ** 2))
        return float((spectrum * window**2 * k ** (2 + order)).sum() * k[0] / (2 * np.pi**2))


def estimate_noise(field: Image, depth: Floats, relative: Floats | None = None) -> Noise:
    """Noise of a volume, by the spread of three bands of spatial frequency.

    Parameters
    ----------
    field : (z, y, x), continued into missing voxels
    depth : (z, y, x) distance to the nearest missing voxel; 0 where missing. Only voxels that are deep inside count
    relative : (z, y, x) how noisy each voxel is compared to the others, where that is known; the result is for 1
    """
    spread, count = _spreads(field, depth, relative)
    if not spread[:2].all():
        return Noise(0.0, 0.0, 0.0)
    observed = np.log(spread**2)
    table = np.log(_table())
    # White or correlated noise: the two highest bands decide. Structure can only add to the lowest.
    at = int(np.argmin(np.abs(table[0, :, 0] - table[0, :, 1] - observed[0] + observed[1])))
    steep = 0
    lowest = observed[2] - observed[1] - table[0, at, 2] + table[0, at, 1]
    if np.isfinite(lowest) and np.exp(lowest) < 1 - max(_BLUE, _CHANCE / np.sqrt(count)):
        apart = np.diff(table, axis=2) - np.diff(observed)
        steep, at = divmod(int((apart**2).sum(axis=2).argmin()), table.shape[1])
    # Again, structure only adds: the quieter band counts.
    density = float(np.exp((observed[:2] - table[steep, at, :2]).min() / 2))
    total = _shape(_EXPONENTS[steep], _CORRELATIONS[at]).mean()
    return Noise(density * float(np.sqrt(total)), float(_CORRELATIONS[at]), density, float(_EXPONENTS[steep]))


def _spreads(field: Image, depth: Floats, relative: Floats | None) -> tuple[Doubles, int]:
    """Standard deviation in each band, from every second voxel along each axis, and how many these are."""
    thin = (slice(None, None, 2),) * 3
    chosen = depth[thin] > _DEEP
    if chosen.sum() < _ENOUGH:
        chosen = depth[thin] > 0
    if not chosen.any():
        return np.zeros(_BANDS), 0
    values = [field[thin][chosen].astype(np.float64)]
    samples = field
    for before, after in pairwise(_VARIANCES):
        samples = smoothed(samples, after - before)
        values.append(samples[thin][chosen].astype(np.float64))
    per = 1.0 if relative is None else relative[thin][chosen]
    bands = [sum(w * v for w, v in zip(_weights(b), values[b:], strict=False)) / per for b in range(_BANDS)]
    return np.array([np.nanmedian(np.abs(band)) / _GAUSS for band in bands]), int(chosen.sum())


def _weights(band: int) -> Doubles:
    """Of four Gaussian smoothings, such that 1, σ² and σ⁴ cancel, and with them polynomials up to the fifth degree."""
    powers = np.vander(_VARIANCES[band : band + 4], 3, increasing=True).T
    return np.asarray(np.linalg.svd(powers)[2][-1], dtype=np.float64)


def _frequencies() -> Doubles:
    return np.asarray((np.arange(24) + 0.5) / 24 * np.pi, dtype=np.float64)


def _shape(exponent: float, correlation: float) -> Doubles:
    """The spectrum of unit density in an octant of the grid's frequencies."""
    square = _frequencies() ** 2
    total = square[:, None, None] + square[:, None] + square
    return np.asarray(total ** (exponent / 2) * np.exp(-(correlation**2) * total), dtype=np.float64)


@cache
def _table() -> Doubles:
    """(exponent, correlation, band) variances for unit density, with the very kernels of the smoothing."""
    k = _frequencies()
    transfer = [np.ones_like(k)]
    for before, after in pairwise(_VARIANCES):
        half = kernel(after - before).astype(np.float64)
        cosines = np.cos(np.outer(k, np.arange(half.size)))
        transfer.append(transfer[-1] * (2 * cosines @ half - half[0]))
    cubes = [t[:, None, None] * t[:, None] * t for t in transfer]
    seen = [sum(w * c for w, c in zip(_weights(b), cubes[b:], strict=False)) ** 2 for b in range(_BANDS)]
    bands = np.stack([s.ravel() for s in seen]) / k.size**3
    shapes = np.stack([_shape(a, r).ravel() for a in _EXPONENTS for r in _CORRELATIONS])
    return np.asarray((shapes @ bands.T).reshape(len(_EXPONENTS), len(_CORRELATIONS), _BANDS), dtype=np.float64)
