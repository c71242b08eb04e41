import numpy as np
import pytest
from scipy.ndimage import affine_transform, gaussian_filter

from redoxscope.analysis.resample import bridge, resample


@pytest.fixture(scope="module")
def image():
    return gaussian_filter(np.random.default_rng(0).standard_normal((70, 83)), 3).astype(np.float32)


@pytest.mark.parametrize("scale", [1.0, 1.03, 0.97])
@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.4, -1.3), (-6.2, 3.5)])
def test_the_same_as_a_spline_of_scipy(image, scale, shift):
    centre = (np.array(image.shape) - 1) / 2
    expected = affine_transform(image, [scale, scale], centre - scale * centre + shift, order=3, cval=np.nan)
    found, noise_y, noise_x = resample(image, scale, shift)
    inside = np.isfinite(found)
    source = [c + scale * (np.arange(n) - c) + s for n, c, s in zip(image.shape, centre, shift, strict=True)]
    seen = [(p >= 0) & (p <= n - 1) for p, n in zip(source, image.shape, strict=True)]
    np.testing.assert_array_equal(inside, np.outer(*seen))
    np.testing.assert_array_equal(np.isfinite(np.outer(noise_y, noise_x)), inside)
    core = found[8:-8, 8:-8] - expected[8:-8, 8:-8]
    assert np.nanstd(core) < 0.02 * image.std()


def test_nothing_to_do_changes_nothing(image):
    np.testing.assert_array_equal(resample(image, 1.0, (0.0, 0.0))[0], image)


def test_whole_pixels_are_copied(image):
    np.testing.assert_allclose(resample(image, 1.0, (3.0, -2.0))[0][:-3, 2:], image[3:, :-2], atol=1e-6)


def test_the_noise_is_damped_as_it_says():
    noise = np.random.default_rng(1).standard_normal((400, 300)).astype(np.float32)
    found, noise_y, noise_x = resample(noise, 1.02, (0.3, 0.45))
    pull = found / np.sqrt(np.outer(noise_y, noise_x))
    assert np.nanstd(pull) == pytest.approx(1, abs=0.02)
    rows = np.nanstd(pull[np.isfinite(pull).any(axis=1)], axis=1)
    assert rows.min() > 0.75, "everywhere, not on average only"


def test_missing_pixels_stay_missing_and_spoil_no_neighbour(image):
    holed = image.copy()
    holed[20, 30] = holed[40:43, 50] = np.nan
    found, *_ = resample(holed, 1.0, (0.0, 0.0))
    np.testing.assert_array_equal(np.isnan(found), np.isnan(holed))
    moved, *_ = resample(holed, 1.0, (0.4, 0.4))
    whole, *_ = resample(image, 1.0, (0.4, 0.4))
    assert np.isnan(moved[:-1, :-1]).sum() == 4
    assert np.nanmax(np.abs(moved - whole)) < 0.2 * image.std()
    assert np.isnan(resample(np.full((9, 9), np.nan), 1.0, (0.2, 0.0))[0]).all()


def test_bridge():
    ramp = np.add.outer(np.arange(9.0), np.arange(9.0)).astype(np.float32)
    holed = ramp.copy()
    holed[4, 4] = np.nan
    np.testing.assert_allclose(bridge(holed), ramp)
    assert np.isnan(holed[4, 4]), "a copy"
    holed[:, :8] = np.nan
    assert np.isfinite(bridge(holed)).all()
    np.testing.assert_array_equal(bridge(holed)[:, :5], np.repeat(ramp[:, 8:], 5, axis=1), "the nearest, deep inside")
    np.testing.assert_array_equal(bridge(np.full((3, 3), np.nan, dtype=np.float32)), 0)
