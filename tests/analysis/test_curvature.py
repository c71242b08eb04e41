"""Curvature with a window per vertex, on noisy fields whose curvature is known."""

import numpy as np
import pytest
import pyvista

from redoxscope.analysis.topography.curvature import curvatures, principal_curvatures
from redoxscope.analysis.topography.report import topography
from redoxscope.analysis.topography.smooth_field import derivatives, smooth_field
from redoxscope.analysis.topography.surface import components, euler_characteristic, isosurface

from .shapes import SHAPES, SLOPE, Shape, ball, gyroid, merging, noise, nuclei, random_front, schwarz_p, torus

LEVEL = 8340.0
FEW = [ball(7), ball(14), ball(20), torus(), gyroid(), schwarz_p(), merging()]


def front(shape, sigma, correlation="white", **options):
    field = LEVEL + shape.field() + noise(shape.size, sigma, correlation)
    return topography(field, [LEVEL], **options).surfaces[0]


def errors(shape, found, mean):
    """|H - truth| over the surface's rms principal curvature, truth over the same, where it is not extrapolated."""
    true, gauss, _ = shape.truth(found.vertices)
    counted = ~found.near_border
    scale = np.sqrt(np.mean(2 * true[counted] ** 2 - gauss[counted]))
    return np.abs(mean - true)[counted] / scale, true[counted] / scale, mean[counted] / scale


@pytest.mark.parametrize(
    ("sigma", "correlation", "median", "tail"),
    [(0.05, "white", 0.012, 0.043), (0.1, "white", 0.012, 0.043), (0.1, "0.6 voxel", 0.015, 0.06),
     (0.1, "hann", 0.012, 0.05), (0.3, "white", 0.018, 0.065)],
)  # fmt: skip
def test_mean_curvature_on_noisy_shapes(sigma, correlation, median, tail):
    middle, far = [], []
    for shape in FEW:
        found = front(shape, sigma, correlation)
        error, true, mean = errors(shape, found, found.mean_curvature)
        middle.append(np.median(error))
        far.append(np.percentile(error, 95))
        bent = np.abs(true) > 0.25
        if bent.any():
            # Of all windows, the best one by the truth has 98.7 % right in the bend between merging spheres where
            # 0.3 eV are correlated.
            least = 0.995 if shape.name == "merging spheres" and correlation == "0.6 voxel" else 0.999
            assert (np.sign(true) == np.sign(mean))[bent].mean() > least, shape.name
    assert np.exp(np.mean(np.log(middle))) < median
    assert np.exp(np.mean(np.log(far))) < tail


def test_signs_in_a_neck_that_is_sharper_than_any_window_strong_noise_leaves():
    right = []
    for seed in range(4):
        shape = merging()
        found = topography(LEVEL + shape.field() + noise(shape.size, 0.3, seed=seed), [LEVEL]).surfaces[0]
        _, true, mean = errors(shape, found, found.mean_curvature)
        bent = np.abs(true) > 0.1
        right.append((np.sign(true) == np.sign(mean))[bent].mean())
    # By the best single window, chosen by the truth, 99.85 %.
    assert np.mean(right) > 0.999


def test_gaussian_curvature_does_not_scatter_where_the_mean_does_not():
    found = front(ball(20), 0.1)
    assert np.std(found.gaussian_curvature) < 3 * np.median(found.mean_curvature) * np.std(found.mean_curvature)
    assert np.median(found.gaussian_curvature) == pytest.approx(1 / 400, rel=0.02)


def test_the_truth_of_the_shapes_is_that_of_textbooks():
    for shape, radius in zip(SHAPES[:3], (5, 7, 10), strict=True):
        mean, gauss, _ = shape.truth(shape.centre + np.random.default_rng(0).normal(0, 1, (50, 3)) + [0, 0, radius])
        np.testing.assert_allclose(mean, 1 / radius, rtol=1e-5)
        np.testing.assert_allclose(gauss, 1 / radius**2, rtol=1e-5)
    mean, gauss, _ = torus().truth(torus().centre + np.array([[0, 0, 12.2], [0, 27.5, 0], [8.1, 20, 0]]))
    np.testing.assert_allclose(mean, [0.5 * (1 / 8 - 1 / 12), 0.5 * (1 / 8 + 1 / 28), 1 / 16], rtol=1e-5)
    np.testing.assert_allclose(gauss, [-1 / 96, 1 / 224, 0], atol=1e-8)


@pytest.mark.parametrize("shape", [torus(), gyroid(size=72), ball(14)], ids=lambda s: s.name)
def test_ten_times_closer_than_vtk_on_the_same_surface(shape):
    found = front(shape, 0.1)
    faces = np.column_stack([np.full(len(found.faces), 3), found.faces[:, ::-1]])
    mesh = pyvista.PolyData(found.vertices[:, ::-1], faces.ravel())
    theirs = np.asarray(mesh.curvature("mean"))
    ours, _, _ = errors(shape, found, found.mean_curvature)
    # VTK's sign depends on the order of the corners: the better of the two.
    vtk = min((errors(shape, found, sign * theirs)[0] for sign in (1, -1)), key=np.median)
    assert np.median(ours) < np.median(vtk) / 10


