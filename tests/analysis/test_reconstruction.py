"""Reconstruction of ellipses, whose projections are known, by each method; planes, stripes, truncation."""

import sys

import numpy as np
import pytest
from scipy import ndimage

from redoxscope.analysis.tomography.cross_sections import slices
from redoxscope.analysis.tomography.filtering import FILTERS
from redoxscope.analysis.tomography.iterative import Projector
from redoxscope.analysis.tomography.recipe import Recipe
from redoxscope.analysis.tomography.reconstruction import Plan, reconstruct, reconstruct_all
from redoxscope.analysis.tomography.stripes import remove_stripes

N = 96
# (x, y, half axes, radians, density), in halves of the width: a particle with pores and denser grains.
ELLIPSES = (
    (0.0, 0.0, 0.72, 0.62, 0.3, 1.0),
    (0.22, 0.1, 0.2, 0.28, 0.5, 0.35),
    (-0.3, -0.15, 0.22, 0.15, -0.4, -0.6),
    (0.05, -0.35, 0.1, 0.12, 0.0, 0.5),
    (-0.15, 0.3, 0.12, 0.2, 1.0, -0.3),
    (0.4, -0.2, 0.07, 0.07, 0.0, -0.8),
)
FULL = np.arange(0, 180, 1.5)
WEDGE = np.arange(-60, 60.1, 1.5)


def projected(angles, offset=0.0, half=N / 2, width=N, finer=8):
    """(angle, 1, col) exact line integrals, averaged over the pixels' width."""
    theta = np.deg2rad(angles)[:, None, None]
    u = np.arange(width)[:, None] + (np.arange(finer) - (finer - 1) / 2) / finer - (width - 1) / 2 - offset
    out = np.zeros((len(angles), width))
    for x, y, a, b, phi, density in ELLIPSES:
        x, y, a, b = (half * v for v in (x, y, a, b))
        s = u - x * np.cos(theta) - y * np.sin(theta)
        w = (a * np.cos(theta - phi)) ** 2 + (b * np.sin(theta - phi)) ** 2
        out += (density * 2 * a * b * np.sqrt(np.maximum(w - s**2, 0)) / w).mean(axis=2)
    return out[:, None].astype(np.float32)


def drawn(half=N / 2, n=N, finer=4):
    """(y, x) mean density of each voxel."""
    c = (np.arange(n * finer) + 0.5) / finer - 0.5 - (n - 1) / 2
    out = np.zeros((n * finer, n * finer))
    for x, y, a, b, phi, density in ELLIPSES:
        dx, dy = c[None, :] - half * x, c[:, None] - half * y
        along, across = dx * np.cos(phi) + dy * np.sin(phi), dy * np.cos(phi) - dx * np.sin(phi)
        out += density * ((along / (half * a)) ** 2 + (across / (half * b)) ** 2 < 1)
    return out.reshape(n, finer, n, finer).mean(axis=(1, 3))


def within(radius, n=N):
    c = np.arange(n) - (n - 1) / 2
    return np.hypot(c[:, None], c) < radius * n / 2


TRUTH = drawn()


def error(image):
    """Root of the mean square deviation from the truth in the view's circle, relative to the truth's."""
    return np.sqrt(np.mean((image - TRUTH)[within(1)] ** 2) / np.mean(TRUTH[within(1)] ** 2))


def noisy(projections, part, seed=0):
    noise = np.random.default_rng(seed).standard_normal(projections.shape)
    return (projections + part * projections.max() * noise).astype(np.float32)


@pytest.mark.parametrize("name", FILTERS)
def test_every_filter_keeps_the_density(name):
    found = reconstruct(projected(FULL, 2.6), FULL, 2.6, filter_name=name)[0]
    solid = ndimage.binary_erosion(TRUTH == 1.0, iterations=2)
    assert found[solid].mean() == pytest.approx(1.0, abs=0.004)
    assert found[within(0.95) & ~ndimage.binary_dilation(TRUTH != 0, iterations=3)].mean() == pytest.approx(
        0, abs=0.004
    )
    assert error(found) < {"ramp": 0.06, "shepp-logan": 0.065, "cosine": 0.075}.get(name, 0.09)


@pytest.mark.parametrize("width", [95, 96])
def test_the_backends_agree(width):
    rng = np.random.default_rng(0)
    given = rng.standard_normal((len(FULL), 5, width)).astype(np.float32)
    ours = reconstruct(given, FULL, -3.3, size=101)
    theirs = reconstruct(given, FULL, -3.3, size=101, backend="finufft", accuracy=1e-6)
    circle = within(1, 101)
    assert np.sqrt(np.mean((ours - theirs)[:, circle] ** 2) / np.mean(theirs[:, circle] ** 2)) < 5e-4


