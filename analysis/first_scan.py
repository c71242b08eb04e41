"""The half-jump of a scan that is under way, when there is no earlier scan whose jump could be taken."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from redoxscope.analysis.belonging import Belonging, belonging
from redoxscope.analysis.expected import (
    Prediction,
    Prior,
    Spectrum,
    difference,
    generic,
    line,
    of_references,
    predict,
)
from redoxscope.analysis.subspace import Basis, unit
from redoxscope.analysis.unseen_shift import variance_beside
from redoxscope.analysis.xanes import Edge, Floats, Functionals, with_half

_PLATEAU = 3
"""Samples on the plateau; fewer say nothing."""
_DOUBTFUL = 0.25
"""Relative doubt of the jump beyond which nothing is said."""
_COULD = 0.5
"""What a variance is expected to be that shows nothing, in its standard errors: any amplitude being as likely, 0.48."""


@dataclass(frozen=True)
class Predicted:
    """The half-jump of spectra that are as expected, and of others."""

    wanted: Functionals
    others: Functionals | None = None
    """None if nothing can be said of them."""
    belonging: Belonging | None = None
    """Which are as expected; None if that is all."""


def predicted_functionals(
    energies: Floats,
    rows: NDArray[np.intp],
    edge: Edge,
    basis: Basis,
    noise: NDArray[np.float64],
    references: Sequence[Spectrum] = (),
    typical: NDArray[np.float64] | None = None,
    some: tuple[NDArray[np.float32], NDArray[np.floating]] | None = None,
) -> Predicted | None:
    """The functionals while part of the post-edge is still to come: its line is predicted from what has been seen.

    Reference spectra serve until three energies of the post-edge are in, which say more. None while there is no
    pre-edge line, or nothing that the jump can be predicted from: without references, neither the top of the plateau
    nor any of the post-edge.

    Parameters
    ----------
    energies : (n,) eV, of the whole scan, ascending; rows : (r,) numbers of those on file
    basis : what the samples are folded into; noise : (r,) their standard deviation, in units of the typical jump
    references : spectra of phases that are expected
    typical : (r,) mean spectrum of the sample; without it the references say nothing
    some : (r, pixel) spectra that the basis was learnt from, and (pixel,) or (1,) standard deviation of their samples
    """
    x = np.asarray(energies - edge.nominal, dtype=np.float64)
    seen = np.zeros(x.size, dtype=bool)
    seen[rows] = True
    before, behind = edge.members(energies, edge.pre), edge.members(energies, edge.post)
    pre = line(x, before[seen[before]])
    if pre is None or line(x, behind) is None:
        return None
    over = (np.eye(x.size) - pre[0] - np.outer(x, pre[1]))[:, rows]
    spread = over @ basis.folded_error(noise)
    top = edge.members(energies, edge.plateau)
    passed = top.size > 0 and bool(seen[top[-1] :].any())
    plateau = top[seen[top]]
    if not passed or plateau.size < _PLATEAU:
        plateau = plateau[:0]
    post = behind[seen[behind]]
    short = line(x, post) is None
    # One sample of the post-edge is one of a wiggle: the plateau says more.
    first = post[:0] if short and plateau.size else post
    priors = [generic(x, behind, plateau, first, edge.plateau_ratio, edge.plateau_scatter)]
    used = np.flatnonzero(seen & (x >= edge.search[0] - edge.nominal))
    few = short or line(x, post[:-1]) is None
    if references and typical is not None and few and used.size >= _PLATEAU:
        known = [(at - edge.energy_offset - edge.nominal, absorption) for at, absorption in references]
        priors.append(of_references(x, before, behind, used, known, over @ typical))
    predictions = [p for p in (predict(x, behind, prior, spread @ spread.T) for prior in priors) if p is not None]
    predicted = min(predictions, key=lambda p: p.doubt, default=None)
    if predicted is None or predicted.doubt > _DOUBTFUL:
        return None

    def halved(said: Prediction) -> Functionals:
        half = np.zeros((2, x.size))
        half[:, rows] = 0.5 * said.jump_line @ over
        return with_half(x, seen, edge, pre, half, said.doubt)

    found = halved(predicted)
    folds = len(basis.fold) < rows.size and bool(noise.all())
    if typical is None or priors[-1].apart.size == 0 or predicted is not predictions[-1] or not folds:
        return Predicted(found)
    lost = _lost(rows, priors[-1], found, basis, over, typical, noise)
    found = replace(found, doubt=float(np.hypot(found.doubt, lost)))
    if some is None:
        return Predicted(found)
    # Of what is unlike the references, the plateau says nothing either.
    anything = generic(x, behind, plateau[:0], post, edge.plateau_ratio, edge.plateau_scatter)
    other = predict(x, behind, anything, spread @ spread.T)
    error = over @ basis.folded_error(basis.noise)
    coefficients = basis.fold.astype(np.float32) @ some[0]
    half = (found.half_jump_line[0, rows] @ basis.vectors).astype(np.float32) @ coefficients
    like = belonging(priors[-1], over @ basis.vectors, error @ error.T).by_most(coefficients, unit(some[1]), half)
    if other is None or other.doubt > _DOUBTFUL:
        return Predicted(found, None, like)
    return Predicted(found, halved(other), like)


def _lost(
    rows: NDArray[np.intp],
    prior: Prior,
    found: Functionals,
    basis: Basis,
    over: NDArray[np.float64],
    typical: NDArray[np.float64],
    noise: NDArray[np.float64],
) -> float:
    """Relative standard deviation of half the jump, as it is at the edge, by what folded spectra do not show.

    Pixels differ as the references say, as much as all that is seen of them does, and in what is not in the basis by no
    more than they show there, and could without showing it.
    """
    moment = over @ (basis.products * np.outer(noise, noise)) @ over.T
    part, square = difference(prior, over @ typical, moment, over * noise**2 @ over.T)
    apart = prior.apart[np.ix_(rows, rows)]
    shown, could = variance_beside(basis, square * apart / np.outer(noise, noise))
    level = found.above[:, rows] @ typical
    up = np.flatnonzero((level[:-1] < 0) & (level[1:] >= 0))
    if up.size == 0:
        return 0.0
    first = int(up[0])
    way = level[first] / (level[first] - level[first + 1])
    row = (1 - way) * found.above[first, rows] + way * found.above[first + 1, rows]
    lost = row - row @ basis.projection
    return 2 * float(np.sqrt(min(part, max(shown, 0.0) + _COULD * could) * max(float(lost @ apart @ lost), 0.0)))
