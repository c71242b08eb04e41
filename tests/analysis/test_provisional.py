"""Provisional values of a series: their sigma is the width of their errors, whatever has reacted since.

Against the truth that is sigma, over repetitions, where only the noise is another, the part of it that is noise.
"""

from dataclasses import replace

import numpy as np
import pytest

from redoxscope.analysis.edge_map import FINAL, PROVISIONAL, EdgeMap
from redoxscope.analysis.xanes import Edge

from .conftest import ENERGIES, spectrum

EDGE = Edge()
SHAPE = (60, 80)


NEAR = np.arange(8336, 8346, 0.05)


def phase(edge, white_line, wiggle, energies=ENERGIES):
    """A step with its white line and the wiggles behind it."""
    x = energies - edge
    behind = np.where(x > 0, x, 0)
    return (
        spectrum(edge, 1.6, energies=energies)
        + white_line * np.exp(-(((x - 6.0) / 4.0) ** 2))
        + wiggle * np.exp(-behind / 60) * np.sin(behind / 9) * (x > 12)
    )


OLD, NEW = (8342.6, 0.45, 0.12), (8340.4, 0.7, 0.2)


class Particle:
    """Pixels of two phases, with other matter in the beam; the air around them has the least noise."""

    def __init__(self, seed, air=0.0):
        self.rng = np.random.default_rng(seed)
        self.jump = self.rng.uniform(0.3, 0.6, SHAPE)
        self.jump[:, : int(air * SHAPE[1])] = 0
        self.other = self.rng.uniform(0.5, 1.0, SHAPE) * self.jump
        self.state = self.rng.normal(-0.8, 0.8, SHAPE)
        self.strange = np.zeros(SHAPE, dtype=bool)

    def react(self, by):
        self.state = self.state + by

    def clean(self, energies=ENERGIES):
        part = 1 / (1 + np.exp(-self.state / 0.3))
        old, new, x = (a[:, None, None] for a in (phase(*OLD, energies), phase(*NEW, energies), energies - 8341))
        spectra = np.where(self.strange, phase(*STRANGE, energies)[:, None, None], part * new + (1 - part) * old)
        return self.jump * spectra + self.other * (1 - 3.5e-4 * x)

    def truth(self):
        """Half-jump of the spectra without noise: lines by np.polyfit, the crossing on energies 0.05 eV apart."""
        clean, x, near = self.clean().reshape(ENERGIES.size, -1), ENERGIES - 8341, NEAR[:, None] - 8341
        fits = [np.polyfit(x[w], clean[w], 1) for w in (ENERGIES <= 8310, ENERGIES >= 8380)]
        before, behind = (near * fit[0] + fit[1] for fit in fits)
        above = self.clean(NEAR).reshape(NEAR.size, -1) - 0.5 * (before + behind)
        first, pixel = np.argmax(above >= 0, axis=0), np.arange(above.shape[1])
        low, high = above[first - 1, pixel], above[first, pixel]
        with np.errstate(invalid="ignore"):
            return (NEAR[first] - 0.05 * high / (high - low)).reshape(SHAPE)

    def scan(self, photons, upto=np.inf, rng=None, references=()):
        """Photon statistics of one flat and one image."""
        clean, rng = self.clean(), rng or self.rng
        counts = rng.poisson(photons * np.exp(-clean)).clip(1)
        flats = rng.poisson(photons, clean.shape)
        scan = EdgeMap(ENERGIES, SHAPE, EDGE, references)
        for i in np.flatnonzero(upto >= ENERGIES):
            scan.update(i, -np.log(counts[i] / flats[i]), 1 / counts[i] + 1 / flats[i])
        return scan


def width(pulls):
    return np.nanmedian(np.abs(pulls)) / 0.6745


def repeated(energies, sigmas):
    """Pulls over repetitions, (repetition, ...), against their mean."""
    count = len(energies)
    return (energies - energies.mean(axis=0)) / sigmas * np.sqrt(count / (count - 1))


REACTIONS = {"none": 0.0, "small": 0.1, "large": 1.2}


@pytest.mark.parametrize("photons", [1500, 20000])
@pytest.mark.parametrize("upto", [8348, 8352, 8378, 8441])
@pytest.mark.parametrize("reaction", REACTIONS)
def test_width_of_the_pulls_where_the_phases_have_been_seen_before(reaction, upto, photons):
    """Over particles, and over repetitions of one, where only the noise is another."""
    pulls = []
    for seed in range(2):
        particle = Particle(seed, air=0.4)
        material = particle.jump > 0
        before = particle.scan(photons).result()
        particle.react(REACTIONS[reaction])
        early = particle.scan(photons, upto).result(previous=before)
        assert (early.state == PROVISIONAL)[material].mean() > 0.98
        pulls.append(((early.edge_energy - particle.truth()) / early.sigma)[material])
    assert 0.9 < width(pulls) < 1.1
    found = []
    for seed in range(4):
        particle, rng = Particle(9), np.random.default_rng(seed)
        before = particle.scan(photons, rng=rng).result()
        particle.react(REACTIONS[reaction])
        early = particle.scan(photons, upto, rng).result(previous=before)
        found.append((early.edge_energy, early.noise_sigma))
    assert 0.9 < width(repeated(*np.array(found).swapaxes(0, 1))) < 1.1


