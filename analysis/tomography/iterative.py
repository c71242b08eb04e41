"""Reconstruction by iteration, where projections are few or a wedge of them is missing.

Both methods run many slices at once on the same pair of projection and backprojection, a non-uniform FFT and its
transpose (`SliceTransform`). What lies outside the circle that every projection sees is taken to be empty.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from skimage.restoration import denoise_tv_chambolle

from redoxscope.analysis.tomography.angles import angle_weights, checked_angles
from redoxscope.analysis.tomography.filtering import filter_response
from redoxscope.analysis.tomography.slice_transform import SliceTransform, padded_length

Floats = NDArray[np.floating]
Volume = NDArray[np.float32]

METHODS = ("fbp", "sirt", "tv")
"""Names that `reconstruct` takes as `method`: filtered backprojection, and the two of this module."""
_PER_NOISE, _PER_SPREAD = 0.6, 0.02
_INNER = 10
"""Iterations of the denoising within each of the reconstruction."""
_NORMAL = 1.4826
"""Standard deviation over the median absolute value, of a normal distribution."""


class Projector:
    """Projections of slices, the transpose of it, and filtered backprojection, with one geometry."""

    def __init__(
        self, angles: ArrayLike, width: int, axis_offset: float = 0.0, *, size: int | None = None, threads: int = 1
    ) -> None:
        """Prepare for projections (angle, row, `width`) and slices (row, N, N), N = `size` or `width`."""
        theta = checked_angles(angles)
        n = size or width
        self.shape = theta.size, width, n
        plain, padded = (padded_length(width, n, axis_offset, filtered=filtered) for filtered in (False, True))
        self._plain = SliceTransform(theta, width, axis_offset, n, plain, np.ones((1, plain)), threads=threads)
        gain = filter_response(padded, "ramp") * angle_weights(theta)[:, None]
        self._filtered = SliceTransform(theta, width, axis_offset, n, padded, gain, threads=threads)
        self._noise_gain = float(np.sqrt((gain**2).sum() / padded))
        across = np.arange(n) - (n - 1) / 2
        radius = min(n, width - 2 * abs(axis_offset)) / 2
        self.circle = np.hypot(across[:, None], across) <= radius
        u = np.arange(width) - (width - 1) / 2 - axis_offset
        self.chord = 2 * np.sqrt(np.maximum(radius**2 - u**2, 0))
        """(col,) px that a ray goes through the circle."""

    def project(self, slices: Volume) -> Volume:
        """(row, N, N) → (angle, row, col)"""
        out = np.empty((self.shape[0], len(slices), self.shape[1]), dtype=np.float32)
        self._plain.project(slices, out)
        return out

    def backproject(self, projections: Floats, *, filtered: bool = False) -> Volume:
        """(angle, row, col) → (row, N, N), 0 outside the circle."""
        out = np.empty((projections.shape[1], self.shape[2], self.shape[2]), dtype=np.float32)
        (self._filtered if filtered else self._plain).backproject(projections, out)
        out[:, ~self.circle] = 0
        return out

    def noise(self, projections: Floats) -> float:
        """Standard deviation of a voxel of the filtered backprojection, from the white noise of the projections.

        That is estimated by the median curvature along the rows, to which the object adds at its sharp edges only.
        """
        curvature = np.abs(projections[..., :-2] - 2 * projections[..., 1:-1] + projections[..., 2:])
        return float(np.median(curvature) * _NORMAL / np.sqrt(6) * self._noise_gain)


def sirt(projector: Projector, projections: Floats, *, iterations: int = 100, nonnegative: bool = False) -> Volume:
    """Simultaneous iterative reconstruction (Gilbert, J. Theor. Biol. 36, 105 (1972)), from empty slices.

    Parameters
    ----------
    projections : (angle, row, col), finite
    iterations : more are sharper and noisier; without noise 100 reach what filtered backprojection does
    nonnegative : keep every voxel at 0 or above: absorbance is, the coefficients of spectra are not

    Returns
    -------
    (row, N, N) absorbance per voxel, 0 outside the circle that all projections see
    """
    # A ray's residual is shared out along the ray; each voxel takes the mean over the angles.
    share = np.where(projector.chord > 1, 1 / np.maximum(projector.chord, 1), 0) / projector.shape[0]
    share = share.astype(np.float32)
    slices = np.zeros((projections.shape[1], projector.shape[2], projector.shape[2]), dtype=np.float32)
    for _ in range(iterations):
        slices += projector.backproject((projections - projector.project(slices)) * share)
        if nonnegative:
            np.maximum(slices, 0, out=slices)
    return slices


def total_variation(
    projector: Projector, projections: Floats, *, iterations: int = 100, strength: float | None = None
) -> Volume:
    """Slices x that minimise ½⟨Ax - b, F(Ax - b)⟩ + strength · TV(x): even regions with sharp borders.

    A is the projection, b the projections, F the ramp filter with the angles' weights: with all angles AᵀFA is nearly
    the identity, so that few iterations of FISTA suffice (Beck & Teboulle, SIAM J. Imaging Sci. 2, 183 (2009)); TV is
    isotropic in each slice.

    Parameters
    ----------
    projections : (angle, row, col), finite
    iterations : 30 suffice with all angles, a missing wedge fills slowly
    strength : absorbance per voxel; steps smaller than it vanish in the noise's company. By default 0.6 of the noise
        of a voxel of the filtered backprojection (`Projector.noise`), and at least 2 % of the slices' own spread

    Returns
    -------
    (row, N, N) absorbance per voxel, 0 outside the circle that all projections see
    """
    slices = projector.backproject(projections, filtered=True)
    if strength is None:
        spread = float(slices[:, projector.circle].std())
        strength = max(_PER_NOISE * projector.noise(projections), _PER_SPREAD * spread)
    step = 1 / _largest_gain(projector)
    ahead, momentum = slices, 1.0
    for _ in range(iterations):
        target = ahead - step * projector.backproject(projector.project(ahead) - projections, filtered=True)
        moved = np.stack([_denoised(image, strength * step) for image in target])
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = moved + np.float32((momentum - 1) / following) * (moved - slices)
        slices, momentum = moved, following
    slices[:, ~projector.circle] = 0
    return slices


def _denoised(image: NDArray[np.float32], weight: float) -> NDArray[np.float32]:
    if weight == 0:
        return image
    return np.asarray(denoise_tv_chambolle(image, weight=weight, eps=0, max_num_iter=_INNER), dtype=np.float32)


def _largest_gain(projector: Projector) -> float:
    """The largest eigenvalue of projection and filtered backprojection, by power iteration, and some more."""
    n = projector.shape[2]
    image = np.random.default_rng(0).standard_normal((1, n, n)).astype(np.float32)
    image[:, ~projector.circle] = 0
    gain = 1.0
    for _ in range(15):
        image = projector.backproject(projector.project(image), filtered=True)
        gain = float(np.linalg.norm(image))
        image /= gain
    return 1.1 * gain
