"""Non-uniform FFT of many images at one set of points, by gridding.

Each point is spread over 6 × 6 cells of a grid 1.25 times as fine as the image's spectrum, by a Kaiser-Bessel kernel;
an FFT follows, whose result is divided by the kernel's transform (Jackson et al., IEEE Trans. Med. Imaging 10, 473
(1991); Beatty et al., ibid. 24, 799 (2005)). What depends on the points only is computed once; points are sorted by
strips of the grid (see `strips`), so that its cells stay in the cache, and four complex images share each cell.
"""

import threading

import numpy as np
from numba import njit
from numpy.typing import NDArray

from redoxscope.analysis.tomography.footprints import COLUMNS, POINTS, ROWS, WIDTH, kernel_pieces
from redoxscope.analysis.tomography.fourier import fourier_plan, good_length
from redoxscope.analysis.tomography.lanes import CELL, LANES, LINE
from redoxscope.analysis.tomography.strips import HALO, STRIP, from_grid, from_images, to_grid, to_images

Floats = NDArray[np.floating]

_OVERSAMPLING = 1.25
_TILE = 32
"""Rows whose points are spread before the next: their cells stay in the nearest cache."""
_ALIGN = 64
"""Bytes, a cache line."""


class Gridding:
    """Transforms between 8 images (8, size, size) and their spectra at given points, relative error about 2e-4.

    Images 2i and 2i + 1 are the real and imaginary part of one, whose spectrum at (fy, fx) is
    Σ image · exp(-2πi (fy·y + fx·x)); voxel i of a side is at i - size // 2. Spectra are (point, part, i) float32.
    An object may be used by several threads at once. The grid is kept as (x, y).
    """

    def __init__(self, fy: Floats, fx: Floats, size: int, factor: NDArray[np.complexfloating]) -> None:
        """Sort the points.

        Parameters
        ----------
        fy, fx : (point,) cycles per voxel
        size : of the images, voxels
        factor : (point,) that `adjoint` multiplies the spectra by, and `forward` by its conjugate; points where it is
            0 are left out
        """
        self.size = size
        self.cells = good_length(int(np.ceil(_OVERSAMPLING * size)))
        used = np.flatnonzero(factor)
        (row, down), (col, across) = (self._footprint(f[used]) for f in (fx, fy))
        order = np.argsort(col // STRIP * self.cells + row // _TILE, kind="stable")
        member, real = _groups(row[order], col[order])
        order = order[member]
        top, left = row[order].min(axis=1), col[order].min(axis=1) // 2 * 2
        at = (top * (STRIP + HALO) + left % STRIP) * CELL
        self._points = (
            np.searchsorted(left // STRIP, np.arange(-(-self.cells // STRIP) + 1)),
            at,
            used[order].astype(np.uint32),
            np.stack([row[order] - top[:, None], col[order] - left[:, None]], axis=2).astype(np.uint8),
            np.stack([down[order], across[order]], axis=2),
            (factor[used][order] * real).astype(np.complex64).view(np.float32),
        )
        kernel, spectrum = _kaiser_bessel(self.cells / size)
        self._pieces = kernel_pieces(kernel)
        modes = np.arange(-(-size // LANES) * LANES) - size // 2
        self._correction = np.zeros(modes.size, dtype=np.float32)
        self._correction[:size] = 1 / spectrum(modes[:size] / self.cells)
        self._fourier = fourier_plan(self.cells)
        self._workspace = Workspace()

    def adjoint(self, spectra: NDArray[np.float32], out: NDArray[np.float32]) -> None:
        """Sum up waves: out[2i] + i·out[2i + 1] = Σ factor · spectrum i · exp(+2πi (fy·y + fx·x)).

        spectra : (point, 2, 4); out : (8, size, size) contiguous, is filled
        """
        grid, strip, lines, patch = self._scratch()
        to_grid(spectra, *self._points, self._pieces, *self._fourier, strip, lines, self.size, grid)
        to_images(grid, *self._fourier, self._correction, lines, patch, out)

    def forward(self, images: NDArray[np.float32], spectra: NDArray[np.float32]) -> None:
        """(8, size, size) contiguous → spectra (point, 2, 4), times factor*; those of factor 0 are left as they are."""
        grid, strip, lines, patch = self._scratch()
        patch.fill(0)
        from_images(images, self._correction, *self._fourier, lines, patch, grid)
        from_grid(grid, *self._points, self._pieces, *self._fourier, strip, lines, self.size, spectra)

    def _scratch(self) -> list[NDArray[np.float32]]:
        """The grid (x, 8 · y), a strip (x, 8 · y), twice 16 lines, and a patch of the images (8, y, 16)."""
        # Rows of an odd number of cache lines: a power of two would put them all into the same corner of the cache.
        stride = CELL * 2 * (self.cells // 2 | 1)
        shapes = (
            (len(self._correction), stride),
            (self.cells + ROWS, CELL * (STRIP + HALO)),
            (2, LINE * self.cells),
            (CELL, self.size, LANES),
        )
        ends = np.cumsum([np.prod(shape) for shape in shapes])
        memory = np.split(self._workspace.take(int(ends[-1])), ends[:-1])
        return [part.reshape(shape) for part, shape in zip(memory, shapes, strict=True)]

    def _footprint(self, frequency: Floats) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """First cell and distance of it from the footprint's border."""
        place = np.mod(frequency.astype(np.float64) * self.cells, self.cells)
        first = np.ceil(place - WIDTH / 2)
        return first.astype(np.int64) % self.cells, (first - place + WIDTH / 2).astype(np.float32)


class Workspace(threading.local):
    """Memory that each thread keeps between transforms: fresh pages from the system cost as much as an FFT."""

    def __init__(self) -> None:
        self._raw = np.empty(0, dtype=np.uint8)

    def take(self, count: int) -> NDArray[np.float32]:
        """Floats of any content, from a cache line's border on; they are valid until the next call."""
        if self._raw.size < 4 * count + _ALIGN:
            self._raw = np.empty(4 * count + _ALIGN, dtype=np.uint8)
        start = -self._raw.ctypes.data % _ALIGN
        return self._raw[start : start + 4 * count].view(np.float32)


def _groups(row: NDArray[np.int64], col: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(group, POINTS) successive points with these first cells whose footprints share a block, and whether each is one.

    Where a group has fewer, its first stands there once more.
    """
    first = _beginnings(row, col)
    count = np.diff(first, append=row.size)[:, None]
    number = np.arange(POINTS)
    return first[:, None] + np.where(number < count, number, 0), number < count


@njit(cache=True, nogil=True)
def _beginnings(row: NDArray[np.int64], col: NDArray[np.int64]) -> NDArray[np.int64]:
    out, groups = np.empty(row.size, dtype=np.int64), 0
    p = 0
    while p < row.size:
        out[groups] = p
        groups += 1
        top, bottom, left, right = row[p], row[p], col[p], col[p]
        start = p
        while p < row.size and p < start + POINTS:
            top, bottom = min(top, row[p]), max(bottom, row[p])
            left, right = min(left, col[p]), max(right, col[p])
            if bottom - top > ROWS - WIDTH or right - left // 2 * 2 > COLUMNS - WIDTH:
                break
            p += 1
    return out[:groups]


def _kaiser_bessel(oversampling: float) -> tuple:  # type: ignore[type-arg]
    """The kernel as a function of cells, and its Fourier transform as a function of cycles per cell."""
    beta = 0.98 * np.pi * WIDTH * (1 - 0.5 / oversampling)

    def kernel(cells: Floats) -> Floats:
        return np.asarray(np.i0(beta * np.sqrt(np.maximum(1 - (2 * cells / WIDTH) ** 2, 0))) / np.i0(beta))

    def transform(frequency: Floats) -> Floats:
        root = np.sqrt(beta**2 - (np.pi * WIDTH * frequency) ** 2)
        return np.asarray(WIDTH * np.sinh(root) / (root * np.i0(beta)))

    return kernel, transform
