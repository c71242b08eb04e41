"""What a pixel's neighbours know of its edge energy: a noisy pixel leans on them, one that is well measured does not.

The mean of the eight around a pixel is a second estimate of its edge energy. How far the two may differ without any
noise is seen in the pixels around (11 × 11), in the spread that their sigma does not explain: where that is large, at a
front or between phases, a pixel stays as it was measured. The two estimates are joined with the weights that make the
error least (Lee, IEEE Trans. Pattern Anal. Mach. Intell. 2, 165 (1980), here for a noise that differs from pixel to
pixel), within two bounds. Neighbours are never taken to agree better than `_AGREEMENT`, so that no map is smoothed
beyond what an edge energy is asked for; and a pixel that differs from its neighbours by more than noise and spread
explain is left alone the more, the further it is off (Efron and Morris, J. Am. Stat. Assoc. 67, 130 (1972)): a phase
that is in a few pixels only keeps its edge energy.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from redoxscope.analysis.finding import FAST
from redoxscope.analysis.threads import in_threads

Row = NDArray[np.float32]
Image = NDArray[np.float32]

_AGREEMENT = 0.25
"""eV, standard deviation by which a pixel at least is taken to differ from its neighbours: what is measured to 0.1 eV,
the paper's window on the front, keeps seven eighths of its own value."""
_STRANGE = 2.0
"""Standard deviations beyond which a difference counts as what it is."""
_OF_MEAN, _ALIKE = 1.26, 0.23
"""Pixels side by side share noise, as each frame was interpolated between them: cubic convolution, all fractions of a
pixel alike, correlates neighbours by 0.156 and the next by -0.044. That makes the variance of the mean of eight larger
by this factor, and correlates it with the pixel within by this number."""
_HALO = 5
"""Pixels around one that show how far neighbours differ."""
_BAND = 32
"""Rows that are done at a time: what is kept of them stays in the cache."""


class Joined(NamedTuple):
    """Edge energies (y, x) that say what pixels and neighbours say together."""

    edge_energy: Image
    """eV."""
    sigma: Image
    """One standard deviation of the error that is left, eV: of noise, of leaning on neighbours, and what pixels have in
    common."""
    noise_sigma: Image
    """The part of it that is noise, eV: the scatter of a scan that is repeated."""


