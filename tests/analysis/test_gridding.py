"""Our non-uniform FFT against the sum that it stands for, and against finufft in double precision."""

from concurrent.futures import ThreadPoolExecutor

import finufft
import numpy as np
import pytest

from redoxscope.analysis.tomography.gridding import Gridding


def points(count, seed=0):
    """Frequencies over the whole square, its borders included, and factors."""
    rng = np.random.default_rng(seed)
    fy, fx = rng.uniform(-0.5, 0.5, (2, count))
    fy[:4], fx[:4] = (-0.5, 0.5, 0.5, 0.0), (0.5, 0.0, 0.5, -1e-18)
    return fy, fx, rng.standard_normal(count) + 1j * rng.standard_normal(count)


def noise(shape, seed=1):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


def apart(found, wanted):
    return np.sqrt(np.mean(np.abs(found - wanted) ** 2) / np.mean(np.abs(wanted) ** 2))


def as_cells(spectra):
    """(4, point) complex → what the transform takes."""
    return np.ascontiguousarray(np.stack([spectra.real, spectra.imag]).transpose(2, 0, 1), dtype=np.float32)


def adjoint(transform, spectra):
    """(4, point) → (4, size, size) complex"""
    out = np.empty((8, transform.size, transform.size), dtype=np.float32)
    transform.adjoint(as_cells(spectra), out)
    return out[0::2] + 1j * out[1::2]


def forward(transform, images, count):
    """(4, size, size) complex → (4, point)"""
    given = np.stack([images.real, images.imag], axis=1).reshape(8, transform.size, transform.size)
    spectra = np.zeros((count, 2, 4), dtype=np.float32)
    transform.forward(np.ascontiguousarray(given, dtype=np.float32), spectra)
    return (spectra[:, 0] + 1j * spectra[:, 1]).T


@pytest.mark.parametrize("size", [1, 7, 16])
def test_equals_the_sum_that_it_stands_for(size):
    fy, fx, factor = points(40)
    grid = np.arange(size) - size // 2
    waves = np.exp(2j * np.pi * (fy[:, None, None] * grid[:, None] + fx[:, None, None] * grid))
    spectra, images = noise((4, 40)), noise((4, size, size))
    transform = Gridding(fy, fx, size, factor)
    assert apart(adjoint(transform, spectra), np.einsum("ip,p,pyx->iyx", spectra, factor, waves)) < 1e-3
    wanted = np.einsum("iyx,pyx->ip", images, waves.conj()) * factor.conj()
    assert apart(forward(transform, images, 40), wanted) < 1e-3


@pytest.mark.parametrize("size", [63, 128])
def test_is_within_half_a_thousandth_of_finufft_and_better_in_the_circle(size):
    fy, fx, factor = points(20_000)
    y, x = 2 * np.pi * fy, 2 * np.pi * fx
    spectra, images = noise((4, fy.size)), noise((4, size, size))
    transform = Gridding(fy, fx, size, factor)
    found, seen = adjoint(transform, spectra), forward(transform, images, fy.size)
    axis = np.arange(size) - (size - 1) / 2
    circle = np.hypot(axis[:, None], axis) < size / 2
    for i in range(4):
        exact = finufft.nufft2d1(y, x, spectra[i] * factor, (size, size), eps=1e-9, isign=1)
        assert apart(found[i][circle], exact[circle]) < 2.5e-4
        assert apart(found[i], exact) < 4e-4
        exact = finufft.nufft2d2(y, x, images[i].astype(np.complex128), eps=1e-9, isign=-1) * factor.conj()
        assert apart(seen[i], exact) < 4e-4


def test_points_of_no_weight_are_left_as_they_are():
    fy, fx, factor = points(50)
    factor[7:9] = 0
    spectra = np.full((50, 2, 4), 3.0, dtype=np.float32)
    Gridding(fy, fx, 20, factor).forward(np.ones((8, 20, 20), dtype=np.float32), spectra)
    np.testing.assert_array_equal(spectra[7:9], 3)


def test_threads_share_a_transform():
    fy, fx, factor = points(5000)
    transform = Gridding(fy, fx, 48, factor)
    spectra = [noise((4, 5000), seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda given: adjoint(transform, given), spectra))
    for given, found in zip(spectra, together, strict=True):
        np.testing.assert_array_equal(found, adjoint(transform, given))
