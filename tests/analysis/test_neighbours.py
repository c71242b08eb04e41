"""A pixel and its neighbours: less error where a map is noisy, nothing moved where it is not."""

import itertools

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from redoxscope.analysis.neighbours import with_neighbours
from redoxscope.analysis.resample import resample

SIZE = 200
AGREEMENT = 0.25
"""eV that neighbours are at least taken to differ by."""


def noise(rng, shape=(SIZE, SIZE), frames=16):
    """Standard normal, and alike in pixels side by side as it is after frames have been moved by parts of a pixel."""
    total, variance = np.zeros(shape), np.zeros(shape)
    for _ in range(frames):
        moved, y, x = resample(np.float32(rng.standard_normal(shape)), 1.0, tuple(rng.uniform(-0.5, 0.5, 2)))
        there = np.isfinite(moved)
        total[there] += moved[there]
        variance[there] += (y[:, None] * x)[there]
    return total / np.sqrt(np.maximum(variance, 1e-9))


def front(kind):
    """(y, x) edge energies in eV of a particle that reacts from the left, and where it is."""
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE / 2
    rng = np.random.default_rng(5)
    wandering = 12 * gaussian_filter(rng.standard_normal((SIZE, SIZE)), 12) * 24
    width = {"wide": 25.0, "narrow": 3.0, "sharp": 0.1}[kind]
    return 8341 + 1.3 * np.tanh((x + wandering) / width), np.hypot(y, x) < 0.45 * SIZE


def pull_width(pull):
    return np.median(np.abs(pull)) / 0.6745


@pytest.mark.parametrize("kind", ["wide", "narrow", "sharp"])
@pytest.mark.parametrize("typical", [0.1, 0.3, 1.0])
def test_the_error_becomes_smaller_and_sigma_says_how_small(kind, typical):
    truth, inside = front(kind)
    rng = np.random.default_rng(1)
    sigma = typical * np.exp(gaussian_filter(rng.standard_normal(truth.shape), 4) * 8)
    given = np.where(inside, truth + sigma * noise(rng), np.nan)
    found = with_neighbours(given, sigma)
    before, after = (np.abs(energy - truth)[inside] for energy in (given, found.edge_energy))
    gain = {0.1: 1.1, 0.3: 1.5, 1.0: 1.8}[typical]
    for part in (50, 95):
        assert np.percentile(after, part) * gain < np.percentile(before, part)
    pull = ((found.edge_energy - truth) / found.sigma)[inside]
    assert 0.9 < pull_width(pull) < 1.1
    assert np.isnan(found.edge_energy[~inside]).all()


def test_noise_sigma_is_the_scatter_of_repetitions():
    truth, _ = front("narrow")
    sigma = 0.4
    rng = np.random.default_rng(2)
    maps = [with_neighbours(truth + sigma * noise(rng), np.full(truth.shape, sigma)) for _ in range(40)]
    inner = np.s_[2:-2, 2:-2]
    scatter = np.std([m.edge_energy[inner] for m in maps], axis=0, ddof=1)
    said = np.mean([m.noise_sigma[inner] for m in maps], axis=0)
    assert np.median(scatter) == pytest.approx(np.median(said), rel=0.1)
    assert np.median(said) < 0.7 * sigma


