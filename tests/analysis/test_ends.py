"""Where surfaces end: at the border of a particle, of whose steps nothing may be seen in areas and topology."""

import numpy as np
import pytest

from redoxscope.analysis.topography.ends import known_share
from redoxscope.analysis.topography.report import topography
from redoxscope.analysis.topography.smooth_field import continue_field

from .shapes import SLOPE, noise

LEVEL = 8340.0
SIZE, RADIUS = 68, 30.3
OBLIQUE = np.array([0.36, 0.48, 0.8])


def grid():
    axis = np.arange(SIZE) - (SIZE - 1) / 2 + 0.13
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)


def tilted_disc(at):
    return at @ OBLIQUE - 4.0


def cap_at_the_border(at):
    return np.linalg.norm(at - RADIUS * OBLIQUE, axis=-1) - 16.0


def oblique_tube(at):
    along = at @ OBLIQUE
    return np.sqrt((at**2).sum(axis=-1) - along**2) - 12.0


def grazing_ball(at):
    """Touches the border nearly along a circle, at an angle of 9°: the steps are longest there."""
    return np.linalg.norm(at - 9.0 * OBLIQUE, axis=-1) - 27.0


def mirrored_caps(at):
    return np.minimum(cap_at_the_border(at), cap_at_the_border(-at))


CASES = [
    # What the ball cuts out of it is known: pieces, Euler characteristic, area.
    (tilted_disc, 1, 1, np.pi * (RADIUS**2 - 16)),
    (cap_at_the_border, 1, 1, 2 * np.pi * 16 * (16 - 16**2 / (2 * RADIUS))),
    (oblique_tube, 1, 0, 2 * np.pi * 12 * 2 * np.sqrt(RADIUS**2 - 144)),
    (grazing_ball, 1, 1, 2 * np.pi * 27 * (27 + (RADIUS**2 - 81 - 27**2) / 18)),
    (mirrored_caps, 2, 2, 4 * np.pi * 16 * (16 - 16**2 / (2 * RADIUS))),
]


@pytest.mark.parametrize(("sigma", "correlation"), [(0.0, "white"), (0.1, "white"), (0.3, "white"), (0.3, "hann")])
@pytest.mark.parametrize(("front", "pieces", "euler", "area"), CASES, ids=lambda c: getattr(c, "__name__", None))
def test_an_oblique_border_makes_no_holes(front, pieces, euler, area, sigma, correlation):
    at = grid()
    field = LEVEL + SLOPE * front(at) + noise(SIZE, max(sigma, 1e-9), correlation)
    found = topography(np.where((at**2).sum(axis=-1) < RADIUS**2, field, np.nan), [LEVEL])
    assert (found.components[0], found.euler[0]) == (pieces, euler)
    assert found.euler_from_curvature[0] == pytest.approx(euler, abs=0.2)
    # It ends half a voxel inside.
    assert 0.9 * area < found.area[0] < 1.01 * area


@pytest.mark.parametrize("sigma", [0.1, 0.3])
def test_cracks_part_a_surface_without_fringes(sigma):
    at = grid()
    field = LEVEL + SLOPE * tilted_disc(at) + noise(SIZE, sigma)
    inside = (at**2).sum(axis=-1) < RADIUS**2
    oblique = np.abs(at @ np.array([0.8, -0.6, 0.0]) - 3.0) > 1.5
    flat = np.arange(SIZE)[:, None] != 30  # one voxel wide
    for crack in (oblique, flat[..., None] & np.ones_like(inside)):
        found = topography(np.where(inside & crack, field, np.nan), [LEVEL])
        assert (found.components[0], found.euler[0]) == (2, 2)
        voxel = np.rint(found.surfaces[0].vertices).astype(int)
        assert (inside & crack)[tuple(voxel.T)].mean() > 0.99


@pytest.mark.parametrize("sigma", [0.0, 0.1])
def test_holes_as_small_as_specks_are_none(sigma):
    at = grid()
    field = LEVEL + SLOPE * tilted_disc(at) + noise(SIZE, max(sigma, 1e-9))
    field[(at**2).sum(axis=-1) >= RADIUS**2] = np.nan

    def pierced(height, width):
        """By five shafts along x; the disc lies 0.6 oblique to their sections."""
        out = field.copy()
        for z, y in [(24, 24), (24, 42), (42, 24), (42, 42), (33, 33)]:
            out[z : z + height, y : y + width] = np.nan
        return topography(out, [LEVEL])

    whole, slits, shafts = topography(field, [LEVEL]), pierced(1, 3), pierced(5, 5)
    assert (whole.euler[0], slits.euler[0], shafts.euler[0]) == (1, 1, -4)
    assert slits.area[0] == pytest.approx(whole.area[0], rel=0.01)
    # It ends half a voxel inside.
    lost = whole.area[0] - shafts.area[0]
    assert 5 * 5**2 / OBLIQUE[2] < lost < 5 * 6**2 / OBLIQUE[2]


def test_the_share_of_what_is_known():
    field = np.full((24, 24, 24), LEVEL)
    field[:, :, 12] = np.nan
    whole = continue_field(field)
    points = np.array([[12.0, 12, x] for x in (4, 11, 11.5, 12)]) - whole.origin
    # Of a Gaussian of 0.8 voxels around each place, what is not within half a voxel of x = 12; the sum over voxels
    # differs a little from the integral.
    np.testing.assert_allclose(known_share(whole.depth, points), [1.0, 0.764, 0.606, 0.532], atol=0.07)