def test_a_plan_serves_slab_after_slab_and_threads_change_nothing():
    rng = np.random.default_rng(0)
    given = rng.standard_normal((60, 41, 64)).astype(np.float32)
    angles = np.arange(60) * 3.0
    whole = reconstruct(given, angles, 1.2)
    plan = Plan(angles, 64, 1.2, threads=3)
    slabs = [plan.reconstruct(given[:, first : first + 13]) for first in range(0, 41, 13)]
    circle = within(1, 64)
    np.testing.assert_allclose(np.concatenate(slabs)[:, circle], whole[:, circle], atol=1e-4 * np.abs(whole).max())
    with pytest.raises(ValueError, match="60 angles and 64 columns"):
        plan.reconstruct(given[:59])


@pytest.mark.parametrize("rows", [3, 9])
def test_spectra_that_are_reconstructed_together_stay_apart(rows):
    given = np.random.default_rng(0).standard_normal((5, 60, rows, 64)).astype(np.float32)
    angles, circle = np.arange(60) * 3.0, within(1, 64)
    together = reconstruct_all(given, angles, 1.2, Recipe(filter_name="ramp"))
    alone = reconstruct(given, angles, 1.2)
    np.testing.assert_allclose(together[..., circle], alone[..., circle], atol=1e-4 * np.abs(alone).max())


def test_projecting_the_truth_gives_its_line_integrals():
    smooth = ndimage.gaussian_filter(TRUTH, 1.5).astype(np.float32)
    wanted = ndimage.gaussian_filter1d(projected(FULL, 4.4), 1.5, axis=-1)
    found = Projector(FULL, N, 4.4).project(np.stack([smooth, 2 * smooth, 3 * smooth]))
    for factor in (1, 2, 3):
        assert np.abs(found[:, factor - 1] - factor * wanted[:, 0]).max() < 0.01 * factor * wanted.max()


def test_projection_and_backprojection_are_transposes():
    rng = np.random.default_rng(0)
    projector = Projector(WEDGE, 50, -2.0, size=47)
    image = (rng.standard_normal((3, 47, 47)) * projector.circle).astype(np.float32)
    sinogram = rng.standard_normal((len(WEDGE), 3, 50)).astype(np.float32)
    one = np.vdot(projector.project(image).astype(float), sinogram)
    assert np.vdot(image.astype(float), projector.backproject(sinogram)) == pytest.approx(one, rel=1e-4)


def test_a_missing_wedge_is_filled_best_by_total_variation():
    given = noisy(projected(WEDGE), 0.003)
    plain, sirt, tv = (error(reconstruct(given, WEDGE, method=method)[0]) for method in ("fbp", "sirt", "tv"))
    assert sirt < 0.7 * plain
    assert tv < 0.54 * plain


def test_few_angles_are_streaks_for_backprojection_only():
    few = np.arange(0, 180, 7.5)
    given = noisy(projected(few, 1.3), 0.005)
    plain, sirt, tv = (error(reconstruct(given, few, 1.3, method=method)[0]) for method in ("fbp", "sirt", "tv"))
    assert sirt < 0.7 * plain
    assert tv < 0.4 * plain


@pytest.mark.parametrize("part", [0.0, 0.005, 0.02])
def test_total_variation_takes_its_strength_from_the_noise(part):
    given = noisy(projected(FULL), part)
    assert error(reconstruct(given, FULL, method="tv")[0]) < 0.7 * error(reconstruct(given, FULL)[0])


def test_density_is_kept_where_a_wedge_is_missing():
    found = reconstruct(projected(WEDGE), WEDGE)[0]
    assert found[TRUTH > 0.3].mean() == pytest.approx(TRUTH[TRUTH > 0.3].mean(), rel=0.05)


@pytest.mark.parametrize("wide", [1.6, 2.0, 3.0])
def test_an_object_wider_than_the_view_is_right_inside_but_for_a_constant(wide):
    """Up to 0.6 of the view's radius to 3 % of the density, up to 0.9 to 7 %; without, up to 36 %."""
    half = wide * N / 2
    truth, given = drawn(half), projected(FULL, half=half)
    apart = reconstruct(given, FULL, truncated=True)[0] - truth
    # Borders are as sharp as in any reconstruction: their error is not the truncation's.
    apart = ndimage.gaussian_filter(apart, 1.5)
    assert apart[within(0.6)].std() < 0.03
    assert apart[within(0.9)].std() < 0.07
    if wide == 3.0:
        plain = ndimage.gaussian_filter(reconstruct(given, FULL)[0] - truth, 1.5)
        assert plain[within(0.9)].std() > 4 * apart[within(0.9)].std()


def test_extending_the_edges_changes_nothing_where_they_are_empty():
    given = projected(FULL, 1.0)
    plain, extended = (reconstruct(given, FULL, 1.0, truncated=truncated) for truncated in (False, True))
    np.testing.assert_allclose(extended, plain, atol=1e-4)


