"""What the scan before says of the edge jump, while the post-edge of the present one is still to come.

It says two things. A pixel's jump is that of the scan before, but for a drift, and for a trend where the edge has
moved (`jump_trend`). And spectra are alike: how those of the scan before went on behind the edge tells how those go on
whose rise has just been seen, of phases that were there already even to the noise. The best linear unbiased prediction
(`expected.predict`) takes the jump before for one more sample, and each counts by what it knows.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from redoxscope.analysis.belonging import Belonging, belonging, nothing_known
from redoxscope.analysis.crossing import find_in_rows
from redoxscope.analysis.expected import Doubles, Numbers, Prior, generic, line, of_population, predict
from redoxscope.analysis.finder import Finder
from redoxscope.analysis.jump_trend import Trend
from redoxscope.analysis.subspace import Basis, unit
from redoxscope.analysis.xanes import Edge, Functionals, with_half

_FOLDING = 0.1
"""Part of the samples' noise that counts although it was folded away: what the present scan's basis lacks of earlier
spectra must not pass for a sample without noise."""
_FAR, _OF_MOVED = 0.5, 0.75
"""What the spectra have that is new is put down to the edge's way by this part, where the way (eV) is that long."""

_RAREST = 0.05
"""A phase that this part of the population has is well within its spread: strange is what lies far beyond."""
_FEW = 20
"""Strange spectra that show how unlike they are."""
_OTHER = 0.02
"""Relative standard deviation of the jump between phases of the same mass, of which one is not known: that of the
baselines' windows in the wiggles of nickel and its oxides."""


class Population(NamedTuple):
    """The spectra of a series so far, in units of their jump, over their pre-edge line; n = 0 if none are known."""

    energies: Doubles
    """(n,) eV, ascending"""
    mean: Doubles
    """(n,)"""
    covariance: Doubles
    """(n, n)"""

    def at(self, energies: Doubles) -> "Population":
        """The same at other energies, interpolated."""
        if np.array_equal(energies, self.energies):
            return self
        between = np.stack([np.interp(energies, self.energies, one) for one in np.eye(self.energies.size)], axis=1)
        return Population(energies, between @ self.mean, between @ self.covariance @ between.T)


NOBODY = Population(np.zeros(0), np.zeros(0), np.zeros((0, 0)))


def learn_population(
    energies: Doubles,
    edge: Edge,
    basis: Basis,
    spectra: NDArray[np.float32],
    sample: NDArray[np.floating],
    before: Population,
    doubt: Doubles,
) -> Population:
    """Mean and covariance of spectra, their noise taken out, half of them those of the scans before.

    Parameters
    ----------
    energies : (n,) eV, ascending; edge : windows
    basis : learnt from `spectra` (r, pixel), whose samples have the standard deviations `sample` (pixel,) or (1,); its
        vectors (n, K) are at all n energies, where some were lost and predicted
    before : what was known
    doubt : (n, n) covariance, in units of the jump squared, of what was predicted of them
    """
    x = energies - edge.nominal
    pre, post = (line(x, edge.members(energies, window)) for window in (edge.pre, edge.post))
    if pre is None or post is None:
        return before
    c = (basis.fold.astype(np.float32) @ spectra).astype(np.float64)
    noise = float((unit(sample).astype(np.float64) ** 2).mean())
    value, vector = np.linalg.eigh(c @ c.T / c.shape[1] - noise * np.diag(basis.excess**2))
    root = (np.eye(x.size) - pre[0] - np.outer(x, pre[1])) @ basis.vectors @ (vector * np.sqrt(np.maximum(value, 0)))
    jump = post[0] @ root
    if not float(jump @ jump) > 0:
        return before
    products = root @ root.T / float(jump @ jump)
    if before.energies.size:
        old = before.at(energies)
        # Over other energies the post-edge line is another, and with it the unit.
        of_old = old.covariance + np.outer(old.mean, old.mean)
        products = 0.5 * (products + of_old / float(post[0] @ of_old @ post[0]))
    # The mean is what goes with the jump, whose mean square is the unit.
    mean = products @ post[0]
    free = np.eye(x.size) - np.outer(mean, post[0])
    return Population(energies, mean, products - np.outer(mean, mean) + free @ doubt @ free.T)


@dataclass(frozen=True)
class Part:
    """How half the jump is made of the samples on file and of the jump before."""

    wanted: Functionals
    """The part that comes from the samples."""
    share: float
    slope: float
    """Part of the jump before in the jump, and in its slope per eV"""
    drift: float
    trend: float
    """Relative standard deviation of the jump over `share`, the samples' noise not counted, and that of it per eV that
    the edge has moved"""


@dataclass(frozen=True)
class Told:
    """The jump of spectra like those of the scans before, and of others."""

    of_known: Part
    of_others: Part
    belonging: Belonging
    """Which are like those."""