@pytest.mark.parametrize("correlation", ["white", "0.6 voxel", "hann"])
def test_the_standard_error_is_that_of_repetitions(correlation):
    inner = []
    for seed in range(3):
        shape = ball(25)
        field = LEVEL + shape.field() + noise(shape.size, 0.2, correlation, seed)
        found = topography(field, [LEVEL], 0.1).surfaces[0]
        true, _, _ = shape.truth(found.vertices / 0.1)
        inner.append(np.abs(found.mean_curvature - true / 0.1) / found.mean_curvature_sigma)
    assert 0.6 < np.percentile(np.concatenate(inner), 68) < 1.3


@pytest.mark.parametrize(("sigma", "correlation"), [(0.1, "hann"), (0.3, "white"), (0.3, "0.6 voxel")])
def test_the_standard_error_holds_what_windows_smooth_away_where_nuclei_meet(sigma, correlation):
    pulls = []
    for seed in (1, 2):
        shape = nuclei(seed=seed)
        found = front(shape, sigma, correlation)
        some = np.flatnonzero(~found.near_border)[::4]
        true, _, _ = shape.truth(found.vertices[some])
        pulls.append((found.mean_curvature[some] - true) / found.mean_curvature_sigma[some])
    pulls = np.concatenate(pulls)
    assert 0.7 < np.std(pulls) < 1.25
    assert (np.abs(pulls) < 2).mean() > 0.9


def test_windows_are_narrow_where_the_surface_bends_and_wide_where_it_is_flat():
    shape = merging(blend=1.5)
    found = front(shape, 0.1)
    along = np.abs(found.vertices[:, 2] - shape.centre)
    assert np.median(found.window[along < 2]) < 0.8 * np.median(found.window[along > 12])
    assert np.percentile(front(ball(20), 0.3).window, 10) > np.percentile(front(ball(20), 0.0).window, 90) * 0.99


def test_principal_curvatures_belong_to_mean_and_gaussian():
    found = front(torus(), 0.05)
    assert (found.kappa1 >= found.kappa2).all()
    np.testing.assert_allclose((found.kappa1 + found.kappa2) / 2, found.mean_curvature, atol=1e-9)
    real = found.mean_curvature**2 > found.gaussian_curvature
    np.testing.assert_allclose((found.kappa1 * found.kappa2)[real], found.gaussian_curvature[real], atol=1e-9)
    assert np.median(found.kappa1) == pytest.approx(1 / 8, rel=0.02)
    assert principal_curvatures(np.array([1.0]), np.array([1.1]))[0] == 1


@pytest.mark.parametrize(("sigma", "correlation"), [(0.1, "white"), (0.3, "white"), (0.3, "0.6 voxel"), (0.3, "hann")])
def test_the_share_of_negative_curvature_is_the_true_fields(sigma, correlation):
    clean = random_front(size=80)
    levels = np.array([-0.9, 0.0, 0.9]) * clean.std()
    exact = smooth_field(clean, 1.0)  # without noise, and narrow against the field's 7 voxels
    found = topography(clean + noise(80, sigma, correlation), levels)
    plain = topography(clean, levels)
    for i, surface in enumerate(plain.surfaces):
        mean, _ = curvatures(*derivatives(exact, surface.vertices)[1:])
        share = surface.vertex_area[mean < 0].sum() / surface.vertex_area.sum()
        assert found.negative[i] == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize(("sigma", "correlation"), [(0.1, "white"), (0.3, "white"), (0.3, "0.6 voxel"), (0.3, "hann")])
def test_nuclei_are_counted_among_the_specks_of_the_noise(sigma, correlation):
    rng = np.random.default_rng(4)
    axis = np.arange(80.0)
    field = np.full((80, 80, 80), 9.0)
    places = np.stack(np.meshgrid([14, 40, 66], [14, 40, 66], [14, 40, 66], indexing="ij"), axis=-1).reshape(-1, 3)
    for z, y, x in places + rng.uniform(-1, 1, (27, 3)):
        away = np.sqrt((axis[:, None, None] - z) ** 2 + (axis[:, None] - y) ** 2 + (axis - x) ** 2)
        field = np.minimum(field, SLOPE * (away - rng.uniform(5, 9)))
    noisy = LEVEL + field + noise(80, sigma, correlation)
    found = topography(noisy, [LEVEL])
    assert (found.components[0], found.euler[0]) == (27, 54)
    if sigma > 0.2:
        assert components(isosurface(noisy, LEVEL, min_area=0.0).faces)[0] > 100


