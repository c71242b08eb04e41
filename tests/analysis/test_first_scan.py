"""Provisional maps of a first scan: with reference spectra from the rise on, and better with each frame."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from redoxscope.analysis.absorbance import absorbance, absorbance_variance
from redoxscope.analysis.edge_map import PROVISIONAL, EdgeMap
from redoxscope.analysis.expected import generic, line, predict
from redoxscope.analysis.resample import resample
from redoxscope.analysis.xanes import Edge

from .conftest import ENERGIES, spectrum

EDGE = Edge()
NOISE = 0.005


def measured(shared: Path, name: str):
    """(eV, absorption) of a reference that was measured."""
    energies, absorption = np.loadtxt(shared / "ni_k_edge" / f"ref_{name}.txt").T
    return 1000 * energies, absorption


def half_jump(clean, energies=ENERGIES):
    """Of a spectrum without noise, (energy, pixel), by np.polyfit."""
    x = energies - 8341
    lines = []
    for low, high in (EDGE.pre, EDGE.post):
        inside = (energies >= low) & (energies <= high)
        lines.append(np.polyfit(x[inside], clean[inside], 1))
    before, behind = (np.multiply.outer(x, fit[0]) + fit[1] for fit in lines)
    level = (clean - before) / (behind - before) - 0.5
    near = (energies >= 8325) & (energies <= 8360)
    at, level = energies[near], level[near]
    first = np.argmax((level[:-1] < 0) & (level[1:] >= 0), axis=0)
    pixel = np.arange(clean.shape[1])
    part = level[first, pixel] / (level[first, pixel] - level[first + 1, pixel])
    return at[first] + part * (at[first + 1] - at[first])


def upto(clean, energy, references=(), seed=1):
    scan = EdgeMap(ENERGIES, clean.shape[1:], EDGE, references)
    frames = (clean + NOISE * np.random.default_rng(seed).standard_normal(clean.shape)).astype(np.float32)
    for i in np.flatnonzero(energy >= ENERGIES):
        scan.update(i, frames[i], NOISE**2)
    return scan.result()


def width(found, truth):
    return np.nanmedian(np.abs((found.edge_energy - truth) / found.sigma)) / 0.6745


def mixtures(shared: Path, pixels=3000):
    """Measured NiO and LiNiO2 mixed, with other matter in the beam, and the half-jump of each pixel."""
    rng = np.random.default_rng(3)
    reduced, oxidised = (np.interp(ENERGIES, *measured(shared, name))[:, None] for name in ("NiO", "LiNiO2"))
    part, jump = rng.uniform(0, 1, pixels), rng.uniform(0.25, 0.5, pixels)
    x = (ENERGIES - 8341)[:, None]
    clean = jump * (part * reduced + (1 - part) * oxidised) + rng.uniform(0.2, 0.4, pixels) * (1 - 3.5e-4 * x)
    return clean, half_jump(clean)


def test_references_give_a_map_before_the_white_line_has_been_passed(shared_data: Path):
    clean, truth = mixtures(shared_data)
    references = [measured(shared_data, name) for name in ("NiO", "LiNiO2")]
    assert not (upto(clean, 8347).state == PROVISIONAL).any(), "without references nothing is known yet"
    errors = []
    for energy, limit in ((8347, 0.25), (8352, 0.1), (8387, 0.1)):
        found = upto(clean, energy, references)
        assert (found.state == PROVISIONAL).mean() > 0.98
        assert width(found, truth) < 1.3
        errors.append(np.nanmedian(np.abs(found.edge_energy - truth)))
        assert errors[-1] < limit
    assert errors[-1] < 0.7 * np.nanmedian(np.abs(upto(clean, 8360).edge_energy - truth))


def test_references_on_another_scale_are_moved_to_it(shared_data: Path):
    clean, truth = mixtures(shared_data)
    references = [(energies + 1.7, mu) for energies, mu in (measured(shared_data, n) for n in ("NiO", "LiNiO2"))]
    found = upto(clean, 8352, references)
    assert np.nanmedian(np.abs(found.edge_energy - truth)) < 0.15
    assert width(found, truth) < 1.3


def test_a_phase_unlike_all_references_is_not_pulled_to_them(shared_data: Path):
    """A step without any white line: the references say less of it than what is known in general, and are silent."""
    rng = np.random.default_rng(4)
    jump, truth = rng.uniform(0.25, 0.5, 2000), rng.uniform(8340, 8344, 2000)
    clean = jump * spectrum(truth, 1.4) + 0.3
    references = [measured(shared_data, name) for name in ("NiO", "LiNiO2")]
    for energy in (8352, 8396, 8405):
        told, alone = (np.nanmedian(np.abs(upto(clean, energy, r).edge_energy - truth)) for r in (references, ()))
        assert told < 1.05 * alone


def test_final_maps_do_not_depend_on_references(shared_data: Path):
    clean, _ = mixtures(shared_data)
    references = [measured(shared_data, "NiO")]
    told, alone = (upto(clean, 8450, r) for r in (references, ()))
    np.testing.assert_array_equal(told.edge_energy, alone.edge_energy)
    np.testing.assert_array_equal(told.sigma, alone.sigma)


@pytest.mark.parametrize("names", [(), ("NiO", "LiNiO2")])
def test_each_frame_makes_a_first_scan_better(shared_data: Path, names):
    """fxi_2d in the order of energy: the post-edge's wiggles must not turn the line through its first samples."""
    folder = shared_data / "fxi_2d"
    truth = np.load(folder / "truth.npz")
    with h5py.File(sorted(folder.glob("*repeat_00*.h5"))[0]) as file:
        images, flats = file["img_xanes"][()], file["img_bkg"][()]
    inside = truth["inside"]
    scan = EdgeMap(truth["energy"], inside.shape, EDGE, [measured(shared_data, n) for n in names])
    medians = []
    for i, energy in enumerate(truth["energy"]):
        seen = absorbance(images[i])
        dy, dx, scale = truth["shifts"][0, i]
        still, by_row, by_column = resample(seen, scale, (dy, dx))
        variance = absorbance_variance(seen, flats[i]) * np.outer(by_row, by_column)
        scan.update(i, still, variance)
        if energy < 8344:
            continue
        found = scan.result()
        if (found.state[inside] == 0).mean() > 0.5:
            continue
        medians.append(np.nanmedian(np.abs(found.edge_energy - truth["edge_energy"][0])[inside]))
        assert width(found, truth["edge_energy"][0]) < 1.45
    assert len(medians) >= 19
    assert all(now < 1.1 * min(medians[:i]) for i, now in enumerate(medians) if i)
    assert medians[-7] < 0.15, "two samples of the post-edge"


