"""Shifts of single frames against mixtures of images, many frames at a time.

Each frame is compared with whatever mixture of the template images of its own angle resembles it best, so that the
contrast may change across an edge; shift and mixture are found together by Gauss-Newton (Lucas & Kanade, IJCAI 1981;
Black & Jepson, IJCV 26, 63 (1998)). Frames are evaluated between pixels with cubic B-splines *without* prefilter: that
blurs with the variance 1/3 px² wherever between pixels (a B-spline's second moment), so the comparison does not favour
whole pixels, and costs no extra pass.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import fft

from redoxscope.analysis.threads import in_threads

Floats = NDArray[np.floating]
Frames = NDArray[np.float32]
_BLUR = 4 * np.pi * (0.5 + 1 / 3)
"""Pixels over which the smoothing correlates white noise: binomial (variance 1/2) and spline (1/3)."""


@dataclass(frozen=True)
class Found:
    """Shifts of frames, in the pixels of the coarse frames."""

    shifts: NDArray[np.float64]
    """(frame, 2) px (dy, dx): position in the frame minus that in the template."""
    sigma: NDArray[np.float64]
    """(frame,) px, standard error of one component from the comparison's residual; inf where nothing was found."""
    quality: NDArray[np.float64]
    """(frame,) correlation with the best mixture, 0 to 1; 0 where nothing was found."""


def find_shifts(frames: Frames, templates: Frames, starts: Floats, *, steps: int = 10, search: bool = False) -> Found:
    """Shift of each frame against the mixture of its templates.

    Parameters
    ----------
    frames : (frame, row, col), as `coarse_frames` makes them
    templates : (component, frame, row, col), themselves evaluated by `shifted` or as smooth
    starts : (frame, 2) px, where to begin
    steps : of Gauss-Newton, at most
    search : look over the whole view by phase correlation with the first component first
    """
    begin = np.array(starts, dtype=np.float64)
    if search:
        for i in range(len(frames)):
            begin[i] = _correlate(frames[i], templates[0, i])
    count = len(frames)
    shifts, numbers = np.empty((count, 2)), np.empty((count, 2))
    data = np.ascontiguousarray(frames), np.ascontiguousarray(templates), begin, steps
    in_threads(count, lambda first, last: _gauss_newton(*data, first, last, shifts, numbers))
    return Found(shifts, numbers[:, 0] * np.sqrt(_BLUR), numbers[:, 1])


def better(found: Found, other: Found, where: NDArray[np.bool_]) -> Found:
    """`found`, replaced by `other`, which was found for the frames `where`, if that is more like the templates."""
    take = other.quality > found.quality[where]
    at = np.flatnonzero(where)[take]
    out = Found(found.shifts.copy(), found.sigma.copy(), found.quality.copy())
    out.shifts[at], out.sigma[at], out.quality[at] = other.shifts[take], other.sigma[take], other.quality[take]
    return out


def shifted(frames: Frames, shifts: Floats) -> Frames:
    """Frames (frame, row, col) taken at p + shift for each pixel p: what `find_shifts` compares. Edges are held."""
    out = np.empty_like(frames)
    given, by = np.ascontiguousarray(frames), np.ascontiguousarray(shifts, dtype=np.float64)
    in_threads(len(given), lambda first, last: _shift(first, last, given, by, out))
    return out


