"""Closed scans that have lost energies of their baselines: their maps are right, or say how wrong they may be."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from redoxscope.analysis.edge_map import FINAL, EdgeMap
from redoxscope.analysis.xanes import Edge, edge_energy
from redoxscope.simulators.spectra import ENERGIES_53, absorption

EDGE = Edge()
PIXELS, PHOTONS = 4000, 10000
LOST = [(8450,), (8387,), (8396,), (8414,), (8387, 8450), (8432, 8441, 8450), (8200,), (8341,)]
Spectra = tuple[np.ndarray, np.ndarray]


def simulated() -> Spectra:
    """Reduced and oxidised, by the simulator's formula."""
    return absorption(ENERGIES_53, 8338.9), absorption(ENERGIES_53, 8342.8)


def measured(shared: Path) -> list[Spectra]:
    """(eV, absorption) of NiO and LiNiO2."""
    files = (np.loadtxt(shared / "ni_k_edge" / f"ref_{name}.txt").T for name in ("NiO", "LiNiO2"))
    return [(1000 * energies, mu) for energies, mu in files]


class Sample:
    """Pixels in which two phases mix, with other matter in the beam."""

    def __init__(self, phases: Spectra, seed: int = 1) -> None:
        rng = np.random.default_rng(seed)
        self.phases, self.spread = phases, rng.standard_normal(PIXELS)
        self.jump, self.other = rng.uniform(0.3, 0.6, PIXELS), rng.uniform(0.2, 0.5, PIXELS)

    def clean(self, reacted: float) -> np.ndarray:
        new, old = (phase[:, None] for phase in self.phases)
        with np.errstate(divide="ignore"):
            part = 1 / (1 + np.exp(-2 * self.spread - 1.6 * np.log(reacted / (1 - reacted)))) if reacted < 1 else 1.0
        return self.jump * (part * new + (1 - part) * old) + self.other * (1 - 3.5e-4 * (ENERGIES_53 - 8341)[:, None])


def half_jump(clean: np.ndarray) -> np.ndarray:
    """Of spectra without noise and loss: lines by np.polyfit, the crossing on the spline through the near-edge."""
    x, at = ENERGIES_53 - 8341, np.arange(8335, 8350, 0.02) - 8341
    near = (ENERGIES_53 >= 8325) & (ENERGIES_53 <= 8360)
    before, behind = (np.polyfit(x[w], clean[w], 1) for w in (ENERGIES_53 <= 8310, ENERGIES_53 >= 8380))
    above = CubicSpline(x[near], clean[near])(at) - 0.5 * (np.outer(at, before[0] + behind[0]) + before[1] + behind[1])
    last = np.argmax((above[:-1] < 0) & (above[1:] >= 0), axis=0)
    low, high = (above[last + i, np.arange(last.size)] for i in (0, 1))
    return 8341 + at[last] - 0.02 * low / (high - low)


def frames(clean: np.ndarray, seed: int, photons: float = PHOTONS) -> tuple[np.ndarray, np.ndarray]:
    """Absorbance and its variance, by photon statistics of one flat and one image."""
    rng = np.random.default_rng(seed)
    counts, flats = rng.poisson(photons * np.exp(-clean)).clip(1), rng.poisson(photons, clean.shape)
    return -np.log(counts / flats), 1 / counts + 1 / flats


def scan(clean, seed, lost=(), references=(), photons=PHOTONS, order=range(ENERGIES_53.size)):
    accumulator = EdgeMap(ENERGIES_53, clean.shape[1:], EDGE, references)
    seen, variance = frames(clean, seed, photons)
    for i in order:
        if ENERGIES_53[i] not in lost:
            accumulator.update(i, seen[i], variance[i])
    return accumulator


def rms(pulls):
    return float(np.sqrt(np.nanmean(pulls**2)))


def errors(found, clean):
    """Signed median error (eV), and the errors over sigma."""
    off = found.edge_energy - half_jump(clean)
    assert (found.state == FINAL).mean() > 0.98
    return float(np.nanmedian(off)), off / found.sigma


