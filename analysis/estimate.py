"""How the edges of a scan's spectra are found, and what of their jump comes from elsewhere."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from redoxscope.analysis.belonging import nothing_known
from redoxscope.analysis.definitions import finder
from redoxscope.analysis.described import Described, Filed
from redoxscope.analysis.finder import as_steep_as
from redoxscope.analysis.first_scan import Predicted
from redoxscope.analysis.jump_trend import Trend
from redoxscope.analysis.known_map import Map, half_jump_before
from redoxscope.analysis.previous_scan import Population, tell_jump
from redoxscope.analysis.scan_pass import Estimator, KnownJump
from redoxscope.analysis.subspace import identity
from redoxscope.analysis.unseen_shift import unseen_shift
from redoxscope.analysis.xanes import Edge, Functionals


def estimator(
    energies: NDArray[np.float64],
    edge: Edge,
    filed: Filed,
    own: Described,
    wanted: Functionals,
    some: tuple[NDArray[np.intp], NDArray[np.float32]] | None,
    predicted: Predicted | None,
    early: Map | None,
    trend: Trend,
    population: Population,
    *,
    final: bool,
) -> tuple[Estimator, KnownJump]:
    """What the pass over all pixels is made of.

    Parameters
    ----------
    energies : (n,) eV, of the whole scan, ascending; edge : its definition
    filed, own : the r frames on file, and how their spectra are folded
    wanted : functionals; of a jump that is known, if there is a map before
    some : numbers (s,) and spectra (r, s) of typical pixels, those that `own` was learnt from if it was
    predicted : how much of the jump is, before the post-edge is whole
    early : the map before, whose jumps are taken; None if the jump is the spectra's own
    trend, population : of the scans before; final : whether nothing more will come
    """
    # What folded spectra may lack, repetitions lack as well: it is no noise.
    shown = replace(own.basis, hidden=min(own.basis.learnt, own.basis.hidden))
    find = finder(wanted, edge, filed.mask, own.noise, shown, smooth=own.folds)
    lacking = 0.0
    if not final and own.folds:
        rest = replace(own.basis, hidden=own.basis.hidden - shown.hidden).left_out(own.noise)
        lacking = float(((wanted.above[:, filed.mask] @ rest) ** 2).sum(axis=1).mean())
    half_jump, origin = edge.definition == "half_jump", edge.nominal + edge.energy_offset
    other, known = find, nothing_known(len(own.basis.fold))
    doubt = wanted.doubt if half_jump else 0.0
    jump = KnownJump(np.zeros((0, filed.usable.size), dtype=np.float32), 0.0, lacking, doubt, own_drift=doubt)
    if predicted is not None and predicted.belonging is not None and own.folds and half_jump:
        known, unlike = predicted.belonging, predicted.others
        # An interval without width has no edge in it.
        other = find._replace(width=np.zeros_like(find.width))
        if unlike is not None:
            other = finder(unlike, edge, filed.mask, own.noise, shown, smooth=True)
            jump = replace(jump, own_drift=unlike.doubt)
    if early is not None and half_jump:
        told = None
        if own.folds:
            before = (half_jump_before(early, origin, 1.0, early.jump_slope, own.pick), early.jump_noise)
            told = tell_jump(
                energies, filed.rows, edge, population, trend, *before, own.spectra, own.own, own.basis, find
            )
        if told is None:
            half = half_jump_before(early, origin, 1.0, early.jump_slope)
            jump = KnownJump(half, 0.25 * early.jump_noise, lacking, trend.drift, trend.sigma, trend.drift, trend.sigma)
        else:
            part, others, known = told.of_known, told.of_others, told.belonging
            find = finder(part.wanted, edge, filed.mask, own.noise, shown, smooth=True)
            # One line for all pixels: the others' part of it is theirs times this.
            wanted = replace(others.wanted, above=part.share / others.share * others.wanted.above)
            other = finder(wanted, edge, filed.mask, own.noise, shown, smooth=True)
            half = half_jump_before(early, origin, part.share, part.slope)
            noise = 0.25 * part.share**2 * early.jump_noise
            jump = KnownJump(half, noise, lacking, part.drift, part.trend, others.drift, others.trend)
    plain, unseen = find, 0.0
    if own.folds:
        plain = finder(wanted, edge, filed.mask, own.noise, identity(filed.rows.size), smooth=False)
    if some is not None:
        pick, spectra = some
        typical, half = spectra.mean(axis=1, dtype=np.float64), jump.half[:, pick]
        if own.folds and (final or early is not None):
            unseen = unseen_shift(energies[filed.rows], own.basis, typical, half, plain)
        if half_jump:
            plain = as_steep_as(plain, typical, half)
    by = find if own.folds else plain
    return Estimator(by, plain, own.basis, own.folds, own.noise, own.limit, unseen, known, other), jump
