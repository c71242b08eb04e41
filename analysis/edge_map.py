"""The incremental edge-energy map: a frame in, map and uncertainty and state out.

A frame is filed under the number of its energy; all else is a function of what is on file. Hence frames in any order,
some of them twice, end at the result of the batch function `xanes.edge_energy`, built on this class. Lost frames count
as images of NaN in that: what they would have shown of the baselines is predicted. Memory: one scan of frames, float32.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from redoxscope.analysis.described import Described, Filed, as_they_are, describe
from redoxscope.analysis.estimate import estimator
from redoxscope.analysis.expected import Spectrum
from redoxscope.analysis.first_scan import Predicted, predicted_functionals
from redoxscope.analysis.frame_stack import FrameStack
from redoxscope.analysis.jump_trend import learn_trend
from redoxscope.analysis.known_map import FINAL as FINAL
from redoxscope.analysis.known_map import NONE as NONE
from redoxscope.analysis.known_map import PROVISIONAL as PROVISIONAL
from redoxscope.analysis.known_map import Map as Map
from redoxscope.analysis.known_map import empty_map, population_of, trend_until
from redoxscope.analysis.lost_energies import complete, lost_energies
from redoxscope.analysis.previous_scan import Population, learn_population
from redoxscope.analysis.scan_pass import evaluate_scan
from redoxscope.analysis.subspace import identity, learners
from redoxscope.analysis.xanes import Edge, Floats, Functionals, functionals

_TYPICAL = 0.02
"""Noise of a sample over the jump, where it is not known."""
_FEW = 2000
"""Pixels that show what the typical spectrum is."""
_MISSING = 0.3
"""A pixel without valid samples in more than this part of a window's frames has no edge energy."""


