"""Spectra of projections, as cells for the gridding, and back.

Eight rows of a sinogram are four complex ones; those of four angles are transformed together (see `lanes`).
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from redoxscope.analysis.tomography.fourier import transform
from redoxscope.analysis.tomography.lanes import CELL, IMAGES, LANES, LINE, cells_in, cells_out, lines_in, lines_out

Floats = NDArray[np.floating]

_ANGLES = LANES // IMAGES
"""That are transformed together."""


def floats_needed(angles: int, padded: int) -> tuple[int, int, int]:
    """Sizes of the arguments `spectra`, `lines` and `rows` of the functions below."""
    whole = -(-padded // LANES) * LANES
    return -(-angles // _ANGLES) * _ANGLES * padded * CELL, 2 * LINE * whole, LINE * (whole + LANES)


@njit(cache=True, nogil=True, error_model="numpy")
def pad(source: Floats, line: NDArray[np.float32], extend: bool) -> None:
    """Copy a projection; what is behind it becomes zero, or goes over from its last value to its first."""
    width, gap = source.size, line.size - source.size
    for u in range(width):
        line[u] = source[u]
    if not extend:
        line[width:] = 0
        return
    few = max(1, width // 64)
    first, last = line[:few].mean(), line[width - few : width].mean()
    for i in range(gap):
        line[width + i] = last + (first - last) * (1 - np.cos(np.pi * (i + 0.5) / gap)) / 2


@njit(cache=True, nogil=True, error_model="numpy")
def to_cells(
    sinograms: Floats,
    extend: bool,
    padded: int,
    radices: NDArray[np.int64],
    twiddles: NDArray[np.float32],
    spectra: NDArray[np.float32],
    lines: NDArray[np.float32],
    rows: NDArray[np.float32],
) -> None:
    """(angle, row, col), 8 rows or fewer → spectra, (angle, frequency, part, image) flat.

    Rows 2i and 2i + 1 are the real and imaginary part of image i. `lines` and `rows` are scratch.
    """
    pitch, step = rows.size // LINE, CELL * padded
    first, second = lines[: LINE * padded], lines[lines.size // 2 :][: LINE * padded]
    for a in range(0, len(sinograms), _ANGLES):
        for i in range(LINE):
            angle, row = a + i % LANES // IMAGES, 2 * (i % IMAGES) + i // LANES
            line = rows[i * pitch : i * pitch + padded]
            if angle < sinograms.shape[0] and row < sinograms.shape[1]:
                pad(sinograms[angle, row], line, extend)
            else:
                line[:] = 0
        for u in range(0, padded, LANES):
            for part in range(2):
                lines_in(rows, part * LANES * pitch + u, pitch, lines, LINE * u + LANES * part)
        found = transform(first, second, radices, twiddles)
        for k in range(padded):
            to = a * step + CELL * k
            cells_out(found, LINE * k, spectra, to, to + step, to + 2 * step, to + 3 * step)


@njit(cache=True, nogil=True, error_model="numpy")
def from_cells(
    spectra: NDArray[np.float32],
    padded: int,
    radices: NDArray[np.int64],
    twiddles: NDArray[np.float32],
    out: NDArray[np.float32],
    lines: NDArray[np.float32],
    rows: NDArray[np.float32],
) -> None:
    """The transpose of `to_cells`, without an extension: out (angle, row, col) is filled."""
    pitch, step = rows.size // LINE, CELL * padded
    first, second = lines[: LINE * padded], lines[lines.size // 2 :][: LINE * padded]
    for a in range(0, len(out), _ANGLES):
        # A transform in reverse order is the inverse one.
        for k in range(padded):
            at = a * step + CELL * ((padded - k) % padded)
            cells_in(spectra, at, at + step, at + 2 * step, at + 3 * step, lines, LINE * k)
        found = transform(first, second, radices, twiddles)
        for u in range(0, padded, LANES):
            for part in range(2):
                lines_out(found, LINE * u + LANES * part, rows, part * LANES * pitch + u, pitch)
        for i in range(LINE):
            angle, row = a + i % LANES // IMAGES, 2 * (i % IMAGES) + i // LANES
            if angle < out.shape[0] and row < out.shape[1]:
                for u in range(out.shape[2]):
                    out[angle, row, u] = rows[i * pitch + u]
