"""Energies of the baselines that a closed scan has lost: what they would have shown.

A line through the post-edge is one through its wiggles (EXAFS), and another one where a sample is missing: the jump
changes by up to a fifth, and every edge with it. So the missing samples are predicted from those of the post-edge that
are there, and the lines are laid through all of them. How spectra go on between these is known from the scans before,
else from references, else from what is known of any edge; what is unknown of it is the map's doubt.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from redoxscope.analysis.expected import (
    SAME,
    Doubles,
    Numbers,
    Spectrum,
    generic,
    kriging,
    line,
    of_population,
    of_references,
)
from redoxscope.analysis.previous_scan import Population
from redoxscope.analysis.subspace import Basis
from redoxscope.analysis.xanes import Edge, Functionals, with_half

_CURVED = 0.003
"""Standard deviation of the pre-edge around its line, in jumps: oxides of nickel."""


@dataclass(frozen=True)
class Completed:
    """Spectra with the samples that were missing in their baselines."""

    wanted: Functionals
    """The half-jump, with lines through all samples, of those on file."""
    rows: Numbers
    """(m,) numbers of the energies that are on file or were completed"""
    spectra: Doubles
    """(m, r) these, from the samples on file"""
    doubt: Doubles
    """(m, m) covariance of what was completed, in units of the jump squared, the samples' noise not counted"""


def lost_energies(energies: Doubles, rows: Numbers, edge: Edge) -> Numbers:
    """Which of the (n,) energies (eV) of the two baselines are not among the `rows` on file."""
    return np.setdiff1d(np.append(edge.members(energies, edge.pre), edge.members(energies, edge.post)), rows)


def complete(
    energies: Doubles,
    rows: Numbers,
    edge: Edge,
    basis: Basis,
    noise: Doubles,
    spectra: NDArray[np.float32],
    jump: float,
    population: Population,
    references: Sequence[Spectrum],
) -> Completed:
    """The spectra of a closed scan that has lost energies of its baselines, but not so many that there is no line.

    Parameters
    ----------
    energies : (n,) eV, of the whole scan, ascending; rows : (r,) numbers of those on file
    basis : what the samples are folded into; noise : (r,) their standard deviation, in units of the jump
    spectra, jump : (r, pixel) of typical pixels, and their root mean square jump
    population : spectra of the scans before; references : of phases that are expected
    """
    x, every = np.asarray(energies - edge.nominal, dtype=np.float64), np.eye(energies.size)
    before, behind = edge.members(energies, edge.pre), edge.members(energies, edge.post)
    lost, there = lost_energies(energies, rows, edge), np.intersect1d(behind, rows)
    known, pre, post = line(x, np.intersect1d(before, rows)), line(x, before), line(x, behind)
    assert known is not None
    assert pre is not None
    assert post is not None
    under = (known[0] + np.outer(x, known[1]))[:, rows]
    over = every[:, rows] - under
    priors = [generic(x, behind, behind[:0], there, edge.plateau_ratio, edge.plateau_scatter)]
    priors[0].covariance[before, before] = _CURVED**2
    used = rows[x[rows] >= edge.search[0] - edge.nominal]
    if all(np.abs(population.energies - at).min(initial=np.inf) < SAME for at in energies[lost]):
        series = population.at(energies)
        moment = over @ (spectra @ spectra.T).astype(np.float64) @ over.T / (spectra.shape[1] * jump**2)
        priors.append(of_population(x, behind, used, series.mean, series.covariance, moment, over * noise**2 @ over.T))
    elif references:
        shifted = [(at - edge.energy_offset - edge.nominal, absorption) for at, absorption in references]
        priors.append(of_references(x, before, behind, used, shifted, over @ spectra.mean(axis=1, dtype=np.float64)))
    # The rise and the white line tell which phases there are, but must not pull one that is none of them.
    spread = over @ basis.folded_error(noise)
    scatter = spread @ spread.T
    found = [kriging(replace(prior, rows=every[there]), every[lost], scatter) for prior in priors]
    # By what is lost in half the jump.
    lever = 0.5 * (pre[0] + post[0])[lost]
    weights, unknown = min(found, key=lambda one: float(lever @ (one[1] + one[0] @ scatter @ one[0].T) @ lever))
    whole = every[:, rows]
    whole[lost] = under[lost] + weights @ over
    lines = np.zeros((2, 2, x.size))
    lines[..., rows] = np.stack([pre, post]) @ whole
    seen = np.zeros(x.size, dtype=bool)
    seen[rows] = True
    off = 2 * float(np.sqrt(max(float(lever @ unknown @ lever), 0.0)))
    have, doubt = np.union1d(rows, lost), np.zeros((x.size, x.size))
    doubt[np.ix_(lost, lost)] = unknown
    wanted = with_half(x, seen, edge, lines[0], 0.5 * (lines[1] - lines[0]), off)
    return Completed(wanted, have, whole[have], doubt[np.ix_(have, have)])
