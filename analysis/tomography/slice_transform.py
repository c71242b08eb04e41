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

from redoxscope.analysis.tomography.angles import checked_angles
from redoxscope.analysis.tomography.gridding import Gridding, Workspace

Floats = NDArray[np.floating]
Complexes = NDArray[np.complex64]

_BATCH_BYTES = 256e6
_MOST_PAIRS = 8
"""More slices at a time are not faster: their cells do not stay in the cache."""


class _Transform(Protocol):
    """A non-uniform FFT; see `Gridding`."""

    @property
    def bytes_per_image(self) -> int: ...
    def adjoint(self, spectra: Complexes, out: NDArray[np.float32]) -> None: ...
    def forward(self, images: NDArray[np.float32]) -> Complexes: ...


class _Finufft:
    """The same by the package finufft (Barnett et al., SIAM J. Sci. Comput. 41, C479 (2019))."""

    def __init__(
        self, fy: Floats, fx: Floats, size: int, factor: NDArray[np.complexfloating], accuracy: float, threads: int
    ) -> None:
        self._factor = factor.astype(np.complex64)
        self._points = [(2 * np.pi * f).astype(np.float32) for f in (fy, fx)]
        self._size, self._accuracy, self._threads = size, accuracy, threads
        self._plans: dict[tuple[int, int], finufft.Plan] = {}

    @property
    def bytes_per_image(self) -> int:
        return 8 * int((1.25 * self._size) ** 2) + 16 * self._factor.size

    def adjoint(self, spectra: Complexes, out: NDArray[np.float32]) -> None:
        images = self._plan(1, len(spectra)).execute(spectra * self._factor).reshape(-1, *out.shape[1:])
        out[0::2] = images.real
        out[1::2] = images.imag[: len(out) // 2]

    def forward(self, images: NDArray[np.float32]) -> Complexes:
        pairs = (images[0::2] + 1j * images[1::2]).astype(np.complex64)
        spectra = self._plan(2, len(pairs)).execute(pairs).reshape(len(pairs), -1)
        return np.asarray(spectra * np.conj(self._factor))

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
    return int(fft.next_fast_len(int(np.ceil(reach if filtered else max(width, reach / 2)))))


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
        accuracy : of finufft, relative; that of gridding is 2e-5
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
        points = fy.ravel(), fx.ravel(), size, factor.ravel()
        self._workspace = Workspace()
        self._pool = threads if backend == "gridding" else 1
        self._transform: _Transform = (
            Gridding(*points) if backend == "gridding" else _Finufft(*points, accuracy, threads)
        )
        bytes_per_pair = self._transform.bytes_per_image + 8 * theta.size * padded
        self._rows = 2 * int(np.clip(_BATCH_BYTES / self._pool / bytes_per_pair, 1, _MOST_PAIRS))

    def backproject(
        self, sinograms: Floats, out: NDArray[np.float32], extend: Callable[[Complexes], None] | None = None
    ) -> None:
        """(angle, row, col) → out (row, N, N); `extend` fills the padding of (pair, angle, padded) in place."""

        def work(rows: slice) -> None:
            self._transform.adjoint(self._spectra(sinograms[:, rows], extend), out[rows])

        self._each(work, len(out))

    def project(self, images: NDArray[np.float32], out: NDArray[np.float32]) -> None:
        """(row, N, N) → out (angle, row, col): the transpose of `backproject`."""

        def work(rows: slice) -> None:
            given = images[rows]
            if len(given) % 2:
                given = np.concatenate([given, np.zeros_like(given[:1])])
            spectra = self._transform.forward(given).reshape(-1, self.angles, self.padded)
            lines = fft.ifft(spectra, axis=-1, norm="forward", overwrite_x=True)[..., : self.width]
            out[:, rows][:, 0::2] = lines.real.swapaxes(0, 1)
            out[:, rows][:, 1::2] = lines.imag.swapaxes(0, 1)[:, : out[:, rows].shape[1] // 2]

        self._each(work, len(images))

    def _spectra(self, sinograms: Floats, extend: Callable[[Complexes], None] | None) -> Complexes:
        """(angle, row, col) → (pair, point)"""
        count = (sinograms.shape[1] + 1) // 2
        pairs = self._workspace.take((count, self.angles, 2 * self.padded)).view(np.complex64)
        _pair(sinograms, pairs)
        if extend is not None:
            extend(pairs)
        return np.asarray(fft.fft(pairs, axis=-1, overwrite_x=True)).reshape(count, -1)

    def _each(self, work: Callable[[slice], None], rows: int) -> None:
        # Pairs are spread evenly: the last batch should not be a single one.
        batches = -(-rows // self._rows)
        step = 2 * -(-rows // (2 * max(batches, min(self._pool, (rows + 1) // 2)))) if rows else 1
        parts = [slice(first, min(first + step, rows)) for first in range(0, rows, step)]
        if self._pool == 1 or len(parts) < 2:
            for part in parts:
                work(part)
        else:
            with ThreadPoolExecutor(self._pool) as pool:
                list(pool.map(work, parts))


@njit(cache=True, nogil=True, error_model="numpy")
def _pair(sinograms: Floats, pairs: Complexes) -> None:
    """(angle, row, col) → (pair, angle, padded): rows in twos, zeros behind them."""
    angles, rows, width = sinograms.shape
    for i in range(pairs.shape[0]):
        for a in range(angles):
            target, even = pairs[i, a], sinograms[a, 2 * i]
            if 2 * i + 1 < rows:
                odd = sinograms[a, 2 * i + 1]
                for u in range(width):
                    target[u] = complex(even[u], odd[u])
            else:
                for u in range(width):
                    target[u] = even[u]
            target[width:] = 0
