"""Surfaces and curvature against analytic shapes."""

import numpy as np
import pytest

from redoxscope.analysis.topography.curvature import curvatures
from redoxscope.analysis.topography.report import topography
from redoxscope.analysis.topography.scale_space import scale_space
from redoxscope.analysis.topography.smooth_field import continue_field, derivatives, smooth_field, smooth_field_on
from redoxscope.analysis.topography.surface import components, euler_characteristic, isosurface, vertex_areas

LEVEL = 8340.0
SLOPE = 0.2  # eV per voxel


def grid(n):
    # Off the voxels' centres, so that no symmetry helps.
    axis = np.arange(n) - (n - 1) / 2 + 0.13
    return np.meshgrid(axis, axis, axis, indexing="ij")


def ball(radius, n, noise=0.0, seed=0):
    z, y, x = grid(n)
    distance = np.sqrt(z * z + y * y + x * x) - radius
    return LEVEL + SLOPE * distance + noise * np.random.default_rng(seed).standard_normal(distance.shape)


def torus(ring, tube, n):
    z, y, x = grid(n)
    return LEVEL + SLOPE * (np.hypot(np.hypot(y, x) - ring, z) - tube)


@pytest.mark.parametrize(("radius", "noise", "median"), [(5, 0, 0.01), (8, 0.1, 0.06), (12, 0.1, 0.08), (12, 0.3, 0.2)])
def test_the_curvature_of_spheres(radius, noise, median):
    size = 0.05
    result = topography(ball(radius, 2 * radius + 20, noise), [LEVEL], size)
    front = result.surfaces[0]
    scaled = front.mean_curvature * radius * size
    assert np.median(np.abs(scaled - 1)) < median
    assert np.median(front.gaussian_curvature) * (radius * size) ** 2 == pytest.approx(1, abs=max(2 * median, 0.03))
    assert (front.mean_curvature > 0).all(), "new phase (low energy) inside: convex, positive"
    assert result.positive[0] == 1
    assert result.negative[0] == 0
    assert result.area[0] == pytest.approx(4 * np.pi * (radius * size) ** 2, rel=0.04)
    assert (result.components[0], result.euler[0]) == (1, 2)
    total = (front.gaussian_curvature * front.vertex_area).sum()
    assert total == pytest.approx(4 * np.pi, rel=0.02), "Gauss-Bonnet"


def test_the_sign_turns_with_the_phase():
    field = 2 * LEVEL - ball(10, 36)
    assert (topography(field, [LEVEL]).surfaces[0].mean_curvature < 0).all()


def test_the_curvature_of_a_torus():
    ring, tube = 14.0, 6.0
    result = topography(torus(ring, tube, 56), [LEVEL])
    front = result.surfaces[0]
    _, y, x = (front.vertices - (56 - 1) / 2 + 0.13).T
    outward = (np.hypot(y, x) - ring) / tube  # cosine of the angle around the tube
    gauss = outward / (tube * (ring + tube * outward))
    mean = 0.5 * (1 / tube + outward / (ring + tube * outward))
    scale = 1 / tube
    assert np.median(np.abs(front.mean_curvature - mean)) < 0.01 * scale
    assert np.percentile(np.abs(front.gaussian_curvature - gauss), 95) < 0.03 * scale**2
    assert (result.components[0], result.euler[0]) == (1, 0)
    assert (front.gaussian_curvature * front.vertex_area).sum() == pytest.approx(0, abs=0.1)


def test_merging_nuclei_are_concave_in_their_neck_only():
    z, y, x = grid(56)
    apart = 9.0
    both = [np.sqrt(z * z + y * y + (x - s) ** 2) - 10 for s in (-apart, apart)]
    field = LEVEL - 0.6 * np.log(np.exp(-both[0] * SLOPE / 0.6) + np.exp(-both[1] * SLOPE / 0.6))
    result = topography(field, [LEVEL, LEVEL - 0.8])
    front = result.surfaces[0]
    neck = np.abs(front.vertices[:, 2] - 27.5) < 1
    poles = np.abs(front.vertices[:, 2] - 27.5) > 14
    assert (front.gaussian_curvature[neck] < 0).all()
    assert (front.mean_curvature[poles] > 0).all()
    assert front.mean_curvature[neck].mean() < front.mean_curvature[poles].mean()
    assert result.components.tolist() == [1, 2]
    assert result.euler.tolist() == [2, 4]


