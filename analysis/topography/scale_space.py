"""A field smoothed by Gaussians of many widths, and its derivatives between the voxels at each width.

From width to width the field is smoothed only by what is still lacking, and as soon as it is smooth enough every second
voxel is left out: all widths together cost little more than the first ones. Between the voxels the samples are the
weights of quartic B-splines. These smooth once more, by a variance of 5/12 voxel², which is part of the width: so no
spline has to be fitted, and its derivatives are exact to 0.2 % for the narrowest width.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from redoxscope.analysis.threads import in_threads

Floats = NDArray[np.floating]
Image = NDArray[np.float32]

SPLINE_VARIANCE = 5 / 12
"""Of a quartic B-spline, in voxels²."""
_TRUNCATE = 4.0
"""Windows end at this many standard deviations."""
_ROWS = 16
"""That are smoothed together."""
_OCTAVE = SPLINE_VARIANCE * (np.sqrt(0.5) - 0.25) / (1 - np.sqrt(0.5))
"""Variance of the samples at the first width on a coarser grid, such that none is lacking after leaving voxels out."""


@dataclass(frozen=True)
class Level:
    """The field at one width."""

    width: float
    """σ of the Gaussian between the voxels, B-spline included; in voxels of the field."""
    step: int
    """Voxels of the field per sample."""
    samples: Image


def widths(count: int) -> list[float]:
    """σ of the first levels in voxels: 1.46 and four per octave from there."""
    return [step * float(np.sqrt(variance + SPLINE_VARIANCE)) for step, variance in _ladder(count)]


def scale_space(field: Image, count: int) -> list[Level]:
    """A field without missing voxels smoothed by `count` ever wider Gaussians; the edges are continued as constants.

    Together they take two and a half times the field's memory.
    """
    out: list[Level] = []
    samples, done, step = field, 0.0, 1
    for wanted, variance in _ladder(count):
        if wanted != step:
            samples, done, step = np.ascontiguousarray(samples[::2, ::2, ::2]), done / 4, wanted
        if variance - done > 1e-3:
            samples = smoothed(samples, variance - done)
        done = variance
        out.append(Level(step * float(np.sqrt(variance + SPLINE_VARIANCE)), step, samples))
    return out


def wider(level: Level) -> Level:
    """The next width after a level, on the same grid."""
    variance = (np.sqrt(2.0) - 1) * (level.width / level.step) ** 2
    return Level(level.width * 2.0**0.25, level.step, smoothed(level.samples, float(variance)))


def _ladder(count: int) -> list[tuple[int, float]]:
    """Step and variance of the samples (in their own grid's voxels²), level by level."""
    factors = np.sqrt(2.0) ** np.arange(4)
    octave = [float((_OCTAVE + SPLINE_VARIANCE) * f - SPLINE_VARIANCE) for f in factors]
    ladder = [(1, octave[2]), (1, octave[3])]
    while len(ladder) < count:
        ladder += [(2 * ladder[-1][0], variance) for variance in octave]
    return ladder[:count]


def kernel(variance: float) -> Image:
    """Half of a sampled Gaussian, centre first, whose sum is 1 and whose variance is exact in spite of the sampling."""
    sigma = np.sqrt(variance)
    n = np.arange(int(np.ceil(_TRUNCATE * sigma)) + 1.0)
    for _ in range(20):
        half = np.exp(-0.5 * (n / sigma) ** 2)
        half /= half[0] + 2 * half[1:].sum()
        sigma *= np.sqrt(variance / (2 * half @ n**2))
    return np.asarray(half, dtype=np.float32)


def smoothed(field: Image, variance: float) -> Image:
    """Gaussian smoothing by a variance in voxels² (at least 0.1), edges as constants."""
    target, half = np.empty_like(field), kernel(variance)
    tiles = -(-field.shape[1] // _ROWS)
    in_threads(tiles, lambda first, last: _smooth(first, last, field, target, half))
    return target


def spline_weights(away: float) -> Image:
    """Shares (5,) of the nearest samples in the value at a place `away` samples (-½ to ½) behind the middle one."""
    return np.array(_bspline(np.float32(away))[0], dtype=np.float32)


def weighted_sum(narrow: Image, wide: Image, u: float, v: float, out: Image) -> None:
    """u·narrow + v·wide, (z, y, x)."""
    given = narrow, wide, np.float32(u), np.float32(v), out
    in_threads(len(narrow), lambda first, last: _add(first, last, *given))


@njit(cache=True, nogil=True, fastmath=True)
def _add(first: int, last: int, narrow: Image, wide: Image, a: np.float32, b: np.float32, out: Image) -> None:
    for z in range(first, last):
        for y in range(narrow.shape[1]):
            for x in range(narrow.shape[2]):
                out[z, y, x] = a * narrow[z, y, x] + b * wide[z, y, x]


@njit(cache=True, nogil=True, fastmath=True)
def _smooth(first_tile: int, last_tile: int, field: Image, out: Image, half: Image) -> None:
    """Along y, x and z in one sweep through the memory: of some rows, the planes that z needs stay in the cache."""
    nz, ny, nx = field.shape
    reach = half.size - 1
    held = 2 * reach + 1
    for tile in range(first_tile, last_tile):
        first = tile * _ROWS
        rows = min(_ROWS, ny - first)
        ring = np.empty((held, _ROWS, nx), np.float32)
        line = np.empty(nx + 2 * reach, np.float32)
        middle = line[reach : reach + nx]
        for z in range(nz + reach):
            if z < nz:
                plane, target = field[z], ring[z % held]
                for y in range(rows):
                    _taps(plane, first + y, half, 0, ny, middle)
                    line[:reach] = line[reach]
                    line[reach + nx :] = line[reach + nx - 1]
                    row = target[y]
                    for x in range(nx):
                        row[x] = half[0] * middle[x]
                    for t in range(1, half.size):
                        before, after, w = line[reach - t :], line[reach + t :], half[t]
                        for x in range(nx):
                            row[x] += w * (before[x] + after[x])
            if z >= reach:
                for y in range(rows):
                    _taps(ring[:, y], z - reach, half, held, nz, out[z - reach, first + y])


@njit(inline="always")
def _taps(source: Image, centre: int, half: Image, held: int, count: int, out: Image) -> None:
    """A row of the correlation along the first axis, of `count` rows; `source` holds `held` of them in turn, or all."""
    columns = out.size
    held = held if held else count
    here = source[centre % held]
    for x in range(columns):
        out[x] = half[0] * here[x]
    # Two pairs of taps in a sweep: half the traffic of one.
    for t in range(1, half.size, 2):
        a, b = source[max(centre - t, 0) % held], source[min(centre + t, count - 1) % held]
        u = half[t]
        if t + 1 < half.size:
            c, d = source[max(centre - t - 1, 0) % held], source[min(centre + t + 1, count - 1) % held]
            v = half[t + 1]
            for x in range(columns):
                out[x] += u * (a[x] + b[x]) + v * (c[x] + d[x])
        else:
            for x in range(columns):
                out[x] += u * (a[x] + b[x])


@njit(parallel=True, cache=True, nogil=True, fastmath=True)
def sample(samples: Image, step: int, points: Image, out: Image) -> None:
    """Value, gradient (z, y, x) and Hessian (zz, yy, xx, zy, zx, yx) at each point, (n, 10), per voxel of the field.

    Parameters
    ----------
    samples, step : of a `Level`
    points : (n, 3) in index units of the field
    """
    for p in prange(points.shape[0]):
        _sample(samples, np.float32(1 / step), points[p], out[p])


@njit(cache=True, nogil=True, fastmath=True)
def _sample(c: Image, scale: np.float32, point: Image, out: Image) -> None:
    nz, ny, nx = c.shape
    z, y, x = point[0] * scale, point[1] * scale, point[2] * scale
    iz = min(max(int(np.floor(z + 0.5)), 2), nz - 3)
    iy = min(max(int(np.floor(y + 0.5)), 2), ny - 3)
    ix = min(max(int(np.floor(x + 0.5)), 2), nx - 3)
    z0, z1, z2 = _bspline(np.float32(z - iz))
    y0, y1, y2 = _bspline(np.float32(y - iy))
    x0, x1, x2 = _bspline(np.float32(x - ix))
    f = np.float32(0)
    fz = fy = fx = fzz = fyy = fxx = fzy = fzx = fyx = f
    for i in range(5):
        # Sums over y and x, by the order of the derivative in y and in x.
        s00 = s10 = s01 = s20 = s02 = s11 = np.float32(0)
        for j in range(5):
            row = c[iz - 2 + i, iy - 2 + j]
            a, b, m, d, e = row[ix - 2], row[ix - 1], row[ix], row[ix + 1], row[ix + 2]
            r0 = a * x0[0] + b * x0[1] + m * x0[2] + d * x0[3] + e * x0[4]
            r1 = a * x1[0] + b * x1[1] + m * x1[2] + d * x1[3] + e * x1[4]
            r2 = a * x2[0] + b * x2[1] + m * x2[2] + d * x2[3] + e * x2[4]
            s00 += y0[j] * r0
            s10 += y1[j] * r0
            s20 += y2[j] * r0
            s01 += y0[j] * r1
            s11 += y1[j] * r1
            s02 += y0[j] * r2
        f += z0[i] * s00
        fz += z1[i] * s00
        fy += z0[i] * s10
        fx += z0[i] * s01
        fzz += z2[i] * s00
        fyy += z0[i] * s20
        fxx += z0[i] * s02
        fzy += z1[i] * s10
        fzx += z1[i] * s01
        fyx += z0[i] * s11
    square = scale * scale
    out[0], out[1], out[2], out[3] = f, scale * fz, scale * fy, scale * fx
    out[4], out[5], out[6] = square * fzz, square * fyy, square * fxx
    out[7], out[8], out[9] = square * fzy, square * fzx, square * fyx


@njit(inline="always", cache=True)
def _bspline(u: np.float32) -> tuple[tuple[np.float32, ...], ...]:
    """Weights, first and second derivatives of the five quartic B-splines around u in [-½, ½]."""
    a, b, s = np.float32(0.5) - u, np.float32(0.5) + u, u * u
    h = np.float32(0.5)
    c0, c1, c2 = np.float32(115 / 192), np.float32(19 / 96), np.float32(11 / 24)
    sixth, quarter, two = np.float32(1 / 6), np.float32(0.25), np.float32(2)
    even, odd = c1 + quarter * s - sixth * s * s, c2 * u - sixth * s * u
    even1, odd1 = h * u - np.float32(2 / 3) * s * u, c2 - h * s
    value = (quarter * sixth * a**4, even - odd, c0 - np.float32(0.625) * s + quarter * s * s, even + odd,
             quarter * sixth * b**4)  # fmt: skip
    slope = (-sixth * a**3, even1 - odd1, np.float32(-1.25) * u + s * u, even1 + odd1, sixth * b**3)
    curve = (h * a * a, h + u - two * s, two * (np.float32(1.5) * s - np.float32(0.625)), h - u - two * s, h * b * b)
    return value, slope, curve