def _correlate(frame: Frames, template: Frames) -> Floats:
    """Shift to the pixel that maximises the cross-correlation, half whitened: sharp, and not led by noise."""
    a, b = (fft.rfft2(_tapered(f)) for f in (frame, template))
    product = a * np.conj(b)
    surface = fft.irfft2(product / np.sqrt(np.abs(product) + 1e-12 * np.abs(product).max() + 1e-30), s=frame.shape)
    peak = np.unravel_index(int(np.argmax(surface)), surface.shape)
    return np.array([(p + n // 2) % n - n // 2 for p, n in zip(peak, surface.shape, strict=True)], dtype=np.float64)


def _tapered(frame: Frames) -> Frames:
    windows = [np.minimum(1.0, 8 * np.minimum(np.arange(n) + 1, n - np.arange(n)) / n) for n in frame.shape]
    return np.asarray((frame - np.median(frame)) * windows[0][:, None] * windows[1], dtype=np.float32)


@njit(inline="always")
def _spline_weights(t: float, weight: Frames) -> None:
    weight[0] = (1 - t) ** 3 / 6
    weight[1] = (4 - 6 * t * t + 3 * t**3) / 6
    weight[2] = (1 + 3 * t + 3 * t * t - 3 * t**3) / 6
    weight[3] = t**3 / 6


@njit(cache=True, nogil=True, fastmath=True)
def _shift(first: int, last: int, frames: Frames, shifts: Floats, out: Frames) -> None:
    _, rows, cols = frames.shape
    for f in range(first, last):
        wy, wx = np.empty(4, dtype=np.float32), np.empty(4, dtype=np.float32)
        line = np.empty(cols, dtype=np.float32)
        oy, ox = int(np.floor(shifts[f, 0])), int(np.floor(shifts[f, 1]))
        _spline_weights(shifts[f, 0] - oy, wy)
        _spline_weights(shifts[f, 1] - ox, wx)
        for y in range(rows):
            line[:] = 0
            for k in range(4):
                source = min(max(y + oy - 1 + k, 0), rows - 1)
                for x in range(cols):
                    line[x] += wy[k] * frames[f, source, x]
            for x in range(cols):
                s = np.float32(0.0)
                for k in range(4):
                    s += wx[k] * line[min(max(x + ox - 1 + k, 0), cols - 1)]
                out[f, y, x] = s


@njit(inline="always")
def _dot(a: Frames, b: Frames) -> float:
    total = np.float32(0.0)
    for x in range(a.size):
        total += a[x] * b[x]
    return float(total)


@njit(cache=True, nogil=True, fastmath=True)
def _gauss_newton(
    frames: Frames,
    templates: Frames,
    starts: Floats,
    steps: int,
    first_frame: int,
    last_frame: int,
    shifts: Floats,
    numbers: Floats,
) -> None:
    """Fills shifts (frame, 2), numbers (frame, 2), sigma for white noise and quality, of frames before the last one."""
    _, rows, cols = frames.shape
    parts = templates.shape[0]
    n = parts + 3
    for f in range(first_frame, last_frame):
        shift = np.empty(2)
        shift[0], shift[1] = starts[f, 0], starts[f, 1]
        wy, wx = np.empty(4, dtype=np.float32), np.empty(4, dtype=np.float32)
        value = np.empty((rows, cols), dtype=np.float32)
        model = np.empty((rows, cols), dtype=np.float32)
        line, slope_y, slope_x = (
            np.empty(cols, dtype=np.float32), np.empty(cols, dtype=np.float32), np.empty(cols, dtype=np.float32),
        )  # fmt: skip
        normal, right = np.zeros((n, n)), np.zeros(n)
        solved = np.zeros(n)
        quality, sigma, moved = 0.0, np.inf, np.inf
        for _ in range(steps):
            oy, ox = int(np.floor(shift[0])), int(np.floor(shift[1]))
            # What came from outside the view says nothing.
            y0, y1 = max(2, 2 - oy), min(rows - 2, rows - 3 - oy)
            x0, x1 = max(2, 2 - ox), min(cols - 2, cols - 3 - ox)
            if y1 - y0 < max(8, rows // 8) or x1 - x0 < max(8, cols // 8):
                quality, sigma = 0.0, np.inf
                break
            _spline_weights(shift[0] - oy, wy)
            _spline_weights(shift[1] - ox, wx)
            normal.fill(0.0)
            right.fill(0.0)
            square = 0.0
            for y in range(y0, y1):
                line.fill(0.0)
                for k in range(4):
                    source = frames[f, y + oy - 1 + k]
                    for x in range(cols):
                        line[x] += wy[k] * source[x]
                for x in range(x0, x1):
                    i = x + ox - 1
                    value[y, x] = wx[0] * line[i] + wx[1] * line[i + 1] + wx[2] * line[i + 2] + wx[3] * line[i + 3]
                v = value[y, x0:x1]
                square += _dot(v, v)
                right[n - 1] += v.sum()
                for k in range(parts):
                    m = templates[k, f, y, x0:x1]
                    right[2 + k] += _dot(m, v)
                    normal[2 + k, n - 1] += m.sum()
                    for j in range(k, parts):
                        normal[2 + k, 2 + j] += _dot(m, templates[j, f, y, x0:x1])
            pixels = (y1 - y0) * (x1 - x0)
            normal[n - 1, n - 1] = pixels
            if square <= 0:
                quality, sigma = 0.0, np.inf
                break
            first = _solve(normal[2:, 2:], right[2:])
            for y in range(y0 - 1, y1 + 1):
                model[y].fill(np.float32(first[parts]))
                for k in range(parts):
                    share = np.float32(first[k])
                    for x in range(x0 - 1, x1 + 1):
                        model[y, x] += share * templates[k, f, y, x]
            for y in range(y0, y1):
                for x in range(x0, x1):
                    slope_y[x] = np.float32(0.5) * (model[y + 1, x] - model[y - 1, x])
                    slope_x[x] = np.float32(0.5) * (model[y, x + 1] - model[y, x - 1])
                gy, gx, v = slope_y[x0:x1], slope_x[x0:x1], value[y, x0:x1]
                right[0] += _dot(gy, v)
                right[1] += _dot(gx, v)
                normal[0, 0] += _dot(gy, gy)
                normal[0, 1] += _dot(gy, gx)
                normal[1, 1] += _dot(gx, gx)
                normal[0, n - 1] += gy.sum()
                normal[1, n - 1] += gx.sum()
                for k in range(parts):
                    m = templates[k, f, y, x0:x1]
                    normal[0, 2 + k] += _dot(gy, m)
                    normal[1, 2 + k] += _dot(gx, m)
            solved = _solve(normal, right)
            # frame(p + shift) = model(p - d): the content lies d further on.
            moved = 0.0
            for i in range(2):
                step = min(max(-solved[i], -2.0), 2.0)
                if not np.abs(step) <= 2.0:
                    step = 0.0
                shift[i] += step
                moved = max(moved, abs(step))
            mean = right[n - 1] / pixels
            spread = square - pixels * mean * mean
            residual = max(square - (solved * right).sum(), 0.0)
            quality = np.sqrt(max(0.0, 1.0 - residual / spread)) if spread > 0 else 0.0
            determinant = normal[0, 0] * normal[1, 1] - normal[0, 1] ** 2
            trace = normal[0, 0] + normal[1, 1]
            sigma = np.sqrt(residual / pixels * 0.5 * trace / determinant) if determinant > 0 else np.inf
            if moved < 2e-3:
                break
        if moved > 0.5:
            quality, sigma = 0.0, np.inf
        shifts[f, 0], shifts[f, 1] = shift[0], shift[1]
        numbers[f, 0], numbers[f, 1] = sigma, quality


@njit(cache=True, nogil=True)
def _solve(upper: Floats, right: Floats) -> Floats:
    """Least-squares solution of symmetric equations whose upper triangle is given, scaled and slightly damped."""
    n = right.size
    scale, solved = np.empty(n), np.empty(n)
    for i in range(n):
        scale[i] = 1 / np.sqrt(upper[i, i]) if upper[i, i] > 0 else 0.0
    full = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            full[i, j] = (upper[i, j] if i <= j else upper[j, i]) * scale[i] * scale[j]
        full[i, i] = 1.0 + 1e-9
    # By elimination: the factors replace the matrix.
    for i in range(n):
        solved[i] = right[i] * scale[i]
        for k in range(i):
            solved[i] -= full[i, k] * solved[k]
        for j in range(i + 1, n):
            full[j, i] /= full[i, i]
            for k in range(i + 1, n):
                full[j, k] -= full[j, i] * full[i, k]
    for i in range(n - 1, -1, -1):
        for k in range(i + 1, n):
            solved[i] -= full[i, k] * solved[k]
        solved[i] /= full[i, i]
    for i in range(n):
        solved[i] *= scale[i]
    return solved
