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
