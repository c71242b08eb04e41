"""From transmission to counts: structured beam, dark current, photon noise, dead and hot pixels."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d

OFFSET = 100.0
"""Counts of a frame without light, at any exposure."""
READOUT = 2.0
"""Readout noise, counts rms."""


class Detector:
    """A camera behind an uneven beam; one count is one photon.

    Parameters
    ----------
    shape : (H, W)
    counts_per_second : mean counts of the open beam at 8200 eV
    dark_per_second : mean dark current, counts
    rng : makes the structure, and later the noise
    """

    def __init__(
        self, shape: tuple[int, int], counts_per_second: float, dark_per_second: float, rng: np.random.Generator
    ):
        self._rng = rng
        self.beam = counts_per_second * _structure(shape, rng)
        """(H, W) counts per second of the open beam at 8200 eV."""
        self.dark = dark_per_second * np.clip(rng.gamma(4.0, 0.25, shape), 0.1, None)
        """(H, W) dark counts per second."""
        defects = rng.permutation(shape[0] * shape[1])[: max(4, shape[0] * shape[1] // 700)]
        self.dead = np.zeros(shape, dtype=bool)
        """(H, W) pixels that always read 0."""
        self.hot = np.zeros(shape, dtype=bool)
        """(H, W) pixels near full scale whatever the light."""
        self.dead.flat[defects[::2]] = True
        self.hot.flat[defects[1::2]] = True

    def expose(
        self, transmission: NDArray[np.floating] | float, exposure: float, energy: float, *, flux: float = 1.0
    ) -> NDArray[np.uint16]:
        """(H, W) counts of one frame.

        Parameters
        ----------
        transmission : (H, W) or scalar; 0 with the shutter closed
        exposure : s
        energy : eV; the beam gets weaker with it
        flux : the beam's strength, 1 as usual
        """
        # 0.3 % rms of common flicker is what a flat field taken seconds later cannot remove
        light = flux * (energy / 8200.0) ** -3 * (1 + 0.003 * self._rng.standard_normal())
        expected = exposure * (np.maximum(light, 0.0) * self.beam * transmission + self.dark)
        counts = self._rng.poisson(expected) + OFFSET
        counts = counts + READOUT * self._rng.standard_normal(counts.shape, dtype=np.float32)
        counts[self.dead] = 0
        counts[self.hot] = 60000 + counts[self.hot] / 100
        return np.asarray(np.clip(np.rint(counts), 0, 65535), dtype=np.uint16)


def _structure(shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float64]:
    """The open beam, mean 1: condenser profile, the monochromator's horizontal stripes, speckle of the optics."""
    h, w = shape
    y, x = np.ogrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j]
    profile = np.exp(-(((x - 0.15) / 1.5) ** 2) - ((y + 0.1) / 1.4) ** 2)
    stripes = 1 + 0.06 * _unit(gaussian_filter1d(rng.standard_normal(h), h / 60))[:, None]
    speckle = 1 + 0.04 * _unit(gaussian_filter(rng.standard_normal(shape), 1.2))
    dust = 1 - 0.25 * np.clip(_unit(gaussian_filter(rng.standard_normal(shape), h / 40)) - 2.2, 0, 1)
    beam = profile * stripes * speckle * dust
    return np.asarray(beam / beam.mean())


def _unit(noise: NDArray[np.float64]) -> NDArray[np.float64]:
    """The noise scaled to standard deviation 1, within 3."""
    return np.asarray(np.clip((noise - noise.mean()) / noise.std(), -3, 3))
