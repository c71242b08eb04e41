"""The gridding's three passes: points to a strip of the grid and its transform along x, then the transform along y.

A strip is a few columns of the grid, all rows long, that fit into the processor's cache with what overlaps the next
strip: points are spread on it and it is transformed while it is there, and of the result only the image's rows are
kept. The grid itself never exists. It is kept as (x, y), cells of four complex images (see `lanes`).
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from redoxscope.analysis.tomography.footprints import COLUMNS, POINTS, ROWS, WEIGHTS, gather, spread, weigh
from redoxscope.analysis.tomography.fourier import transform
from redoxscope.analysis.tomography.lanes import CELL, IMAGES, LANES, LINE, cells_in, cells_out, voxels_in, voxels_out

Reals = NDArray[np.float32]
Integers = NDArray[np.int64]

STRIP = 16
"""Columns."""
_QUAD = LANES // IMAGES
"""Lines of each image that are transformed together."""
HALO = -(-COLUMNS // _QUAD) * _QUAD
"""Columns of a strip that belong to the next one."""


@njit(cache=True, nogil=True, error_model="numpy")
def to_grid(
    spectra: Reals,
    strips: Integers,
    at: Integers,
    source: NDArray[np.uint32],
    place: NDArray[np.uint8],
    z: Reals,
    factor: Reals,
    pieces: Reals,
    radices: Integers,
    twiddles: Reals,
    strip: Reals,
    lines: Reals,
    size: int,
    grid: Reals,
) -> None:
    """Spread the points and transform along x: grid (x, 8 · column) of the image's x.

    strips : (strip + 1,) their first groups of points; strip (row, 8 · column) and lines are scratch
    The inverse transform is the forward one with its result in reverse order.
    """
    cells, weights = lines.shape[1] // LINE, np.empty(POINTS * WEIGHTS, dtype=np.float32)
    strip[:] = 0
    for s in range(len(strips) - 1):
        for p in range(strips[s], strips[s + 1]):
            _weigh_all(place[p], z[p], pieces, weights)
            spread(strip, at[p], strip.shape[1], weights, spectra, _offsets(source[p]), factor, 2 * POINTS * p)
        _add(strip[cells:], strip)
        strip[cells:] = 0
        count, last = min(STRIP, cells - STRIP * s), s == len(strips) - 2
        for column in range(0, count + HALO if last else count, _QUAD):
            # What overlaps the end of the grid belongs to its beginning.
            add = column >= count
            to = column - count if add else STRIP * s + column
            _strip_to_grid(strip, column, radices, twiddles, lines, size, grid[:, CELL * to :], add)
        if not last:
            _next_strip(strip)


@njit(cache=True, nogil=True, error_model="numpy")
def from_grid(
    grid: Reals,
    strips: Integers,
    at: Integers,
    source: NDArray[np.uint32],
    place: NDArray[np.uint8],
    z: Reals,
    factor: Reals,
    pieces: Reals,
    radices: Integers,
    twiddles: Reals,
    strip: Reals,
    lines: Reals,
    size: int,
    spectra: Reals,
) -> None:
    """The transpose of `to_grid`."""
    cells, weights = lines.shape[1] // LINE, np.empty(POINTS * WEIGHTS, dtype=np.float32)
    for column in range(0, HALO, _QUAD):
        _grid_to_strip(grid[:, CELL * column :], size, radices, twiddles, lines, strip, column)
    for s in range(len(strips) - 1):
        for i in range(0, min(STRIP, cells - STRIP * s), _QUAD):
            column = (STRIP * s + HALO + i) % cells
            _grid_to_strip(grid[:, CELL * column :], size, radices, twiddles, lines, strip, HALO + i)
        for row in range(ROWS):
            for i in range(strip.shape[1]):
                strip[cells + row, i] = strip[row, i]
        for p in range(strips[s], strips[s + 1]):
            _weigh_all(place[p], z[p], pieces, weights)
            gather(strip, at[p], strip.shape[1], weights, spectra, _offsets(source[p]), factor, 2 * POINTS * p)
        _next_strip(strip)


@njit(inline="always")
def _offsets(source: NDArray[np.uint32]) -> tuple[np.int64, np.int64]:
    a, b = source
    return CELL * np.int64(a), CELL * np.int64(b)


@njit(cache=True, nogil=True, error_model="numpy")
def _weigh_all(place: NDArray[np.uint8], z: Reals, pieces: Reals, weights: Reals) -> None:
    for i in range(POINTS):
        weigh(pieces, np.int64(place[i, 0]), np.int64(place[i, 1]), z[i, 0], z[i, 1], weights, WEIGHTS * i)


@njit(cache=True, nogil=True, error_model="numpy")
def _add(source: Reals, target: Reals) -> None:
    for row in range(len(source)):
        for i in range(source.shape[1]):
            target[row, i] += source[row, i]


@njit(cache=True, nogil=True, error_model="numpy")
def _next_strip(strip: Reals) -> None:
    """What overlaps the next strip becomes its beginning, and zero."""
    # By way of a row of its own: where source and target may overlap, the compiler does not vectorise.
    halo = np.empty(CELL * HALO, dtype=np.float32)
    for row in range(len(strip)):
        for i in range(CELL * HALO):
            halo[i] = strip[row, CELL * STRIP + i]
            strip[row, CELL * STRIP + i] = 0
        for i in range(CELL * HALO):
            strip[row, i] = halo[i]


@njit(cache=True, nogil=True, error_model="numpy")
def _strip_to_grid(
    strip: Reals, column: int, radices: Integers, twiddles: Reals, lines: Reals, size: int, grid: Reals, add: bool
) -> None:
    """Transform four columns, and put the image's rows of them to the grid's first four columns, or add them there.

    In the strip they become zero: while they are at hand, that costs nothing.
    """
    cells, stride, wide = lines.shape[1] // LINE, strip.shape[1], grid.strides[0] // 4
    quad = np.empty(_QUAD * CELL, dtype=np.float32)
    for row in range(cells):
        at = row * stride + CELL * column
        cells_in(strip, at, at + CELL, at + 2 * CELL, at + 3 * CELL, lines, LINE * row)
        for i in range(CELL * column, CELL * (column + _QUAD)):
            strip[row, i] = 0
    found = transform(lines[0], lines[1], radices, twiddles)
    for x in range(size):
        at = LINE * ((size // 2 - x) % cells)
        if add:
            cells_out(found, at, quad, 0, CELL, 2 * CELL, 3 * CELL)
            for i in range(quad.size):
                grid[x, i] += quad[i]
        else:
            to = x * wide
            cells_out(found, at, grid, to, to + CELL, to + 2 * CELL, to + 3 * CELL)


@njit(cache=True, nogil=True, error_model="numpy")
def _grid_to_strip(
    grid: Reals, size: int, radices: Integers, twiddles: Reals, lines: Reals, strip: Reals, column: int
) -> None:
    """The transpose of `_strip_to_grid`."""
    cells, stride, wide = lines.shape[1] // LINE, strip.shape[1], grid.strides[0] // 4
    lines[0] = 0
    for x in range(size):
        at = x * wide
        cells_in(grid, at, at + CELL, at + 2 * CELL, at + 3 * CELL, lines, LINE * ((x - size // 2) % cells))
    found = transform(lines[0], lines[1], radices, twiddles)
    for row in range(cells):
        to = row * stride + CELL * column
        cells_out(found, LINE * row, strip, to, to + CELL, to + 2 * CELL, to + 3 * CELL)


@njit(cache=True, nogil=True, error_model="numpy")
def to_images(
    grid: Reals, radices: Integers, twiddles: Reals, correction: Reals, lines: Reals, patch: Reals, out: Reals
) -> None:
    """Transform along y: grid (x, 8 · column) → out (8, y, x), times `correction` of x and y.

    correction : (size and a few,) 0 behind the image; lines, patch (8, y, 16) : scratch
    """
    size, cells, stride = out.shape[1], lines.shape[1] // LINE, grid.shape[1]
    for x in range(0, size, _QUAD):
        for y in range(cells):
            at = x * stride + CELL * y
            cells_in(grid, at, at + stride, at + 2 * stride, at + 3 * stride, lines, LINE * y)
        found = transform(lines[0], lines[1], radices, twiddles)
        for y in range(size):
            at = LINE * ((size // 2 - y) % cells)
            voxels_out(found, at, correction, x, correction[y], patch, y * LANES + x % LANES, size * LANES)
        # Voxels are stored a cache line at a time.
        if x % LANES == LANES - _QUAD or x + _QUAD >= size:
            _copy(patch, out[:, :, x // LANES * LANES :])


@njit(cache=True, nogil=True, error_model="numpy")
def from_images(
    images: Reals, correction: Reals, radices: Integers, twiddles: Reals, lines: Reals, patch: Reals, grid: Reals
) -> None:
    """The transpose of `to_images`; whatever `patch` holds behind the image must be finite."""
    size, cells, stride = images.shape[1], lines.shape[1] // LINE, grid.shape[1]
    for x in range(0, size, _QUAD):
        if x % LANES == 0:
            _copy(images[:, :, x:], patch)
        lines[0] = 0
        for y in range(size):
            to = LINE * ((y - size // 2) % cells)
            voxels_in(patch, y * LANES + x % LANES, size * LANES, correction, x, correction[y], lines, to)
        found = transform(lines[0], lines[1], radices, twiddles)
        for y in range(cells):
            to = x * stride + CELL * y
            cells_out(found, LINE * y, grid, to, to + stride, to + 2 * stride, to + 3 * stride)


@njit(cache=True, nogil=True, error_model="numpy")
def _copy(source: Reals, target: Reals) -> None:
    """As much of (image, y, 16 or x) as there is on either side."""
    count = min(source.shape[2], target.shape[2])
    for image in range(len(target)):
        for y in range(target.shape[1]):
            if count == LANES:
                for i in range(LANES):
                    target[image, y, i] = source[image, y, i]
            else:
                for i in range(count):
                    target[image, y, i] = source[image, y, i]