def with_neighbours(
    edge_energy: NDArray[np.floating], sigma: NDArray[np.floating], noise_sigma: NDArray[np.floating] | None = None
) -> Joined:
    """Join each pixel's edge energy with what its neighbours say of it.

    Parameters
    ----------
    edge_energy : (y, x) eV; pixels that are NaN stay so and count for nothing
    sigma : (y, x) eV, one standard deviation
    noise_sigma : (y, x) eV, the part of it that is each pixel's own, all if left out; the rest is not averaged away

    Raises
    ------
    ValueError
        If the shapes differ or are not those of images.
    """
    energy, error, noise = (
        np.ascontiguousarray(image, dtype=np.float32)
        for image in (edge_energy, sigma, sigma if noise_sigma is None else noise_sigma)
    )
    if energy.ndim != 2 or not energy.shape == error.shape == noise.shape:
        shapes = f"{energy.shape}, {error.shape} and {noise.shape}"
        raise ValueError(f"edge energies, sigma and its noise have the shapes {shapes}: one (y, x) is needed")
    joined = Joined(*(np.empty_like(energy) for _ in range(3)))
    if energy.size:
        # Any edge energy of the map: float32 knows differences from it to a millionth of an eV, as it does not 8341.
        origin = energy.flat[np.argmax(np.isfinite(energy))]
        given = (origin, energy, error, noise, joined.edge_energy, joined.sigma, joined.noise_sigma)
        in_threads(len(energy), lambda first, last: _join(first, last, *given))
    return joined


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _join(
    first: int,
    last: int,
    origin: np.float32,
    energy: Image,
    sigma: Image,
    noise: Image,
    joined: Image,
    error: Image,
    scatter: Image,
) -> None:
    """Rows `first` to `last` of the joined map, and the standard deviations of its error and of its noise."""
    height, width = energy.shape
    wide, rows = width + 2 * _HALO, _BAND + 2 * _HALO
    # Rows and columns of nothing on either side, so that no pixel is at the border.
    own, sums = np.zeros((3, rows + 2, width + 2), dtype=np.float32), np.empty((3, width + 2), dtype=np.float32)
    mean, of_mean = np.empty((2, rows, width), dtype=np.float32)
    excess = np.zeros((2, rows, wide), dtype=np.float32)
    columns, around = np.empty((2, wide), dtype=np.float32), np.empty((2, width), dtype=np.float32)
    for top in range(first, last, _BAND):
        end = min(top + _BAND, last)
        for i in range(end - top + 2 * _HALO + 2):
            y = top - _HALO - 1 + i
            if 0 <= y < height:
                _weigh(energy[y], noise[y], origin, own[0, i], own[1, i], own[2, i])
            else:
                own[:, i] = np.float32(0.0)
        for i in range(end - top + 2 * _HALO):
            y = top - _HALO + i
            if 0 <= y < height:
                sums[:] = np.float32(0.0)
                for k in range(3):
                    for j in range(3):
                        _add(own[k, i + j], 0, sums[k])
                _compare(energy[y], noise[y], origin, own[:, i + 1], sums, mean[i], of_mean[i], excess[:, i])
            else:
                excess[:, i] = np.float32(0.0)
        for y in range(top, end):
            columns[:] = np.float32(0.0)
            around[:] = np.float32(0.0)
            for field in range(2):
                for k in range(2 * _HALO + 1):
                    _add(excess[field, y - top + k], 0, columns[field])
                for k in range(2 * _HALO + 1):
                    _add(columns[field], k, around[field])
            i = y - top + _HALO
            given = (energy[y], sigma[y], noise[y], mean[i], of_mean[i], around)
            _lean(*given, joined[y], error[y], scatter[y])


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _add(values: Row, begin: int, total: Row) -> None:
    for x in range(total.size):
        total[x] += values[x + begin]


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _weigh(energy: Row, noise: Row, origin: np.float32, weight: Row, offset: Row, spread: Row) -> None:
    """Weights in a mean, these times the edge energy, and their squares times its variance; from column 1 on."""
    for x in range(energy.size):
        v, e = noise[x] * noise[x], energy[x] - origin
        known = (v < np.float32(1e12)) & (e == e)
        w = np.float32(1.0) / (v + np.float32(_AGREEMENT**2))
        weight[x + 1] = w if known else np.float32(0.0)
        offset[x + 1] = w * e if known else np.float32(0.0)
        spread[x + 1] = w * w * v if known else np.float32(0.0)


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _compare(
    energy: Row, noise: Row, origin: np.float32, own: Image, sums: Image, mean: Row, of_mean: Row, excess: Image
) -> None:
    """The neighbours' mean (NaN without any) and its variance by noise; and the square of a pixel's distance from it
    beyond what noise explains, times its weight, and the weight, from column `_HALO` on.

    `own` and `sums` are what `_weigh` gives, of the row and of it and those above and below together.
    """
    weight, offset, spread = own[0], own[1], own[2]
    weights, offsets, spreads = sums[0], sums[1], sums[2]
    beyond, trust = excess[0], excess[1]
    for x in range(energy.size):
        total = weights[x] + weights[x + 1] + weights[x + 2] - weight[x + 1]
        there = (weight[x + 1] > np.float32(0.0)) & (total > np.float32(0.0))
        share = np.float32(1.0) / total
        m = (offsets[x] + offsets[x + 1] + offsets[x + 2] - offset[x + 1]) * share
        w = np.float32(_OF_MEAN) * (spreads[x] + spreads[x + 1] + spreads[x + 2] - spread[x + 1]) * share * share
        v, d = noise[x] * noise[x], energy[x] - origin - m
        a = v + w - np.float32(2 * _ALIKE) * np.sqrt(v * w)
        usual = np.float32(1.0) / (a + np.float32(_AGREEMENT**2))
        mean[x] = m + origin if there else np.float32(np.nan)
        of_mean[x] = w
        beyond[x + _HALO] = usual * usual * (d * d - a) if there else np.float32(0.0)
        trust[x + _HALO] = usual * usual if there else np.float32(0.0)


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _lean(
    energy: Row, sigma: Row, noise: Row, mean: Row, of_mean: Row, around: Image, joined: Row, error: Row, scatter: Row
) -> None:
    """Move a row towards the neighbours' mean by the part that makes the error least.

    With x, m the two estimates, v, w the variances of their noise, c its covariance and t that by which they differ
    without it, x - k (x - m) has its least error at k = (v - c) / (t + v + w - 2 c). `around` is what `_compare` gives
    of `excess`, summed over the surroundings.
    """
    zero, one, least = np.float32(0.0), np.float32(1.0), np.float32(_AGREEMENT**2)
    beyond, trust = around[0], around[1]
    for x in range(energy.size):
        v, d = noise[x] * noise[x], energy[x] - mean[x]
        rest = sigma[x] * sigma[x] - v
        alone = d != d
        d, w = zero if alone else d, zero if alone else of_mean[x]
        c = np.float32(_ALIKE) * np.sqrt(v * w)
        by_noise, differ = v + w - c - c, beyond[x] / trust[x]
        differ = differ if differ > zero else zero
        usual = by_noise + (differ if differ > least else least)
        strange = d * d * np.float32(1.0 / _STRANGE**2)
        lean = (v - c) / (usual if usual > strange else strange)
        lean = lean if (lean > zero) & (not alone) else zero
        stay = one - lean
        left = stay * (stay * v + lean * (c + c)) + lean * lean * w
        joined[x] = energy[x] - lean * d
        scatter[x] = np.sqrt(left)
        differ = differ if differ > strange - by_noise else strange - by_noise
        error[x] = np.sqrt(left + lean * lean * differ + (rest if rest > zero else zero))