def test_sharp_necks_have_negative_mean_curvature():
    z, y, x = grid(56)
    field = LEVEL + SLOPE * np.minimum(*(np.sqrt(z * z + y * y + (x - s) ** 2) - 12 for s in (-10.0, 10.0)))
    front = topography(field, [LEVEL]).surfaces[0]
    neck = np.abs(front.vertices[:, 2] - 27.5) < 1
    assert (front.mean_curvature[neck] < 0).all()
    assert topography(field, [LEVEL]).negative[0] > 0.03


def test_no_surface_at_the_border_of_the_particle_its_voids_and_cracks():
    z, y, x = grid(40)
    field = ball(9, 40)
    particle = (np.abs(z) < 15) & (np.hypot(y, x) < 17) & (np.sqrt(z * z + (y - 12) ** 2 + x * x) > 3)
    particle &= np.abs(x - 4) > 1  # a crack through the front
    masked = np.where(particle, field, np.nan)
    front = topography(masked, [LEVEL]).surfaces[0]
    radius = np.linalg.norm(front.vertices - (40 - 1) / 2 + 0.13, axis=1)
    assert np.abs(radius - 9).max() < 0.3
    corners = np.round(front.vertices[front.faces].mean(axis=1)).astype(int)
    assert particle[tuple(corners.T)].mean() > 0.99
    assert np.median(np.abs(front.mean_curvature[front.near_border] * 9 - 1)) < 0.1
    assert not front.near_border.all()
    # A particle of one phase has no front at all, whatever its shape.
    flat = np.where(particle, LEVEL + 1.0, np.nan)
    assert topography(flat, [LEVEL]).area[0] == 0


def test_single_noisy_voxels_make_no_surface():
    field = np.full((20, 20, 20), LEVEL - 1.0)
    field[5, 5, 5] = field[10, 12, 9] = LEVEL + 20
    assert not len(isosurface(field, LEVEL).faces)
    assert len(isosurface(field, LEVEL, min_area=0.0).faces)
    field[10, 12, 9] = LEVEL + 2
    assert topography(field, [LEVEL]).components[0] == 0


def test_the_faces_look_towards_the_parent_phase_and_close():
    surface = isosurface(ball(8, 28), LEVEL, 0.5)
    a, b, c = (surface.vertices[surface.faces[:, i]] for i in range(3))
    normal = np.cross((b - a)[:, ::-1], (c - a)[:, ::-1])[:, ::-1]  # the right-hand rule holds in (x, y, z)
    outward = (a + b + c) / 3 - (27 / 2 - 0.13) * 0.5
    # Slivers of less than a thousandth of a voxel have no direction to speak of.
    assert ((normal * outward).sum(axis=1) > -1e-3).all()
    assert euler_characteristic(surface.faces) == 2
    assert components(surface.faces)[0] == 1
    assert vertex_areas(surface.vertices, surface.faces).sum() == pytest.approx(4 * np.pi * 16, rel=0.02)


def test_histograms_are_shares_of_area_on_common_bins():
    field = ball(10, 44)
    result = topography(field, [LEVEL, LEVEL + 1, LEVEL + 50], 0.1, curvature_edges=np.linspace(-2, 2, 41))
    assert result.curvature_histogram.shape == (3, 40)
    np.testing.assert_allclose(result.curvature_histogram.sum(axis=1), [1, 1, 0])
    # 1/r = 1 /µm at the first level, 0.667 at the second.
    centres = (result.curvature_edges[1:] + result.curvature_edges[:-1]) / 2
    means = result.curvature_histogram[:2] @ centres
    np.testing.assert_allclose(means, [1.0, 2 / 3], atol=0.06)