def test_a_prediction_is_unbiased_and_ends_at_the_line_through_all_samples():
    x = ENERGIES - 8341
    post, top = np.flatnonzero(x > 39), np.flatnonzero((x >= 5) & (x <= 11))
    quiet = 1e-8 * np.eye(x.size)
    rng = np.random.default_rng(2)
    sample = rng.standard_normal(x.size)
    for count in (1, 2, 5, post.size):
        prior = generic(x, post, top, post[:count], 1.36, 0.07)
        found = predict(x, post, prior, quiet)
        assert found.jump_line[0] @ prior.mean == pytest.approx(1, abs=1e-6)
        assert np.flatnonzero(found.jump_line.any(axis=0)).max() == post[count - 1]
    smooth = np.where(x > 0, 1.02 - 6e-4 * x, 0) + 0.03 * np.sin(x / 9) * (x > 20) + 0.36 * (abs(x - 8) < 4)
    level, slope = np.polyfit(x[post], smooth[post], 1)[::-1]
    assert found.jump_line @ smooth == pytest.approx([level, slope], abs=0.02)
    assert found.doubt < 0.03
    assert line(x, post) @ sample == pytest.approx(np.polyfit(x[post], sample[post], 1)[::-1])


DENSE = np.arange(8190, 8460.1, 0.25)


def drawn(seed, pixels=2500):
    """A sample of what the profile says is known of an edge, its pixels' edges apart, and the half-jump of each.

    The plateau is as high as `plateau_ratio` and `plateau_scatter` say; behind it a line and wiggles of 5 to 20 %.
    """
    rng = np.random.default_rng(seed)
    x = DENSE - rng.normal(8341.3, 0.9)
    behind = np.maximum(x, 0)
    length, turn = rng.uniform(6, 11), rng.uniform(0, 2 * np.pi)
    wiggles = np.exp(-behind / 50) * np.sin(behind / length + turn) * (1 - np.exp(-np.maximum(x - 12, 0) / 8))
    step = (1 + rng.normal(-5e-4, 7e-4) * x) / (1 + np.exp(-x / rng.uniform(0.8, 1.8)))
    step += rng.uniform(0.05, 0.2) * wiggles * (x > 12)
    white = np.exp(-(((x - rng.uniform(4.5, 8)) / rng.uniform(3, 6)) ** 2))
    top, post = ((low <= DENSE) & (high >= DENSE) for low, high in (EDGE.plateau, EDGE.post))
    jump = np.polyfit(DENSE[post] - 8341, step[post], 1)[1]
    ratio = EDGE.plateau_ratio * (1 + EDGE.plateau_scatter * rng.standard_normal())
    mu = step + (ratio * jump - step[top].mean()) / white[top].mean() * white
    shifts = rng.uniform(0.1, 1.0) * rng.standard_normal(64)
    spectra = np.stack([np.interp(ENERGIES - shift, DENSE, mu) for shift in shifts], axis=1)
    other = rng.uniform(0.2, 0.4, pixels) * (1 - 3.5e-4 * (ENERGIES - 8341)[:, None])
    clean = rng.uniform(0.2, 0.6, pixels) * spectra[:, rng.integers(0, 64, pixels)] + other
    return clean, half_jump(clean)