def tell_jump(
    energies: Doubles,
    rows: Numbers,
    edge: Edge,
    population: Population,
    trend: Trend,
    half: NDArray[np.float32],
    jump_noise: float,
    spectra: NDArray[np.float32],
    sample: NDArray[np.floating],
    basis: Basis,
    find: Finder,
) -> Told | None:
    """The functionals while the post-edge is still to come; None if too little is known.

    Parameters
    ----------
    energies : (n,) eV, of the whole scan, ascending; rows : (r,) numbers of those on file
    edge : windows; population : spectra of the scans before
    trend : how the jump changes
    half, jump_noise : (3, pixel) half the jump before of some pixels, as for `evaluate_tiles`; its variance then, in
        units of a sample's
    spectra, sample, basis : (r, pixel) of these, standard deviation of their samples, and what they are folded into
    find : their edges, with half the jump before
    """
    x = np.asarray(energies - edge.nominal, dtype=np.float64)
    seen = np.zeros(x.size, dtype=bool)
    seen[rows] = True
    ahead, behind = edge.members(energies, edge.pre), edge.members(energies, edge.post)
    pre = line(x, ahead[seen[ahead]])
    good = half[0] > 0.5 * edge.min_jump
    if population.energies.size == 0 or pre is None or np.count_nonzero(good) < rows.size:
        return None
    spectra, half, sample = spectra[:, good], half[:, good], sample[good] if sample.size > 1 else sample
    square = 4 * float((half[0].astype(np.float64) ** 2).mean())
    noise = float((unit(sample).astype(np.float64) ** 2).mean()) / square
    over = (np.eye(x.size) - pre[0] - np.outer(x, pre[1]))[:, rows]
    moment = over @ (spectra @ spectra.T).astype(np.float64) @ over.T / (half.shape[1] * square)
    samples = over * basis.noise**2 @ over.T
    rise = over @ basis.vectors
    folded = rise @ basis.error(basis.noise)
    of_samples = folded @ folded.T + _FOLDING * samples
    coefficients = basis.fold.astype(np.float32) @ spectra
    at, *_ = find_in_rows(coefficients, find, half)
    moved = (at - half[2])[np.isfinite(at)]
    way = float(np.sqrt((moved**2).mean())) if moved.size else 0.0
    used = np.flatnonzero(seen & (x >= edge.search[0] - edge.nominal))
    known = population.at(energies)
    alike = of_population(x, behind, used, known.mean, known.covariance, moment, samples * noise)
    spread = _with_one_more(of_samples * noise, jump_noise * noise * float((basis.noise**2).mean()))

    def part(prior: Prior, other: float, new: Doubles) -> tuple[float, Part]:
        """Its variance, and how the jump is made; `other` on top of the jump's drift, and what in the prior is new."""
        drift = float(np.hypot(trend.drift, other))
        best = predict(np.append(x, 0.0), behind, _with_jump(prior, drift**2 + (trend.sigma * way) ** 2), spread)
        assert best is not None
        weights, (share, slope) = best.jump_line[:, :-1], (float(weight) for weight in best.jump_line[:, -1])
        # What is new in the spectra is in those whose edge has moved.
        of_new = float(weights[0] @ new @ weights[0]) * min(1.0, (way / _FAR) ** 2) * _OF_MOVED / share**2
        per_eV = trend.sigma**2 + of_new / max(way, _FAR) ** 2
        rest = max(best.doubt**2 / share**2 - per_eV * way**2, 0.0)
        half_line = np.zeros((2, x.size))
        half_line[:, rows] = 0.5 * weights @ over
        wanted = with_half(x, seen, edge, pre, half_line, 0.0)
        of_noise = float(best.jump_line[0] @ spread @ best.jump_line[0])
        return best.doubt**2 + of_noise, Part(wanted, share, slope, float(np.sqrt(rest)), float(np.sqrt(per_eV)))

    anything = generic(x, behind, behind[:0], behind[seen[behind]], edge.plateau_ratio, edge.plateau_scatter)
    doubt, of_known = part(alike, 0.0, alike.covariance - known.covariance)
    doubt_of_any, of_any = part(anything, 0.0, np.zeros((x.size, x.size)))
    if doubt_of_any < doubt:
        return Told(of_any, of_any, nothing_known(len(basis.fold)))
    met = belonging(alike, rise, of_samples, _RAREST)
    others, strange = anything, met.strange(coefficients, unit(sample), half[0])
    if np.count_nonzero(strange) > _FEW:
        unit_of = 4 * float((half[0, strange].astype(np.float64) ** 2).mean())
        own = over @ (spectra[:, strange] @ spectra[:, strange].T).astype(np.float64) @ over.T
        given = (known.mean, known.covariance, own / (np.count_nonzero(strange) * unit_of), samples * noise)
        others = of_population(x, behind, used, *given)
    _, of_others = part(others, _OTHER, np.zeros((x.size, x.size)))
    # Nor is it known whether their jump goes with the edge as that of the others does.
    of_others = replace(of_others, trend=float(np.hypot(of_others.trend, trend.value)))
    return Told(of_known, of_others, met._replace(spread=met.spread / np.float32(of_known.share**2)))


def _with_jump(prior: Prior, variance: float) -> Prior:
    """The prior of spectra that have the jump of the scan before for a last sample, of this relative variance."""
    rows = np.vstack([_padded(prior.rows), np.append(np.zeros(prior.mean.size), 1.0)])
    return Prior(np.append(prior.mean, 1.0), _with_one_more(prior.covariance, variance), rows)


def _padded(rows: Doubles) -> Doubles:
    return np.pad(rows, ((0, 0), (0, 1)))


def _with_one_more(covariance: Doubles, variance: float) -> Doubles:
    grown = np.pad(covariance, (0, 1))
    grown[-1, -1] = variance
    return grown