def test_levels_without_surface_and_fields_without_values_are_results():
    for field in (np.full((8, 9, 10), np.nan), ball(3, 16)[:1], np.full((6, 6, 6), LEVEL)):
        result = topography(field, [LEVEL, LEVEL + 1])
        front = result.surfaces[0]
        assert front.vertices.shape == front.faces.shape == (0, 3)
        assert front.mean_curvature.shape == (0,)
        assert (result.area == 0).all()
        assert (result.components == 0).all()
        assert np.isnan(result.positive).all()
        assert (result.curvature_histogram == 0).all()
    assert topography(np.full((4, 4, 4), np.nan)).iso_energy.tolist() == np.arange(8338, 8342.1, 0.5).tolist()


def test_without_levels_the_result_is_empty():
    result = topography(ball(5, 20), [])
    assert result.iso_energy.shape == result.area.shape == result.euler.shape == (0,)
    assert result.surfaces == ()
    assert result.curvature_histogram.shape == (0, 100)
    assert result.particles.transformed.shape == (1, 0)
    assert result.domains.necks.widths.shape == (0, 0)
    assert "nothing can be said" in result.alternation.sentence()


def test_unusable_input_is_named():
    for level in (np.nan, np.inf):
        with pytest.raises(ValueError, match=f"level of {level:g} eV"):
            topography(ball(5, 20), [LEVEL, level])
    with pytest.raises(ValueError, match="2 dimensions"):
        topography(np.zeros((4, 4)))
    with pytest.raises(ValueError, match="2 dimensions"):
        isosurface(np.zeros((4, 4)), 0.0)
    with pytest.raises(ValueError, match="voxel size"):
        topography(np.zeros((4, 4, 4)), voxel_size=0.0)
    with pytest.raises(ValueError, match="no known voxel"):
        smooth_field(np.full((4, 4, 4), np.nan), 2.0)
    with pytest.raises(ValueError, match="ascend"):
        topography(np.zeros((4, 4, 4)), curvature_edges=[1.0, 0.0])


def test_derivatives_of_a_quadratic_are_exact():
    z, y, x = np.meshgrid(*(np.arange(24.0),) * 3, indexing="ij")
    field = 8340 + 0.3 * z - 0.1 * y + 0.02 * z * z + 0.01 * y * x - 0.015 * x * x
    smooth = smooth_field(field, 1.5)
    point = np.array([[11.3, 12.1, 10.6], [12.0, 9.7, 13.2]])
    value, gradient, hessian = derivatives(smooth, point)
    z, y, x = point.T
    expected = 8340 + 0.3 * z - 0.1 * y + 0.02 * z * z + 0.01 * y * x - 0.015 * x * x
    np.testing.assert_allclose(value + smooth.offset, expected, atol=2e-4)
    slopes = np.stack([0.3 + 0.04 * z, -0.1 + 0.01 * x, 0.01 * y - 0.03 * x], axis=1)
    np.testing.assert_allclose(gradient, slopes, atol=2e-4)
    np.testing.assert_allclose(hessian, np.tile([0.04, 0, -0.03, 0, 0, 0.01], (2, 1)), atol=2e-4)


@pytest.mark.parametrize("number", range(4))
def test_windows_between_two_grids_leave_cubic_fields_as_they_are(number):
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, 51),) * 3, indexing="ij")
    field = 0.4 * z + 0.2 * y * x - 0.3 * x**3 + 0.1 * z * z * y + 0.2
    field[:3, :, 20:] = np.nan
    whole = continue_field(field)
    ladder = scale_space(whole.values, number + 2)
    smooth = smooth_field_on(whole, *ladder[number:])
    assert (np.isfinite(smooth.values) == np.isfinite(field)).all()
    # Where no window reaches the continuation.
    inner = (slice(17, -17),) * 3
    np.testing.assert_allclose(smooth.values[inner] + smooth.offset, field[inner], atol=1e-5)
    voxels = np.argwhere(np.isfinite(field))[::50]
    np.testing.assert_allclose(derivatives(smooth, voxels)[0], smooth.values[tuple(voxels.T)], atol=1e-5)