@pytest.mark.parametrize("centre", [None, (5, 40, 61.5)])
def test_planes_are_those_of_the_volume(centre):
    rng = np.random.default_rng(3)
    given = np.concatenate([projected(FULL, -2.2, N / 2 * (1 - 0.05 * row)) for row in range(9)], axis=1)
    given += 0.5 * rng.standard_normal(given.shape).astype(np.float32)
    volume = reconstruct(given, FULL, -2.2, filter_name="hann")
    planes = slices(given, FULL, -2.2, centre, filter_name="hann")
    z, y, x = centre or (4, (N - 1) / 2, (N - 1) / 2)
    between = [volume[z]]
    for axis, at in ((1, y), (2, x)):
        spectrum = np.fft.fft(volume, axis=axis)
        k = np.fft.fftfreq(N).reshape([-1 if i == axis else 1 for i in range(3)])
        between.append((spectrum * np.exp(2j * np.pi * k * at)).mean(axis=axis).real)
    across = np.abs(np.arange(N) - (N - 1) / 2) < 0.4 * N
    for plane, wanted, seen in zip(planes, between, (within(0.95), across, across), strict=True):
        assert plane.shape == wanted.shape
        apart = (plane - wanted)[..., seen]
        # Between voxels the volume is interpolated, which its streaks outside the circle disturb.
        assert np.sqrt(np.mean(apart**2)) < (0.01 if centre is None or plane is planes[0] else 0.03) * wanted.std()


@pytest.mark.parametrize("name", ["sorting", "filtering"])
def test_stripes_leave_fainter_rings(name):
    pytest.importorskip("algotom", reason="algotom is an optional package")
    clean = np.repeat(projected(FULL), 2, axis=1)
    striped = clean + 3.0 * np.random.default_rng(1).standard_normal(N).astype(np.float32)
    before, after, ideal = (
        reconstruct(given, FULL, filter_name="hann", stripes=name)[0]
        for given, name in ((striped, "none"), (striped, name), (clean, "none"))
    )
    rings, left = (np.std((image - ideal)[within(0.9)]) for image in (before, after))
    assert left < 0.75 * rings


@pytest.mark.parametrize(("width", "offset"), [(95, -3.3), (96, 0.0), (96, 2.6)])
def test_astra_gives_the_same_but_for_its_interpolation(width, offset):
    pytest.importorskip("astra", reason="the ASTRA toolbox is an optional package")
    given = np.repeat(projected(FULL, offset, width=width), 2, axis=1)
    ours, theirs = (
        reconstruct(given, FULL, offset, size=N, filter_name="hann", backend=backend)
        for backend in ("gridding", "astra")
    )
    apart = (theirs - ours)[:, within(0.95)]
    assert np.sqrt(np.mean(apart**2)) < 0.015
    assert abs(apart.mean()) < 0.002
    np.testing.assert_array_equal(theirs[0], theirs[1])


def test_without_astra_the_remedy_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "astra", None)
    with pytest.raises(ModuleNotFoundError, match="pip install astra-toolbox"):
        reconstruct(projected(FULL), FULL, backend="astra")


def test_without_algotom_the_remedy_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "algotom.prep.removal", None)
    with pytest.raises(ModuleNotFoundError, match=r"redoxscope\[tomo\]"):
        remove_stripes(projected(FULL), "all")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"angles": []}, "0 angles for 4"),
        ({"angles": [0, 45, 90]}, "3 angles for 4"),
        ({"angles": [0, np.nan, 90, 135]}, "angle number 1"),
        ({"projections": np.zeros((0, 2, 8), np.float32), "angles": []}, "at least one angle"),
        ({"projections": np.zeros((4, 8), np.float32)}, "angle, row, col"),
        ({"axis_offset": 4.0}, "axis"),
        ({"axis_offset": np.nan}, "axis"),
        ({"filter_name": "boxcar"}, "ramp"),
        ({"backend": "gridrec"}, "finufft"),
        ({"method": "art"}, "sirt"),
        ({"stripes": "wavelet"}, "sorting"),
        ({"method": "tv", "truncated": True}, "fbp"),
    ],
)
def test_unusable_input_is_named(change, told):
    given = {"projections": np.ones((4, 2, 8), np.float32), "angles": [0, 45, 90, 135]} | change
    with pytest.raises(ValueError, match=told):
        reconstruct(**given)


def test_missing_pixels_and_projections_are_bridged():
    given = projected(FULL)
    holes = given.copy()
    holes[7:9] = holes[30, 0, 40:44] = np.nan
    assert error(reconstruct(holes, FULL)[0]) < error(reconstruct(given, FULL)[0]) + 0.03
    assert np.isfinite(reconstruct(np.full_like(given, np.nan), FULL, method="tv")).all()
