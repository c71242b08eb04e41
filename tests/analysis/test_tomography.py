"""Reconstruction, rotation axis and drift against planted answers and scikit-image."""

import numpy as np
import pytest
from scipy import ndimage
from skimage.transform import iradon

from redoxscope.analysis.alignment.rotation_axis import rotation_axis
from redoxscope.analysis.alignment.row_warp import warp
from redoxscope.analysis.tomography.angles import angle_weights
from redoxscope.analysis.tomography.filtering import FILTERS
from redoxscope.analysis.tomography.reconstruction import fill_missing, reconstruct

WIDTH = 64
# Three balls (z, y, x, radius) around the axis: an object without symmetry.
BALLS = ((-4.0, -8.0, 5.0, 9.0), (5.0, 7.0, 8.0, 6.0), (2.0, 2.0, -10.0, 7.0))


def disk(angles, offset=0.0, x=5.0, y=-7.0, radius=12.0, width=WIDTH):
    """(angle, 1, col) exact line integrals through a disk of density 1, averaged over the pixels' width."""
    theta = np.deg2rad(angles)[:, None, None]
    u = np.arange(width)[:, None] + (np.arange(16) - 7.5) / 16 - (width - 1) / 2 - offset
    chord = 2 * np.sqrt(np.maximum(radius**2 - (u - x * np.cos(theta) - y * np.sin(theta)) ** 2, 0))
    return chord.mean(axis=2)[:, None, :].astype(np.float32)


def balls(angles, offset=0.0, weights=(1.0, 1.0, 1.0), rows=40, shift=(0.0, 0.0), jitter=None):
    """(angle, row, col) line integrals through the balls."""
    theta = np.deg2rad(angles)[:, None, None]
    move = np.zeros(len(angles)) if jitter is None else jitter
    v = np.arange(rows)[None, :, None] - (rows - 1) / 2 - shift[0]
    u = np.arange(WIDTH)[None, None, :] - (WIDTH - 1) / 2 - offset - shift[1] - move[:, None, None]
    total = np.zeros((len(angles), rows, WIDTH), dtype=np.float32)
    for (z, y, x, radius), weight in zip(BALLS, weights, strict=True):
        square = radius**2 - (v - z) ** 2 - (u - x * np.cos(theta) - y * np.sin(theta)) ** 2
        total += weight * 2 * np.sqrt(np.maximum(square, 0))
    return total


def inside(x=5.0, y=-7.0, radius=10.0, n=WIDTH):
    a = np.arange(n) - (n - 1) / 2
    return np.hypot(a[None, :] - x, a[:, None] - y) < radius


@pytest.mark.parametrize("offset", [0.0, 2.3, -7.5])
@pytest.mark.parametrize("size", [64, 65])
def test_a_disk_comes_out_at_its_place_with_its_density(offset, size):
    angles = np.arange(0, 180, 2.0)
    volume = reconstruct(disk(angles, offset), angles, offset, size=size)[0]
    assert volume.shape == (size, size)
    assert volume.dtype == np.float32
    assert volume[inside(n=size)].mean() == pytest.approx(1.0, abs=0.003)
    far = ~inside(radius=15.0, n=size) & inside(0, 0, 28, n=size)
    assert volume[far].mean() == pytest.approx(0.0, abs=0.003), "no bias at zero frequency"


@pytest.mark.parametrize("name", ["ramp", "hann", "cosine"])
def test_agrees_with_scikit_image(name):
    angles = np.arange(0, 180, 2.0)
    projections = disk(angles, width=65)
    ours = reconstruct(projections, angles, filter_name=name)[0]
    # iradon's sinograms are (col, angle), its y axis points up, its centre is W // 2.
    theirs = iradon(projections[:, 0].T, theta=-angles, filter_name=name, interpolation="cubic")
    circle = inside(0, 0, 30, n=65)
    assert np.sqrt(np.mean((ours - theirs)[circle] ** 2)) < 0.02
    assert ours[inside(n=65)].mean() == pytest.approx(theirs[inside(n=65)].mean(), abs=0.005)


def test_many_sets_and_an_odd_number_of_rows_share_one_plan():
    rng = np.random.default_rng(1)
    angles = np.arange(0, 180, 6.0)
    projections = rng.standard_normal((2, 3, len(angles), 5, 32)).astype(np.float32)
    volumes = reconstruct(projections, angles, 1.0)
    assert volumes.shape == (2, 3, 5, 32, 32)
    alone = reconstruct(projections[1, 2][:, 4:5], angles, 1.0)[0]
    np.testing.assert_allclose(volumes[1, 2, 4], alone, atol=1e-3)


