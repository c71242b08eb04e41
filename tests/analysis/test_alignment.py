"""Drift, jitter, rotation axis and geometry against planted answers on ellipsoids' exact projections."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy import ndimage

from redoxscope.analysis.absorbance import absorbance, transmission
from redoxscope.analysis.alignment.drift import DriftTracker
from redoxscope.analysis.alignment.geometry import geometry_check
from redoxscope.analysis.alignment.projections import align_projections
from redoxscope.analysis.alignment.reprojection import reproject
from redoxscope.analysis.alignment.rotation_axis import rotation_axis
from redoxscope.analysis.alignment.row_warp import warp
from redoxscope.analysis.tomography.reconstruction import reconstruct

from .ellipsoids import particle, project, scan, without_translation

DATA = Path(os.environ.get("REDOXSCOPE_TEST_DATA", Path(__file__).parents[3] / "shared" / "data")) / "fxi_3d"
ANGLES = np.arange(0, 180, 3.0)
SHAPE = (72, 88)
AXIS = 2.3
ENERGIES = 8
PARTICLE = particle(24)


def planted(jitter=0.0, seed=0):
    """(energy, angle, 2) px: random walk of the drift, and jitter of every frame."""
    rng = np.random.default_rng(seed)
    drift = np.cumsum(rng.normal(0, 0.5, (ENERGIES, 2)), axis=0)
    drift -= drift[0]
    return drift[:, None] + jitter * rng.standard_normal((ENERGIES, ANGLES.size, 2))


def left(found, shifts):
    """(energy, angle, 2) what alignment leaves of the planted shifts."""
    along = np.array([0, 1])
    return without_translation(found.shifts + found.axis_offset * along - shifts - AXIS * along, ANGLES)


def rms(values):
    return np.sqrt(np.nanmean(np.square(values), axis=(0, 1)))


def test_a_jitter_of_two_pixels_is_undone_though_the_contrast_changes():
    shifts = planted(2.0)
    found = align_projections(scan(PARTICLE, ANGLES, SHAPE, ENERGIES, AXIS, 0.01, shifts), ANGLES)
    assert rms(left(found, shifts)).max() < 0.05
    assert found.quality.min() > 0.9
    assert found.jitter.min() > 1.5


def test_without_jitter_none_is_made():
    shifts = planted(0.0, seed=1)
    found = align_projections(scan(PARTICLE, ANGLES, SHAPE, ENERGIES, AXIS, 0.01, shifts), ANGLES)
    assert rms(left(found, shifts)).max() < 0.03
    assert found.jitter.max() < 0.03
    assert found.axis_offset == pytest.approx(AXIS, abs=0.03)
    np.testing.assert_allclose(found.drift, shifts[:, 0], atol=0.05)


def test_undone_shifts_give_the_frames_that_stood_still():
    shifts = planted(1.0, seed=2)
    stack = scan(PARTICLE, ANGLES, SHAPE, ENERGIES, AXIS, 0.0, shifts)
    found = align_projections(stack, ANGLES)
    still = warp(stack[-1], found.shifts[-1])
    volume = reconstruct(still, ANGLES, found.axis_offset, filter_name="hann")
    blurred = reconstruct(stack[-1], ANGLES, found.axis_offset, filter_name="hann")
    views, worse = (reproject(v, ANGLES, found.axis_offset) for v in (volume, blurred))
    assert np.std(views - still) < 0.3 * np.std(worse - stack[-1])


def test_a_magnification_that_is_told_is_no_drift():
    shifts = planted(0.5, seed=3)
    stack = scan(PARTICLE, ANGLES, SHAPE, ENERGIES, AXIS, 0.0, shifts)
    scales = 1 + 0.002 * np.arange(ENERGIES)
    middle = (np.array(SHAPE) - 1) / 2
    for i, m in enumerate(scales):
        stack[i] = ndimage.affine_transform(
            stack[i], [1, 1 / m, 1 / m], offset=[0, *(middle * (1 - 1 / m))], order=3, mode="nearest"
        )
    found = align_projections(stack, ANGLES, scales=scales)
    grown = shifts * scales[:, None, None]
    grown[..., 1] += AXIS * (scales - 1)[:, None]
    assert rms(left(found, grown)).max() < 0.05


@pytest.mark.parametrize("where", ["between energies", "within an energy"])
def test_a_sample_that_moves_in_the_middle_is_followed(where):
    shifts = planted(0.0, seed=4)
    if where == "between energies":
        shifts[4:] += [8.0, -12.0]
    else:
        shifts[4, 25:] += [8.0, -12.0]
        shifts[5:] += [8.0, -12.0]
    tracker = DriftTracker(ANGLES)
    stack = scan(PARTICLE, ANGLES, SHAPE, ENERGIES, AXIS, 0.01, shifts)
    placed = [tracker.place(tomogram) for tomogram in stack]
    assert placed[-1].drift == pytest.approx(tuple(shifts[-1, 0]), abs=0.4)
    found = tracker.finish(p.coarse for p in placed)
    assert abs(left(found, shifts)).max() < 0.15
    assert found.quality.min() > 0.9


def test_an_energy_in_another_beam_moves_nothing():
    """Dimmer by a fifth, and its absorbance lifted all over: neither is a shift, nor is it set aside."""
    stack = scan(PARTICLE, ANGLES, SHAPE, ENERGIES, AXIS, 0.01)
    stack[3] = 0.8 * stack[3] + 0.2
    found = align_projections(stack, ANGLES)
    assert abs(found.drift).max() < 0.05
    assert found.quality.min() > 0.9


def test_blank_projections_are_flagged_and_do_no_harm():
    shifts = planted(0.0, seed=5)
    stack = scan(PARTICLE, ANGLES, SHAPE, ENERGIES, AXIS, 0.01, shifts)
    stack[0, 20:22] = np.nan
    stack[3, 10] = 0.0
    stack[4, :2] = 1.5
    stack[6] = np.nan
    stack[2, :, 30, 40] = np.nan
    found = align_projections(stack, ANGLES)
    blank = np.zeros(found.quality.shape, dtype=bool)
    blank[0, 20:22] = blank[3, 10] = blank[4, :2] = blank[6] = True
    np.testing.assert_array_equal(found.quality == 0, blank)
    assert np.isnan(found.drift[6]).all()
    assert rms(left(found, shifts)).max() < 0.05


def test_an_object_beyond_the_view_keeps_one_drift_for_each_energy():
    shifts = planted(0.0, seed=6)
    wide = particle(60, inclusions=40)
    found = align_projections(scan(wide, ANGLES, SHAPE, ENERGIES, AXIS, 0.01, shifts, change=0.1), ANGLES)
    np.testing.assert_allclose(found.drift, shifts[:, 0], atol=0.25)
    assert found.jitter.max() < 1e-6


def test_what_is_known_on_arrival_differs_little_from_what_is_known_at_the_end():
    """But for what all energies have in common at an angle, which only all angles together tell."""
    shifts = planted(2.0, seed=5)
    tracker = DriftTracker(ANGLES)
    placed = [tracker.place(p) for p in scan(PARTICLE, ANGLES, SHAPE, ENERGIES, AXIS, 0.01, shifts)]
    found = tracker.finish(p.coarse for p in placed)
    off = np.array([p.shifts for p in placed]) - found.shifts
    assert abs(tracker.axis_offset - AXIS) < 0.3
    assert rms(off - np.median(off, axis=0)).max() < 0.03
    assert rms(off).max() < 0.3


def test_unusable_input_is_named():
    tracker = DriftTracker(ANGLES)
    with pytest.raises(ValueError, match="60 angles"):
        tracker.place(np.zeros((5, 8, 8)))
    with pytest.raises(ValueError, match="no energy"):
        align_projections(np.full((2, ANGLES.size, 24, 24), np.nan), ANGLES)
    placed = tracker.place(project(PARTICLE, np.full(len(PARTICLE), 0.01), ANGLES, SHAPE))
    with pytest.raises(ValueError, match="one shape"):
        tracker.place(np.zeros((ANGLES.size, 24, 24)))
    with pytest.raises(ValueError, match="zip"):
        tracker.finish([placed.coarse] * 2)


@pytest.mark.parametrize("offset", [-20.0, -7.3, 0.4, 20.0])
@pytest.mark.parametrize("angles", [np.arange(0, 180, 1.5), np.arange(0, 360, 3.0)], ids=["0 to 178.5", "0 to 357"])
@pytest.mark.parametrize("jitter", [0.0, 0.5])
def test_the_axis_is_found_far_off_the_middle(offset, angles, jitter):
    shifts = jitter * np.random.default_rng(7).standard_normal((angles.size, 2))
    # A mean jitter is an axis elsewhere: over half a turn, 1 is much like sin, and that part cannot be told from it.
    theta = np.deg2rad(angles)
    design = np.stack([np.ones_like(theta), np.cos(theta), np.sin(theta)], axis=1)
    shifts[:, 1] -= design @ np.linalg.lstsq(design, shifts[:, 1], rcond=None)[0]
    frames = project(PARTICLE, np.full(len(PARTICLE), 0.01), angles, (64, 112), offset, shifts)
    frames += np.random.default_rng(8).normal(0, 0.005, frames.shape).astype(np.float32)
    found, quality = rotation_axis(frames, angles)
    assert found == pytest.approx(offset, abs=0.1)
    assert quality > 0.9


@pytest.mark.parametrize("offset", [-38.0, -6.2, 0.7, 35.5])
@pytest.mark.parametrize("stop", [180, 360])
def test_the_axis_of_an_object_wider_than_the_view(offset, stop):
    if stop == 180 and abs(offset) > 20:
        pytest.skip("an axis at the border is for full turns (half acquisition)")
    angles = np.arange(0, stop, 3.0)
    wide = particle(70, inclusions=40)
    frames = project(wide, np.full(len(wide), 0.01), angles, (48, 96), offset)
    assert rotation_axis(frames, angles)[0] == pytest.approx(offset, abs=0.1)


def test_reprojection_is_the_projection():
    angles = np.arange(0, 180, 1.0)
    frames = project(PARTICLE, np.full(len(PARTICLE), 0.01), angles, (21, 88), 1.3)
    back = reproject(reconstruct(frames, angles, 1.3), angles, 1.3)
    assert np.abs(back - frames).mean() < 2e-3 * frames.max()


@pytest.mark.parametrize("turned", [0.98, 1.0, 1.03])
def test_a_stage_that_turns_too_far_is_noticed(turned):
    told = np.arange(0, 181, 3.0)
    stack = scan(PARTICLE, told * turned, SHAPE, 5, AXIS, 0.01)
    checked = geometry_check(stack, told, align_projections(stack, told))
    assert checked.angle_scale == pytest.approx(turned, abs=0.01)
    assert (checked.findings != ()) == (turned != 1.0)
    assert all("the stage turned" in line for line in checked.findings)
    assert (checked.quality == 1) == (turned == 1.0)


def test_an_axis_that_leans_is_noticed():
    told = np.arange(0, 181, 3.0)
    stack = ndimage.rotate(
        scan(PARTICLE, told, SHAPE, 5, AXIS, 0.0), -0.8, axes=(2, 3), reshape=False, order=3, mode="nearest"
    )
    checked = geometry_check(stack, told, align_projections(stack, told))
    assert checked.axis_tilt == pytest.approx(0.8, abs=0.15)
    assert any("leans" in line for line in checked.findings)
    with pytest.raises(ValueError, match="angles"):
        geometry_check(stack[:2], told, align_projections(stack, told))


@pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is absent (set REDOXSCOPE_TEST_DATA)")
def test_the_recorded_scan_against_its_truth():
    known = np.load(DATA / "truth.npz")
    projections = []
    for path in sorted(DATA.glob("fly_scan_id_*.h5")):
        with h5py.File(path) as file:
            dark, flat = file["img_dark"][()].mean(axis=0), file["img_bkg"][()].mean(axis=0)
            projections.append(np.stack([absorbance(transmission(f, flat, dark)) for f in file["img_tomo"][()]]))
            angles = file["angle"][()]
    found = align_projections(projections, angles)
    assert np.sqrt(np.mean((found.drift - known["drift"]) ** 2)) < 0.02
    assert found.axis_offset == pytest.approx(float(known["axis"]), abs=0.02)
    assert found.jitter.max() < 0.02, "there is none"
    assert geometry_check(projections, angles, found).findings == ()
    told = angles * 180 / 178
    (finding,) = geometry_check(projections, told, align_projections(projections, told)).findings
    assert "the stage turned 0.98" in finding
