"""Touching particles told apart, and their numbers."""

import numpy as np
import pytest

from redoxscope.analysis.topography.particles import segment_particles
from redoxscope.analysis.topography.report import topography
from redoxscope.simulators import Particle

from .known_fields import LEVEL, SLOPE, distance

SHAPE = (80, 90, 120)


def ellipsoid(centre, radii):
    grids = np.ogrid[tuple(slice(0, n) for n in SHAPE)]
    return sum(((g - c) / r) ** 2 for g, c, r in zip(grids, centre, np.broadcast_to(radii, 3), strict=True)) <= 1


def touching():
    return [ellipsoid((40, 40, 30), 24), ellipsoid((42, 46, 70), 20), ellipsoid((40, 45, 100), (14, 30, 11))]


def cracked(material):
    """With a crack three voxels wide through the first particle, a void, and rough edges."""
    z, y, x = np.ogrid[tuple(slice(0, n) for n in SHAPE)]
    crack = (np.abs(x - 30 - 0.2 * y + 8) < 1.5) & (z > 20)
    void = ellipsoid((42, 46, 70), 5)
    rough = np.random.default_rng(0).random(SHAPE) < 0.01
    return material & ~crack & ~void & ~rough


@pytest.mark.parametrize("damage", [lambda m: m, cracked])
def test_touching_particles_are_told_apart(damage):
    truth = touching()
    material = damage(np.any(truth, axis=0))
    material[2:5, 2:5, 2:5] = True  # debris
    label = segment_particles(material)
    assert label.dtype == np.int32
    assert label.max() == 3
    assert (label[~material] == 0).all()
    assert (label[2:5, 2:5, 2:5] == 0).all()
    assert (np.diff(np.bincount(label.ravel())[1:]) <= 0).all(), "the largest first"
    for number, particle in enumerate(truth, 1):
        mine = particle & material & (sum(truth) == 1)
        assert (label[mine] == number).mean() > 0.97


@pytest.mark.parametrize("seed", range(4))
def test_a_rough_cracked_particle_stays_one(seed):
    label = segment_particles(Particle(48, seed).inside)
    assert label.max() == 1


def test_elongated_and_dented_particles_stay_one():
    assert segment_particles(ellipsoid((40, 45, 60), (12, 14, 55))).max() == 1
    dented = ellipsoid((40, 45, 60), 30) & ~ellipsoid((40, 45, 95), 16)
    assert segment_particles(dented).max() == 1


def test_volumes_without_particles():
    assert (segment_particles(np.zeros((6, 7, 8), dtype=bool)) == 0).all()
    sheet = segment_particles(np.ones((1, 40, 50), dtype=bool))
    assert sheet.max() == 1
    assert (segment_particles(np.ones((3, 3, 3), dtype=bool)) == 0).all(), "debris"
    with pytest.raises(ValueError, match="2 dimensions"):
        segment_particles(np.ones((3, 3), dtype=bool))
    with pytest.raises(ValueError, match="constriction"):
        segment_particles(np.ones((3, 3, 3), dtype=bool), constriction=0)


def test_the_numbers_of_each_particle():
    size = 0.1
    shape, centres, radii = (60, 60, 130), [(30, 30, 32), (30, 30, 92)], (26, 22)
    far = [distance(shape, c) for c in centres]
    material = (far[0] < radii[0]) | (far[1] < radii[1])
    # In the first a nucleus grows from its centre, in the second the last parent phase shrinks to its.
    field = np.where(far[0] < far[1] + 4, LEVEL + SLOPE * (far[0] - 12), LEVEL - SLOPE * np.minimum(far[1] - 10, 6))
    found = topography(np.where(material, field, np.nan), [LEVEL, LEVEL + 0.6, LEVEL + 30], size)
    table = found.particles
    assert table.label.max() == 2
    np.testing.assert_allclose(table.volume, [4 / 3 * np.pi * (r * size) ** 3 for r in radii], rtol=0.02)
    np.testing.assert_allclose(table.centre, np.array(centres) * size, atol=0.02)
    grown, left = [12, 15], [10, 7]
    area = np.array([s.area for s in table.shape])
    np.testing.assert_allclose(area[0, :2], [4 * np.pi * (r * size) ** 2 for r in grown], rtol=0.05)
    np.testing.assert_allclose(area[1, :2], [4 * np.pi * (r * size) ** 2 for r in left], rtol=0.08)
    np.testing.assert_allclose(area.sum(axis=0), found.area, rtol=1e-6)
    assert [s.positive[0] for s in table.shape] == [1, 0]
    assert [s.negative[0] for s in table.shape] == [0, 1]
    assert np.isnan(table.shape[0].positive[2])
    np.testing.assert_allclose(table.transformed[0, :2], [(r / radii[0]) ** 3 for r in grown], rtol=0.05)
    np.testing.assert_allclose(table.transformed[1, :2], [1 - (r / radii[1]) ** 3 for r in left], rtol=0.03)
    assert (table.transformed[:, 2] == 1).all()
    assert table.nuclei.tolist() == [[1, 1, 1], [1, 1, 1]]
    assert table.islands.tolist() == [[1, 1, 0], [1, 1, 0]]
    assert (table.necks == 0).all()
