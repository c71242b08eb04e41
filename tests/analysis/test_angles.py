"""What projections count for and what they leave out."""

import numpy as np
import pytest

from redoxscope.analysis.tomography.angles import angle_weights, missing_wedge, wedge_warning


def test_weights_are_the_measure_of_half_a_turn():
    assert angle_weights(np.arange(0, 180, 3.0)).sum() == pytest.approx(np.pi)
    closed = angle_weights([0, 45, 90, 135, 180])
    np.testing.assert_allclose(closed, np.deg2rad([22.5, 45, 45, 45, 22.5]))


def test_both_halves_of_a_turn_count_alike_though_the_stage_is_not_exact():
    rng = np.random.default_rng(0)
    angles = np.arange(0, 360, 2.0) + rng.normal(0, 1e-3, 180)
    weights = angle_weights(angles)
    assert weights.sum() == pytest.approx(np.pi)
    assert weights[:90].sum() == pytest.approx(np.pi / 2, rel=1e-3)
    pairs = weights[:90] + weights[90:]
    np.testing.assert_allclose(pairs, np.deg2rad(2.0), rtol=0.01)


def test_order_does_not_matter_and_repeats_share():
    angles = np.array([0.0, 10, 25, 60, 90, 140])
    order = np.array([3, 0, 5, 1, 4, 2])
    np.testing.assert_allclose(angle_weights(angles[order]), angle_weights(angles)[order])
    twice = angle_weights([0.0, 60, 120, 60])
    np.testing.assert_allclose(twice, np.pi * np.array([1, 0.5, 1, 0.5]) / 3)


@pytest.mark.parametrize(
    ("angles", "wedge"),
    [
        (np.arange(-60, 60.1, 1.5), 60 - 1.5),
        (np.arange(0, 180, 1.0), 0),
        (np.arange(0, 181, 1.0), 0),
        (np.delete(np.arange(0, 180, 1.0), [70]), 0),
        (np.append(np.arange(-50, 50.1, 2.0), np.arange(130, 230.1, 2.0)), 80 - 2),
        ([17.0], 0),
    ],
)
def test_a_missing_wedge_is_measured(angles, wedge):
    assert missing_wedge(angles) == pytest.approx(wedge, abs=1e-6)
    warning = wedge_warning(angles)
    assert (warning is None) if wedge == 0 else (f"{wedge:.0f}°" in warning and "spectra" in warning)


@pytest.mark.parametrize("angles", [[], [0.0, np.nan], [[0.0, 1.0]], [0.0, np.inf]])
def test_unusable_angles_are_named(angles):
    with pytest.raises(ValueError, match="angle"):
        angle_weights(angles)