def test_angles_in_any_order_repeated_missing_or_over_a_full_turn():
    angles = np.arange(0, 180, 2.0)
    clean = reconstruct(disk(angles, 1.5), angles, 1.5)[0]
    rng = np.random.default_rng(0)
    full = np.arange(0, 360, 4.0)
    for some in (rng.permutation(angles), np.append(angles, 180.0), np.append(angles, angles[:5]), full):
        other = reconstruct(disk(some, 1.5), some, 1.5)[0]
        assert np.abs(other - clean)[inside(0, 0, 28)].mean() < 0.01
    gaps = np.delete(angles, [3, 40, 41, 77])
    holes = reconstruct(disk(gaps, 1.5), gaps, 1.5)[0]
    assert holes[inside()].mean() == pytest.approx(1.0, abs=0.01)


def test_angle_weights_are_the_measure_of_half_a_turn():
    assert angle_weights(np.arange(0, 180, 3.0)).sum() == pytest.approx(np.pi)
    closed = angle_weights([0, 45, 90, 135, 180])
    np.testing.assert_allclose(closed, np.deg2rad([22.5, 45, 45, 45, 22.5]))


def test_missing_pixels_and_frames_are_filled_from_their_neighbours():
    frames = np.add.outer(np.arange(3.0), np.add.outer(np.arange(8.0), np.arange(9.0)))
    given = frames.copy()
    given[0, 3, 4] = given[2, 5:7, 5:7] = np.nan
    given[1] = np.nan
    filled = fill_missing(given)
    assert filled[0, 3, 4] == pytest.approx(frames[0, 3, 4], abs=1e-4)
    np.testing.assert_allclose(filled[1], frames[1], atol=0.51)
    assert np.isfinite(filled).all()
    assert fill_missing(frames) is frames
    assert (fill_missing(np.full((2, 4, 4), np.nan)) == 0).all()


def test_unusable_input_is_named():
    with pytest.raises(ValueError, match="3 angles"):
        reconstruct(np.zeros((4, 2, 8)), [0, 1, 2])
    with pytest.raises(ValueError, match=FILTERS[0]):
        reconstruct(np.zeros((2, 2, 8)), [0, 90], filter_name="boxcar")
    with pytest.raises(ValueError, match="at least 3"):
        rotation_axis(np.ones((2, 4, 8)), [0, 90])
    with pytest.raises(ValueError, match="no absorbance"):
        rotation_axis(np.zeros((5, 4, 8)), np.arange(5))


@pytest.mark.parametrize("offset", [-9.0, -2.3, 0.0, 0.4, 6.1])
@pytest.mark.parametrize("angles", [np.arange(0, 181, 2.0), np.arange(0, 180, 4.0), np.arange(0, 360, 3.0)])
def test_the_axis_is_found_to_a_tenth_of_a_pixel(offset, angles):
    rng = np.random.default_rng(5)
    projections = balls(angles, offset)
    projections += rng.normal(0, 0.02 * projections.max(), projections.shape)
    found, quality = rotation_axis(projections, angles)
    assert found == pytest.approx(offset, abs=0.08)
    assert quality > 0.9


def test_the_axis_withstands_jitter():
    angles = np.arange(0, 181, 2.0)
    jitter = np.random.default_rng(2).normal(0, 0.5, angles.size)
    assert rotation_axis(balls(angles, 3.0, jitter=jitter), angles)[0] == pytest.approx(3.0, abs=0.15)


def test_an_object_wider_than_the_view_is_measured_by_its_mirror_image():
    angles = np.arange(0, 181, 2.0)
    found, quality = rotation_axis(balls(angles, 2.5)[:, :, 18:46], angles)
    assert found == pytest.approx(2.5, abs=0.1)
    assert quality > 0.9


def test_a_warp_undoes_shift_and_magnification():
    angles = np.arange(0, 180, 30.0)
    still = ndimage.gaussian_filter(balls(angles), (0, 1.5, 1.5))
    moved = ndimage.gaussian_filter(balls(angles, shift=(1.3, -2.6)), (0, 1.5, 1.5))
    back = warp(moved, np.array([1.3, -2.6]))
    assert np.abs(back - still)[:, 5:-5, 5:-5].max() < 0.02 * still.max()
    small, large = np.array([[0.0, 0.0]]), 1.02
    y, x = np.meshgrid(np.arange(40) - 19.5, np.arange(64) - 31.5, indexing="ij")
    spot = lambda scale: np.exp(-((y / scale - 8) ** 2 + (x / scale + 20) ** 2) / 20)[None].astype(np.float32)  # noqa: E731
    assert np.abs(warp(spot(large), small[0], large) - spot(1.0)).max() < 0.01
