"""How noisy a volume is, and what smoothing leaves of that."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from redoxscope.analysis.curvature import SmoothField

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class FieldNoise:
    """Standard deviations, in the field's units; 0 if there is nothing to tell them from."""

    voxel: float
    """Of the field as it is."""
    smooth: float
    """What smoothing leaves of it, away from the border."""


def field_noise(raw: Floats, smooth: SmoothField) -> FieldNoise:
    """Noise of a field and of its smoothed version, from what smoothing took away.

    Noise is taken as white noise that a Gaussian of unknown width has smoothed: of raw - smooth, the median of the
    absolute values says how strong it is, the correlation of direct neighbours how wide. Two windows at the border
    are left out.

    Parameters
    ----------
    raw : (z, y, x) what was smoothed, NaN where missing
    """
    known = np.isfinite(smooth.values)
    inner = ndimage.binary_erosion(known, iterations=max(1, round(2 * smooth.window)))
    if inner.sum() < 1000:
        inner = known
    if not inner.any():
        return FieldNoise(0.0, 0.0)
    rest = np.where(inner, raw - smooth.offset - smooth.values, np.nan)
    level = 1.4826 * float(np.nanmedian(np.abs(rest)))
    if not level > 0:
        return FieldNoise(0.0, 0.0)
    rest = np.clip(rest, -4 * level, 4 * level)
    pairs = [rest.take(range(1, n), a) * rest.take(range(n - 1), a) for a, n in enumerate(rest.shape)]
    together = np.concatenate([p[np.isfinite(p)] for p in pairs])
    neighbour = float(together.mean() / np.nanmean(rest**2)) if together.size else 0.0
    widths = np.linspace(0, 2.5, 26)
    model = np.array([_left_by_smoothing(width, smooth.window) for width in widths])
    width = np.interp(neighbour, model[:, 0], widths)
    voxel, left = (level * float(np.interp(width, widths, model[:, k])) for k in (1, 2))
    return FieldNoise(voxel, left)


def _left_by_smoothing(width: float, window: float) -> tuple[float, float, float]:
    """Of noise of a given width: the neighbours' correlation in raw - smooth, and the spreads of raw and of smooth
    over that of raw - smooth; by their power spectra."""
    k = 2 * np.pi * np.fft.fftfreq(32)
    square = k[:, None, None] ** 2 + k[:, None] ** 2 + k**2
    kept = (1 + window**2 * square / 2) * np.exp(-(window**2) * square / 2)  # the flat-top window
    noise = np.exp(-(width**2) * square)
    removed = noise * (1 - kept) ** 2
    spreads = [float(np.sqrt(power.sum() / removed.sum())) for power in (noise, noise * kept**2)]
    return float((removed * np.cos(k)).sum() / removed.sum()), spreads[0], spreads[1]