class EdgeMap:
    """Accumulates one XANES scan of one field of view.

    Parameters
    ----------
    energies : (n,) eV, in any order; repeated ones are separate samples, in the subspace their mean is one
    shape : the pixels' shape
    edge : windows and thresholds
    references : spectra of phases that may be there, for the provisional maps of a first scan
    whole : the frames of the whole scan by ascending energy, which then are on file from the start
    """

    def __init__(
        self,
        energies: Floats,
        shape: tuple[int, ...],
        edge: Edge,
        references: Sequence[Spectrum] = (),
        whole: FrameStack | None = None,
    ) -> None:
        self.edge, self.shape, self._references = edge, shape, references
        given = np.asarray(energies, dtype=np.float64)
        order = np.argsort(given, kind="stable")
        self._row = np.argsort(order)
        self._energies = given[order]
        self._seen = np.full(given.size, whole is not None)
        self._blank = np.zeros(given.size, dtype=bool)
        self._stack = FrameStack(given.size, int(np.prod(shape))) if whole is None else whole

    @property
    def seen(self) -> NDArray[np.bool_]:
        """(n,) which of the energies, in the order given, are on file."""
        return np.asarray(self._seen[self._row])

    @property
    def complete(self) -> bool:
        """Whether every energy has been seen."""
        return bool(self._seen.all())

    def update(self, index: int, absorbance: Floats, variance: Floats | float | None = None) -> bool:
        """File the frame of energy number `index`; False (and no change) if it is on file already.

        Pixels that are not finite, or of 100 and more, are missing samples; a frame of nothing else counts as seen and
        is left out. `variance` is the absorbance's, per pixel or one number. Raises IndexError for no such number.
        """
        if not 0 <= index < self._row.size:
            raise IndexError(f"frame {index} of a scan over {self._row.size} energies: they are numbered from 0")
        row = self._row[index]
        if self._seen[row]:
            return False
        if absorbance.shape != self.shape:
            raise ValueError(f"a frame of {absorbance.shape} in a map of {self.shape}")
        if variance is not None and np.size(variance) > 1:
            variance = np.broadcast_to(np.asarray(variance), self.shape).reshape(-1)
        self._seen[row] = True
        self._blank[row] = not self._stack.file(row, absorbance.reshape(-1), variance)
        return True

    def merge(self, other: Self) -> None:
        """Take in another accumulator of the same scan that has seen other frames.

        Raises ValueError if it is of another scan, or both have seen the same frame.
        """
        if self.shape != other.shape or not np.array_equal(self._energies, other._energies):
            raise ValueError("the parts differ in energies or shape: merge parts of one scan")
        if np.any(self._seen & other._seen):
            both = np.flatnonzero(self.seen & other.seen).tolist()
            raise ValueError(f"frames {both} are in both parts: each frame may count once")
        self._stack.merge(other._stack, other._seen)
        self._seen |= other._seen
        self._blank |= other._blank

    def result(self, *, previous: Map | None = None, closed: bool = False, subspace: bool = True) -> Map:
        """The map from the frames seen so far.

        It is final when all frames are in, or when the scan is `closed` and no more will come; what the baselines lack
        then is predicted from the `previous` scan's spectra, the references, or in general. Until then a pixel is
        provisional: its jump comes from the `previous` scan's map, its own jump there and how spectra like it went on
        behind the edge; without one it is predicted from what has been seen of the white line and the post-edge, and
        what is known of these: by the reference spectra, or in general.
        Raises ValueError if `previous` has another shape, NotWholeError if frames there from the start lack samples.
        """
        if previous is not None and previous.state.shape != self.shape:
            raise ValueError(f"the previous map has shape {previous.state.shape}, this one {self.shape}: give its own")
        repeated = np.unique(self._energies).size < self._energies.size
        scan = self._without_repetitions() if repeated and subspace else self
        return scan._map(previous, final=closed or self.complete, subspace=subspace)

    def _without_repetitions(self) -> "EdgeMap":
        """The same scan with the mean of all frames at an energy: a flat they have in common is no component."""
        energies, group = np.unique(self._energies, return_inverse=True)
        out = EdgeMap(energies, self.shape, self.edge, self._references)
        used = self._seen & ~self._blank
        out._stack = self._stack.means(group, used)
        out._seen = np.bincount(group, self._seen) > 0
        out._blank = out._seen & (np.bincount(group, used) == 0)
        return out

    def _map(self, previous: Map | None, *, final: bool, subspace: bool) -> Map:
        early = None if final else previous
        half_jump = self.edge.definition == "half_jump"
        trend, population = trend_until(previous, self.edge), population_of(previous)
        filed = self._filed()
        predicts = early is None and not final
        predicted = self._predicted(filed) if predicts else None
        if predicts:
            wanted = predicted.wanted if predicted else None
        else:
            wanted = functionals(self._energies, filed.mask, self.edge, jump_known=early is not None)
        if (
            wanted is None
            or wanted.near.size < 2
            or not (half_jump or final or self.edge.searched(self._energies, self._seen))
        ):
            return empty_map(self.shape, early, trend)
        own = as_they_are(filed)
        if subspace and np.count_nonzero(filed.usable) > filed.rows.size:
            own = describe(self._stack, filed, wanted, self.edge.min_jump, jump_known=early is not None)
            if predicted:
                predicted = self._predicted(filed, own, wanted) or predicted
                wanted = predicted.wanted
        if final and half_jump:
            wanted, population = self._completed(filed, own, wanted, population)
        some = self._some(filed, own) if own.folds or (half_jump and filed.usable.any()) else None
        how, jump = estimator(
            self._energies, self.edge, filed, own, wanted, some, predicted, early, trend, population, final=final
        )
        found = evaluate_scan(
            self._stack, filed.rows, filed.usable, own.sample, self.edge, how, jump, early, final=final
        )
        result = Map(
            found.energy.reshape(self.shape),
            found.sigma.reshape(self.shape),
            found.noise_sigma.reshape(self.shape),
            found.jump.reshape(self.shape),
            found.state.reshape(self.shape),
            found.jump_slope,
            found.jump_noise,
            trend.value,
            trend.sigma,
            trend.drift,
            *population,
            own.components,
            found.misfits,
        )
        if final and previous is not None and half_jump:
            before, now = ((m.edge_energy, m.sigma, m.jump) for m in (previous, result))
            scatter = (own.sample * np.sqrt(previous.jump_noise + found.jump_noise)).astype(np.float32)
            trend = learn_trend(before, now, scatter, trend, self.edge.jump_trend_scatter)
        drift = float(np.hypot(trend.drift, wanted.doubt if final else 0.0))
        return replace(result, jump_trend=trend.value, jump_trend_sigma=trend.sigma, jump_drift=drift)

    def _filed(self) -> Filed:
        mask = self._seen & ~self._blank
        rows = np.flatnonzero(mask)
        noise, sample = self._stack.relative_noise(rows), self._stack.sample_sigma()
        return Filed(mask, rows, self._usable(rows), noise, sample)

    def _some(self, filed: Filed, own: Described | None = None) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """Numbers (s,) and spectra (r, s) of pixels: of those that are described, or of any; empty ones add nothing."""
        if own is not None and own.folds:
            return own.pick, own.spectra
        pick = learners(filed.usable, _FEW)
        return pick, self._stack.spectra(filed.rows, pick)

    def _predicted(
        self, filed: Filed, own: Described | None = None, plain: Functionals | None = None
    ) -> Predicted | None:
        """The jump from what has been seen behind the edge: of the typical spectrum, or of those that are described."""
        typical, some = None, None
        if own is None or plain is None:
            if self._references and filed.usable.any():
                typical = self._some(filed)[1].mean(axis=1, dtype=np.float64)
            basis, spread = identity(filed.rows.size), filed.noise * _TYPICAL
        else:
            basis, typical, some = own.basis, own.spectra.mean(axis=1, dtype=np.float64), (own.spectra, own.own)
            jump = max(float(np.median(plain.jump[filed.rows] @ own.spectra)), self.edge.min_jump)
            unit = float(np.median(own.own)) / jump
            spread = basis.noise * (unit if np.isfinite(unit) else _TYPICAL)
        known = (self._references, typical, some)
        return predicted_functionals(self._energies, filed.rows, self.edge, basis, spread, *known)

    def _completed(
        self, filed: Filed, own: Described, plain: Functionals, population: Population
    ) -> tuple[Functionals, Population]:
        """The functionals of a closed scan, what its baselines lack filled in; and the series' spectra with its own."""
        rows, at, basis, doubt = filed.rows, filed.rows, own.basis, np.zeros((filed.rows.size,) * 2)
        if lost_energies(self._energies, rows, self.edge).size and filed.usable.any():
            pick, spectra = self._some(filed, own)
            sample = filed.sample[pick] if filed.sample.size > 1 else filed.sample
            jump = max(float(np.sqrt(((plain.jump[rows] @ spectra) ** 2).mean())), self.edge.min_jump)
            unit = float(np.sqrt((sample.astype(np.float64) ** 2).mean())) / jump
            noise = own.noise * (unit if np.isfinite(unit) else _TYPICAL)
            known = (spectra, jump, population, self._references)
            completed = complete(self._energies, rows, self.edge, basis, noise, *known)
            plain, at, doubt = completed.wanted, completed.rows, completed.doubt
            basis = replace(basis, vectors=completed.spectra @ basis.vectors)
        if own.folds:
            learnt = (self.edge, basis, own.spectra, own.own)
            population = learn_population(self._energies[at], *learnt, population, doubt)
        return plain, population

    def _usable(self, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        """(pixel,) which have enough valid samples in each window."""
        energies = self._energies[rows]
        windows = np.zeros((3, rows.size), dtype=bool)
        for window, limits in zip(windows, (self.edge.pre, self.edge.search, self.edge.post), strict=True):
            window[self.edge.members(energies, limits)] = True
        return self._stack.usable(rows, windows, np.floor(_MISSING * windows.sum(1)).astype(np.intp))
