"""A smooth edge-energy field with its derivatives at any point, and the curvature of its level sets.

Curvature is a second derivative, and taken from triangles it amplifies noise: here it comes from the field. The field
is smoothed by a flat-top Gaussian window, f = G∗E - (σ²/2)·∇²G∗E, whose bias is of fourth order in σ (Wand &
Schucany, Can. J. Stat. 18, 197 (1990)), and represented by a quintic spline, which is differentiated exactly.
Missing voxels do not count: the field is continued into them from the outermost known voxels by a local fit.

Distances here are in voxels, coordinates in (z, y, x) index units.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.floating]
Doubles = NDArray[np.float64]

_TRUNCATE = 4.0
"""Windows end at this many standard deviations."""
_FIT_RADIUS = 4
_FIT_SIGMA = 2.0
_FIT_RIDGE = (1e-3,) + 3 * (0.3,) + 6 * (100.0,)
"""Holds value, slopes and curvatures of the border's fits (their normal matrix counts voxels) against noise."""
_CONTINUE = 2.0
"""Windows; the border's fits are followed no farther than this."""


@dataclass(frozen=True)
class SmoothField:
    """A field smoothed by one window, to be evaluated between the voxels."""

    values: NDArray[np.float32]
    """(z, y, x) smoothed field minus `offset`, NaN where the original was missing."""
    offset: float
    """About the field's middle: a float32 near 8341 eV resolves a meV only, too little to be differentiated."""
    coefficients: NDArray[np.float32]
    """Quintic spline coefficients of the cropped, padded and continued field."""
    origin: NDArray[np.intp]
    """(3,) index in `values` of the first coefficient."""
    window: float
    """σ of the flat-top Gaussian, voxels."""


def smooth_field(field: Floats, window: float) -> SmoothField:
    """Smooth a field with missing voxels.

    Parameters
    ----------
    field : (z, y, x), NaN where missing; what lies outside the array is missing as well
    window : σ of the flat-top Gaussian, voxels, at least 0.5

    Raises
    ------
    ValueError
        If the field is not three-dimensional or has no known voxel, or the window is too narrow.
    """
    if field.ndim != 3:
        raise ValueError(f"the field has {field.ndim} dimensions: (z, y, x) is needed")
    if not window >= 0.5:
        raise ValueError(f"a window of {window:g} voxels is narrower than the grid resolves: at least 0.5 is needed")
    known = np.isfinite(field)
    if not known.any():
        raise ValueError("the field has no known voxel: there is nothing to smooth")
    box = ndimage.find_objects(known.view(np.uint8))[0]
    reach = int(np.ceil(_TRUNCATE * window))
    offset = float(np.median(field[known]))
    padded = np.pad((field[box] - offset).astype(np.float32), reach, constant_values=np.nan)
    smooth = _flat_top(_continued(padded, window), window)
    inner = tuple(slice(reach, -reach) for _ in range(3))
    values = np.full(field.shape, np.nan, dtype=np.float32)
    values[box] = np.where(known[box], smooth[inner], np.float32(np.nan))
    coefficients = ndimage.spline_filter(smooth, order=5, output=np.float32, mode="mirror")
    return SmoothField(values, offset, coefficients, np.array([s.start - reach for s in box]), window)


def derivatives(field: SmoothField, points: Floats) -> tuple[Doubles, Doubles, Doubles]:
    """Value, gradient and Hessian of a smooth field.

    Parameters
    ----------
    points : (n, 3) in (z, y, x) index units, within the field's known voxels

    Returns
    -------
    value minus the field's `offset` (n,), gradient (n, 3), Hessian (n, 6) as zz, yy, xx, zy, zx, yx; in units of the
    field per voxel and per voxel²
    """
    out = np.empty((len(points), 10))
    _spline(field.coefficients, np.ascontiguousarray(points - field.origin, dtype=np.float64), out)
    return out[:, 0], out[:, 1:4], out[:, 4:]


