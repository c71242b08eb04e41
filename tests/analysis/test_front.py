import numpy as np
import pytest

from redoxscope.analysis.front import (
    FrontWindow,
    front_components,
    front_length,
    front_lines,
    front_mask,
    front_probability,
    front_speed,
)

WINDOW = FrontWindow(8341.0, 0.1)


def disc(n=101, radius=30.0, slope=0.05):
    """A grain reduced from its middle: the front is a circle."""
    y, x = np.mgrid[:n, :n] - (n - 1) / 2
    return 8341.0 + slope * (np.hypot(y, x) - radius)


def test_mask_has_its_ends_and_leaves_out_unknown_pixels():
    energies = np.array([8340.85, 8340.95, 8341.0, 8341.05, 8341.15, np.nan])
    np.testing.assert_array_equal(front_mask(energies, WINDOW), [0, 1, 1, 1, 0, 0])
    ends = np.array([8340.5, 8341.5])
    np.testing.assert_array_equal(front_mask(ends, FrontWindow(8341.0, 0.5)), [1, 1])


def test_the_area_of_a_circular_front():
    mask = front_mask(disc(), WINDOW)
    assert mask.sum() == pytest.approx(np.pi * (32**2 - 28**2), rel=0.03)
    assert front_components(mask) == 1
    assert front_components(np.eye(4, dtype=np.uint8)) == 1
    assert front_components(np.diag([1, 0, 1, 0])) == 2


def test_a_steep_front_is_one_line_and_a_mask_of_many_pieces():
    steep = disc(radius=40.0, slope=0.5)
    assert front_components(front_mask(steep, WINDOW)) > 40
    assert len(front_lines(steep, WINDOW)) == 1


def test_the_length_of_a_circular_front():
    lines = front_lines(disc(), WINDOW)
    assert len(lines) == 1
    assert front_length(lines, 0.04) == pytest.approx(2 * np.pi * 30 * 0.04, rel=0.005)
    np.testing.assert_allclose(np.hypot(*(lines[0] - 50).T), 30, atol=0.02)
    assert front_length([], 0.04) == 0


def test_there_is_no_front_along_the_border_of_the_particle():
    energies = np.full((40, 40), np.nan)
    energies[10:30, 10:30] = 8343.0
    assert front_lines(energies, WINDOW) == []
    energies[10:30, 10:20] = 8339.0
    lines = front_lines(energies, WINDOW)
    assert front_length(lines, 1.0) == pytest.approx(19)


def test_probability_is_the_frequency_with_which_it_is_true():
    rng = np.random.default_rng(0)
    sigma = np.full(200_000, 0.15)
    truth = rng.uniform(8339, 8343, sigma.size)
    probability = front_probability(truth + sigma * rng.standard_normal(sigma.size), sigma, WINDOW)
    assert probability.dtype == np.float32
    for low, high in ((0.05, 0.2), (0.2, 0.4), (0.4, 0.5)):
        pick = (probability > low) & (probability < high)
        assert front_mask(truth[pick], WINDOW).mean() == pytest.approx(probability[pick].mean(), abs=0.03)
    assert np.isnan(front_probability(np.array([np.nan, 8341.0]), np.array([0.1, np.nan]), WINDOW)).all()
    certain = front_probability(np.array([8341.0, 8342.0]), np.array([0.0, 0.0]), WINDOW)
    np.testing.assert_array_equal(certain, [1, 0])


@pytest.mark.parametrize("growth", [-6.0, -1.0, 0.0, 0.5, 3.0, 8.0])
def test_the_speed_of_an_expanding_circle(growth):
    motion = front_speed(disc(), disc(radius=30 + growth), WINDOW, interval=600.0, pixel_size=0.04)
    assert len(motion.points) > 180
    np.testing.assert_allclose(motion.speed, growth * 0.04 / 600, atol=0.02 * 0.04 / 600)
    outwards = (motion.points - 50) / np.hypot(*(motion.points - 50).T)[:, None]
    assert (motion.normal * outwards).sum(axis=1).min() > 0.999


def test_the_speed_with_noise_and_a_border():
    rng = np.random.default_rng(0)
    maps = [disc(radius=r) + 0.03 * rng.standard_normal((101, 101)) for r in (30, 33)]
    for energies in maps:
        energies[:, 65:] = np.nan  # the particle ends here, and the front with it
    motion = front_speed(*maps, WINDOW, interval=10.0, pixel_size=1.0)
    assert np.isfinite(motion.speed).mean() > 0.9
    assert np.nanmedian(motion.speed) == pytest.approx(0.3, rel=0.1)


def test_a_front_that_is_gone_has_no_speed():
    gone = front_speed(disc(), np.full((101, 101), 8339.0), WINDOW, interval=10.0, pixel_size=0.04)
    assert np.isnan(gone.speed).all()
    assert len(gone.speed) == len(gone.points) > 0
    none = front_speed(np.full((9, 9), np.nan), np.full((9, 9), 8341.0), WINDOW, interval=1.0, pixel_size=1.0)
    assert none.speed.shape == (0,)
    with pytest.raises(ValueError, match="one grid"):
        front_speed(disc(), disc(51), WINDOW, interval=1.0, pixel_size=1.0)
    with pytest.raises(ValueError, match="positive"):
        front_speed(disc(), disc(), WINDOW, interval=0.0, pixel_size=1.0)