def by_parts(clean, photons, parts, references=(), seed=1):
    """A scan by photon statistics of one flat and one image, and its maps up to some energies."""
    rng = np.random.default_rng(seed)
    counts, flats = rng.poisson(photons * np.exp(-clean)).clip(1), rng.poisson(photons, clean.shape)
    scan, maps = EdgeMap(ENERGIES, clean.shape[1:], EDGE, references), []
    for i, energy in enumerate(ENERGIES):
        scan.update(i, -np.log(counts[i] / flats[i]), 1 / counts[i] + 1 / flats[i])
        if energy in parts:
            maps.append(scan.result())
    return maps


def repeated(energies, sigmas):
    """Width of the pulls over repetitions, (repetition, pixel), against their mean."""
    count = len(energies)
    pulls = (energies - energies.mean(axis=0)) / sigmas * np.sqrt(count / (count - 1))
    return np.nanmedian(np.abs(pulls)) / 0.6745


def images(maps):
    """Edge energies, their sigmas and the noise in these."""
    return (np.array([getattr(m, name) for m in maps]) for name in ("edge_energy", "sigma", "noise_sigma"))


@pytest.mark.parametrize("photons", [1500, 20000])
def test_sigma_over_samples_of_which_is_known_what_the_profile_says(photons):
    """What is not known is the same in all pixels of a sample: it takes many samples to see whether sigma tells it."""
    pulls = []
    for seed in range(100):
        clean, truth = drawn(seed, 1000)
        energies, sigmas, _ = images(by_parts(clean, photons, [8352.0, 8396.0, 8441.0]))
        pulls.append((energies - truth) / sigmas)
    for part in np.array(pulls).swapaxes(0, 1):
        assert 0.9 < np.nanmedian(np.abs(part)) / 0.6745 < 1.1


@pytest.mark.parametrize("photons", [1500, 20000])
def test_noise_without_references(photons):
    """Over repetitions, which do not show what is not known of the sample."""
    clean, _ = drawn(3)
    runs = [by_parts(clean, photons, [8352.0, 8360.0, 8396.0, 8414.0, 8441.0], seed=seed) for seed in range(4)]
    for maps in zip(*runs, strict=True):
        energies, sigmas, noise = images(maps)
        assert 0.9 < repeated(energies, noise) < 1.1
        assert (noise <= sigmas)[np.isfinite(energies)].all()


@pytest.mark.parametrize("photons", [1500, 20000])
@pytest.mark.parametrize(
    ("names", "offset", "first"),
    [(("NiO", "LiNiO2"), 0.0, 8346), (("NiO", "LiNiO2"), 1.2, 8346), (("NiO",), 0.0, 8352)],
)
def test_noise_with_references(shared_data: Path, names, offset, first, photons):
    """With those that are there, on another scale, and with one of the two only."""
    clean, _ = mixtures(shared_data, 9000)
    references = [(energies + offset, mu) for energies, mu in (measured(shared_data, name) for name in names)]
    parts = [part for part in (8346.0, 8347.0, 8349.0, 8352.0, 8378.0, 8396.0) if part >= first]
    runs = [by_parts(clean, photons, parts, references, seed) for seed in range(8)]
    for maps in zip(*runs, strict=True):
        energies, _, noise = images(maps)
        assert 0.9 < repeated(energies, noise) < 1.1


@pytest.mark.parametrize("photons", [1500, 5000])
@pytest.mark.parametrize("most", [0.3, 1.0])
def test_sigma_with_references_before_a_component_shows_what_mixes(shared_data: Path, most, photons):
    """Few photons, the edge just passed: the folded spectra hide how the phases mix, and sigma tells how much."""
    reduced, oxidised = (np.interp(ENERGIES, *measured(shared_data, name))[:, None] for name in ("NiO", "LiNiO2"))
    rng = np.random.default_rng(3)
    part, jump = rng.uniform(0, most, 9000), rng.uniform(0.25, 0.5, 9000)
    other = rng.uniform(0.2, 0.4, 9000) * (1 - 3.5e-4 * (ENERGIES - 8341)[:, None])
    clean = jump * (part * reduced + (1 - part) * oxidised) + other
    truth, references = half_jump(clean), [measured(shared_data, name) for name in ("NiO", "LiNiO2")]
    runs = [by_parts(clean, photons, [8347.0], references, seed) for seed in range(4)]
    energies, sigmas, _ = images([maps[0] for maps in runs])
    assert 0.75 < np.nanmedian(np.abs((energies - truth) / sigmas)) / 0.6745 < 1.25
