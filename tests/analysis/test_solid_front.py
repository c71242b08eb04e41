"""The front's speed between two volumes of growing shapes."""

import numpy as np
import pytest

from redoxscope.analysis.topography.solid_front import solid_front_speed
from redoxscope.analysis.topography.volume_shift import moved, volume_shift

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


def marked(centre, noise=0.0, seed=0):
    """(z, y, x) jump of a ball with a void, and its field, NaN outside."""
    void = np.add(centre, [0, 12, -9])
    jump = np.clip(20.5 - distance(SHAPE, centre), 0, 1) * np.clip(distance(SHAPE, void) - 4.5, 0, 1)
    field = np.where(jump > 0.5, LEVEL + SLOPE * (distance(SHAPE, centre) - 9), np.nan)
    return jump + noise * np.random.default_rng(seed).standard_normal(SHAPE), field


@pytest.mark.parametrize("noise", [0, 0.2])
@pytest.mark.parametrize("move", [(0.0, 0.0, 0.0), (0.3, -0.4, 0.25), (1.37, -2.6, 0.5), (-4.2, 3.3, 5.1)])
def test_a_particle_that_moved_is_put_back(move, noise):
    (first, field), (second, other) = marked(CENTRE, noise), marked(np.add(CENTRE, move), noise, 1)
    shift = volume_shift(first, second)
    np.testing.assert_allclose(shift, -np.array(move), atol=0.1)
    back = moved(other, shift)
    both = np.isfinite(field) & np.isfinite(back)
    assert both.sum() > 0.98 * np.isfinite(field).sum()
    # 0.1 voxel along the slope, and linear interpolation where the slope turns, at the centre.
    np.testing.assert_allclose(back[both], field[both], atol=SLOPE * 0.5)
    assert np.sqrt(np.mean((back - field)[both] ** 2)) < SLOPE * 0.1


def test_volumes_that_cannot_be_placed():
    with pytest.raises(ValueError, match="one grid"):
        volume_shift(ball(8), ball(8)[1:])
    with pytest.raises(ValueError, match="without material"):
        volume_shift(ball(8), np.zeros(SHAPE))
    assert np.isnan(moved(np.full(SHAPE, np.nan), np.ones(3))).all()


def test_how_much_of_the_front_was_met_and_how_its_speed_spreads():
    """A plane that moved by 2 on one third and 5 on another; of the last third nothing is known."""
    z, _, x = np.indices((40, 40, 90))
    first = LEVEL + SLOPE * (z - 15.0)
    second = LEVEL + SLOPE * (z - np.where(x < 30, 17.0, 20.0))
    second[:, :, 60:] = np.nan
    motion = solid_front_speed(first, second, LEVEL, interval=1.0, window=1.0)
    assert motion.met == pytest.approx(2 / 3, abs=0.05)
    assert motion.quartiles == pytest.approx((2, 5), abs=0.1)
    assert motion.mean == pytest.approx(3.5, abs=0.15)
    nowhere = solid_front_speed(first, second * np.nan, LEVEL, interval=1.0)
    assert nowhere.met == 0
    assert np.isnan(nowhere.quartiles).all()
