"""The three orthogonal slices through a point, without the volume: what is worth showing while a scan runs.

Each filtered projection is drawn back over the three planes only. It is interpolated by cubic convolution (Keys, IEEE
Trans. ASSP 29, 1153 (1981)) between samples half a pixel apart, so that the planes equal those of the whole
reconstruction to a fraction of a percent.
"""

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray
from scipy import fft

from redoxscope.analysis.cubic_convolution import cubic_weights
from redoxscope.analysis.tomography.angles import angle_weights, checked_angles
from redoxscope.analysis.tomography.filtering import filter_response
from redoxscope.analysis.tomography.reconstruction import fill_missing
from redoxscope.analysis.tomography.slice_transform import padded_length

Floats = NDArray[np.floating]
Image = NDArray[np.float32]

_FINER = 2
_CHUNK_BYTES = 16e6


def slices(
    projections: Floats,
    angles: ArrayLike,
    axis_offset: float = 0.0,
    centre: tuple[float, float, float] | None = None,
    *,
    size: int | None = None,
    filter_name: str = "ramp",
) -> tuple[Image, Image, Image]:
    """The planes z, y and x = constant of the volume that `reconstruct` would make.

    Parameters
    ----------
    projections : (angle, row, col) absorbance; NaN pixels are filled from their neighbours
    angles, axis_offset, size, filter_name : as for `reconstruct`
    centre : (z, y, x) voxels, the point that all three planes contain, by default the volume's centre; z is rounded
        to a row, y and x need not be whole

    Returns
    -------
    (N, N) in (y, x), (row, N) in (z, x), and (row, N) in (z, y), float32, absorbance per voxel

    Raises
    ------
    ValueError
        If the shapes disagree, the filter is unknown, or the point is not in the volume.
    """
    if projections.ndim != 3:
        raise ValueError(f"projections {projections.shape}: (angle, row, col) is needed")
    count, rows, width = projections.shape
    theta = checked_angles(angles, count)
    n = size or width
    z, y, x = centre or ((rows - 1) / 2, (n - 1) / 2, (n - 1) / 2)
    if not (0 <= z <= rows - 1 and 0 <= y <= n - 1 and 0 <= x <= n - 1):
        raise ValueError(f"the point (z, y, x) = ({z:g}, {y:g}, {x:g}) is not in the volume ({rows}, {n}, {n})")
    padded = padded_length(width, n, axis_offset, filtered=True)
    gain = filter_response(padded, filter_name)[: padded // 2 + 1] * angle_weights(theta)[:, None] * _FINER
    gain = gain[:, None].astype(np.float32)

    across = np.arange(n) - (n - 1) / 2
    axis = (width - 1) / 2 + axis_offset
    cos, sin = np.cos(np.deg2rad(theta))[:, None], np.sin(np.deg2rad(theta))[:, None]
    middle = (n - 1) / 2
    along_x = _FINER * (axis + across * cos + (y - middle) * sin)
    along_y = _FINER * (axis + (x - middle) * cos + across * sin)
    plane_z, plane_y, plane_x = (np.zeros(shape, dtype=np.float32) for shape in ((n, n), (rows, n), (rows, n)))
    filled, level = fill_missing(projections), round(z)
    chunk = max(1, int(_CHUNK_BYTES / (8 * _FINER * padded * rows)))
    for first in range(0, count, chunk):
        part = slice(first, first + chunk)
        spectra = fft.rfft(filled[part].astype(np.float32, copy=False), padded, axis=-1) * gain[part]
        lines = fft.irfft(spectra, _FINER * padded, axis=-1)
        _draw(lines, along_x[part], plane_y)
        _draw(lines, along_y[part], plane_x)
        for a, line in enumerate(lines[:, level], start=first):
            step_y, step_x = _FINER * sin[a, 0], _FINER * cos[a, 0]
            _draw_plane(line, _FINER * axis - middle * (step_y + step_x), step_y, step_x, plane_z)
    return plane_z, plane_y, plane_x


@njit(cache=True, nogil=True, error_model="numpy")
def _draw(lines: NDArray[np.float32], position: NDArray[np.float64], plane: NDArray[np.float32]) -> None:
    """Add lines (angle, row, sample) at the positions (angle, voxel) to the plane (row, voxel)."""
    length, n = lines.shape[2], plane.shape[1]
    source = np.empty((4, n), dtype=np.int64)
    weight = np.empty((4, n), dtype=np.float32)
    for a in range(lines.shape[0]):
        for i in range(n):
            base = int(np.floor(position[a, i]))
            for k in range(4):
                source[k, i] = (base + k - 1) % length
            weight[0, i], weight[1, i], weight[2, i], weight[3, i] = cubic_weights(position[a, i] - base)
        for row in range(plane.shape[0]):
            line, target = lines[a, row], plane[row]
            for i in range(n):
                target[i] += (
                    weight[0, i] * line[source[0, i]]
                    + weight[1, i] * line[source[1, i]]
                    + weight[2, i] * line[source[2, i]]
                    + weight[3, i] * line[source[3, i]]
                )


@njit(cache=True, nogil=True, error_model="numpy")
def _draw_plane(
    line: NDArray[np.float32], first: float, step_y: float, step_x: float, plane: NDArray[np.float32]
) -> None:
    """Add one line to the plane (y, x), whose voxel (y, x) lies at first + y·step_y + x·step_x."""
    length = line.size
    for y in range(plane.shape[0]):
        for x in range(plane.shape[1]):
            position = first + y * step_y + x * step_x
            base = int(np.floor(position))
            total = 0.0
            for k, weight in enumerate(cubic_weights(position - base)):
                total += weight * line[(base + k - 1) % length]
            plane[y, x] += total
