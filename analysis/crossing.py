"""Edge energies of spectra that lie by sample, as the reconstructed coefficients of a volume do."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from redoxscope.analysis.finder import Finder
from redoxscope.analysis.finding import FAST, combine, find_edges

_BLOCK = 1024


# Not in parallel: the slabs of a volume are, and the compiler takes a third of the time.
@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _find_rows(
    spectra: NDArray[np.float32],
    find: Finder,
    half: NDArray[np.float32],
    at: NDArray[np.float32],
    sigma: NDArray[np.float32],
    jump: NDArray[np.float32],
) -> None:
    pixels = spectra.shape[1]
    for low in range(0, pixels, _BLOCK):
        high = min(pixels, low + _BLOCK)
        block = np.ascontiguousarray(spectra[:, low:high])
        height = np.zeros((1, high - low), dtype=np.float32)
        combine(find.jump.reshape(1, -1), block, height)
        for p in range(high - low):
            jump[low + p] = height[0, p]
        level = np.ascontiguousarray(half[:, low:high])
        steep = np.empty(high - low, dtype=np.float32)
        find_edges(find, block, level, at[low:high], sigma[low:high], steep)


def find_in_rows(
    spectra: NDArray[np.float32], find: Finder, half: NDArray[np.float32] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Edge energies of spectra that lie by sample, in one pass over them.

    Parameters
    ----------
    spectra : (k, pixel) float32 without NaN
    find : how, from the k samples
    half : (2 or more, pixel) a line to be taken from the rows, as for `find_edges`

    Returns
    -------
    at : (pixel,) eV from the nominal edge, NaN where there is none
    sigma : (pixel,) in units of the standard deviation that the finder's noise is for
    jump : (pixel,)
    """
    pixels = spectra.shape[1]
    at, sigma, jump = (np.empty(pixels, dtype=np.float32) for _ in range(3))
    level = np.empty((0, pixels), dtype=np.float32) if half is None else np.ascontiguousarray(half)
    _find_rows(np.ascontiguousarray(spectra), find, level, at, sigma, jump)
    return at, sigma, jump
