"""The front line of noisy maps against circles that are known exactly."""

import numpy as np
import pytest

from redoxscope.analysis.front import FrontWindow, front_length, front_lines
from redoxscope.analysis.front_line import FrontField, front_field, median_speed

WINDOW = FrontWindow(8341.0, 0.1)


def disc(radius=30.0, slope=0.2, n=121, centre=(0.0, 0.0)):
    """A grain reduced from its middle, 2 eV below the front energy at most, and above."""
    y, x = np.mgrid[:n, :n] - (n - 1) / 2
    return 8341.0 + np.clip(slope * (np.hypot(y - centre[0], x - centre[1]) - radius), -2.0, 2.0)


def noisy(energy, noise, seed=0):
    return energy + noise * np.random.default_rng(seed).standard_normal(energy.shape)


def drawn(energy, noise):
    field = front_field(energy, np.full(energy.shape, noise), WINDOW)
    return field, front_lines(field.energy, WINDOW)


@pytest.mark.parametrize("noise", [0.05, 0.1, 0.3])
@pytest.mark.parametrize("slope", [0.2, 0.5])
@pytest.mark.parametrize("radius", [8.0, 15.0, 40.0])
def test_noise_makes_no_front_longer_and_no_speck_a_piece(radius, slope, noise):
    lengths = []
    for seed in range(4):
        _, lines = drawn(noisy(disc(radius, slope), noise, seed), noise)
        assert len(lines) == 1
        lengths.append(front_length(lines, 0.04))
    assert np.mean(lengths) == pytest.approx(2 * np.pi * radius * 0.04, rel=0.02)


def test_the_map_itself_would_give_twice_the_length_and_specks():
    """What the smoothing is for."""
    lines = front_lines(noisy(disc(), 0.3), WINDOW)
    assert front_length(lines, 1.0) > 2 * 2 * np.pi * 30
    assert len(lines) > 20


def test_the_smoothing_is_as_narrow_as_the_noise_allows():
    widths = [drawn(noisy(disc(), noise), noise)[0].width for noise in (0.01, 0.05, 0.1, 0.3)]
    assert widths == sorted(widths)
    assert widths[0] == pytest.approx(0.7)
    assert widths[3] < 2.5
    exact, _ = drawn(disc(6.0, 0.5), 1e-3)
    (line,) = front_lines(exact.energy, WINDOW)
    np.testing.assert_allclose(np.hypot(*(line - 60).T), 6.0, atol=0.05)


def test_two_fronts_are_two_pieces_and_a_sea_near_the_front_energy_has_none():
    both = np.minimum(disc(15, centre=(-28, 0)), disc(12, centre=(28, 5)))
    _, lines = drawn(noisy(both, 0.3), 0.3)
    assert len(lines) == 2
    assert front_length(lines, 1.0) == pytest.approx(2 * np.pi * 27, rel=0.03)
    # The parent phase is one standard deviation above the front energy.
    sea = np.minimum(disc(20, slope=0.3), 8341.3)
    found = noisy(sea, 0.3)
    assert len(front_lines(found, WINDOW)) > 200
    _, lines = drawn(found, 0.3)
    assert len(lines) == 1
    assert front_length(lines, 1.0) == pytest.approx(2 * np.pi * 20, rel=0.15)


def test_missing_pixels_do_not_cut_the_line_and_the_border_is_none():
    rng = np.random.default_rng(1)
    energy = noisy(disc(), 0.1)
    energy[rng.random(energy.shape) < 0.02] = np.nan
    assert len(front_lines(energy, WINDOW)) > 3
    _, lines = drawn(energy, 0.1)
    assert len(lines) == 1
    assert front_length(lines, 1.0) == pytest.approx(2 * np.pi * 30, rel=0.02)
    particle = np.full((60, 60), np.nan)
    particle[10:50, 10:50] = noisy(np.full((40, 40), 8343.0), 0.3)
    assert drawn(particle, 0.3)[1] == []
    particle[10:50, 10:30] -= 4.0
    _, lines = drawn(particle, 0.3)
    assert len(lines) == 1
    assert front_length(lines, 1.0) == pytest.approx(39, abs=2)
    specks = np.full((60, 60), np.nan)
    specks[::6, ::6] = 8340.0
    specks[::6, 1::6] = 8342.0
    assert drawn(specks, 0.1)[1] == []


@pytest.mark.parametrize("sigma", [np.nan, 0.0])
def test_without_a_sigma_the_scatter_of_the_map_takes_its_place(sigma):
    energy = noisy(disc(), 0.2)
    field = front_field(energy, np.full(energy.shape, sigma), WINDOW)
    lines = front_lines(field.energy, WINDOW)
    assert len(lines) == 1
    assert front_length(lines, 1.0) == pytest.approx(2 * np.pi * 30, rel=0.03)


@pytest.mark.parametrize("energy", [np.nan, 8343.0, 8341.0, 8339.0])
def test_a_map_without_a_front_has_no_line(energy):
    field, lines = drawn(noisy(np.full((40, 40), energy), 0.1), 0.1)
    assert lines == []
    speed = median_speed(field, field, WINDOW, 60.0)
    assert np.isnan([speed.median, speed.sigma]).all()


def test_the_sigma_of_the_smoothed_map_is_its_scatter():
    fields = [drawn(noisy(disc(), 0.3, seed), 0.3)[0] for seed in range(60)]
    scatter = np.std([field.energy for field in fields], axis=0)
    told = np.mean([field.sigma for field in fields], axis=0)
    ring = np.abs(disc() - 8341.0) < 1.0
    assert np.median(scatter[ring] / told[ring]) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("growth", [-3.0, 0.0, 0.5, 2.0, 6.0])
@pytest.mark.parametrize("noise", [0.05, 0.3])
def test_the_speed_of_a_growing_circle_and_its_error(growth, noise):
    found = []
    for seed in range(24):
        maps = [drawn(noisy(disc(r), noise, 2 * seed + i), noise)[0] for i, r in enumerate((30.0, 30.0 + growth))]
        speed = median_speed(maps[0], maps[1], WINDOW, 600.0)
        found.append((speed.median * 600.0, speed.sigma * 600.0))
    median, sigma = np.array(found).T
    assert np.mean(median) == pytest.approx(growth, abs=0.03 + 0.01 * abs(growth))
    pulls = (median - growth) / sigma
    assert 0.7 < np.std(pulls) < 1.35
    assert sigma.max() < 0.25


def test_a_speed_needs_one_grid_and_time():
    field, other = (FrontField(disc(n=n), np.ones((n, n)), 1.0) for n in (121, 61))
    with pytest.raises(ValueError, match="one grid"):
        median_speed(field, other, WINDOW, 60.0)
    with pytest.raises(ValueError, match="positive"):
        median_speed(field, field, WINDOW, 0.0)
