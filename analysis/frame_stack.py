"""The frames of one XANES scan: what an edge-energy map is computed from.

Frames lie one after the other, as they come and as people keep them: filing one is a copy, and a whole scan is used
where it lies. The passes over all pixels take them a tile at a time, whose samples at all energies fit into the cache.
"""

from collections.abc import Sequence
from typing import Self

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from redoxscope.analysis.threads import in_threads

Variance = NDArray[np.floating] | float | None
"""Of a frame's samples: (pixel,), one number, or None if it is not known."""

TILE = 1024
"""Pixels; their spectra (53 energies: 212 kB) and all that is computed from them stay in the second-level cache."""
_UNIT = 2.0**48
"""Variances are summed as integers of this part of 1: sums of floats would depend on the order of the frames."""
BLACK = 100.0
"""No absorbance is as large: such a sample is missing."""
_LARGEST = 1024.0
"""A variance above this says no more than this one."""
_MEDIAN_SQUARE = 0.4549
"""Median of the square of a normal deviate."""
_LEARNERS = 40_000
"""Medians are taken over about this many pixels."""


class NotWholeError(Exception):
    """Samples are missing in a scan that was taken for whole: its frames have to be filed."""


class FrameStack:
    """Frames by row (ascending energy), pixels flattened.

    Parameters
    ----------
    rows : number of frames
    pixels : of each
    frames : (rows, pixel) where they lie, if they are all there already; see `of`
    """

    def __init__(self, rows: int, pixels: int, frames: NDArray[np.float32] | None = None) -> None:
        self.pixels = pixels
        if frames is None:
            # Filled now, not left to the system's page faults in mid-scan.
            frames = np.empty((rows, pixels), dtype=np.float32)
            in_threads(rows, lambda first, last: frames[first:last].fill(np.nan))
        self.frames = frames
        self.holes = np.zeros(-(-pixels // TILE), dtype=np.int64)
        """Missing samples by tile; -1 where some were found in a scan that was taken for whole."""
        self.level = np.full(rows, np.nan)
        """(rows,) median variance of a frame; NaN where none was given."""
        self._common = 0
        self._variance: NDArray[np.int64] | None = None

    @classmethod
    def of(cls, frames: NDArray[np.floating], variances: Sequence[Variance]) -> Self | None:
        """A whole scan (rows, pixel) where it lies, to be left as it is; None if its frames have to be filed.

        That is, unless it is contiguous, float32 and no sample is missing. Of the latter only the first and the last
        frame are asked: the others are read by the pass over all pixels, which tells (`holes`), not twice. `variances`
        are those of the frames.
        """
        if frames.dtype != np.float32 or not frames.flags.carray:
            return None
        if not (np.isfinite(frames[0]).all() and np.isfinite(frames[-1]).all()):
            return None
        stack = cls(frames.shape[0], frames.shape[1], frames)
        for row, variance in enumerate(variances):
            stack._add_variance(row, variance)
        return stack

    def file(self, row: int, frame: NDArray[np.floating], variance: Variance) -> bool:
        """File a frame (pixel,) under its row; False if it holds no sample at all: then only its row is blank."""
        samples = np.ascontiguousarray(frame, dtype=np.float32)
        if not np.isfinite(samples[:: self._stride]).any() and not np.isfinite(samples).any():
            return False
        _file(samples, self.frames[row], self.holes)
        self._add_variance(row, variance)
        return True

    def _add_variance(self, row: int, variance: Variance) -> None:
        if variance is None:
            return
        if np.size(variance) == 1:
            level = float(np.reshape(variance, -1)[0])
            if np.isfinite(level):
                self._common += round(min(level, _LARGEST) * _UNIT)
                self.level[row] = level
            return
        noise = np.ascontiguousarray(variance, dtype=np.float32)
        known = noise[:: self._stride]
        known = known[np.isfinite(known)]
        if known.size == 0:
            known = noise[np.isfinite(noise)]
        if known.size == 0:
            return
        if self._variance is None:
            self._variance = np.zeros(self.pixels, dtype=np.int64)
        self.level[row] = np.median(known)
        _accumulate(noise, np.float32(self.level[row]), self._variance)

    @property
    def _stride(self) -> int:
        return max(1, self.pixels // _LEARNERS)

    def merge(self, other: "FrameStack", rows: NDArray[np.bool_]) -> None:
        """Take over the given rows of another stack of the same size, with all that is known of its noise."""
        self.frames[rows] = other.frames[rows]
        self.holes += other.holes
        self.level[rows] = other.level[rows]
        self._common += other._common
        if other._variance is not None:
            self._variance = other._variance + (0 if self._variance is None else self._variance)

    def means(self, group: NDArray[np.intp], used: NDArray[np.bool_]) -> "FrameStack":
        """A stack of the means of some frames, with the noise that these have left.

        Frames that have a flat in common differ by less than their noise; the mean keeps what they have in common.

        Parameters
        ----------
        group : (rows,) row of the new stack that each counts for; samples that are missing count for none
        used : (rows,) which of them are on file
        """
        out = FrameStack(int(group.max()) + 1, self.pixels)
        for row in np.unique(group[used]):
            rows = np.flatnonzero(used & (group == row))
            frames = self.frames[rows]
            valid = np.isfinite(frames)
            total, count = np.where(valid, frames, 0).sum(axis=0), valid.sum(axis=0)
            out.file(row, np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0), None)
            one, gone = self.level[rows].mean(), 1 - 1 / rows.size
            if gone:
                apart = 0.5 * np.nanmedian(np.diff(frames[:, :: self._stride], axis=0) ** 2) / _MEDIAN_SQUARE
                one -= min(apart, one) * gone
            out.level[row] = one
        given = np.isfinite(out.level)
        if given.any():
            share = float(out.level[given].sum() / self.level[used & np.isfinite(self.level)].sum())
            out._common = round(self._common * share)
            if self._variance is not None:
                out._variance = np.rint(self._variance * share).astype(np.int64)
        return out

    def sample_sigma(self) -> NDArray[np.float32]:
        """(pixel,) standard deviation of one sample, mean over the frames; (1,) if it is the same for all pixels.

        NaN if no noise was given.
        """
        given = np.isfinite(self.level).sum()
        if given == 0:
            return np.full(1, np.nan, dtype=np.float32)
        if self._variance is None:
            return np.full(1, np.sqrt(self._common / _UNIT / given), dtype=np.float32)
        mean = (self._variance + self._common) * (1 / (_UNIT * given))
        return np.asarray(np.sqrt(mean.astype(np.float32)))

    def relative_noise(self, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """Standard deviation of each energy's samples over that of all; ones where no noise was given."""
        level = self.level[rows]
        known = np.isfinite(level) & (level > 0)
        if not known.any():
            return np.ones(level.size)
        level = np.where(known, level, level[known].mean())
        return np.asarray(np.sqrt(level / level.mean()))

    def usable(
        self, rows: NDArray[np.intp], windows: NDArray[np.bool_], most: NDArray[np.integer]
    ) -> NDArray[np.bool_]:
        """(pixel,) whether no more than `most` (w,) samples are missing in each of the `windows` (w, rows given)."""
        out = np.ones(self.pixels, dtype=bool)
        if self.holes.any():
            given = self.frames, self.holes, rows, windows, most, out
            in_threads(self.holes.size, lambda first, last: _usable(first, last, *given))
        return out

    def spectra(self, rows: NDArray[np.intp], pick: NDArray[np.intp]) -> NDArray[np.float32]:
        """(rows, pick) spectra of some pixels, missing samples bridged."""
        out = np.empty((rows.size, pick.size), dtype=np.float32)
        in_threads(pick.size, lambda first, last: _gather(self.frames, rows, pick[first:last], out[:, first:last]))
        return out


@njit(parallel=True, cache=True, nogil=True, error_model="numpy")
def _file(frame: NDArray[np.float32], filed: NDArray[np.float32], holes: NDArray[np.int64]) -> None:
    for b in prange(holes.size):
        part, target = frame[b * TILE : (b + 1) * TILE], filed[b * TILE : (b + 1) * TILE]
        missing = 0
        for p in range(part.size):
            sample = part[p]
            finite = abs(sample) < np.float32(BLACK)
            target[p] = sample if finite else np.float32(np.nan)
            missing += 0 if finite else 1
        holes[b] += missing


@njit(parallel=True, cache=True, nogil=True, error_model="numpy")
def _accumulate(noise: NDArray[np.float32], level: np.float32, total: NDArray[np.int64]) -> None:
    for b in prange((noise.size + 4095) // 4096):
        part = noise[b * 4096 : (b + 1) * 4096]
        target = total[b * 4096 : (b + 1) * 4096]
        for p in range(part.size):
            value = part[p] if abs(part[p]) < np.float32(np.inf) else level
            target[p] += np.int64(min(value, np.float32(_LARGEST)) * np.float32(_UNIT))


@njit(cache=True, nogil=True, error_model="numpy")
def _usable(
    first: int,
    last: int,
    frames: NDArray[np.float32],
    holes: NDArray[np.int64],
    rows: NDArray[np.intp],
    windows: NDArray[np.bool_],
    most: NDArray[np.integer],
    out: NDArray[np.bool_],
) -> None:
    for b in range(first, last):
        if holes[b] == 0:
            continue
        ok = out[b * TILE : (b + 1) * TILE]
        missing = np.empty(ok.size, dtype=np.int32)
        for w in range(windows.shape[0]):
            missing[:] = 0
            for i in range(rows.size):
                if windows[w, i]:
                    samples = frames[rows[i], b * TILE : (b + 1) * TILE]
                    for p in range(ok.size):
                        missing[p] += 1 if np.isnan(samples[p]) else 0
            for p in range(ok.size):
                ok[p] &= missing[p] <= most[w]


@njit(cache=True, nogil=True, error_model="numpy")
def bridge(spectra: NDArray[np.float32], p: int) -> None:
    """Replace the NaN samples of one pixel of `spectra` (n, pixel) by interpolation between its valid neighbours.

    Beyond the first and the last valid one these are repeated; a pixel without any becomes zero.
    """
    n = spectra.shape[0]
    last = -1
    for i in range(n):
        if np.isnan(spectra[i, p]):
            continue
        if last < i - 1:
            for k in range(last + 1, i):
                if last < 0:
                    spectra[k, p] = spectra[i, p]
                else:
                    step = (spectra[i, p] - spectra[k - 1, p]) / (i - k + 1)
                    spectra[k, p] = spectra[k - 1, p] + step
        last = i
    for k in range(last + 1, n):
        spectra[k, p] = spectra[last, p] if last >= 0 else np.float32(0.0)


@njit(cache=True, nogil=True, error_model="numpy")
def _gather(
    frames: NDArray[np.float32], rows: NDArray[np.intp], pick: NDArray[np.intp], out: NDArray[np.float32]
) -> None:
    total = np.zeros(pick.size, dtype=np.float32)
    # Frame by frame: neighbours share a cache line, and frames of 2^k pixels share the sets of the cache.
    for i in range(rows.size):
        source, target = frames[rows[i]], out[i]
        for q in range(pick.size):
            target[q] = source[pick[q]]
            total[q] += target[q]
    for q in range(pick.size):
        if not abs(total[q]) < np.float32(np.inf):
            for i in range(rows.size):
                out[i, q] = out[i, q] if abs(out[i, q]) < np.float32(np.inf) else np.float32(np.nan)
            bridge(out, q)