@pytest.mark.parametrize("lost", LOST, ids=str)
@pytest.mark.parametrize("reacted", [0.3, 0.6, 1.0])
def test_what_the_scan_before_shows_stands_in_for_what_is_lost(reacted, lost):
    """Of the spectra it has seen; half of the pixels were nearly reacted before the last step."""
    sample = Sample(simulated())
    before = scan(sample.clean(reacted / 2 if reacted < 1 else 0.6), 1).result()
    clean = sample.clean(reacted)
    off, pulls = errors(scan(clean, 2, lost).result(previous=before, closed=True), clean)
    assert abs(off) < 0.03
    if reacted < 1:
        assert 0.9 < rms(pulls) < 1.1


@pytest.mark.parametrize("lost", LOST, ids=str)
@pytest.mark.parametrize("reacted", [0.05, 0.6, 1.0])
def test_references_stand_in_for_what_a_first_scan_lost(shared_data: Path, reacted, lost):
    references = measured(shared_data)
    sample = Sample(tuple(np.interp(ENERGIES_53, *reference) for reference in references))
    clean = sample.clean(reacted)
    off, pulls = errors(scan(clean, 2, lost, references).result(closed=True), clean)
    assert abs(off) < 0.05
    if reacted < 1:
        assert 0.8 < rms(pulls) < 1.2


@pytest.mark.parametrize("lost", LOST, ids=str)
@pytest.mark.parametrize("reacted", [0.05, 0.6])
@pytest.mark.parametrize("of", ["simulated", "measured"])
def test_sigma_says_what_a_first_scan_does_not_know(shared_data: Path, of, reacted, lost):
    """One number per sample, whose error may be anything within it; without a word it was up to ten sigma."""
    phases = simulated() if of == "simulated" else [np.interp(ENERGIES_53, *r) for r in measured(shared_data)]
    clean = Sample(tuple(phases)).clean(reacted)
    found = scan(clean, 2, lost).result(closed=True)
    off, pulls = errors(found, clean)
    assert abs(off) < 0.3
    assert rms(pulls) < 1.4
    if 8387 in lost:
        assert np.nanmedian(found.noise_sigma / found.sigma) < 0.5, "most of it is no noise"


def test_sigma_without_knowledge_over_phases_of_all_kinds():
    """The error is one number per phase: the width of its pulls is that over phases, none of them known."""
    rng = np.random.default_rng(5)
    x, pulls = ENERGIES_53 - 8341, {lost: [] for lost in LOST[:6]}
    for seed in range(40):
        behind = np.maximum(x - rng.normal(0, 1), 0)
        step = (1 + rng.normal(-5e-4, 7e-4) * behind) / (1 + np.exp(-(x - rng.normal(0, 1)) / rng.uniform(0.8, 1.8)))
        white = rng.uniform(0, 0.6) * np.exp(-(((behind - rng.uniform(5, 8)) / rng.uniform(3, 6)) ** 2)) * (behind > 0)
        # Shells of neighbours at 1.8 to 3 Å: they turn with twice that times the photoelectron's wave number.
        turn = sum(np.cos(2 * r * np.sqrt(0.2625 * behind) + rng.uniform(0, 6.3)) for r in rng.uniform(1.8, 3.0, 2))
        wiggles = rng.uniform(0.1, 0.35) * np.exp(-behind / 40) * turn * (behind > 12)
        phase = step + white + wiggles
        clean = Sample((phase, phase)).clean(1.0)[:, :1000]
        for lost, kept in pulls.items():
            _, pull = errors(scan(clean, seed, lost).result(closed=True), clean)
            kept.append(np.nanmedian(pull))
    for lost, kept in pulls.items():
        assert rms(np.array(kept)) < 1.5, lost


