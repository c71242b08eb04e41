"""Numbers that sum up an edge-energy map."""

import numpy as np
from numpy.typing import NDArray


def histogram(edge_energy: NDArray[np.floating], edges: NDArray[np.floating]) -> NDArray[np.float64]:
    """Number of pixels in each bin of `edges` (bin + 1, eV); NaN pixels and those beyond the ends are left out."""
    return np.histogram(edge_energy[np.isfinite(edge_energy)], bins=edges)[0].astype(np.float64)


def transformed_fraction(edge_energy: NDArray[np.floating], front_energy: float) -> float:
    """Part of the material whose edge energy lies below the front's (eV): how much has been reduced.

    Every pixel with an edge energy counts the same; NaN where there is none.
    """
    known = edge_energy[np.isfinite(edge_energy)]
    return float((known < front_energy).mean()) if known.size else float("nan")
