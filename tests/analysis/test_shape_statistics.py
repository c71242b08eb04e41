"""Statistics of surfaces against shapes whose curvature is known everywhere."""

import numpy as np
import pytest
from scipy import ndimage

from redoxscope.analysis.topography.bootstrap import share_interval
from redoxscope.analysis.topography.curvature import curvatures
from redoxscope.analysis.topography.region import region
from redoxscope.analysis.topography.report import topography
from redoxscope.analysis.topography.shape_statistics import gauss_bonnet, histogram_weights
from redoxscope.analysis.topography.smooth_field import derivatives, smooth_field
from redoxscope.analysis.topography.surface import isosurface, vertex_areas

from .known_fields import LEVEL, SLOPE, distance, grown_balls, noisy


def gyroid(n=64, period=32.0):
    k = 2 * np.pi / period
    z, y, x = (k * g for g in np.ogrid[:n, :n, :n])
    return LEVEL + SLOPE / k * (np.sin(x) * np.cos(y) + np.sin(y) * np.cos(z) + np.sin(z) * np.cos(x))


def random_field(seed, n=56, scale=3.0):
    """Gaussian random field without long waves; by symmetry half of its middle level's area has H < 0."""
    noise = np.random.default_rng(seed).standard_normal((n,) * 3)
    waves = [ndimage.gaussian_filter(noise, s, mode="wrap") for s in (scale, 2 * scale)]
    return (LEVEL + 20 * (waves[0] - waves[1])).astype("f4")


def test_the_histograms_of_a_sphere():
    radius, size = 10.0, 0.05
    field = LEVEL + SLOPE * (distance((44,) * 3, (21.4, 21.6, 21.5)) - radius)
    found = topography(field, [LEVEL], size)
    at_mean = np.searchsorted(found.curvature_edges, 1 / (radius * size)) - 1
    at_gauss = np.searchsorted(found.gaussian_edges, 1 / (radius * size) ** 2) - 1
    assert found.curvature_histogram[0, at_mean - 1 : at_mean + 2].sum() > 0.95
    assert found.gaussian_histogram[0, at_gauss - 1 : at_gauss + 2].sum() > 0.95
    at = np.searchsorted(found.shape_edges, 1 / (radius * size)) - 1
    assert found.shape_distribution[0, at - 1 : at + 2, at - 1 : at + 2].sum() > 0.95
    for histogram in (found.curvature_histogram, found.gaussian_histogram, found.shape_distribution):
        assert histogram[0].sum() == pytest.approx(1)
    assert found.positive_interval[0].tolist() == [1, 1]


def test_the_shape_distribution_of_a_cylinder_and_a_saddle():
    _, y, x = np.meshgrid(*(np.arange(48) - 23.4,) * 3, indexing="ij")
    tube = topography(LEVEL + SLOPE * (np.hypot(y, x) - 9), [LEVEL])
    centres = (tube.shape_edges[1:] + tube.shape_edges[:-1]) / 2
    first, second = tube.shape_distribution[0].sum(axis=1) @ centres, tube.shape_distribution[0].sum(axis=0) @ centres
    assert first == pytest.approx(1 / 9, abs=0.015)
    assert second == pytest.approx(0, abs=0.015)
    # A gyroid's middle surface is minimal: H = 0 and K < 0.
    saddle = topography(gyroid(), [LEVEL], window=2.0)
    inner = ~saddle.surfaces[0].near_border
    assert np.abs(saddle.surfaces[0].mean_curvature[inner]).max() < 0.02
    assert saddle.gaussian_histogram[0, saddle.gaussian_edges[1:] <= 0].sum() > 0.97
    assert tube.euler.tolist() == [0]
    assert tube.euler_from_curvature[0] == pytest.approx(0, abs=0.05)


def test_random_fields_have_as_much_of_either_sign():
    found = [topography(random_field(seed), [LEVEL], window=1.5) for seed in range(12)]
    assert np.mean([f.negative[0] for f in found]) == pytest.approx(0.5, abs=0.02)


def test_noise_at_a_border_is_no_curvature():
    # Half a sphere: what the windows see beyond its rim is made up.
    radius, middle = 18.0, 31.4
    ball = LEVEL + SLOPE * (distance((64,) * 3, (middle,) * 3) - radius)
    field = np.where(np.ogrid[:64, :64, :64][2] < middle, ball, np.nan)
    rms = []
    for seed in range(4):
        rough = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(field.shape), 0.6)
        front = topography(field + 0.3 / rough.std() * rough, [LEVEL]).surfaces[0]
        off = front.mean_curvature_fixed - 1 / radius
        rms.append([np.sqrt(np.mean(off[at] ** 2)) for at in (front.near_border, ~front.near_border)])
    rim, inside = np.mean(rms, axis=0)
    assert rim < 1.6 * inside


