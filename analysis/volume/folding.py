"""The aligned projections of a 3D XANES scan, folded into a few spectra.

A XANES series has few independent spectra. Folding is linear, as reconstruction is, so it can come first: K
reconstructions instead of one per energy, and less noise. Rows of the detector are independent but for the
interpolation's reach, so any range of rows can be folded on its own.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from redoxscope.analysis.alignment.row_warp import REACH, warp_rows
from redoxscope.analysis.tomography.reconstruction import fill_missing

Floats = NDArray[np.floating]
Tomograms = Sequence[Floats] | Floats
"""Per energy (angle, row, col) absorbance."""

LEAST_COMPONENTS, MOST_COMPONENTS = 6, 10
"""Fewer components drag rare phases towards the common ones, more add only noise."""
_BIN = 4
"""px; noise averages out over such squares, a phase that fills a few voxels does not."""
_SIGNAL = 2.0
"""A component is above the noise if its variance is this many times the median one."""
_LOOKED_AT = 6 * _BIN**2
"""Pixels for each energy, in which a spectrum that the basis does not describe is told from noise."""
_CHUNK_BYTES = 64e6
_MOST_ANGLES, _LEAST_ANGLES, _PIXELS = 32, 8, 2**17
"""Angles that the spectra are learnt from, and pixels to have together; more add time, not accuracy."""


def aligned_rows(
    projections: Tomograms,
    rows: slice,
    shifts: Floats,
    scales: Floats,
    *,
    angles: NDArray[np.intp] | None = None,
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Some rows of all energies as they would be without drift, jitter and magnification, a few angles at a time.

    Parameters
    ----------
    projections : per energy (angle, row, col) absorbance, NaN where unknown; may lie in files
    rows : of the aligned projections, without a step
    shifts : (energy, angle, 2) px (dy, dx)
    scales : (energy,) magnification, undone about the detector's centre
    angles : numbers of those wanted; all by default

    Yields
    ------
    which angles (of those wanted), and (energy, angle, row, col) float32
    """
    total, height, width = projections[0].shape
    wanted = np.arange(total) if angles is None else angles
    size = rows.stop - rows.start
    step = max(1, int(_CHUNK_BYTES / (4 * len(projections) * (size + 2 * REACH) * width)))
    for first in range(0, wanted.size, step):
        part = slice(first, min(first + step, wanted.size))
        pick = wanted[part]
        out = np.empty((len(projections), pick.size, size, width), dtype=np.float32)
        for frames, shift, scale, target in zip(projections, shifts[:, pick], scales, out, strict=True):
            low, high = _source_rows(rows, height, shift[:, 0], float(scale))
            given = np.asarray(frames[_contiguous(pick), low:high], dtype=np.float32)
            warp_rows(fill_missing(given), low, height, rows.start, shift, float(scale), target)
        yield part, out


def seen_rows(shifts: Floats, scales: Floats, height: int) -> NDArray[np.bool_]:
    """(row, energy) which rows of the aligned projections are within the view at all angles of an energy."""
    centre = (height - 1) / 2
    source = centre + scales * (np.arange(height)[:, None] - centre)
    low, high = source + shifts[:, :, 0].min(axis=1), source + shifts[:, :, 0].max(axis=1)
    return np.asarray((low > -0.5) & (high < height - 0.5))


