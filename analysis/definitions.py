"""The definitions of an edge's energy, as tables for the compiled passes."""

import numpy as np
from numpy.typing import NDArray

from redoxscope.analysis.finder import CROSSING, Finder, crossing_intervals
from redoxscope.analysis.subspace import Basis
from redoxscope.analysis.xanes import Functionals


def half_jump_finder(
    wanted: Functionals,
    nominal: float,
    filed: NDArray[np.bool_],
    noise: NDArray[np.float64],
    basis: Basis,
    *,
    smooth: bool,
) -> Finder:
    """The first upward crossing of half the jump, in spectra of the energies on file, folded into a basis.

    Parameters
    ----------
    wanted : functionals of spectra at all energies; filed : (all,) which energies are on file
    noise : (n,) relative standard deviation of the samples on file
    smooth : on the cubic through four values instead of the straight line between two
    """
    rows, jump, slope = (
        of[..., filed] @ basis.vectors for of in (wanted.above, wanted.jump, 2 * wanted.half_jump_line[1])
    )
    spread = rows @ basis.fold * noise
    x = wanted.near - nominal
    intervals = crossing_intervals(x, spread @ spread.T, cubic=smooth)
    narrow = [np.ascontiguousarray(a, dtype=np.float32) for a in (rows, x, rows[:0], jump, slope)]
    return Finder(narrow[0], narrow[1], narrow[2], CROSSING, *intervals, narrow[3], narrow[4])
