"""Non-uniform FFT of many images at one set of points, by gridding.

Each point is spread over 8 × 8 cells of a grid 1.25 times as fine as the image's spectrum, by a Kaiser-Bessel kernel;
an FFT follows, whose result is divided by the kernel's transform (Jackson et al., IEEE Trans. Med. Imaging 10, 473
(1991); Beatty et al., ibid. 24, 799 (2005)). What depends on the points only is computed once; points are sorted by
tiles of the grid, and each is spread for several images before the next, so that the cells stay in the cache.
"""

import threading

import numpy as np
from numba import njit
from numpy.polynomial import Chebyshev, Polynomial
from numpy.typing import NDArray
from scipy import fft

from redoxscope.analysis.tomography.lanes import DEGREE, WIDTH, gather, kernel_values, spread

Floats = NDArray[np.floating]
Complexes = NDArray[np.complex64]

_OVERSAMPLING = 1.25
_HALO = WIDTH // 2
_TILE = 32
_ALIGN = 64
"""Bytes, a cache line."""


class Gridding:
    """Transforms between images (size, size) and their spectra at given points, relative error about 2e-5.

    Voxel i of an image is at i - size // 2; the spectrum at (fy, fx) is Σ image · exp(-2πi (fy·y + fx·x)).
    An object may be used by several threads at once.
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
        self.points = factor.size
        self.cells = max(2 * WIDTH, int(fft.next_fast_len(int(np.ceil(_OVERSAMPLING * size)))))
        self._stride = 2 * (self.cells + WIDTH)
        used = np.flatnonzero(factor)
        (row, down), (col, across) = (self._footprint(f[used]) for f in (fy, fx))
        order = _interleaved(np.argsort(row // _TILE * self.cells + col // _TILE, kind="stable"))
        self._source = used[order].astype(np.uint32)
        self._at = (row * self._stride + 2 * col)[order].astype(np.uint32)
        self._down, self._across = down[order], across[order]
        self._factor = factor[used][order].astype(np.complex64)
        kernel, transform = _kaiser_bessel(self.cells / size)
        self._pieces = _pieces(kernel).repeat(2, axis=1).ravel()
        modes = np.arange(size) - size // 2
        self._correction = (1 / transform(modes / self.cells)).astype(np.float32)
        # The image's halves stand at the spectrum's two ends.
        self._ends = slice(0, (size + 1) // 2), slice(self.cells - size // 2, self.cells)
        self._workspace = Workspace()

    @property
    def bytes_per_image(self) -> int:
        """Working memory of a transform, per complex image."""
        return 2 * self._stride * self._stride

    def adjoint(self, spectra: Complexes, out: NDArray[np.float32]) -> None:
        """Sum up waves: out[2i] + i·out[2i + 1] = Σ factor · spectra[i] · exp(+2πi (fy·y + fx·x)).

        spectra : (image, point); out : (2 image or one less, size, size) is filled
        """
        grid = self._grid(len(spectra))
        _spread_all(
            spectra.view(np.float32).reshape(-1), self._factor.view(np.float32), self._source, self._at,
            self._down, self._across, self._pieces, grid.reshape(-1), len(spectra), self._stride,
        )  # fmt: skip
        cells = grid.view(np.complex64)
        cells = _fold(_fold(cells, self.cells).swapaxes(1, 2), self.cells).swapaxes(1, 2)
        _keep(fft.ifft(cells, axis=2, norm="forward", overwrite_x=True), cells)
        # Of the second axis only the columns that are kept.
        for part in self._ends:
            _keep(fft.ifft(cells[:, :, part], axis=1, norm="forward", overwrite_x=True), cells[:, :, part])
        _pairs_apart(grid, self._correction, out, np.empty((self.size, self.size), dtype=np.float32))

    def forward(self, images: Floats) -> Complexes:
        """(image, point) factor* · spectrum of images[2i] + i·images[2i + 1], of (2 image, size, size) float32."""
        pairs = len(images) // 2
        grid = self._grid(pairs)
        cells = grid.view(np.complex64)[:, _HALO : _HALO + self.cells, _HALO : _HALO + self.cells]
        _pairs_together(images, self._correction, grid)
        for part in self._ends:
            _keep(fft.fft(cells[:, :, part], axis=1, overwrite_x=True), cells[:, :, part])
        _keep(fft.fft(cells, axis=2, overwrite_x=True), cells)
        _unfold(_unfold(grid.view(np.complex64), self.cells).swapaxes(1, 2), self.cells)
        out = np.zeros((pairs, self.points), dtype=np.complex64)
        _gather_all(
            grid.reshape(-1), self._factor.view(np.float32), self._source, self._at,
            self._down, self._across, self._pieces, out.view(np.float32).reshape(-1), pairs, self._stride,
        )  # fmt: skip
        return out

    def _grid(self, images: int) -> NDArray[np.float32]:
        """Zeros (image, row, 2 · column)."""
        grid = self._workspace.take((images, self.cells + WIDTH, self._stride))
        grid.fill(0)
        return grid

    def _footprint(self, frequency: Floats) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """First cell (in the grid with its halo) and distance of it from the footprint's border."""
        place = np.mod(frequency.astype(np.float64) * self.cells, self.cells)
        first = np.ceil(place - _HALO)
        return (first + _HALO).astype(np.int64), (first - place + _HALO).astype(np.float32)