@pytest.mark.parametrize("photons", [1500, 20000])
@pytest.mark.parametrize("upto", [8344, 8349, 8378, 8441])
def test_noise_of_a_phase_never_seen_and_of_the_step_after_it(upto, photons):
    """No repetition shows what is not known of the new phase; sigma says that there is more than noise."""
    unseen, after = [], []
    for seed in range(4):
        particle, rng = Particle(9), np.random.default_rng(seed)
        particle.state -= 5
        before = particle.scan(photons, rng=rng).result()
        for by, found in ((5.5, unseen), (0.3, after)):
            particle.react(by)
            early = particle.scan(photons, upto, rng).result(previous=before)
            found.append((early.edge_energy, early.noise_sigma))
            assert (early.noise_sigma <= early.sigma)[early.state == PROVISIONAL].all()
            np.testing.assert_array_equal(np.isnan(early.noise_sigma), np.isnan(early.edge_energy))
            before = particle.scan(photons, rng=rng).result(previous=before)
            assert (before.noise_sigma <= before.sigma)[before.state == FINAL].all()
    for found in (unseen, after):
        assert 0.9 < width(repeated(*np.array(found).swapaxes(0, 1))) < 1.1


def test_noise_of_a_sample_of_one_phase():
    """All spectra are alike but for the amount: nearly nothing of the noise is left, and that little is told."""
    found = []
    for seed in range(4):
        particle, rng = Particle(9), np.random.default_rng(seed)
        particle.state -= 30
        before = particle.scan(4000, rng=rng).result()
        early = particle.scan(4000, 8378, rng).result(previous=before)
        found.append((early.edge_energy, early.noise_sigma))
    assert 0.9 < width(repeated(*np.array(found).swapaxes(0, 1))) < 1.1
    assert np.median(early.noise_sigma) < 0.1


@pytest.mark.parametrize(
    ("photons", "reacted"), [(1500, 0.0), (20000, 0.0), (1500, 0.13), (1500, 0.2), (4000, 0.2), (20000, 0.1)]
)
def test_pulls_of_a_final_map_of_nearly_one_phase(photons, reacted):
    """What has reacted is too little for a component of its own: no pixel shows it, but sigma does."""
    energies, sigmas, noise = [], [], []
    for seed in range(60):
        particle = Particle(9)
        part = 0.5 * reacted * particle.rng.random(SHAPE).clip(1e-9)
        particle.state = 0.3 * np.log(part / (1 - part)) if reacted else np.full(SHAPE, -30.0)
        found = particle.scan(photons, rng=np.random.default_rng(seed)).result()
        energies.append(found.edge_energy)
        sigmas.append(found.sigma)
        noise.append(found.noise_sigma)
    pulls = (np.array(energies) - particle.truth()) / np.array(sigmas)
    # Where nothing has reacted no error is as large as what might have stayed unseen.
    assert (0.8 if reacted else 0.3) < np.sqrt(np.nanmean(pulls**2)) < 1.2
    if not reacted:
        # Most of what noise is left is that of the mean spectrum, the same for all pixels: 60 numbers, so to say.
        assert 0.75 < width(repeated(np.array(energies), np.array(noise))) < 1.25


def test_a_reaction_to_a_phase_never_seen_is_in_the_sigma():
    """The first scan has one phase only: of the jump, the pixel's own is known then, and a trend that was guessed."""
    pulls = []
    for seed in range(2):
        particle = Particle(seed, air=0.4)
        particle.state -= 5
        before = particle.scan(4000).result()
        particle.react(5.5)
        early = particle.scan(4000, 8352).result(previous=before)
        pulls.append(((early.edge_energy - particle.truth()) / early.sigma)[particle.jump > 0])
    assert 0.8 < width(pulls) < 1.2


def test_a_jump_that_changes_is_seen_in_the_spectra_before_the_post_edge_is():
    """A tenth of the nickel has gone: the jump before is wrong by that, and the rise and the white line tell it."""
    particle = Particle(0)
    before = particle.scan(20000).result()
    particle.jump *= 0.9
    errors = []
    for known in (before, replace(before, spectra_energies=np.zeros(0))):
        early = particle.scan(20000, 8378, np.random.default_rng(1)).result(previous=known)
        errors.append(np.median(np.abs(early.edge_energy - particle.truth())))
    assert errors[0] < 0.5 * errors[1]