@pytest.mark.parametrize(
    ("sigma", "correlation", "scale", "size", "apart"),
    [(0.1, "white", 14.0, 96, 1), (0.3, "white", 14.0, 96, 2), (0.3, "0.6 voxel", 14.0, 96, 2),
     (0.1, "white", 7.0, 80, 2), (0.3, "white", 7.0, 80, 2), (0.3, "hann", 7.0, 80, 2), (0.3, "0.6 voxel", 7.0, 80, 4)],
)  # fmt: skip
def test_pieces_and_handles_are_those_of_the_true_field(sigma, correlation, scale, size, apart):
    clean = random_front(scale, size)
    levels = np.array([-0.9, 0.0, 0.9]) * clean.std()
    noisy = clean + noise(size, sigma, correlation)
    found = topography(noisy, levels)
    true = [isosurface(clean, level).faces for level in levels]
    pieces = np.abs(found.components - [components(faces)[0] for faces in true]).max()
    assert pieces <= (1 if scale > 7 and correlation == "white" else 2)
    # A neck on the verge of closing is worth 2; 0.3 eV over 0.6 voxel are like white noise of 0.7 eV.
    assert np.abs(found.euler - [euler_characteristic(faces) for faces in true]).max() <= apart
    assert min(components(isosurface(noisy, level, min_area=0.0).faces)[0] for level in levels) > 60


@pytest.mark.parametrize("sigma", [0.0, 0.1])
def test_a_small_nucleus_is_a_piece_and_a_voxel_that_is_far_off_is_none(sigma):
    dip = Shape("dip", lambda z, y, x: 0.9 - 1.2 * np.exp(-(z * z + y * y + x * x) / 18), 36)
    nucleus = LEVEL + dip.field() + noise(36, sigma)
    lone = LEVEL + 0.3 + noise(36, sigma)
    lone[18, 17, 16] -= 20
    found = topography(nucleus, [LEVEL], window=1.6)
    assert found.components[0] == 1
    assert found.area[0] < 4 * np.pi * 2.7**2, "smaller than what is taken for granted"
    assert topography(lone, [LEVEL], window=1.6).components[0] == 0
    assert components(isosurface(smooth_field(lone, 1.6).values + 0.3, 0.0).faces)[0] == 1, "in spite of smoothing"


def test_a_map_of_the_noise_widens_the_windows_where_it_is_strong():
    shape = ball(20)
    field = LEVEL + shape.field() + noise(shape.size, 0.05)
    strong = np.arange(shape.size) < shape.centre
    sigma = np.where(strong[:, None, None], 0.3, 0.05) * np.ones(field.shape)
    field += np.where(strong[:, None, None], noise(shape.size, 0.3, seed=1), 0)
    told = topography(field, [LEVEL], sigma=sigma).surfaces[0]
    upper = told.vertices[:, 0] < shape.centre - 6
    lower = told.vertices[:, 0] > shape.centre + 6
    assert np.median(told.mean_curvature_sigma[upper]) > 3 * np.median(told.mean_curvature_sigma[lower])
    with pytest.raises(ValueError, match="same"):
        topography(field, [LEVEL], sigma=sigma[1:])


def test_no_surface_but_the_front_in_a_noisy_particle_with_cracks_and_voids():
    shape = ball(16, margin=16)
    axis = np.arange(shape.size) - shape.centre
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    particle = (z * z + y * y + x * x < 29**2) & (np.abs(x - 4) > 1.5) & (np.sqrt(z * z + (y - 14) ** 2 + x * x) > 5)
    for sigma in (0.1, 0.3):
        field = np.where(particle, LEVEL + shape.field() + noise(shape.size, sigma), np.nan)
        found = topography(field, [LEVEL]).surfaces[0]
        away = np.abs(np.linalg.norm(found.vertices - shape.centre, axis=1) - 16) > 1.0
        assert found.vertex_area[away].sum() < 0.01 * found.vertex_area.sum()
        expected = 4 * np.pi * 16**2
        assert 0.7 * expected < found.vertex_area.sum() < expected
        flagged = found.near_border
        assert 0.05 < flagged.mean() < 0.6
        assert np.median(np.abs(found.mean_curvature[flagged] * 16 - 1)) < (0.1 if sigma == 0.1 else 0.2)
        flat = np.where(particle, LEVEL + 1.5 + noise(shape.size, sigma), np.nan)
        assert topography(flat, [LEVEL]).area[0] == 0


def test_voxels_that_are_no_cubes_are_refused_with_the_remedy():
    field = LEVEL + ball(5).field()
    with pytest.raises(ValueError, match=r"0\.1 × 0\.05 × 0\.05 µm.*zoom\(field, \[2\.0, 1\.0, 1\.0\]"):
        topography(field, [LEVEL], (0.1, 0.05, 0.05))
    one, three = topography(field, [LEVEL], 0.05), topography(field, [LEVEL], (0.05, 0.05, 0.05))
    np.testing.assert_allclose(one.surfaces[0].mean_curvature, three.surfaces[0].mean_curvature)
    with pytest.raises(ValueError, match="positive length"):
        topography(field, [LEVEL], (0.05, 0.05))


def test_one_voxel_of_thickness_holds_no_surface_and_two_are_enough_for_one():
    field = LEVEL + ball(20).field()
    middle = field.shape[0] // 2
    assert topography(field[middle : middle + 1], [LEVEL]).area[0] == 0
    thin = topography(field[middle : middle + 2], [LEVEL])
    assert thin.area[0] > 0
    assert thin.surfaces[0].near_border.all()
