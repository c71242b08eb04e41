"""The definitions of an edge's energy, as tables for the compiled passes."""

import numpy as np
from numpy.typing import NDArray

from redoxscope.analysis.finder import CROSSING, MAXIMUM, Finder, crossing_intervals, peak_intervals, steady_rise
from redoxscope.analysis.subspace import Basis
from redoxscope.analysis.xanes import Edge, Functionals


def finder(
    wanted: Functionals,
    edge: Edge,
    filed: NDArray[np.bool_],
    noise: NDArray[np.float64],
    basis: Basis,
    *,
    smooth: bool,
) -> Finder:
    """How `edge` is found in spectra of the energies on file, folded into a basis.

    Parameters
    ----------
    wanted : functionals of spectra at all energies; filed : (all,) which energies are on file
    edge : its definition, see `Edge.definition`
    noise : (n,) relative standard deviation of the samples on file
    smooth : take the half-jump on the cubic through four values instead of the straight line between two
    """
    spread = wanted.above[:, filed] @ basis.folded_error(noise)
    return _finder(wanted, edge, filed, basis.vectors, spread @ spread.T, smooth)


def coefficient_finder(
    wanted: Functionals,
    edge: Edge,
    vectors: NDArray[np.float64],
    covariance: NDArray[np.float64],
    *,
    smooth: bool,
) -> Finder:
    """How `edge` is found in coefficients whose noise is known, as those of voxels; sigma is then in eV.

    Parameters
    ----------
    wanted : functionals of spectra at all n energies; edge, smooth : as for `finder`
    vectors : (n, k) spectrum = vectors·coefficients
    covariance : (k, k) of the coefficients
    """
    rows = wanted.above @ vectors
    return _finder(wanted, edge, np.ones(len(vectors), dtype=bool), vectors, rows @ covariance @ rows.T, smooth)


def _finder(
    wanted: Functionals,
    edge: Edge,
    filed: NDArray[np.bool_],
    vectors: NDArray[np.float64],
    covariance: NDArray[np.float64],
    smooth: bool,
) -> Finder:
    """`covariance` is that of the rows."""
    rows, jump, slope = (of[..., filed] @ vectors for of in (wanted.above, wanted.jump, 2 * wanted.half_jump_line[1]))
    x = wanted.near - edge.nominal
    if edge.definition == "half_jump":
        mode, points = CROSSING, rows[:0]
        intervals = crossing_intervals(x, covariance, cubic=smooth)
    else:
        mode = MAXIMUM
        weights, intervals = peak_intervals(x, covariance, edge.span, derivative=edge.definition == "derivative")
        points = weights @ rows
    around, rise = np.zeros(len(x), dtype=np.int64), np.zeros((len(x), 0), dtype=np.float32)
    if edge.definition == "half_jump" and not smooth:
        around, rise = steady_rise(x)
    narrow = [np.ascontiguousarray(a, dtype=np.float32) for a in (rows, x, points, jump, slope)]
    return Finder(narrow[0], narrow[1], narrow[2], mode, *intervals, narrow[3], narrow[4], around, rise)
