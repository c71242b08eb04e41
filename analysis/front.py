"""The reaction front in an edge-energy map."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
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
    """Number of connected pieces of a front mask (neighbours share an edge or a corner).

    Where a map rises from one pixel to the next by more than the whole window, the mask steps over it and falls into
    many pieces, noise or not: a circle of radius 40 px at 0.5 eV/px, in a window of 0.2 eV, into 60. The front's own
    pieces are those of the contour, `front_lines`, of which the circle is one.
    """
    return int(label(mask, return_num=True, connectivity=mask.ndim)[1])


@dataclass(frozen=True)
class FrontMotion:
    """How the front of one map moved until the next."""

    points: NDArray[np.float64]
    """(n, 2) the first map's front, (y, x) in pixels, about one point per pixel."""
    normal: NDArray[np.float64]
    """(n, 2) unit vectors (y, x) across it, towards higher edge energies: into the phase that has not reacted."""
    speed: NDArray[np.float64]
    """(n,) µm per s along the normal, positive where the reacted phase grew; NaN where no front was met."""


def front_speed(
    before: NDArray[np.floating],
    after: NDArray[np.floating],
    window: FrontWindow,
    *,
    interval: float,
    pixel_size: float,
    reach: float = 20.0,
    smoothing: float = 1.5,
) -> FrontMotion:
    """Normal displacement of the front between two maps, over the time between them.

    From each point of the first map's front a straight line is followed along its normal, both ways, to the nearest
    place where the second map rises through the front energy.

    Parameters
    ----------
    before, after : edge-energy maps (y, x) of the same grid, eV, NaN outside material
    window : the front energy
    interval : seconds between the two
    pixel_size : µm
    reach : pixels; a front that moved further is not found
    smoothing : pixels, of the Gaussian that the normals are taken with

    Raises
    ------
    ValueError
        If the maps differ in shape, or the interval is not positive.
    """
    if before.shape != after.shape:
        raise ValueError(f"maps of {before.shape} and {after.shape}: both must stand on one grid")
    if not interval > 0:
        raise ValueError(f"{interval:g} s between two maps: it must be positive")
    lines = front_lines(before, window)
    points = np.concatenate(lines) if lines else np.zeros((0, 2))
    slopes = np.stack(_slopes(before, window.energy, smoothing))
    normal = np.stack([ndimage.map_coordinates(s, points.T, order=1, mode="nearest") for s in slopes], axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        normal /= np.hypot(*normal.T)[:, None]
    step = 0.25
    away = np.arange(-np.ceil(reach / step), np.ceil(reach / step) + 1) * step
    path = points[:, None] + away[:, None] * normal[:, None]
    field = np.asarray(after, dtype=np.float64) - window.energy
    met = ndimage.map_coordinates(field, path.transpose(2, 0, 1), order=1, mode="constant", cval=np.nan)
    low, high = met[:, :-1], met[:, 1:]
    with np.errstate(invalid="ignore", divide="ignore"):
        crossing = np.where((low < 0) & (high >= 0), away[:-1] - step * low / (high - low), np.nan)
    distance = np.where(np.isfinite(crossing), np.abs(crossing), np.inf)
    nearest = np.argmin(distance, axis=1)[:, None]
    moved = np.take_along_axis(crossing, nearest, axis=1)[:, 0]
    return FrontMotion(points, normal, moved * pixel_size / interval)


def _slopes(
    values: NDArray[np.floating], level: float, smoothing: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """d/dy and d/dx of a smoothed map; missing pixels count for nothing."""
    known = np.isfinite(values)
    weight = ndimage.gaussian_filter(known.astype(np.float64), smoothing)
    total = ndimage.gaussian_filter(np.where(known, values - level, 0.0), smoothing)
    with np.errstate(invalid="ignore", divide="ignore"):
        smooth = np.where(weight > 1e-6, total / weight, 0.0)
    down, right = np.gradient(smooth)
    return np.asarray(down), np.asarray(right)