@pytest.mark.parametrize("lost", [(8450,), (8396,)], ids=str)
def test_a_phase_never_seen_before_is_not_pulled_to_those_of_the_scan_before(lost):
    """A twentieth of the pixels, a step without a white line."""
    sample = Sample(simulated())
    before, clean = scan(sample.clean(0.3), 1).result(), sample.clean(0.5)
    behind, few = np.maximum(ENERGIES_53 - 8346, 0), PIXELS // 20
    foreign = 1 / (1 + np.exp(-(ENERGIES_53 - 8346) / 2)) + 0.08 * np.exp(-behind / 50) * np.sin(behind / 7 + 2) * (
        behind > 10
    )
    clean[:, :few] = sample.jump[:few] * foreign[:, None] + sample.other[:few]
    off = scan(clean, 2, lost).result(previous=before, closed=True).edge_energy - half_jump(clean)
    assert abs(np.nanmedian(off[:few])) < 0.1
    assert abs(np.nanmedian(off[few:])) < 0.03


@pytest.mark.parametrize("lost", [(8387,), (8450,)], ids=str)
def test_a_series_that_loses_the_same_energy_again_and_again(lost):
    """What is not known of the first scan is not known of the last either; nor in the provisional maps in between."""
    sample, before = Sample(simulated()), None
    for seed, reacted in enumerate((0.1, 0.3, 0.5, 0.7)):
        clean = sample.clean(reacted)
        if before is not None:
            early = scan(clean, seed, tuple(ENERGIES_53[ENERGIES_53 > 8361])).result(previous=before)
            assert rms((early.edge_energy - half_jump(clean)) / early.sigma) < 1.5
        before = scan(clean, seed, lost).result(previous=before, closed=True)
        _, pulls = errors(before, clean)
        assert rms(pulls) < 1.2
    clean = sample.clean(0.8)
    whole, alone = scan(clean, 9).result(previous=before), scan(clean, 9).result()
    np.testing.assert_array_equal(whole.edge_energy, alone.edge_energy)
    np.testing.assert_array_equal(whole.sigma, alone.sigma)


@pytest.mark.parametrize("subspace", [True, False])
@pytest.mark.parametrize("later", [False, True], ids=["first scan", "next scan"])
def test_however_frames_are_lost_the_map_is_the_same(later, subspace):
    sample, lost = Sample(simulated()), (8260, 8387, 8441)
    before = scan(sample.clean(0.3), 1).result(subspace=subspace) if later else None
    clean = sample.clean(0.5)
    wanted = scan(clean, 2, lost).result(previous=before, closed=True, subspace=subspace)
    seen, variance = frames(clean, 2)
    seen[np.isin(ENERGIES_53, lost)] = np.nan
    blank, order = scan(clean, 2, lost), np.random.default_rng(0).permutation(ENERGIES_53.size)
    for i in np.flatnonzero(np.isin(ENERGIES_53, lost)):
        blank.update(i, seen[i], variance[i])
    assert blank.complete
    merged = scan(clean, 2, lost, order=order[:20])
    merged.merge(scan(clean, 2, lost, order=order[20:]))
    found = [m.result(previous=before, closed=True, subspace=subspace) for m in (blank, merged)]
    if before is None:
        found.append(edge_energy(seen, ENERGIES_53, EDGE, variance=variance, subspace=subspace))
    for one in found:
        for name in ("edge_energy", "sigma", "jump"):
            np.testing.assert_array_equal(getattr(one, name), getattr(wanted, name))


def test_without_noise_given_and_with_other_definitions():
    clean = Sample(simulated()).clean(0.5)
    accumulator = EdgeMap(ENERGIES_53, clean.shape[1:], EDGE)
    for i in np.flatnonzero(ENERGIES_53 != 8387):
        accumulator.update(i, clean[i])
    found = accumulator.result(closed=True)
    assert abs(np.nanmedian(found.edge_energy - half_jump(clean))) < 0.3
    assert np.isnan(found.sigma).all()
    seen, variance = frames(clean, 2)
    for definition in ("white_line", "derivative"):
        maps = []
        for lost in ((), (8387,)):
            one = EdgeMap(ENERGIES_53, clean.shape[1:], replace(EDGE, definition=definition))
            for i in np.flatnonzero(~np.isin(ENERGIES_53, lost)):
                one.update(i, seen[i], variance[i])
            maps.append(one.result(closed=True))
        # The lines are no part of these.
        assert np.nanmedian(np.abs(maps[1].edge_energy - maps[0].edge_energy)) < 0.1
