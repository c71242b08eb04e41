"""A scan's own spectra: the few components that they are made of, and how noisy they show themselves to be."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from redoxscope.analysis.frame_stack import BLACK, FrameStack
from redoxscope.analysis.subspace import Basis, identity, learn, misfit_limit, tall_learners
from redoxscope.analysis.xanes import Functionals

_ALONE = 0.75
"""Of the edge jump; half of it is what a step between two energies makes."""
_OUTLIER = 12.0
"""Times the median: eight standard deviations of noise."""
_SOME, _OF_SOME = 98.0, 1.2
"""Per cent of the spectra, and times what these differ by at most."""
_FEW = 500
"""Spectra that show how the others bend."""
_BLOCK = 2048
"""Spectra that are looked at together."""


class Filed(NamedTuple):
    """The frames on file."""

    mask: NDArray[np.bool_]
    """(n,) of which energies"""
    rows: NDArray[np.intp]
    """(r,) numbers of these"""
    usable: NDArray[np.bool_]
    """(pixel,) which have enough valid samples in each window"""
    noise: NDArray[np.float64]
    """(r,) relative standard deviation of their samples, by photon statistics"""
    sample: NDArray[np.float32]
    """(pixel,) or (1,) standard deviation of a sample"""


@dataclass(frozen=True)
class Described:
    """How spectra of r energies are folded, and their noise."""

    basis: Basis
    folds: bool
    """Whether it was learnt; else it leaves them as they are."""
    noise: NDArray[np.float64]
    """(r,) relative standard deviation of the energies' samples"""
    sample: NDArray[np.float32]
    """(pixel,) or (1,) standard deviation of one sample"""
    limit: float
    """Residual above which the basis does not describe a spectrum, in units of its sample variance."""
    pick: NDArray[np.intp]
    """(learner,) the pixels it was learnt from"""
    spectra: NDArray[np.float32]
    """(r, learner) of these"""
    own: NDArray[np.float32]
    """(learner,) or (1,) `sample` of these, in units in which `basis.noise` is relative to it"""

    @property
    def components(self) -> int:
        """That spectra are folded into; 0 if they are not."""
        return len(self.basis.fold) if self.folds else 0


def as_they_are(filed: Filed) -> Described:
    """Spectra that nothing is learnt from, with the noise that photon statistics give them."""
    nobody, nothing = np.empty(0, dtype=np.intp), np.empty((filed.rows.size, 0), dtype=np.float32)
    known = (filed.noise, filed.sample, np.inf, nobody, nothing, filed.sample[:0])
    return Described(identity(filed.rows.size), False, *known)


def describe(stack: FrameStack, filed: Filed, wanted: Functionals, min_jump: float, *, jump_known: bool) -> Described:
    """Learn from the spectra that hold material.

    Parameters
    ----------
    stack, filed : where the spectra are, and which of them are whole enough
    wanted : functionals by which material is told; jump_known : whether their jump may be less sure than what follows
        the edge
    min_jump : edge jump below which there is no material

    Raises
    ------
    NotWholeError
        If samples are missing where the stack says that none are.
    """
    rows, noise, sample = filed.rows, filed.noise, filed.sample
    weights, behind = wanted.jump[rows], wanted.above[-1, rows]
    if not weights.any() or (jump_known and np.linalg.norm(behind * noise) < np.linalg.norm(weights * noise)):
        # A line through the first samples of the post-edge says little of the jump.
        weights = behind
    pick = tall_learners(stack, rows, filed.usable, weights, noise, sample, min_jump)
    spectra = stack.spectra(rows, pick)
    sound = _sound(spectra, float(np.median(weights @ spectra))) if pick.size else np.empty(0, dtype=np.bool_)
    if not sound.all() and np.count_nonzero(sound) > rows.size:
        pick, spectra = pick[sound], np.ascontiguousarray(spectra[:, sound])
    own = sample[pick] if sample.size > 1 else sample
    basis = learn(spectra, noise, own)
    level = float(np.sqrt((basis.noise**2).mean()))
    limit = misfit_limit(spectra, basis, own) / level**2
    return Described(basis, True, basis.noise / level, sample * np.float32(level), limit, pick, spectra, own)


def _sound(spectra: NDArray[np.float32], jump: float) -> NDArray[np.bool_]:
    """(learner,) which spectra (r, learner) have no sample that stands alone, as where a cosmic ray has hit.

    A few such samples per frame would each be a component of its own. No edge, however sharp, makes a sample differ
    by as much from the mean of its neighbours.
    """
    some = spectra[:, :: 1 + spectra.shape[1] // _FEW]
    bends = some[1:-1] - 0.5 * (some[:-2] + some[2:])
    usual = np.median(bends, axis=1)
    away = np.abs(bends - usual[:, None])
    # What many spectra have is a phase of its own, with a sharp white line and few energies on it.
    most = np.maximum(_OUTLIER * np.median(away, axis=1), _OF_SOME * np.percentile(away, _SOME, axis=1))
    most = np.maximum(most, _ALONE * jump)
    out = np.ones(spectra.shape[1], dtype=np.bool_)
    _tell(spectra, usual, most.astype(np.float32), np.float32(BLACK), out)
    return out


@njit(cache=True, nogil=True)
def _tell(
    spectra: NDArray[np.float32],
    usual: NDArray[np.float32],
    most: NDArray[np.float32],
    black: np.float32,
    out: NDArray[np.bool_],
) -> None:
    half = np.float32(0.5)
    for b in range((out.size + _BLOCK - 1) // _BLOCK):
        own = slice(b * _BLOCK, min((b + 1) * _BLOCK, out.size))
        good = out[own]
        for i in range(len(spectra)):
            here = spectra[i, own]
            for p in range(good.size):
                good[p] &= abs(here[p]) < black
            if 0 < i < len(spectra) - 1:
                before, after, as_usual = spectra[i - 1, own], spectra[i + 1, own], usual[i - 1]
                for p in range(good.size):
                    good[p] &= abs(here[p] - half * (before[p] + after[p]) - as_usual) < most[i - 1]
