import numpy as np

from redoxscope.simulators.eikonal import first_arrival


def test_a_front_grows_as_a_sphere():
    slowness = np.full((41, 41, 41), 0.5, dtype=np.float32)
    arrival = first_arrival(slowness, np.array([[20, 20, 20]]), np.array([7.0]))
    z, y, x = np.ogrid[-20:21, -20:21, -20:21]
    exact = 0.5 * np.sqrt(z * z + y * y + x * x)
    # a first-order scheme is a few per cent late, most of all on the diagonals
    late = (arrival - 7) / np.maximum(exact, 0.5) - 1
    assert late[exact > 0].min() > -0.001
    assert late[exact > 5].max() < 0.06
    assert np.median(late) < 0.05


def test_the_earlier_front_wins_and_the_slow_is_gone_round():
    slowness = np.ones((5, 31, 31), dtype=np.float32)
    slowness[:, 15, :25] = 50  # a wall with a door at its end
    arrival = first_arrival(slowness, np.array([[2, 2, 5], [2, 2, 28]]), np.array([0.0, 10.0]))
    assert arrival[2, 2, 5] == 0
    assert arrival[2, 2, 28] == 10
    behind = arrival[2, 28, 5]
    through_the_door = 10 + np.hypot(13, 3) + np.hypot(13, 20)
    assert 0.93 * through_the_door < behind < 1.07 * through_the_door
