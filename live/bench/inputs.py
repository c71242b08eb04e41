"""What the stages are fed with: made up, reproducible, and of known truth."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

from redoxscope.analysis.resample import resample
from redoxscope.analysis.xanes import Edge

Image = NDArray[np.float32]
Floats = NDArray[np.floating]

ENERGIES = np.concatenate([np.arange(8200.0, 8321, 20), np.arange(8325.0, 8361), np.arange(8369.0, 8451, 9)])
"""eV: 7 before the edge, 36 near it, 10 behind it, as in the operando experiment."""
EDGE = Edge()
PRE, NEAR, POST = (EDGE.members(ENERGIES, window) for window in (EDGE.pre, EDGE.search, EDGE.post))
WHITE_LINE = EDGE.members(ENERGIES, (8343.0, 8352.0))
_BEAM, _DARK = 10_000.0, 100.0


@dataclass(frozen=True)
class Sizes:
    """How much each stage is given, and how often."""

    repetitions: int = 5
    frame: int = 2048
    """Pixels a side of the frame whose filing is timed."""
    map: int = 1024
    """Pixels a side of maps and of frames elsewhere."""
    spectra: int = 2048
    """How many spectra the peers that fit polynomials and splines are given; larch is given a 32nd."""
    slice: int = 512
    angles: int = 180
    slices: int = 16
    wide_slice: int = 1024
    wide_angles: int = 721
    volume: int = 128
    """Voxels a side."""


def spectrum(energies: Floats, edge_energy: Floats) -> Floats:
    """A step with a white line that moves with it, of unit edge jump: (energy, ...)."""
    x = energies.reshape(-1, *[1] * np.ndim(edge_energy)) - edge_energy
    return np.asarray(1 / (1 + np.exp(-x / 1.1)) + 0.5 * np.exp(-0.5 * ((x - 5.5) / 2.2) ** 2))


def texture(size: int, scale: float, seed: int) -> Image:
    """(size, size) smooth noise of unit variance and correlation length `scale` px."""
    rng = np.random.default_rng(seed)
    coarse = max(1, int(scale / 3))
    small = rng.standard_normal((-(-size // coarse) + 1,) * 2).astype(np.float32)
    smooth = zoom(gaussian_filter(small, scale / coarse), coarse, order=1)[:size, :size]
    return np.asarray((smooth - smooth.mean()) / smooth.std(), dtype=np.float32)


class Field:
    """A particle in air whose edge energy varies across it."""

    def __init__(self, size: int, *, disc: bool = True) -> None:
        axis = np.arange(size) - (size - 1) / 2
        radius = np.hypot(axis[:, None], axis)
        inside = 1 / (1 + np.exp((radius - 0.4 * size) / 2)) if disc else np.ones((size, size))
        self.size = size
        self.inside = radius < 0.36 * size if disc else np.ones((size, size), dtype=bool)
        self.base = (inside * np.clip(0.4 + 0.1 * texture(size, 2.0, 1), 0.1, 0.8)).astype(np.float32)
        self.jump = (inside * np.clip(0.4 + 0.06 * texture(size, 2.0, 2), 0.25, 0.6)).astype(np.float32)
        self.edge_energy = np.clip(8341 + 0.8 * texture(size, size / 16, 3), 8339, 8343).astype(np.float32)

    def absorbance(self, energy: float) -> Image:
        """Without noise."""
        line = np.float32(-3e-4 * (energy - EDGE.nominal))
        step = spectrum(np.array([energy]), self.edge_energy)[0]
        return np.asarray(self.base * (1 + line) + self.jump * step, dtype=np.float32)

    def stack(self, noise: float) -> Image:
        """(energy, y, x) absorbance."""
        rng = np.random.default_rng(4)
        out = np.empty((ENERGIES.size, self.size, self.size), dtype=np.float32)
        for image, energy in zip(out, ENERGIES, strict=True):
            rng.standard_normal(dtype=np.float32, out=image)
            image *= np.float32(noise)
            image += self.absorbance(float(energy))
        return out

    def counts(self, energy: float, shift: tuple[float, float], scale: float, seed: int) -> NDArray[np.uint16]:
        """What the camera sees of it, moved and magnified."""
        moved = resample(self.absorbance(energy), 1 / scale, (-shift[0] / scale, -shift[1] / scale))[0]
        photons = _BEAM * np.exp(-np.nan_to_num(moved))
        noisy = photons + np.sqrt(photons) * np.random.default_rng(seed).standard_normal(photons.shape)
        return np.asarray(_DARK + np.maximum(noisy, 0), dtype=np.uint16)


def flat_and_dark(size: int) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """An even beam, and the camera without it."""
    rng = np.random.default_rng(5)
    beam = _DARK + _BEAM + np.sqrt(_BEAM) * rng.standard_normal((size, size))
    return beam.astype(np.uint16), np.full((size, size), _DARK, dtype=np.uint16)


def sinograms(angles: Floats, slices: int, width: int) -> tuple[Image, Image]:
    """Exact projections (angle, slice, col) of a dozen Gaussian blobs, and the slices (slice, y, x)."""
    rng = np.random.default_rng(6)
    axis = np.arange(width) - (width - 1) / 2
    theta = np.deg2rad(angles)
    projections = np.zeros((angles.size, slices, width), dtype=np.float32)
    truth = np.zeros((slices, width, width), dtype=np.float32)
    for row in range(slices):
        for _ in range(12):
            x, y = rng.uniform(-0.2, 0.2, 2) * width
            s = rng.uniform(0.03, 0.06) * width
            u = axis - (x * np.cos(theta) + y * np.sin(theta))[:, None]
            projections[:, row] += np.sqrt(2 * np.pi) * s * np.exp(-(u**2) / (2 * s * s))
            truth[row] += np.exp(-((axis[:, None] - y) ** 2 + (axis - x) ** 2) / (2 * s * s))
    return projections, truth


def shells(size: int) -> tuple[NDArray[np.float64], float]:
    """An edge-energy volume whose isosurfaces at the nominal edge are concentric spheres, and their centre's index."""
    centre = (size - 1) / 2 + 0.13
    axis = np.arange(size) - centre
    r = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)
    return EDGE.nominal + 1.5 * np.sin(2 * np.pi * r / 24), centre
