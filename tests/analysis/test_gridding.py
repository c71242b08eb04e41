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


@pytest.mark.parametrize("size", [1, 7, 16])
def test_equals_the_sum_that_it_stands_for(size):
    fy, fx, factor = points(40)
    grid = np.arange(size) - size // 2
    waves = np.exp(2j * np.pi * (fy[:, None, None] * grid[:, None] + fx[:, None, None] * grid))
    spectra = noise((2, 40))
    out = np.empty((4, size, size), dtype=np.float32)
    transform = Gridding(fy, fx, size, factor)
    transform.adjoint(spectra, out)
    assert apart(out[0::2] + 1j * out[1::2], np.einsum("ip,p,pyx->iyx", spectra, factor, waves)) < 1e-4
    images = noise((4, size, size)).real.copy()
    wanted = np.einsum("iyx,pyx->ip", images[0::2] + 1j * images[1::2], waves.conj()) * factor.conj()
    assert apart(transform.forward(images), wanted) < 1e-4


@pytest.mark.parametrize("size", [63, 128])
def test_is_within_a_fiftieth_of_a_thousandth_of_finufft(size):
    fy, fx, factor = points(20_000)
    y, x = 2 * np.pi * fy, 2 * np.pi * fx
    spectra = noise((3, fy.size))
    out = np.empty((6, size, size), dtype=np.float32)
    transform = Gridding(fy, fx, size, factor)
    transform.adjoint(spectra, out)
    images = noise((6, size, size)).real.copy()
    seen = transform.forward(images)
    for i in range(3):
        exact = finufft.nufft2d1(y, x, spectra[i] * factor, (size, size), eps=1e-9, isign=1)
        assert apart(out[2 * i] + 1j * out[2 * i + 1], exact) < 5e-5
        pair = (images[2 * i] + 1j * images[2 * i + 1]).astype(np.complex128)
        assert apart(seen[i], finufft.nufft2d2(y, x, pair, eps=1e-9, isign=-1) * factor.conj()) < 5e-5


def test_an_odd_image_out_has_no_companion():
    fy, fx, factor = points(500)
    transform = Gridding(fy, fx, 20, factor)
    spectra = noise((2, 500))
    whole, part = (np.empty((n, 20, 20), dtype=np.float32) for n in (4, 3))
    transform.adjoint(spectra, whole)
    transform.adjoint(spectra, part)
    np.testing.assert_array_equal(part, whole[:3])


def test_threads_share_a_transform():
    fy, fx, factor = points(5000)
    transform = Gridding(fy, fx, 48, factor)
    spectra = [noise((2, 5000), seed) for seed in range(8)]

    def adjoint(given):
        out = np.empty((4, 48, 48), dtype=np.float32)
        transform.adjoint(given, out)
        return out

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(adjoint, spectra))
    for given, found in zip(spectra, together, strict=True):
        np.testing.assert_array_equal(found, adjoint(given))