def test_a_sharp_front_is_not_blurred():
    truth = np.where(np.arange(SIZE) < SIZE // 2, 8340.0, 8342.5) * np.ones((SIZE, 1))
    rng = np.random.default_rng(3)
    found = with_neighbours(truth + 0.1 * noise(rng), np.full(truth.shape, 0.1))
    beside = found.edge_energy[:, SIZE // 2 - 1 : SIZE // 2 + 1] - truth[:, SIZE // 2 - 1 : SIZE // 2 + 1]
    assert np.abs(beside.mean(axis=0)).max() < 0.05


@pytest.mark.parametrize("share", [0.01, 0.05])
def test_single_pixels_of_another_phase_keep_their_edge_energy(share):
    rng = np.random.default_rng(4)
    foreign = rng.random((SIZE, SIZE)) < share
    truth = np.where(foreign, 8343.0, 8340.5)
    found = with_neighbours(truth + 0.1 * noise(rng), np.full(truth.shape, 0.1))
    assert abs((found.edge_energy - truth)[foreign].mean()) < 0.02


def test_what_pixels_have_in_common_is_neither_averaged_nor_forgotten():
    rng = np.random.default_rng(6)
    own, common = 0.5, 0.3
    found = with_neighbours(8341 + own * noise(rng), *(np.full((SIZE, SIZE), s) for s in (np.hypot(own, common), own)))
    assert np.median(found.noise_sigma) < 0.7 * own
    rest = np.sqrt(found.sigma**2 - found.noise_sigma**2)
    assert np.median(rest) == pytest.approx(common, rel=0.1)


def test_pixels_without_neighbours_and_exact_ones_are_left_as_they_are():
    alone = np.full((9, 9), np.nan)
    alone[::3, ::3] = 8341.25
    found = with_neighbours(alone, np.full((9, 9), 0.5))
    np.testing.assert_array_equal(found.edge_energy, np.float32(alone))
    assert (found.sigma[::3, ::3] == np.float32(0.5)).all()
    field = 8341 + np.random.default_rng(9).standard_normal((9, 9))
    unsure = np.full((9, 9), 0.5)
    unsure[4, 4] = np.inf
    found = with_neighbours(field, unsure)
    assert found.edge_energy[4, 4] == np.float32(field[4, 4])
    assert np.isfinite(np.delete(found.sigma.ravel(), 40)).all()
    exact = 8341 + np.random.default_rng(7).random((9, 9))
    np.testing.assert_allclose(with_neighbours(exact, np.zeros((9, 9))).edge_energy, exact, atol=1e-3)
    assert np.isnan(with_neighbours(*np.full((2, 4, 4), np.nan)).edge_energy).all()
    assert with_neighbours(*np.zeros((2, 0, 4))).edge_energy.shape == (0, 4)


@pytest.mark.parametrize("shapes", [((5,), (5,)), ((4, 5), (5, 4)), ((4, 5), (4, 5), (4,))])
def test_shapes_that_are_none_of_an_image_are_refused(shapes):
    with pytest.raises(ValueError, match=r"\(y, x\)"):
        with_neighbours(*(np.zeros(shape) for shape in shapes))


@pytest.mark.parametrize("shape", [(1, 300), (300, 1), (2, 2), (33, 700), (700, 33)])
def test_pixels_lie_between_themselves_and_their_neighbours(shape):
    """At borders, in small images, and where the rows that are done at a time meet."""
    rng = np.random.default_rng(8)
    sigma = rng.uniform(0.05, 0.8, shape).astype(np.float32)
    energy = np.where(rng.random(shape) < 0.9, 8341 + sigma * rng.standard_normal(shape), np.nan)
    found = with_neighbours(energy, sigma)
    there = np.pad(np.isfinite(energy), 1)
    near = np.stack([np.roll(there, by, axis=(0, 1)) for by in itertools.product((-1, 0, 1), repeat=2) if any(by)])
    weight = np.pad(np.where(np.isfinite(energy), 1 / (sigma**2 + AGREEMENT**2), 0.0), 1)
    offset = np.pad(np.nan_to_num(energy - 8341), 1) * weight
    total, mean = (
        sum(np.roll(a, by, axis=(0, 1)) for by in itertools.product((-1, 0, 1), repeat=2) if any(by))[1:-1, 1:-1]
        for a in (weight, offset)
    )
    known = np.isfinite(energy) & near.any(axis=0)[1:-1, 1:-1]
    difference = (energy - 8341 - mean / np.where(known, total, 1))[known]
    moved = (energy - found.edge_energy)[known] * np.sign(difference)
    # To float32's steps at 8341.
    assert ((moved > -0.002) & (moved < np.abs(difference) + 0.002)).all()
    np.testing.assert_array_equal(found.edge_energy[~known], np.float32(energy[~known]))
    assert np.isfinite(found.sigma[np.isfinite(energy)]).all()
