"""The edge-energy volume: planted phantoms, and the recorded 3D scan with its truth."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from redoxscope.analysis.absorbance import absorbance, transmission
from redoxscope.analysis.tomography.recipe import Recipe
from redoxscope.analysis.tomography.reconstruction import reconstruct
from redoxscope.analysis.volume.evaluate import edge_volume
from redoxscope.analysis.volume.folding import basis_of, spectral_products
from redoxscope.analysis.volume.knots import knot_weights, unmixing
from redoxscope.analysis.xanes import Edge

from .arriving import arrived_volume

DATA = Path(os.environ.get("REDOXSCOPE_TEST_DATA", Path(__file__).parents[3] / "shared" / "data")) / "fxi_3d"
ENERGIES = np.concatenate([np.arange(8200, 8311, 22.0), np.arange(8332, 8350.5, 1.0), np.arange(8380, 8451, 14.0)])
ANGLES = np.arange(0, 180, 4.0)
EDGE = Edge()
ROWS, WIDTH, RADIUS = 24, 48, 15.0
PHASES = (8339.4, 8341.8)
EITHER_WAY = pytest.mark.parametrize(
    "made", [edge_volume, lambda *scan: arrived_volume(*scan)[0]], ids=["at once", "as it came"]
)


def spectrum(half_jump):
    """Pre-edge, arctangent step of 1 at `half_jump`, and nothing else."""
    step = 1 / (1 + np.exp(-(ENERGIES - half_jump) / 0.8))
    return 0.3 + step


def cylinder(noise, seed=0, drift=None, offset=1.7):
    """(energy, angle, row, col): a cylinder whose core (radius 8) is one phase and whose shell is the other."""
    rng = np.random.default_rng(seed)
    theta = np.deg2rad(ANGLES)[:, None]
    row = np.arange(ROWS)
    out = np.empty((ENERGIES.size, ANGLES.size, ROWS, WIDTH), dtype=np.float32)
    old, new = (spectrum(p) for p in PHASES)
    for i in range(ENERGIES.size):
        dy, dx = (0.0, 0.0) if drift is None else drift[i]
        u = np.arange(WIDTH)[None, :, None] + (np.arange(8) - 3.5) / 8 - (WIDTH - 1) / 2 - offset - dx
        u = u - (2 * np.cos(theta) - 3 * np.sin(theta))[:, :, None]
        outer, core = (2 * np.sqrt(np.maximum(r**2 - u**2, 0)).mean(axis=2) for r in (RADIUS, 8.0))
        profile = np.clip(8.3 - abs(row - (ROWS - 1) / 2 - dy), 0, 1)
        picture = 0.03 * (new[i] * (outer - core) + old[i] * core)
        out[i] = picture[:, None, :] * profile[:, None]
    return out + rng.normal(0, noise, out.shape).astype(np.float32)


def truth():
    a = np.arange(WIDTH) - (WIDTH - 1) / 2
    distance = np.hypot(a[None, :] - 2, a[:, None] + 3)
    return distance


@pytest.mark.parametrize("filter_name", ["hann", "ramp"])
def test_two_phases_are_told_apart(filter_name):
    stages = []
    volume = edge_volume(
        cylinder(0.004), ENERGIES, ANGLES, EDGE, recipe=Recipe(filter_name), progress=lambda s, f: stages.append((s, f))
    )
    middle = volume.edge_energy[6:-6]
    distance = truth()
    assert np.nanmedian(middle[:, distance < 6]) == pytest.approx(PHASES[0], abs=0.06)
    assert np.nanmedian(middle[:, (distance > 10) & (distance < 13)]) == pytest.approx(PHASES[1], abs=0.06)
    assert np.isfinite(middle[:, distance < 14]).mean() > 0.98
    assert np.isnan(middle[:, distance > 17]).all()
    assert np.isnan(volume.edge_energy[0]).all()
    assert volume.alignment.axis_offset == pytest.approx(1.7, abs=0.05)
    assert np.abs(volume.alignment.drift).max() < 0.05
    assert {s for s, _ in stages} == {"align", "survey", "reconstruct"}
    assert all(0 <= f <= 1 for _, f in stages)
    assert volume.edge_energy.shape == (ROWS, WIDTH, WIDTH)
    assert volume.edge_energy.dtype == volume.sigma.dtype == volume.jump.dtype == np.float32


def test_sigma_is_the_spread_over_repetitions():
    runs = [edge_volume(cylinder(0.01, seed), ENERGIES, ANGLES, EDGE) for seed in range(6)]
    core = truth() < 5
    energy = np.stack([r.edge_energy[6:-6][:, core] for r in runs])
    spread = np.sqrt(np.nanmedian(np.var(energy, axis=0, ddof=1))) / np.sqrt(0.87)  # median of chi2_5 over 5
    sigma = np.nanmedian(np.stack([r.sigma[6:-6][:, core] for r in runs]))
    assert sigma == pytest.approx(spread, rel=0.2)


def test_drift_between_energies_is_undone():
    drift = np.random.default_rng(4).uniform(-2, 2, (ENERGIES.size, 2))
    drift[0] = 0
    volume = edge_volume(cylinder(0.004, drift=drift), ENERGIES, ANGLES, EDGE)
    assert np.sqrt(np.mean((volume.alignment.drift - drift) ** 2)) < 0.1
    assert np.nanmedian(volume.edge_energy[8:-8][:, truth() < 6]) == pytest.approx(PHASES[0], abs=0.08)


def test_dead_pixels_bad_frames_and_a_lost_energy_do_no_harm():
    projections = cylinder(0.004)
    projections[:, :, 9, 20] = np.nan
    projections[5, 7] = np.nan
    projections[11] = np.nan
    volume = edge_volume(projections, ENERGIES, ANGLES, EDGE)
    assert np.isnan(volume.alignment.drift[11]).all()
    assert np.isnan(volume.alignment.shifts[11]).all()
    error = volume.edge_energy[6:-6][:, truth() < 6] - PHASES[0]
    assert np.nanmedian(np.abs(error)) < 0.1


def test_an_energy_that_was_cut_short_is_told_by_the_others_at_the_angles_that_it_lacks():
    projections = cylinder(0.004)
    at = int(np.argmin(abs(ENERGIES - 8341)))
    projections[at, 20:] = np.nan
    whole, found = (
        edge_volume(cylinder(0.004), ENERGIES, ANGLES, EDGE),
        edge_volume(projections, ENERGIES, ANGLES, EDGE),
    )
    assert not found.strange_rows.any()
    assert any("8341 eV" in text and "missing" in text for text in found.findings)
    assert whole.findings == ()
    for inside, phase in ((truth() < 6, PHASES[0]), ((truth() > 10) & (truth() < 12), PHASES[1])):
        errors = [np.nanmedian(np.abs(v.edge_energy[6:-6][:, inside] - phase)) for v in (found, whole)]
        assert errors[0] < errors[1] + 0.02


@pytest.mark.parametrize("method", ["sirt", "tv"])
def test_iterative_methods_give_the_edge_energy_too(method):
    """A smooth filter serves edge energies of a whole half turn as well: it is wedges that these methods are for."""
    few = slice(None, None, 3)
    projections = cylinder(0.01)[:, few]
    plain, found = (
        edge_volume(projections, ENERGIES, ANGLES[few], EDGE, recipe=r) for r in (Recipe(), Recipe(method=method))
    )
    assert (found.recipe.method, found.recipe.truncated) == (method, False)
    errors = []
    for volume in (plain, found):
        off = [volume.edge_energy[6:-6][:, inside] - phase for inside, phase in
               ((truth() < 6, PHASES[0]), ((truth() > 10) & (truth() < 13), PHASES[1]))]  # fmt: skip
        errors.append(np.nanmedian(np.abs(np.concatenate([o.ravel() for o in off]))))
        assert np.nanmedian(volume.sigma) > 0.3 * errors[-1]
    assert errors[1] < (errors[0] if method == "tv" else 0.1)


def test_what_a_person_should_know_is_found():
    drift = np.zeros((ENERGIES.size, 2))
    drift[15:] = [2.0, -6.0]
    wide = cylinder(0.004, drift=drift)
    assert any("moved by 6 px between" in text for text in edge_volume(wide, ENERGIES, ANGLES, EDGE).findings)
    wedge = ANGLES < 130
    found = edge_volume(cylinder(0.004)[:, wedge], ENERGIES, ANGLES[wedge], EDGE)
    assert any("are missing" in text and "TV" in text for text in found.findings)
    turned = edge_volume(cylinder(0.004), ENERGIES, ANGLES / 1.03, EDGE)
    assert any("the stage turned" in text for text in turned.findings)
    beyond = edge_volume(cylinder(0.004)[..., 12:-12], ENERGIES, ANGLES, EDGE)
    assert beyond.recipe.truncated
    assert any("reaches beyond the sides of the view" in text for text in beyond.findings)


@EITHER_WAY
@pytest.mark.parametrize(("noise", "slack"), [(0.002, 0.1), (0.01, 0.3)])
def test_a_rare_phase_is_not_pulled_to_the_common_ones(noise, slack, made):
    """A grain of 0.6 % of the particle, with an edge far from the others and a peak that they do not have."""
    projections = cylinder(noise)
    strange = spectrum(8345.2) + 0.4 * np.exp(-(((ENERGIES - 8337.0) / 1.0) ** 2))
    theta = np.deg2rad(ANGLES)[:, None]
    u = np.arange(WIDTH) - (WIDTH - 1) / 2 - 1.7 - (-3 * np.cos(theta) + 7 * np.sin(theta))
    grain = 2 * np.sqrt(np.maximum(3.5**2 - u**2, 0))
    projections[:, :, 10:14] += (
        0.03 * (strange - spectrum(PHASES[1]))[:, None, None, None] * grain[:, None, :]
    ).astype(np.float32)
    volume = made(projections, ENERGIES, ANGLES, EDGE)
    a = np.arange(WIDTH) - (WIDTH - 1) / 2
    inside = np.hypot(a[None, :] + 3, a[:, None] - 7) < 2
    assert np.nanmedian(volume.edge_energy[11:13][:, inside]) == pytest.approx(8345.2, abs=slack)
    assert np.nanmedian(volume.edge_energy[6:-6][:, truth() < 5]) == pytest.approx(PHASES[0], abs=0.06)


@EITHER_WAY
def test_more_spectra_than_the_basis_holds_are_seen_and_each_energy_is_reconstructed(made):
    """Fourteen grains with a peak of their own each, at 14 energies."""
    projections = cylinder(0.002)
    theta = np.deg2rad(ANGLES)[:, None]
    for grain in range(14):
        x, y = 2 + 9.5 * np.cos(2 * np.pi * grain / 14), -3 + 9.5 * np.sin(2 * np.pi * grain / 14)
        u = np.arange(WIDTH) - (WIDTH - 1) / 2 - 1.7 - (x * np.cos(theta) + y * np.sin(theta))
        chord = 2 * np.sqrt(np.maximum(2.5**2 - u**2, 0))
        peak = 0.8 * np.exp(-(((ENERGIES - (8333 + 1.3 * grain)) / 0.8) ** 2))
        rows = slice(8 + grain % 7, 10 + grain % 7)
        projections[:, :, rows] += (0.03 * peak[:, None, None, None] * chord[:, None, :]).astype(np.float32)
    found = made(projections, ENERGIES, ANGLES, EDGE)
    whole = edge_volume(projections, ENERGIES, ANGLES, EDGE, subspace=False)
    assert found.strange_rows[8:16].all()
    both = np.isfinite(found.edge_energy) & np.isfinite(whole.edge_energy) & found.strange_rows[:, None, None]
    assert np.abs(found.edge_energy - whole.edge_energy)[both].max() < 0.01
    assert not made(cylinder(0.002), ENERGIES, ANGLES, EDGE).strange_rows.any()


@pytest.mark.parametrize("noise", [0.002, 0.01])
def test_what_was_folded_as_it_came_gives_the_volume_of_all_energies(noise):
    """Two thirds of the angles need not be read again, and of the rows in view at all energies none."""
    drift = np.cumsum(np.random.default_rng(3).normal(0, 0.3, (ENERGIES.size, 2)), axis=0)
    drift -= drift[0]
    projections = cylinder(noise, drift=drift)
    found, read = arrived_volume(projections, ENERGIES, ANGLES, EDGE)
    at_once = edge_volume(projections, ENERGIES, ANGLES, EDGE)
    assert not found.strange_rows.any()
    for inside, phase in ((truth() < 6, PHASES[0]), ((truth() > 10) & (truth() < 12), PHASES[1])):
        errors = [np.nanmedian(np.abs(v.edge_energy[7:-7][:, inside] - phase)) for v in (found, at_once)]
        assert errors[0] < 1.1 * errors[1] + 0.005
    assert read < 1.5, "it was read more than"


def test_spectra_that_knots_do_not_tell_apart_are_taken_from_all_energies():
    """Two phases that differ between knots only."""
    weights = knot_weights(ENERGIES, EDGE)
    hidden = np.linalg.svd(weights)[2][-1]
    placed = np.zeros((ENERGIES.size, ANGLES.size, 2))
    for differing, told in ((weights[8] / np.linalg.norm(weights[8]), True), (hidden, False)):
        products = np.eye(ENERGIES.size) + 1e3 * np.outer(differing, differing)
        found = unmixing(basis_of(products), products, weights, placed, placed, placed[..., 0] == 0)
        assert (found.sound == told).all()


def test_projections_that_lack_on_arrival_are_told_by_the_others():
    projections = cylinder(0.004)
    at = int(np.argmin(abs(ENERGIES - 8341)))
    projections[at, 33:] = np.nan
    projections[at + 3, 5] = np.nan
    projections[2] = np.nan
    found, _ = arrived_volume(projections, ENERGIES, ANGLES, EDGE)
    whole = edge_volume(cylinder(0.004), ENERGIES, ANGLES, EDGE)
    for inside, phase in ((truth() < 6, PHASES[0]), ((truth() > 10) & (truth() < 12), PHASES[1])):
        errors = [np.nanmedian(np.abs(v.edge_energy[6:-6][:, inside] - phase)) for v in (found, whole)]
        assert errors[0] < errors[1] + 0.02


def test_without_the_subspace_each_energy_is_reconstructed():
    folded, whole = (edge_volume(cylinder(0.01), ENERGIES, ANGLES, EDGE, subspace=s) for s in (True, False))
    assert folded.components < whole.components == ENERGIES.size
    core = truth() < 6
    error = [np.nanmedian(np.abs(v.edge_energy[6:-6][:, core] - PHASES[0])) for v in (folded, whole)]
    assert error[0] < error[1] < 0.3


@pytest.mark.parametrize("definition", ["white_line", "derivative"])
def test_other_definitions_of_the_edge(definition):
    """An arctangent-like step is steepest at its half-jump; with a peak on it, the white line is the peak's place."""
    peak = 3.0 if definition == "white_line" else 0.0
    edge = Edge(definition=definition, search=(8331.0, 8351.0))
    at = 8343.0 if peak else PHASES[0]
    projections = cylinder(0.001)
    if peak:
        projections *= (1 + peak * np.exp(-(((ENERGIES - at) / 2.0) ** 2)))[:, None, None, None]
    volume = edge_volume(projections, ENERGIES, ANGLES, edge)
    assert np.nanmedian(volume.edge_energy[6:-6][:, truth() < 6]) == pytest.approx(at, abs=0.15)