def spectral_products(
    projections: Tomograms, shifts: Floats, scales: Floats, taken: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    """(energy, energy) sums of products of aligned projections, over `some_angles`, binned 4 × 4.

    Binned so, rare phases stand above the noise.
    """
    height = projections[0].shape[1]
    chosen = some_angles(projections[0].shape, taken)
    products = np.zeros((len(projections),) * 2)
    for _, frames in aligned_rows(projections, slice(0, height), shifts, scales, angles=chosen):
        products += covariance(_binned(frames))
    return products


def basis_of(products: Floats) -> NDArray[np.float64]:
    """(K, energy) orthonormal spectra that span those with these `spectral_products`, down to their noise.

    K counts the principal components whose variance is more than twice the median one, within 6 to 10.
    """
    energies = len(products)
    variance, vectors = np.linalg.eigh(products)
    above = int(np.count_nonzero(variance > _SIGNAL * np.median(variance)))
    count = int(np.clip(above, min(LEAST_COMPONENTS, energies), min(MOST_COMPONENTS, energies)))
    return np.asarray(vectors[:, ::-1].T[:count])


def some_angles(
    shape: tuple[int, ...], taken: NDArray[np.bool_] | None, pixels: float = _PIXELS, most: int = _MOST_ANGLES
) -> NDArray[np.intp]:
    """Numbers of some projections of (angle, row, col), spread over all, that hold so many pixels; 8 to `most`.

    Angles that were not `taken` (energy, angle) at all energies are avoided, as far as there are others.
    """
    whole = np.arange(shape[0]) if taken is None else np.flatnonzero(taken.all(axis=0))
    if whole.size < _LEAST_ANGLES:
        whole = np.arange(shape[0])
    count = int(np.clip(-(-pixels // (shape[1] * shape[2])), _LEAST_ANGLES, most))
    return whole[np.unique(np.linspace(0, whole.size - 1, count).astype(np.intp))]


def fold_weights(basis: Floats, seen: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(row, K, energy): what each energy adds to each coefficient, by row; `seen` (row, energy) as by `seen_rows`.

    Where drift took a row out of the view at some energies, its coefficients are the least-squares fit to the
    others; if those do not determine them (noise would more than double), the row's weights are 0.
    """
    weights = np.zeros((len(seen), *basis.shape), dtype=np.float32)
    for pattern in np.unique(seen, axis=0):
        solve = np.zeros(basis.shape)
        if np.count_nonzero(pattern) >= len(basis):
            solve[:, pattern] = np.linalg.pinv(basis[:, pattern].T)
        if np.linalg.norm(solve, 2) <= 2:
            weights[(seen == pattern).all(axis=1)] = solve
    return weights


def fold(frames: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Coefficients (K, angle, row, col) of aligned frames (energy, angle, row, col); weights are (row, K, energy)."""
    if (weights == weights[0]).all():
        return np.asarray(np.tensordot(weights[0], frames, axes=1))
    out = np.empty((weights.shape[1], *frames.shape[1:]), dtype=np.float32)
    for row, weight in enumerate(weights):
        out[:, :, row] = np.tensordot(weight, frames[:, :, row], axes=1)
    return out


def covariance(binned: Floats) -> Floats:
    """(energy, energy) sums of products of (energy, ...)."""
    flat = binned.reshape(len(binned), -1)
    return np.asarray((flat @ flat.T).astype(np.float64))


def strangeness(frames: NDArray[np.float32], basis: Floats) -> Floats:
    """(energy, energy) sums of products of what the basis leaves of binned aligned frames; see `is_strange`."""
    flat = _binned(frames).reshape(len(frames), -1)
    narrow = basis.astype(np.float32)
    return covariance(flat - narrow.T @ (narrow @ flat))


def telling_angles(shape: tuple[int, ...], taken: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Numbers of the projections, of (angle, row, col), from which `is_strange` can judge; `taken` (energy, angle)."""
    return some_angles(shape, taken, _LOOKED_AT * len(taken), shape[0])


def is_strange(residual: Floats, components: int, limit: float = 4.0) -> bool:
    """Whether the sums of `strangeness` hold another spectrum: their largest variance is well above the median one."""
    variance = np.linalg.eigvalsh(residual)[components:]
    return bool(variance.size > 2 and variance[-1] > limit * np.median(variance))


def _binned(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means over squares of the last two axes; what is left over at their ends goes, short ends stay."""
    rows, cols = frames.shape[-2:]
    high, wide = min(_BIN, rows), min(_BIN, cols)
    rows, cols = rows // high * high, cols // wide * wide
    tall = frames[..., :rows, :cols].reshape(*frames.shape[:-2], rows // high, high, cols)
    pool = np.kron(np.eye(cols // wide, dtype=np.float32), np.full((wide, 1), 1 / (high * wide), dtype=np.float32))
    # Neighbouring columns by a product: numpy is slow in adding four at a time.
    return np.asarray(tall.sum(axis=-2) @ pool)


def _source_rows(rows: slice, height: int, dy: Floats, scale: float) -> tuple[int, int]:
    """The rows of the detector that some rows of the aligned projections are made of."""
    centre = (height - 1) / 2
    ends = centre + scale * (np.array([rows.start, rows.stop - 1]) - centre)
    low = int(np.clip(np.floor(ends.min() + dy.min()) - REACH, 0, height - 1))
    high = int(np.clip(np.ceil(ends.max() + dy.max()) + REACH + 1, low + 1, height))
    return low, high


def _contiguous(numbers: NDArray[np.intp]) -> slice | NDArray[np.intp]:
    """Neighbouring numbers as a slice: files are read faster so."""
    if numbers.size and numbers[-1] - numbers[0] == numbers.size - 1:
        return slice(int(numbers[0]), int(numbers[-1]) + 1)
    return numbers
