"""Our FFT of sixteen lines at a time against numpy's in double precision."""

import numpy as np
import pytest

from redoxscope.analysis.tomography.fourier import fourier_plan, good_length, transform


@pytest.mark.parametrize("length", [16, 20, 36, 60, 96, 100, 108, 324, 640, 720, 1000, 1024, 2560])
def test_equals_numpys(length):
    rng = np.random.default_rng(0)
    lines = rng.standard_normal((length, 2, 16)).astype(np.float32)
    wanted = np.fft.fft(lines[:, 0].astype(np.float64) + 1j * lines[:, 1], axis=0)
    found = transform(lines.ravel(), np.empty(lines.size, dtype=np.float32), *fourier_plan(length))
    found = found.reshape(lines.shape)
    np.testing.assert_allclose(found[:, 0] + 1j * found[:, 1], wanted, atol=1e-6 * np.abs(wanted).max())


def test_good_lengths_are_close_and_possible():
    for least in (1, 17, 119, 513, 641, 1025, 1281, 2561, 5121):
        length = good_length(least)
        assert max(least, 16) <= length <= max(1.15 * least, 20)
        fourier_plan(length)


def test_a_length_that_is_none_is_refused():
    with pytest.raises(ValueError, match="28 samples"):
        fourier_plan(28)