def test_rows_that_drift_takes_out_of_view_are_left_out_where_the_rest_does_not_tell():
    drift = np.zeros((ENERGIES.size, 2))
    drift[-6:, 0] = 5.0  # the whole post-edge
    volume = edge_volume(cylinder(0.004, drift=drift), ENERGIES, ANGLES, EDGE)
    assert np.isnan(volume.edge_energy[-5:]).all()
    assert np.isfinite(volume.edge_energy[8:-6][:, truth() < 12]).mean() > 0.98


def test_few_counts_leave_a_particle_with_an_honest_sigma():
    volume = edge_volume(cylinder(0.08), ENERGIES, ANGLES, EDGE)
    distance = truth()
    assert np.isfinite(volume.edge_energy[6:-6][:, distance < 13]).mean() > 0.9
    assert np.isfinite(volume.edge_energy[6:-6][:, distance > 18]).mean() < 0.02
    for inside, phase in ((distance < 5, PHASES[0]), ((distance > 10.5) & (distance < 12), PHASES[1])):
        pull = (volume.edge_energy - phase)[6:-6][:, inside] / volume.sigma[6:-6][:, inside]
        assert np.nanpercentile(np.abs(pull), 68) == pytest.approx(1.0, abs=0.25)


def test_a_scan_that_gives_no_edge_energy_is_refused():
    with pytest.raises(ValueError, match="post window"):
        edge_volume(cylinder(0.0)[:20], ENERGIES[:20], ANGLES, EDGE)
    with pytest.raises(ValueError, match="one per energy"):
        edge_volume(cylinder(0.0)[:3], ENERGIES, ANGLES, EDGE)


