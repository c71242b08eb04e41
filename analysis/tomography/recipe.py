"""How the slices of a volume are made: a choice, and what depends on it and on the geometry, held in memory."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from redoxscope.analysis.tomography.reconstruction import Solver, solver

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Recipe:
    """The parameters of `tomography.reconstruct` that a user may choose."""

    filter_name: str = "hann"
    """Of filtered backprojection; "hann" halves the error of "ramp" at ordinary counts."""
    method: str = "fbp"
    """"sirt" or "tv" where angles are few or a wedge is missing: hundreds of times the work."""
    stripes: str = "none"
    """How rings are taken out."""
    backend: str = "gridding"
    truncated: bool = False
    """Whether the object is wider than the view."""


def reconstruct_all(
    coefficients: NDArray[np.float32], angles: ArrayLike, axis_offset: float, recipe: Recipe, threads: int = 1
) -> NDArray[np.float32]:
    """(K, angle, row, col) → (K, row, y, x), all with one geometry; see `tomography.reconstruct`.

    The plan of the last geometry stays in memory (tens to hundreds of MB): a process that makes slab after slab, or a
    Dask worker, computes it once.
    """
    theta = np.ascontiguousarray(angles, dtype=np.float64)
    width = coefficients.shape[-1]
    solve = _held(theta.tobytes(), width, float(axis_offset), recipe, threads)
    out = np.empty((*coefficients.shape[:1], coefficients.shape[2], width, width), dtype=np.float32)
    for target, one in zip(out, coefficients, strict=True):
        target[:] = solve(one)
    return out


@lru_cache(maxsize=1)
def _held(angles: bytes, width: int, axis_offset: float, recipe: Recipe, threads: int) -> Solver:
    return solver(
        np.frombuffer(angles, dtype=np.float64), width, axis_offset, filter_name=recipe.filter_name,
        method=recipe.method, stripes=recipe.stripes, truncated=recipe.truncated, backend=recipe.backend,
        threads=threads,
    )  # fmt: skip
