"""What the edge jump will be, before the whole post-edge has been scanned.

A short piece of the post-edge says little of the line that will be laid through all of it: the wiggles behind the edge
(EXAFS) are a tenth of the jump, and a line through the first few samples follows them. So the spectrum is taken as a
random one, in units of its jump, with a mean and a covariance, and the line is the best linear unbiased prediction from
the samples on file (universal kriging; Cressie, Statistics for Spatial Data, 1993, ch. 3): each sample counts by what
it knows, and what is unknown is in the doubt. Mean and covariance come from reference spectra; without any, from what
is known of the plateau and of wiggles in general.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Numbers = NDArray[np.intp]
Spectrum = tuple[Doubles, Doubles]
"""Energies (eV, ascending) and absorption of a reference, in any unit."""

_SLOPE, _SLOPE_SCATTER = -5e-4, 7e-4
"""Slope of the post-edge line per eV, in jumps, over the pre-edge line: nickel metal and oxides."""
_WIGGLE, _WIGGLE_FROM, _WIGGLE_FALL, _WIGGLE_LENGTH = 0.2, 40.0, 50.0, 10.0
"""Standard deviation of the wiggles around that line, in jumps, so many eV behind the edge; the eV over which it falls
by a factor of e, and those over which the wiggles are alike."""
_OTHER_WIGGLE, _OTHER_MOST = 6.0, 0.2
"""Part of these wiggles that a sample has of its own, over what its edge has that no reference has; and at most."""
_UNLIKE, _UNLIKE_LENGTH = (0.002, 0.004, 0.006, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.2), 5.0
"""The same of what distinguishes a sample from all references: as likely as not to be any of these, of which the
least is what a frame's own error hides."""
_NEW = (0.0, 0.001, *_UNLIKE)
"""The same of what distinguishes spectra from those of the scans before."""
_NEW_FROM, _NEW_FALL, _NEW_WIGGLE, _NEW_SLOPE = 20.0, 30.0, 4.0, 5e-3
"""So many eV behind the edge it begins to fall, by a factor of e over so many; the wiggles are new to a part of as many
times that, and so is the post-edge line's slope per eV."""
_DIFFERENCE = (0.0, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
"""The pixels of a sample differ by this part of what all references at all shifts do."""
_FLICKER = 0.003
"""Error of a frame as a whole, in jumps: what is left of the noise in the mean of many pixels."""
_OFFSETS = np.arange(-3, 3.1, 0.5)
"""eV: between a sample's edge, or its laboratory's scale, and those of the references."""
_SPREAD = np.array([-1.2, -0.6, 0.0, 0.6, 1.2])
"""eV: between the edges of a sample's pixels."""


@dataclass(frozen=True)
class Prior:
    """Spectra in units of their jump, over their pre-edge line, at n energies."""

    mean: Doubles
    """(n,)"""
    covariance: Doubles
    """(n, n)"""
    rows: Doubles
    """(r, n) the means of samples that the jump is predicted from"""
    apart: Doubles = field(default_factory=lambda: np.zeros((0, 0)))
    """(n, n) part of the covariance that is the difference between a sample's pixels; (0, 0) if not known"""


def generic(x: Doubles, post: Numbers, plateau: Numbers, used: Numbers, ratio: float, scatter: float) -> Prior:
    """What is known of any edge: the plateau's height, and wiggles around the post-edge line.

    Parameters
    ----------
    x : (n,) eV from the nominal edge; post : numbers of the post-edge's energies
    plateau : numbers of the plateau's energies on file; used : of the post-edge's, that the jump is predicted from
    ratio, scatter : the plateau's mean in jumps, and its standard deviation over `ratio`
    """
    mean, covariance = np.zeros(x.size), np.zeros((x.size, x.size))
    behind = x[post]
    mean[post] = 1 + _SLOPE * behind
    wiggles = _free_of_line(_wiggles(behind), behind)
    covariance[np.ix_(post, post)] = wiggles + _SLOPE_SCATTER**2 * np.outer(behind, behind)
    mean[plateau] = ratio
    covariance[np.ix_(plateau, plateau)] = (ratio * scatter) ** 2
    rows = np.eye(x.size)[used]
    if plateau.size:
        level = np.zeros(x.size)
        level[plateau] = 1 / plateau.size
        rows = np.vstack([level, rows])
    return Prior(mean, covariance, rows)


def of_references(
    x: Doubles,
    pre: Numbers,
    post: Numbers,
    used: Numbers,
    spectra: Sequence[Spectrum],
    typical: Doubles,
) -> Prior:
    """The references, mixed and shifted, and what a phase may have that none of them has.

    How far the sample is shifted, and how unlike it is, is what makes its typical spectrum likeliest (restricted
    likelihood, the jump being unknown; Harville, J. Am. Stat. Assoc. 72, 320 (1977)).

    Parameters
    ----------
    x : (n,) eV from the nominal edge; pre, post : numbers of the baselines' energies
    used : numbers of the energies that the jump is predicted from
    spectra : one reference at least, their energies in eV from the nominal edge too
    typical : (n,) mean spectrum of the sample over its pre-edge line
    """
    before, behind = line(x, pre), line(x, post)
    assert before is not None
    assert behind is not None
    rows = np.eye(x.size)[used]
    smooth, other = _alike(x, _UNLIKE_LENGTH), np.zeros((x.size, x.size))
    other[np.ix_(post, post)] = _wiggles(x[post])
    priors, fits = [], []
    for offset in _OFFSETS:
        group = np.array([s for r in spectra for s in _shifted(x, r, offset + _SPREAD, before, behind)])
        mean = group.mean(axis=0)
        around = (group - mean).T @ (group - mean) / len(group)
        # The line is part of the definition of what a spectrum in units of its jump is.
        free = np.eye(x.size) - np.outer(mean, behind[0])
        own_smooth, own_other = free @ smooth @ free.T, free @ other @ free.T
        for unlike in _UNLIKE:
            part = min(_OTHER_WIGGLE * unlike, _OTHER_MOST)
            prior = Prior(mean, around + unlike**2 * own_smooth + part**2 * own_other, rows, around)
            priors.append(prior)
            fits.append(_fit(rows @ typical, prior))
    return _mixed(priors, np.array(fits))


def of_population(
    x: Doubles, post: Numbers, used: Numbers, mean: Doubles, covariance: Doubles, moment: Doubles, noise: Doubles
) -> Prior:
    """Spectra of the scans before, and what those of this one may have that none of them has.

    How unlike they are is what makes those of many pixels likeliest, as for the references.

    Parameters
    ----------
    x : (n,) eV from the nominal edge; post : numbers of the post-edge's energies
    used : numbers of the energies that the jump is predicted from
    mean, covariance : (n,), (n, n) of the scans before
    moment : (n, n) mean products of spectra over their pre-edge line, in units of their mean square jump
    noise : (n, n) part of it that is noise
    """
    rows = np.eye(x.size)[used]
    through = line(x, post)
    assert through is not None
    free = np.eye(x.size) - np.outer(mean, through[0])
    fall = np.exp(-np.maximum(x - _NEW_FROM, 0) / _NEW_FALL)
    new = np.outer(fall, fall) * _alike(x, _UNLIKE_LENGTH)
    new[np.ix_(post, post)] += _NEW_WIGGLE**2 * _wiggles(x[post]) + _NEW_SLOPE**2 * np.outer(x[post], x[post])
    new = free @ new @ free.T
    priors = [Prior(mean, covariance + unlike**2 * new, rows) for unlike in _NEW]
    of_rows = rows @ moment @ rows.T
    return max(priors, key=lambda prior: _likelihood(of_rows, prior, rows @ noise @ rows.T))


def _shifted(x: Doubles, spectrum: Spectrum, shifts: Doubles, before: Doubles, behind: Doubles) -> list[Doubles]:
    """A reference at some shifts, over its pre-edge line, in units of its jump."""
    out = []
    for shift in shifts:
        sampled = np.interp(x - shift, *spectrum)
        sampled = sampled - before[0] @ sampled - x * (before[1] @ sampled)
        out.append(sampled / (behind[0] @ sampled))
    return out


def _mixed(priors: Sequence[Prior], fits: Doubles) -> Prior:
    """Mean and covariance of spectra that are of any of these priors, each as likely as it fits (its logarithm)."""
    likely = np.exp(fits - fits.max())
    likely /= likely.sum()
    mean = likely @ np.array([prior.mean for prior in priors])
    around = np.array([prior.mean for prior in priors]) - mean
    inside = np.tensordot(likely, np.array([prior.covariance for prior in priors]), axes=1)
    apart = np.tensordot(likely, np.array([prior.apart for prior in priors]), axes=1)
    return Prior(mean, inside + (likely * around.T) @ around, priors[0].rows, apart)


def difference(prior: Prior, typical: Doubles, moment: Doubles, noise: Doubles) -> tuple[float, float]:
    """How much a sample's pixels differ, as part of the variance `prior.apart`, and their mean square jump.

    Parameters
    ----------
    typical, moment : (n,), (n, n) mean and mean products of the sample's spectra over their pre-edge line
    noise : (n, n) part of the latter that is noise
    """
    rows, level, own = prior.rows, prior.rows @ prior.mean, prior.rows @ typical
    own *= float(level @ level) / float(level @ own)
    of_rows, of_noise, apart = (rows @ of @ rows.T for of in (moment, noise, prior.apart))
    square = float(level @ (of_rows - of_noise) @ level) / float(level @ level) ** 2
    if not square > 0:
        return 1.0, float((typical**2).max())
    same = np.eye(own.size)
    fits = [_likelihood(of_rows / square, Prior(own, p**2 * apart, same), of_noise / square) for p in _DIFFERENCE]
    return _DIFFERENCE[int(np.argmax(fits))] ** 2, square


def _fit(values: Doubles, prior: Prior) -> float:
    """Logarithm of the restricted likelihood of values (r,) that are an unknown jump times a spectrum of the prior."""
    level = prior.rows @ prior.mean
    scale = float(level @ values) / float(level @ level)
    same = np.zeros((values.size, values.size))
    # The density of the values, not of the values over a jump that differs from prior to prior.
    return _likelihood(np.outer(values, values) / scale**2, prior, same) - values.size * float(np.log(abs(scale)))


def _likelihood(moment: Doubles, prior: Prior, noise: Doubles) -> float:
    """The same of many, per pixel: their mean products (r, r) and noise (r, r), in units of the mean square jump."""
    level = prior.rows @ prior.mean
    total = prior.rows @ prior.covariance @ prior.rows.T + noise + np.eye(level.size) * _FLICKER**2
    factor = np.linalg.cholesky(total)
    known = np.linalg.solve(factor, level)
    white = np.linalg.solve(factor, np.linalg.solve(factor, moment).T)
    across = float(known @ known)
    left = float(np.trace(white)) - float(known @ white @ known) / across
    return -0.5 * left - float(np.log(np.diagonal(factor)).sum()) - 0.5 * float(np.log(across))


@dataclass(frozen=True)
class Prediction:
    """The post-edge over the pre-edge line, from a spectrum over its pre-edge line."""

    jump_line: Doubles
    """(2, n) its value at the nominal edge, and its slope per eV"""
    doubt: float
    """Relative standard deviation of the jump, that of the samples' noise not counted"""


def predict(x: Doubles, post: Numbers, prior: Prior, noise: Doubles) -> Prediction | None:
    """The best linear unbiased prediction of the line through the whole post-edge; None without any row.

    Parameters
    ----------
    x : (n,) eV from the nominal edge; post : numbers of all its energies
    noise : (n, n) covariance of spectra over their pre-edge line, in units of the typical jump squared
    """
    if len(prior.rows) == 0:
        return None
    through = line(x, post)
    assert through is not None
    weights, covariance = kriging(prior, through, noise)
    return Prediction(weights, float(np.sqrt(max(float(covariance[0, 0]), 0.0))))


def kriging(prior: Prior, wanted: Doubles, noise: Doubles) -> tuple[Doubles, Doubles]:
    """The best linear unbiased prediction of some functionals of a spectrum of unknown jump.

    Parameters
    ----------
    wanted : (t, n) the functionals; noise : (n, n) as for `predict`

    Returns (t, n) weights of the spectrum over its pre-edge line, and (t, t) covariance of what they miss, in units of
    the jump squared, that of the samples' noise not counted.
    """
    rows, signal = prior.rows, prior.rows @ prior.covariance @ prior.rows.T
    total = signal + rows @ noise @ rows.T
    total += np.eye(len(rows)) * 1e-6
    level, across = rows @ prior.mean, rows @ prior.covariance @ wanted.T
    solved = np.linalg.solve(total, np.column_stack([level, across]))
    jump, around = solved[:, 0] / (level @ solved[:, 0]), solved[:, 1:].T
    weights = around + np.outer(wanted @ prior.mean - around @ level, jump)
    shared = weights @ across
    return weights @ rows, wanted @ prior.covariance @ wanted.T - shared - shared.T + weights @ signal @ weights.T


def line(x: Doubles, members: Sequence[int] | Numbers) -> Doubles | None:
    """(2, n) weights of a least-squares line through `members`: its value at x = 0, and its slope.

    None if there are fewer than two different x.
    """
    picked = np.asarray(members, dtype=np.intp)
    if picked.size < 2 or np.ptp(x[picked]) < SAME:
        return None
    centre = x[picked].mean()
    spread = ((x[picked] - centre) ** 2).sum()
    weights = np.zeros((2, x.size))
    weights[1, picked] = (x[picked] - centre) / spread
    weights[0, picked] = 1 / picked.size
    weights[0] -= centre * weights[1]
    return weights


SAME = 0.01
"""eV; samples closer than this are of one energy, measured again."""


def _alike(x: Doubles, length: float) -> Doubles:
    """(n, n) correlation of what is smooth over `length`."""
    return np.asarray(np.exp(-0.5 * (np.subtract.outer(x, x) / length) ** 2))


def _wiggles(x: Doubles) -> Doubles:
    """(n, n) covariance of the wiggles at x eV behind the edge, in jumps squared."""
    height = _WIGGLE * np.exp(-(x - _WIGGLE_FROM) / _WIGGLE_FALL)
    return np.asarray(np.outer(height, height) * _alike(x, _WIGGLE_LENGTH))


def _free_of_line(covariance: Doubles, x: Doubles) -> Doubles:
    """The covariance of what is left around the least-squares line."""
    lines = np.vander(x, 2)
    rest = np.eye(x.size) - lines @ np.linalg.pinv(lines)
    return np.asarray(rest @ covariance @ rest.T)
