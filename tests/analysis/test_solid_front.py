"""The front's speed between two volumes of growing shapes."""

import numpy as np
import pytest

from redoxscope.analysis.topography.solid_front import solid_front_speed

from .known_fields import LEVEL, SLOPE, distance, noisy

SHAPE, CENTRE = (56, 56, 56), (27.3, 27.6, 27.4)


def ball(radius, slope=SLOPE):
    return LEVEL + slope * (distance(SHAPE, CENTRE) - radius)


@pytest.mark.parametrize("noise", [0, 0.1])
@pytest.mark.parametrize("growth", [1.0, -1.0, 8.0])
def test_a_growing_ball(growth, noise):
    size, interval = 0.05, 120.0
    first, second = noisy(ball(12), noise, 0), noisy(ball(12 + growth), noise, 1)
    motion = solid_front_speed(first, second, LEVEL, interval=interval, voxel_size=size)
    moved = motion.speed * interval / size
    assert motion.mean * interval / size == pytest.approx(growth, abs=0.03 + 0.3 * noise)
    assert np.median(np.abs(moved - growth)) < 0.03 + 2 * noise
    outward = motion.vertices / size - CENTRE
    assert ((outward * motion.normal).sum(axis=1) > 11).all()
    assert motion.vertex_area.sum() == pytest.approx(4 * np.pi * (12 * size) ** 2, rel=0.05)


def test_a_front_that_changes_its_width_has_not_moved():
    motion = solid_front_speed(ball(12), ball(12, 3 * SLOPE), LEVEL, interval=1.0)
    assert np.abs(motion.speed).max() < 0.3


def test_fronts_that_are_not_found():
    far = solid_front_speed(ball(8), ball(24), LEVEL, interval=1.0, reach=10)
    assert np.isnan(far.speed).all()
    assert np.isnan(far.mean)
    nothing = np.full(SHAPE, np.nan)
    assert np.isnan(solid_front_speed(ball(8), nothing, LEVEL, interval=1.0).speed).all()
    for before in (nothing, ball(8)[:1], ball(8) + 50):
        none = solid_front_speed(before, before, LEVEL, interval=1.0)
        assert none.vertices.shape == none.normal.shape == (0, 3)
        assert none.speed.shape == (0,)
        assert np.isnan(none.mean)
    with pytest.raises(ValueError, match="one grid"):
        solid_front_speed(ball(8), ball(8)[1:], LEVEL, interval=1.0)
    with pytest.raises(ValueError, match="must be positive"):
        solid_front_speed(ball(8), ball(8), LEVEL, interval=0.0)
    with pytest.raises(ValueError, match="voxel size"):
        solid_front_speed(ball(8), ball(8), LEVEL, interval=1.0, voxel_size=0.0)