def test_folding_commutes_with_reconstruction():
    projections = cylinder(0.01)
    still = np.zeros((ENERGIES.size, ANGLES.size, 2))
    basis = basis_of(spectral_products(list(projections), still, np.ones(ENERGIES.size)))
    np.testing.assert_allclose(basis @ basis.T, np.eye(len(basis)), atol=1e-5)
    folded = np.tensordot(basis, projections, axes=1).astype(np.float32)
    before = reconstruct(folded, ANGLES, 1.7)[:, 9:11]
    after = np.tensordot(basis, reconstruct(projections, ANGLES, 1.7)[:, 9:11], axes=1)
    assert np.abs(before - after).max() < 1e-3 * np.abs(after).max()


@pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is absent (set REDOXSCOPE_TEST_DATA)")
def test_the_recorded_scan_against_its_truth():
    known = np.load(DATA / "truth.npz")
    projections, energies = [], []
    for path in sorted(DATA.glob("fly_scan_id_*.h5")):
        with h5py.File(path) as file:
            dark, flat = file["img_dark"][()].mean(axis=0), file["img_bkg"][()].mean(axis=0)
            frames = file["img_tomo"][()]
            projections.append(np.stack([absorbance(transmission(f, flat, dark)) for f in frames]))
            energies.append(1e3 * float(file["X_eng"][()]))
            angles = file["angle"][()]
    volume = edge_volume(projections, energies, angles, EDGE)
    n, wide = known["inside"].shape[-1], volume.edge_energy.shape[-1]
    crop = slice((wide - n) // 2, (wide + n) // 2)
    error = (volume.edge_energy[:, crop, crop] - known["edge_energy"])[known["inside"]]
    assert np.isfinite(error).mean() > 0.98
    assert np.nanmedian(np.abs(error)) <= 0.17
    assert np.nanpercentile(np.abs(error), 95) <= 0.65
    assert np.isfinite(volume.edge_energy).sum() < 1.05 * known["inside"].sum()
    assert np.sqrt(np.mean((volume.alignment.drift - known["drift"]) ** 2)) <= 0.05
    assert volume.alignment.axis_offset == pytest.approx(float(known["axis"]), abs=0.05)
