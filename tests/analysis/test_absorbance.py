import numpy as np
import pytest

from redoxscope.analysis.absorbance import absorbance, absorbance_variance, air_level, transmission


def test_counts_to_absorbance():
    true = np.array([[0.1, 0.7], [1.5, 3.0]])
    flat, dark = np.full((2, 2), 50_000.0), 100.0
    sample = dark + (flat - dark) * np.exp(-true) * 0.5 / 0.3  # sample 0.5 s, flat 0.3 s
    found = absorbance(transmission(sample, flat, dark, exposure_ratio=0.3 / 0.5))
    np.testing.assert_allclose(found, true, rtol=1e-5)
    assert found.dtype == np.float32


def test_pixels_that_know_nothing_are_nan_not_infinite():
    flat = np.full((1, 6), 1000, dtype=np.uint16)
    flat[0, 4] = 100  # dead in the flat
    sample = np.array([[500, 100, 40, 0, 500, 1200]], dtype=np.uint16)  # at the dark, below it (unsigned), zero
    found = absorbance(transmission(sample, flat, np.full((1, 6), 100, dtype=np.uint16)))
    np.testing.assert_array_equal(np.isnan(found), [[False, True, True, True, True, False]])
    assert found[0, 5] < 0, "brighter than the flat: a negative absorbance, which noise makes"
    assert np.isnan(absorbance(np.array([0.0, -1.0, np.nan, np.inf]))).all()


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(3, 2\)"):
        transmission(np.ones((2, 3)), np.ones((3, 2)))


@pytest.mark.parametrize("true", [0.05, 0.5, 2.0])
@pytest.mark.parametrize("gain", [1.0, 4.0])
def test_variance_is_that_of_repeated_exposures(true, gain):
    rng = np.random.default_rng(3)
    photons = 4000
    flat = rng.poisson(photons, 200_000) / gain
    sample = rng.poisson(photons * np.exp(-true), 200_000) / gain
    found = absorbance(transmission(sample, flat))
    expected = absorbance_variance(np.array(true), photons / gain, photons_per_count=gain)
    assert found.var() == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize(("level", "wanted"), [(0.004, 0.004), (-0.012, -0.012), (0.05, 0.0)])
def test_the_level_of_the_air_is_the_beams_flicker(level, wanted):
    rng = np.random.default_rng(3)
    absorbed = level + 0.01 * rng.standard_normal((90, 90))
    absorbed[20:70, 20:70] += 0.5
    assert air_level(absorbed, np.full(absorbed.shape, 1e-4)) == pytest.approx(wanted, abs=5e-4)


def test_a_slope_of_absorbance_is_no_air():
    slope = np.linspace(0.012, 0.6, 8100).reshape(90, 90)
    assert air_level(slope, np.full(slope.shape, 1e-4)) == 0.0