@pytest.mark.parametrize(("sigma", "correlated"), [(0.1, 0.0), (0.3, 0.0), (0.3, 0.6)])
def test_the_share_of_negative_curvature_up_to_the_border(sigma, correlated):
    # Nuclei that have grown together in a ball: where they meet H < 0, and most of it is not at the ball's border.
    axis, levels = np.arange(64) - 31.5, LEVEL + SLOPE * np.array([-4.0, 0.0, 4.0])
    radius = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)
    error = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        far = [distance((64,) * 3, centre) for centre in rng.uniform(16, 48, (4, 3))]
        field = LEVEL + SLOPE * (-3 * np.log(sum(np.exp(-d / 3) for d in far)) - 14)
        rough = rng.standard_normal(field.shape)
        rough = ndimage.gaussian_filter(rough, correlated) if correlated else rough
        found = topography(np.where(radius < 28, field + sigma / rough.std() * rough, np.nan), levels)
        exact = smooth_field(field, 1.0)
        for level, share in zip(levels, found.negative, strict=True):
            surface = isosurface(field, level)
            mean, _ = curvatures(*derivatives(exact, surface.vertices)[1:])
            inside = np.linalg.norm(surface.vertices - 31.5, axis=1) < 28
            area = vertex_areas(surface.vertices, surface.faces) * inside
            error.append(share - area[mean < 0].sum() / area.sum())
    assert np.abs(error).mean() < 0.02


def test_weights_reach_to_the_particles_border():
    z, _, x = (g - 31.4 for g in np.ogrid[:64, :64, :64])
    for slant in (0.0, 0.5, 1.0):
        ball = distance((64,) * 3, (31.4,) * 3)
        field = np.where(ball < 24, LEVEL + SLOPE * (z + slant * x), np.nan)
        disc = topography(field, [LEVEL], 0.1).surfaces[0]
        assert histogram_weights(disc, 0.1).sum() == pytest.approx(np.pi * 2.4**2, rel=0.02)
        assert disc.vertex_area.sum() < 0.97 * np.pi * 2.4**2


def test_intervals_cover_the_truth_of_repeated_surfaces():
    inside, width, shares = 0, [], []
    for seed in range(40):
        found = topography(random_field(seed, 40, 2.5), [LEVEL], window=1.5)
        low, high = found.negative_interval[0]
        np.testing.assert_allclose(found.positive_interval[0], [1 - high, 1 - low], atol=0.02)
        inside += low <= 0.5 <= high
        width.append(high - low)
        shares.append(found.negative[0])
    assert inside >= 36
    assert np.mean(width) < 3 * 3.92 * np.std(shares), "not wider than it has to be"


def test_vertices_that_agree_are_no_new_information():
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 64, (40000, 3)) * [1, 1, 0]
    value = rng.random((8, 8)) < 0.5  # tiles of 8, each of one sign
    chosen = value[tuple((points[:, :2] // 8).astype(int).T)]
    low, high = share_interval(points, np.ones(len(points)), chosen, 1.0)
    # 64 independent tiles: 3.92·√(¼/64)
    assert high - low == pytest.approx(0.245, rel=0.5)
    assert np.isnan(share_interval(points[:1], np.ones(1), chosen[:1], 1.0)).all()


def test_the_turning_of_borders_that_touch():
    # Two flat triangles that share a corner are one piece.
    vertices = np.array([[0, 0, 0], [0, 1, 0], [0, 0, 1], [0, -1, 0], [0, 0, -1.0]])
    total = gauss_bonnet(vertices, np.array([[0, 1, 2], [0, 3, 4]]), np.full(5, 0.2), np.zeros(5))
    assert total == pytest.approx(1)


def test_euler_numbers_agree_with_the_integral_of_curvature():
    shape = (64, 64, 64)
    z, y, x = (g - 31.4 for g in np.ogrid[:64, :64, :64])
    torus = LEVEL + SLOPE * (np.hypot(np.hypot(y, x) - 15, z) - 7)
    ball = LEVEL + SLOPE * (distance(shape, (31.4, 31.4, 31.4)) - 18)
    cut = np.where(np.ogrid[:64, :64, :64][2] < 34, ball, np.nan)
    balls = grown_balls(shape, [(20.0, 20.0, 20.0), (45.0, 43.0, 44.0)], [LEVEL - 2.2] * 2)
    for field, euler in ((torus, 0), (ball, 2), (cut, 1), (balls, 4), (gyroid(), None)):
        found = topography(noisy(field, 0.05), [LEVEL])
        if euler is not None:
            assert found.euler.tolist() == [euler]
        assert found.euler_from_curvature[0] == pytest.approx(found.euler[0], abs=max(0.25, 0.05 * abs(found.euler[0])))


def test_a_region_is_what_lies_in_its_box():
    size = 0.5
    field = LEVEL + SLOPE * (distance((44,) * 3, (21.5,) * 3) - 14)
    whole = topography(field, [LEVEL, LEVEL + 0.4, LEVEL + 50], size)
    middle = 21.5 * size
    parts = region(whole.surfaces, ((0, 22), (0, 22), (middle, 22)))
    assert len(parts) == 3
    for part, surface, area in zip(parts[:2], whole.surfaces, whole.area, strict=False):
        assert part.iso_energy == surface.iso_energy
        assert (part.vertices[:, 2] >= middle).all()
        assert part.vertex_area.sum() == pytest.approx(area / 2, rel=0.06)
        assert len(part.mean_curvature) == len(part.near_border) == len(part.vertices) > part.faces.max()
        # What is known at a vertex has gone with it.
        names = {tuple(v): h for v, h in zip(surface.vertices, surface.mean_curvature, strict=True)}
        assert all(names[tuple(v)] == h for v, h in zip(part.vertices, part.mean_curvature, strict=True))
    assert not len(parts[2].vertices)
    assert not len(region(whole.surfaces, ((0, 0.1), (0, 0.1), (0, 0.1)))[0].vertices)
    with pytest.raises(ValueError, match="is no box"):
        region(whole.surfaces, ((0, 1), (0, 1), (1, 0)))
