"""From sinograms to slices and back through their spectra, for many slices of one geometry.

Geometry: detector column u sees at angle θ the line u - u_axis = x·cosθ + y·sinθ, with x, y counted from the
rotation axis, u_axis = (W - 1)/2 + axis_offset, and the volume (row, y, x) centred on the axis at (N - 1)/2.

The spectrum of a projection is the slice's spectrum along a line (Kak & Slaney, "Principles of Computerized Tomographic
Imaging", IEEE Press 1988, ch. 3): backprojection is one adjoint non-uniform FFT per slice, projection its forward
twin. Two real slices travel as the real and imaginary part of one transform.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import finufft
import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import fft

from redoxscope.analysis.tomography import line_spectra
from redoxscope.analysis.tomography.angles import checked_angles
from redoxscope.analysis.tomography.fourier import fourier_plan, good_length
from redoxscope.analysis.tomography.gridding import Gridding, Workspace
from redoxscope.analysis.tomography.lanes import CELL

Floats = NDArray[np.floating]
Complexes = NDArray[np.complex64]

_BATCH_BYTES = 256e6
_MOST_PAIRS = 8
"""More slices at a time are not faster: their cells do not stay in the cache."""


class _Transform(Protocol):
    """Some slices at a time: their sinograms (angle, row, col) to images (row, N, N) and back."""

    rows: int
    """That are done at a time."""
    pool: int
    """Threads that may call at the same time."""

    def backproject(self, sinograms: Floats, out: NDArray[np.float32], extend: bool) -> None: ...
    def project(self, images: NDArray[np.float32], out: NDArray[np.float32]) -> None: ...


class _ByGridding:
    """By our own kernels, eight slices at a time."""

    def __init__(
        self, fy: Floats, fx: Floats, size: int, factor: NDArray[np.complexfloating], padded: int, threads: int
    ) -> None:
        self.rows, self.pool = CELL, threads
        self._gridding = Gridding(fy, fx, size, factor)
        self._fourier = padded, *fourier_plan(padded)
        self._sizes = line_spectra.floats_needed(factor.size // padded, padded)
        self._workspace = Workspace()

    def backproject(self, sinograms: Floats, out: NDArray[np.float32], extend: bool) -> None:
        spectra, *scratch = self._scratch()
        line_spectra.to_cells(sinograms, extend, *self._fourier, spectra, *scratch)
        images = out if len(out) == CELL else np.empty((CELL, *out.shape[1:]), dtype=np.float32)
        self._gridding.adjoint(spectra, images)
        if images is not out:
            out[...] = images[: len(out)]

    def project(self, images: NDArray[np.float32], out: NDArray[np.float32]) -> None:
        given = np.zeros((CELL, *images.shape[1:]), dtype=np.float32)
        given[: len(images)] = images
        spectra, *scratch = self._scratch()
        spectra.fill(0)
        self._gridding.forward(given, spectra)
        line_spectra.from_cells(spectra, *self._fourier, out, *scratch)

    def _scratch(self) -> list[NDArray[np.float32]]:
        return np.split(self._workspace.take(sum(self._sizes)), np.cumsum(self._sizes)[:-1])


class _ByFinufft:
    """The same by the package finufft (Barnett et al., SIAM J. Sci. Comput. 41, C479 (2019))."""

    def __init__(
        self, fy: Floats, fx: Floats, size: int, factor: NDArray[np.complexfloating], padded: int, threads: int,
        accuracy: float,
    ) -> None:  # fmt: skip
        self._factor = factor.astype(np.complex64)
        self._points = [(2 * np.pi * f).astype(np.float32) for f in (fy, fx)]
        self._size, self._padded, self._accuracy, self._threads = size, padded, accuracy, threads
        bytes_per_pair = 8 * int((1.25 * size) ** 2) + 24 * factor.size
        self.rows, self.pool = 2 * int(np.clip(_BATCH_BYTES / bytes_per_pair, 1, _MOST_PAIRS)), 1
        self._workspace = Workspace()
        self._plans: dict[tuple[int, int], finufft.Plan] = {}

    def backproject(self, sinograms: Floats, out: NDArray[np.float32], extend: bool) -> None:
        count, angles = (sinograms.shape[1] + 1) // 2, len(sinograms)
        pairs = self._workspace.take(2 * count * angles * self._padded).view(np.complex64)
        pairs = pairs.reshape(count, angles, self._padded)
        _pair(sinograms, pairs, extend)
        spectra = fft.fft(pairs, axis=-1, overwrite_x=True).reshape(count, -1)
        images = self._plan(1, count).execute(spectra * self._factor).reshape(-1, *out.shape[1:])
        out[0::2] = images.real
        out[1::2] = images.imag[: len(out) // 2]

    def project(self, images: NDArray[np.float32], out: NDArray[np.float32]) -> None:
        if len(images) % 2:
            images = np.concatenate([images, np.zeros_like(images[:1])])
        pairs = (images[0::2] + 1j * images[1::2]).astype(np.complex64)
        spectra = self._plan(2, len(pairs)).execute(pairs).reshape(len(pairs), -1) * np.conj(self._factor)
        lines = fft.ifft(spectra.reshape(len(pairs), -1, self._padded), axis=-1, norm="forward", overwrite_x=True)
        lines = lines[..., : out.shape[2]].swapaxes(0, 1)
        out[:, 0::2] = lines.real
        out[:, 1::2] = lines.imag[:, : out.shape[1] // 2]

    def _plan(self, kind: int, count: int) -> finufft.Plan:
        if (kind, count) not in self._plans:
            sign = 1 if kind == 1 else -1
            plan = finufft.Plan(
                kind, (self._size,) * 2, count, eps=self._accuracy, isign=sign, dtype="complex64",
                nthreads=self._threads,
            )  # fmt: skip
            plan.setpts(*self._points)
            self._plans[kind, count] = plan
        return self._plans[kind, count]


def padded_length(width: int, size: int, axis_offset: float, *, filtered: bool) -> int:
    """Samples of a projection of `width` columns with the zeros behind it, for slices `size` voxels wide.

    So many that within the circle that is in view its far end does not come round to its near one; a filter reaches
    twice as far.

    Raises
    ------
    ValueError
        If no voxel is seen from all angles.
    """
    if width < 2 or size < 1:
        raise ValueError(f"projections {width} px and slices {size} voxels wide: nothing can be reconstructed")
    if not abs(axis_offset) < width / 2:
        raise ValueError(
            f"the rotation axis is {axis_offset:g} px from the centre of a view {width} px wide: no voxel is seen "
            "from all angles; give the axis in pixels of these projections"
        )
    reach = width + size + 2 * abs(axis_offset)
    return good_length(int(np.ceil(reach if filtered else max(width, reach / 2))))


BACKENDS = ("gridding", "finufft")
"""Our own kernels, and the package that they are tested against."""


class SliceTransform:
    """Backprojection of sinograms, each frequency of each angle with a gain, and its transpose."""

    def __init__(
        self,
        angles: Floats,
        width: int,
        axis_offset: float,
        size: int,
        padded: int,
        gain: Floats,
        *,
        backend: str = "gridding",
        accuracy: float = 1e-4,
        threads: int = 1,
    ) -> None:
        """Compute all that depends on the geometry only.

        Parameters
        ----------
        angles : (angle,) degrees
        width : W, columns of a projection
        axis_offset : px, rotation axis minus the detector's centre column
        size : N, width of a slice in voxels
        padded : length of a projection with the zeros behind it
        gain : (angle or 1, padded) real, at the frequencies of `scipy.fft.fftfreq`
        backend : "gridding" or "finufft"
        accuracy : of finufft, relative; that of gridding is 2e-4
        threads : that work at the same time

        Raises
        ------
        ValueError
            If the backend is unknown.
        """
        if backend not in BACKENDS:
            raise ValueError(f"no backend {backend!r}: one of {', '.join(BACKENDS)}")
        theta = np.deg2rad(checked_angles(angles))[:, None]
        self.angles, self.width, self.size, self.padded = theta.size, width, size, padded
        k = fft.fftfreq(padded)
        fy, fx = k * np.sin(theta), k * np.cos(theta)
        # At the Nyquist frequency of an even length a shifted real signal would not stay real.
        kept = (np.abs(k) < 0.5) / padded
        factor = gain * kept * np.exp(2j * np.pi * k * ((width - 1) / 2 + axis_offset)) * np.ones_like(theta)
        if size % 2 == 0:
            # The voxels' centres lie half a voxel from the transform's origin.
            factor *= np.exp(1j * np.pi * (fy + fx))
        points = fy.ravel(), fx.ravel(), size, factor.ravel(), padded, threads
        self._transform: _Transform = (
            _ByGridding(*points) if backend == "gridding" else _ByFinufft(*points, accuracy=accuracy)
        )

    def backproject(self, sinograms: Floats, out: NDArray[np.float32], *, extend: bool = False) -> None:
        """(angle, row, col) → out (row, N, N); behind their ends projections are zero or, extended, go on smoothly."""
        self._each(lambda rows: self._transform.backproject(sinograms[:, rows], out[rows], extend), len(out))

    def project(self, images: NDArray[np.float32], out: NDArray[np.float32]) -> None:
        """(row, N, N) → out (angle, row, col): the transpose of `backproject`."""
        self._each(lambda rows: self._transform.project(images[rows], out[:, rows]), len(images))

    def _each(self, work: Callable[[slice], None], rows: int) -> None:
        # Pairs are spread evenly: the last batch should not be a single one.
        batches = -(-rows // self._transform.rows)
        step = 2 * -(-rows // (2 * batches)) if rows else 1
        parts = [slice(first, min(first + step, rows)) for first in range(0, rows, step)]
        if self._transform.pool == 1 or len(parts) < 2:
            for part in parts:
                work(part)
        else:
            with ThreadPoolExecutor(self._transform.pool) as pool:
                list(pool.map(work, parts))


@njit(cache=True, nogil=True, error_model="numpy")
def _pair(sinograms: Floats, pairs: Complexes, extend: bool) -> None:
    """(angle, row, col) → (pair, angle, padded): rows in twos, padded."""
    angles, rows, _ = sinograms.shape
    even, odd = np.zeros((2, pairs.shape[2]), dtype=np.float32)
    for i in range(pairs.shape[0]):
        for a in range(angles):
            line_spectra.pad(sinograms[a, 2 * i], even, extend)
            if 2 * i + 1 < rows:
                line_spectra.pad(sinograms[a, 2 * i + 1], odd, extend)
            else:
                odd[:] = 0
            for u in range(even.size):
                pairs[i, a, u] = complex(even[u], odd[u])