class Workspace(threading.local):
    """Memory that each thread keeps between transforms: fresh pages from the system cost as much as an FFT."""

    def __init__(self) -> None:
        self._raw = np.empty(0, dtype=np.uint8)

    def take(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """An array of any content, on a cache line's border; it is valid until the next call."""
        size = 4 * int(np.prod(shape))
        if self._raw.size < size + _ALIGN:
            self._raw = np.empty(size + _ALIGN, dtype=np.uint8)
        start = -self._raw.ctypes.data % _ALIGN
        return self._raw[start : start + size].view(np.float32).reshape(shape)


def _keep(result: Complexes, place: Complexes) -> None:
    """Put the result of a transform to where its input was, unless the transform has done so."""
    if not np.may_share_memory(result, place):
        place[...] = result


def _interleaved(order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Every eighth of 64, then those behind them.

    Neighbours on a line share cells: what one has stored the next would have to wait for.
    """
    whole = order.size // 64 * 64
    return np.concatenate([order[:whole].reshape(-1, 8, 8).swapaxes(1, 2).ravel(), order[whole:]])


def _fold(cells: Complexes, count: int) -> Complexes:
    """Add the halo of axis 1 to the cells that it stands for, and cut it off."""
    cells[:, _HALO : 2 * _HALO] += cells[:, count + _HALO :]
    cells[:, count : count + _HALO] += cells[:, :_HALO]
    return cells[:, _HALO : count + _HALO]


def _unfold(cells: Complexes, count: int) -> Complexes:
    """Fill the halo of axis 1 with the cells that it stands for."""
    cells[:, count + _HALO :] = cells[:, _HALO : 2 * _HALO]
    cells[:, :_HALO] = cells[:, count : count + _HALO]
    return cells


def _kaiser_bessel(oversampling: float) -> tuple:  # type: ignore[type-arg]
    """The kernel as a function of cells, and its Fourier transform as a function of cycles per cell."""
    beta = 0.98 * np.pi * WIDTH * (1 - 0.5 / oversampling)

    def kernel(cells: Floats) -> Floats:
        return np.asarray(np.i0(beta * np.sqrt(np.maximum(1 - (2 * cells / WIDTH) ** 2, 0))) / np.i0(beta))

    def transform(frequency: Floats) -> Floats:
        root = np.sqrt(beta**2 - (np.pi * WIDTH * frequency) ** 2)
        return np.asarray(WIDTH * np.sinh(root) / (root * np.i0(beta)))

    return kernel, transform


def _pieces(kernel) -> NDArray[np.float32]:  # type: ignore[no-untyped-def]
    """(DEGREE + 1, WIDTH) coefficients of the kernel at z + i - WIDTH / 2 as polynomials in z, 0 to 1."""
    z = (1 + np.cos(np.pi * (np.arange(64) + 0.5) / 64)) / 2
    fits = [Chebyshev.fit(z, kernel(z - WIDTH / 2 + i), DEGREE, domain=[0, 1]) for i in range(WIDTH)]
    return np.array([f.convert(kind=Polynomial).coef[::-1] for f in fits], dtype=np.float32).T


@njit(cache=True, nogil=True, error_model="numpy")
def _spread_all(
    spectra: NDArray[np.float32],
    factor: NDArray[np.float32],
    source: NDArray[np.uint32],
    at: NDArray[np.uint32],
    down: NDArray[np.float32],
    across: NDArray[np.float32],
    pieces: NDArray[np.float32],
    grid: NDArray[np.float32],
    images: int,
    stride: int,
) -> None:
    values = np.empty(4 * WIDTH, dtype=np.float32)
    one, step = np.uint64(1), np.uint64(stride)
    spectrum, image = np.uint64(spectra.size // images), np.uint64(grid.size // images)
    for p in range(source.size):
        kernel_values(pieces, across[p], down[p], values)
        re, im = factor[2 * p], factor[2 * p + 1]
        given, here = np.uint64(2) * np.uint64(source[p]), np.uint64(at[p])
        for _ in range(images):
            a, b = spectra[given], spectra[given + one]
            spread(grid, here, step, values, a * re - b * im, a * im + b * re)
            given += spectrum
            here += image


@njit(cache=True, nogil=True, error_model="numpy")
def _gather_all(
    grid: NDArray[np.float32],
    factor: NDArray[np.float32],
    source: NDArray[np.uint32],
    at: NDArray[np.uint32],
    down: NDArray[np.float32],
    across: NDArray[np.float32],
    pieces: NDArray[np.float32],
    spectra: NDArray[np.float32],
    images: int,
    stride: int,
) -> None:
    values = np.empty(4 * WIDTH, dtype=np.float32)
    one, step = np.uint64(1), np.uint64(stride)
    spectrum, image = np.uint64(spectra.size // images), np.uint64(grid.size // images)
    for p in range(source.size):
        kernel_values(pieces, across[p], down[p], values)
        re, im = factor[2 * p], -factor[2 * p + 1]
        target, here = np.uint64(2) * np.uint64(source[p]), np.uint64(at[p])
        for _ in range(images):
            a, b = gather(grid, here, step, values)
            spectra[target] = a * re - b * im
            spectra[target + one] = a * im + b * re
            target += spectrum
            here += image


@njit(cache=True, nogil=True, error_model="numpy")
def _pairs_apart(
    grid: NDArray[np.float32], correction: NDArray[np.float32], out: NDArray[np.float32], spare: NDArray[np.float32]
) -> None:
    """Grid (pair, row, 2 · column) → corrected images (image, y, x), the origin in the middle; `spare` is scratch."""
    size, cells = correction.size, grid.shape[1] - WIDTH
    half = size // 2
    for pair in range(grid.shape[0]):
        even, odd = out[2 * pair], out[2 * pair + 1] if 2 * pair + 1 < len(out) else spare
        for y in range(size):
            row, first, second = grid[pair, _HALO + (y - half) % cells], even[y], odd[y]
            for source, start, stop in ((2 * (_HALO + cells - half), 0, half), (2 * _HALO, half, size)):
                for x in range(stop - start):
                    factor = correction[y] * correction[start + x]
                    first[start + x] = row[source + 2 * x] * factor
                    second[start + x] = row[source + 2 * x + 1] * factor


@njit(cache=True, nogil=True, error_model="numpy")
def _pairs_together(images: NDArray[np.float32], correction: NDArray[np.float32], grid: NDArray[np.float32]) -> None:
    """The transpose of `_pairs_apart`; other cells are left as they are."""
    size, cells = correction.size, grid.shape[1] - WIDTH
    half = size // 2
    for pair in range(grid.shape[0]):
        for y in range(size):
            even, odd, row = images[2 * pair, y], images[2 * pair + 1, y], grid[pair, _HALO + (y - half) % cells]
            for target, start, stop in ((2 * (_HALO + cells - half), 0, half), (2 * _HALO, half, size)):
                for x in range(stop - start):
                    factor = correction[y] * correction[start + x]
                    row[target + 2 * x] = even[start + x] * factor
                    row[target + 2 * x + 1] = odd[start + x] * factor