def curvatures(gradient: Floats, hessian: Floats) -> tuple[Doubles, Doubles]:
    """Mean and Gaussian curvature of the level set through a point.

    With g = ∇f, M the Hessian and the normal n = g/|g|, which points from low to high f:
    H = ½ ∇·n = (|g|² tr M - gᵀMg)/(2|g|³) and K = gᵀ adj(M) g/|g|⁴ (Goldman, CAGD 22, 632 (2005)). A sphere of
    radius r with low f inside, the new phase, has H = +1/r and K = 1/r².

    Parameters
    ----------
    gradient : (n, 3)
    hessian : (n, 6) zz, yy, xx, zy, zx, yx

    Returns
    -------
    H (n,) in 1/length and K (n,) in 1/length², NaN where the gradient vanishes
    """
    gz, gy, gx = gradient.T
    zz, yy, xx, zy, zx, yx = hessian.T
    square = gz * gz + gy * gy + gx * gx
    along = gz * gz * zz + gy * gy * yy + gx * gx * xx + 2 * (gz * gy * zy + gz * gx * zx + gy * gx * yx)
    adjoint = (
        gz * gz * (yy * xx - yx * yx)
        + gy * gy * (zz * xx - zx * zx)
        + gx * gx * (zz * yy - zy * zy)
        + 2 * gz * gy * (zx * yx - zy * xx)
        + 2 * gz * gx * (zy * yx - zx * yy)
        + 2 * gy * gx * (zy * zx - zz * yx)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = (square * (zz + yy + xx) - along) / (2 * square**1.5)
        return mean.astype(np.float64), (adjoint / square**2).astype(np.float64)


def _flat_top(field: NDArray[np.float32], window: float) -> NDArray[np.float32]:
    """G∗f - (σ²/2)·∇²G∗f in seven passes along the axes; exact for cubic polynomials."""
    n = np.arange(-int(np.ceil(_TRUNCATE * window)), int(np.ceil(_TRUNCATE * window)) + 1, dtype=np.float64)
    gauss = np.exp(-0.5 * (n / window) ** 2)
    gauss /= gauss.sum()
    variance = float(gauss @ n**2)
    second = gauss * (n**2 - variance)
    second *= 2 / (second @ n**2)

    def pass_(a: NDArray[np.float32], kernel: Floats, axis: int) -> NDArray[np.float32]:
        return np.asarray(ndimage.correlate1d(a, kernel, axis=axis, mode="nearest", output=np.float32))

    g, s = pass_(field, gauss, 2), pass_(field, second, 2)
    gg = pass_(g, gauss, 1)
    curved = pass_(g, second, 1) + pass_(s, gauss, 1)
    half = np.float32(variance / 2)
    return pass_(gg - half * curved, gauss, 0) - half * pass_(gg, second, 0)


def _continued(field: NDArray[np.float32], window: float) -> NDArray[np.float32]:
    """Continue the field into its missing voxels, each from the nearest known one by the quadratic fitted there.

    Voxels that no window reaches become 0.
    """
    missing = ~np.isfinite(field)
    distance, nearest = ndimage.distance_transform_edt(missing, return_indices=True)
    out = np.where(missing, np.float32(0), field)
    band = np.nonzero(missing & (distance <= _TRUNCATE * window + 1))
    source = np.stack([axis[band] for axis in nearest], axis=1)
    numbers = np.ravel_multi_index(tuple(source.T), field.shape)
    distinct, which = np.unique(numbers, return_inverse=True)
    fits = np.empty((distinct.size, 10))
    _fit(field, np.stack(np.unravel_index(distinct, field.shape), axis=1), np.array(_FIT_RIDGE), fits)
    # Farther out a window gives hardly any weight, and a parabola would run away.
    step = np.stack(band, axis=1) - source
    z, y, x = (step * np.minimum(1.0, _CONTINUE * window / distance[band])[:, None]).T
    terms = (np.ones_like(z), z, y, x, z * z, y * y, x * x, z * y, z * x, y * x)
    out[band] = sum(fits[which, k] * term for k, term in enumerate(terms))
    return out


@njit(parallel=True, cache=True, nogil=True)
def _fit(field: Floats, points: NDArray[np.intp], ridge: Floats, out: Floats) -> None:
    """Weighted local quadratic around each point: 10 polynomial coefficients, the curved ones held by a ridge."""
    nz, ny, nx = field.shape
    for p in prange(len(points)):
        normal = np.zeros((10, 10))
        right = np.zeros(10)
        t = np.empty(10)
        cz, cy, cx = points[p]
        for z in range(max(cz - _FIT_RADIUS, 0), min(cz + _FIT_RADIUS + 1, nz)):
            for y in range(max(cy - _FIT_RADIUS, 0), min(cy + _FIT_RADIUS + 1, ny)):
                for x in range(max(cx - _FIT_RADIUS, 0), min(cx + _FIT_RADIUS + 1, nx)):
                    v = field[z, y, x]
                    if not np.isfinite(v):
                        continue
                    a, b, c = float(z - cz), float(y - cy), float(x - cx)
                    w = np.exp(-0.5 * (a * a + b * b + c * c) / _FIT_SIGMA**2)
                    t[0], t[1], t[2], t[3] = 1.0, a, b, c
                    t[4], t[5], t[6], t[7], t[8], t[9] = a * a, b * b, c * c, a * b, a * c, b * c
                    for i in range(10):
                        right[i] += w * t[i] * v
                        for j in range(i, 10):
                            normal[i, j] += w * t[i] * t[j]
        for i in range(10):
            for j in range(i):
                normal[i, j] = normal[j, i]
            normal[i, i] += ridge[i]
        out[p] = np.linalg.solve(normal, right)


@njit(inline="always")
def _bspline(t: float, w: Floats) -> None:
    """Values, first and second derivatives (3, 6) of the quintic B-splines over a cell, at t in [0, 1)."""
    for k in range(6):
        # Distance from knot k - 2; |u| < 3.
        u = t + 2.0 - k
        a = abs(u)
        s = 1.0 if u >= 0 else -1.0
        p3, p2, p1 = max(3.0 - a, 0.0), max(2.0 - a, 0.0), max(1.0 - a, 0.0)
        w[0, k] = (p3**5 - 6 * p2**5 + 15 * p1**5) / 120
        w[1, k] = -s * (p3**4 - 6 * p2**4 + 15 * p1**4) / 24
        w[2, k] = (p3**3 - 6 * p2**3 + 15 * p1**3) / 6


@njit(parallel=True, cache=True, nogil=True)
def _spline(coef: NDArray[np.float32], points: Floats, out: Floats) -> None:
    """Value, gradient (z, y, x), Hessian (zz, yy, xx, zy, zx, yx) of the quintic spline at each point."""
    nz, ny, nx = coef.shape
    for p in prange(len(points)):
        wz, wy, wx = np.empty((3, 6)), np.empty((3, 6)), np.empty((3, 6))
        iz, iy, ix = int(np.floor(points[p, 0])), int(np.floor(points[p, 1])), int(np.floor(points[p, 2]))
        iz, iy, ix = min(max(iz, 2), nz - 4), min(max(iy, 2), ny - 4), min(max(ix, 2), nx - 4)
        _bspline(points[p, 0] - iz, wz)
        _bspline(points[p, 1] - iy, wy)
        _bspline(points[p, 2] - ix, wx)
        f = fz = fy = fx = fzz = fyy = fxx = fzy = fzx = fyx = 0.0
        for i in range(6):
            # Sums over y and x, by the order of the derivative in y and in x.
            s00 = s10 = s01 = s20 = s02 = s11 = 0.0
            for j in range(6):
                r0 = r1 = r2 = 0.0
                for k in range(6):
                    v = coef[iz - 2 + i, iy - 2 + j, ix - 2 + k]
                    r0 += v * wx[0, k]
                    r1 += v * wx[1, k]
                    r2 += v * wx[2, k]
                s00 += wy[0, j] * r0
                s01 += wy[0, j] * r1
                s02 += wy[0, j] * r2
                s10 += wy[1, j] * r0
                s11 += wy[1, j] * r1
                s20 += wy[2, j] * r0
            f += wz[0, i] * s00
            fz += wz[1, i] * s00
            fy += wz[0, i] * s10
            fx += wz[0, i] * s01
            fzz += wz[2, i] * s00
            fyy += wz[0, i] * s20
            fxx += wz[0, i] * s02
            fzy += wz[1, i] * s10
            fzx += wz[1, i] * s01
            fyx += wz[0, i] * s11
        out[p, 0], out[p, 1], out[p, 2], out[p, 3] = f, fz, fy, fx
        out[p, 4], out[p, 5], out[p, 6], out[p, 7], out[p, 8], out[p, 9] = fzz, fyy, fxx, fzy, fzx, fyx
