"""The reaction front in an edge-energy map."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf
from skimage.measure import find_contours, label


@dataclass(frozen=True)
class FrontWindow:
    """Which edge energies count as reaction front, eV: 8341 ± 0.1 in Mu et al. (2018)."""

    energy: float = 8341.0
    half_width: float = 0.1


def front_mask(edge_energy: NDArray[np.floating], window: FrontWindow) -> NDArray[np.uint8]:
    """1 where the edge energy (eV, any shape, NaN outside material) is within the window, ends included."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.abs(edge_energy - window.energy) <= window.half_width, dtype=np.uint8)


def front_probability(
    edge_energy: NDArray[np.floating], sigma: NDArray[np.floating], window: FrontWindow
) -> NDArray[np.float32]:
    """Probability that the true edge energy is within the window, for a normal error `sigma`; NaN where unknown."""
    scale = np.sqrt(2.0) * sigma
    with np.errstate(invalid="ignore", divide="ignore"):
        high = erf((window.energy + window.half_width - edge_energy) / scale)
        low = erf((window.energy - window.half_width - edge_energy) / scale)
    return np.asarray(0.5 * (high - low), dtype=np.float32)


def front_lines(edge_energy: NDArray[np.floating], window: FrontWindow) -> list[NDArray[np.float64]]:
    """Sub-pixel contour lines of a map (y, x) at the front energy, each (n, 2) in (y, x) pixels.

    There is none along the particle's own border: contours end where the map is NaN.
    """
    return [np.asarray(line) for line in find_contours(edge_energy, window.energy)]


def front_length(lines: list[NDArray[np.float64]], pixel_size: float) -> float:
    """Total length of contour lines in units of `pixel_size` (µm per pixel gives µm)."""
    return float(sum(np.hypot(*np.diff(line, axis=0).T).sum() for line in lines) * pixel_size)


def front_components(mask: NDArray[np.integer]) -> int:
    """Number of connected pieces of a front mask (neighbours share an edge or a corner)."""
    return int(label(mask, return_num=True, connectivity=mask.ndim)[1])