def test_the_drift_of_the_jumps_is_learnt_from_final_maps():
    """Twice the prior, and none: the next provisional sigma knows."""
    drifts = []
    for drift in (0.0, 0.02):
        particle, before = Particle(0), None
        for _ in range(3):
            before = particle.scan(20000).result(previous=before)
            particle.jump *= 1 + drift * particle.rng.standard_normal(SHAPE)
        drifts.append(before.jump_drift)
    assert drifts[0] < 0.5 * EDGE.jump_drift
    assert drifts[1] == pytest.approx(0.02, rel=0.15)


@pytest.mark.parametrize("photons", [1500, 5000, 20000])
@pytest.mark.parametrize("upto", [8352, 9000])
def test_width_of_the_pulls_without_a_subspace(upto, photons):
    """Noise as large as the edge's rise between two energies: they cross where it is steep by noise."""
    found = []
    for seed in range(4):
        particle, rng = Particle(9), np.random.default_rng(seed)
        before = particle.scan(photons, rng=rng).result(subspace=False)
        particle.react(0.1)
        scan = particle.scan(photons, upto, rng)
        found.append(scan.result(previous=before, subspace=False))
    names = ("edge_energy", "sigma", "noise_sigma")
    energies, sigmas, noise = (np.array([getattr(f, name) for f in found]) for name in names)
    assert 0.9 < width((energies - particle.truth()) / sigmas) < 1.1
    assert 0.9 < width(repeated(energies, noise)) < 1.1


STRANGE = (8345.5, 0.05, 0.05)
"""No white line to speak of."""


@pytest.mark.parametrize(("upto", "photons"), [(8352, 16000), (8351, 30000), (8352, 30000)])
def test_a_few_pixels_of_a_phase_no_scan_has_shown_keep_their_own_jump(upto, photons):
    """The rise of the phases that are known tells nothing of theirs: it would pull them by 0.6 eV."""
    particle = Particle(4)
    before = particle.scan(photons).result()
    particle.strange = np.random.default_rng(1).random(SHAPE) < 0.05
    early = particle.scan(photons, upto).result(previous=before)
    error, strange = early.edge_energy - particle.truth(), particle.strange
    assert width((error / early.sigma)[~strange]) < 1.1
    assert width((error / early.sigma)[strange]) < 1.8
    assert abs(np.nanmedian(error[strange])) < 0.3
    alone = particle.scan(photons, upto).result(previous=before, subspace=False)
    assert np.nanmedian(early.sigma[strange]) < 1.1 * np.nanmedian(alone.sigma[strange])


def test_a_phase_unlike_the_references_has_no_value_in_a_first_scan_until_its_post_edge_comes():
    """They would pull it by half an eV, and with a small sigma."""
    photons = 16000
    particle, many = Particle(4), np.arange(8190, 8480, 0.5)
    particle.strange = np.random.default_rng(1).random(SHAPE) < 0.05
    references = [(many, phase(*of, many)) for of in (OLD, NEW)]
    early = particle.scan(photons, 8352, references=references).result()
    assert np.isnan(early.edge_energy[particle.strange]).mean() > 0.9
    assert np.isnan(early.edge_energy[~particle.strange]).mean() < 0.01
    whole = particle.scan(photons, references=references).result()
    error = whole.edge_energy - particle.truth()
    assert np.isfinite(error).all()
    assert abs(np.median(error[particle.strange])) < 0.06


@pytest.mark.parametrize("share", [0.05, 0.1])
def test_a_phase_that_few_pixels_have_in_all_scans_is_no_stranger(share):
    """It is known from the scan before: sigma is as small as that of the others."""
    particle = Particle(4)
    particle.state[:] = -0.8 + 0.05 * particle.rng.standard_normal(SHAPE)
    particle.strange = np.random.default_rng(1).random(SHAPE) < share
    before = particle.scan(16000).result()
    early = particle.scan(16000, 8352).result(previous=before)
    whole = particle.scan(16000).result(previous=before)
    few = particle.strange
    assert width(((early.edge_energy - particle.truth()) / early.sigma)[few]) == pytest.approx(1, abs=0.25)
    assert np.median(early.sigma[few]) < 1.5 * np.median(whole.sigma[few])


def test_a_scan_after_one_over_other_energies_has_its_map_with_each_frame():
    """One energy more is another post-edge line, and another unit of the spectra."""
    particle, more, before = Particle(4), np.append(ENERGIES, ENERGIES.max() + 5), None
    for energies in (ENERGIES, more, ENERGIES):
        clean, scan = particle.clean(energies), EdgeMap(energies, SHAPE, EDGE)
        for i, frame in enumerate(clean):
            scan.update(i, frame + 0.01 * particle.rng.standard_normal(SHAPE), 1e-4)
            if energies[i] > 8346:
                found = scan.result(previous=before)
        before = scan.result(previous=before)
        particle.react(0.1)
    assert np.isfinite(found.edge_energy).mean() > 0.99