def test_a_front_that_bends_sharply_is_drawn_by_a_narrower_window():
    axis, height, k = np.arange(60.0), 4.0, 2 * np.pi / 20
    fine = np.linspace(0, 59, 1181)
    slope = height * k * np.outer(np.sin(k * fine), np.cos(k * fine))
    truth = np.sqrt(1 + slope**2 + slope.T**2).mean() * 59**2
    flat = LEVEL + SLOPE * (axis[:, None, None] - 29.3) + np.zeros((60, 60, 60))
    bent = flat + SLOPE * height * np.outer(np.cos(k * axis), np.cos(k * axis))
    rough = 0.3 * np.random.default_rng(0).standard_normal(flat.shape)
    found = [topography(field, [LEVEL]) for field in (flat + rough, bent + rough, bent + 0.05 * rough)]
    assert found[0].surface_window > found[1].surface_window > found[2].surface_window
    assert found[1].area[0] == pytest.approx(truth, rel=0.05), "its waves are not flattened"


def test_the_formulas_on_a_cylinder_and_where_the_gradient_vanishes():
    # f = distance from the z axis at (0, 0, r): ∇f = x, Hessian yy = 1/r.
    mean, gauss = curvatures(np.array([[0.0, 0, 1.0], [0, 0, 0]]), np.array([[0, 0.25, 0, 0, 0, 0], [1.0] * 6]))
    assert mean[0] == pytest.approx(0.125)
    assert gauss[0] == pytest.approx(0)
    assert np.isnan(mean[1])
    assert np.isnan(gauss[1])


@pytest.mark.parametrize(
    "field", [np.full((8, 9, 10), np.nan), ball(3, 16)[:1], np.full((6, 6, 6), LEVEL), np.full((1, 1, 1), LEVEL)]
)
def test_statistics_without_a_surface_are_empty(field):
    result = topography(field, [LEVEL, LEVEL + 1])
    assert np.isnan(result.positive_interval).all()
    assert np.isnan(result.negative_interval).all()
    assert (result.euler_from_curvature == 0).all()
    assert (result.gaussian_histogram == 0).all()
    assert result.shape_distribution.shape == (2, 50, 50)
    assert (result.shape_distribution == 0).all()
    assert result.domains.necks.position.shape == (0, 3)
    assert result.domains.necks.widths.shape == (0, 2)
    assert (result.domains.nuclei.count(result.iso_energy) <= 1).all(), "a field of one phase is one domain"
    assert result.particles.label.shape == field.shape
    assert result.particles.transformed.shape == (result.particles.label.max(), 2)
    assert np.isnan(result.alternation.negative).all()
    assert "nothing can be said" in result.alternation.sentence()


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_a_front_across_a_hollow_particle_is_no_speck(noise):
    """Its middle lies in the hollow, and its area is that of a small piece."""
    z, y, x = np.meshgrid(*(np.arange(size) - size / 2 + 0.5 for size in (56, 48, 48)), indexing="ij")
    away = np.hypot(y, x)
    field = 8340 + 0.1 * z + noise * np.random.default_rng(0).standard_normal(z.shape)
    field[(away < 12) | (away > 20)] = np.nan
    levels = [8339.0, 8340.0, 8341.0]
    result = topography(field.astype(np.float32), levels)
    # Surfaces end at the centres of the outermost voxels.
    assert result.area == pytest.approx(np.full(3, np.pi * (19.5**2 - 12.5**2)), rel=0.05)
    assert (result.components == 1).all()


def test_levels_and_windows_that_mean_nothing_are_named():
    field = np.full((20, 20, 20), 8340.0)
    with pytest.raises(ValueError, match="one list of energies"):
        topography(field, [[8340.0]])
    for window in (np.nan, 50.0):
        with pytest.raises(ValueError, match=f"a window of {window:g} voxels"):
            topography(field, [8340.0], window=window)
