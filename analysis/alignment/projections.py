"""Drift, jitter and axis of a whole 3D XANES scan at once; while it runs, `drift.DriftTracker` does it by energy."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from redoxscope.analysis.alignment.drift import DriftTracker
from redoxscope.analysis.alignment.gauge import Alignment

Floats = NDArray[np.floating]


def align_projections(
    projections: Sequence[Floats] | Floats,
    angles: ArrayLike,
    *,
    scales: ArrayLike | None = None,
    components: int = 3,
    progress: Callable[[float], None] | None = None,
) -> Alignment:
    """Shift of every projection of a 3D XANES scan: drift between energies, jitter between angles, and the axis.

    Parameters
    ----------
    projections : (energy, angle, row, col) absorbance, or a sequence of (angle, row, col); NaN where unknown
    angles : (angle,) degrees, in any order
    scales : (energy,) magnification relative to the first energy
    components : images in the mixture that projections are compared with
    progress : called with the fraction that is done

    Raises
    ------
    ValueError
        If the shapes disagree, or no projection has data.
    """
    n = len(projections)
    factors = np.ones(n) if scales is None else np.asarray(scales, dtype=np.float64)
    if factors.shape != (n,):
        raise ValueError(f"scales {factors.shape} for {n} energies: one magnification per energy is needed")
    tracker = DriftTracker(angles, components=components)
    placed = []
    for number, (tomogram, factor) in enumerate(zip(projections, factors, strict=True)):
        placed.append(tracker.place(np.asarray(tomogram), float(factor)).coarse)
        if progress is not None:
            progress(number / n)
    return tracker.finish(placed)
