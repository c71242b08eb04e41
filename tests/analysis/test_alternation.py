"""The readings of the paper's alternation, on bodies whose signs are known."""

import numpy as np
import pytest

from redoxscope.analysis.topography.alternation import READINGS, Alternation
from redoxscope.analysis.topography.report import topography

from .known_fields import LEVEL, SLOPE, distance

SHAPE = (48, 48, 90)


def shares(found, level=0):
    return {name: (found.positive[k, level], found.negative[k, level]) for k, name in enumerate(found.reading)}


def test_a_nucleus_is_convex_under_every_reading():
    found = topography(LEVEL + SLOPE * (distance(SHAPE, (23.4, 23.6, 44.5)) - 12), [LEVEL]).alternation
    assert all(share == (1, 0) for share in shares(found).values())
    assert found.parent_bodies.tolist() == [0]
    assert not found.shown.any()


def test_the_last_island_is_concave_by_phase_and_convex_by_its_body():
    found = topography(LEVEL - SLOPE * (distance(SHAPE, (23.4, 23.6, 44.5)) - 12), [LEVEL]).alternation
    for name, share in shares(found).items():
        assert share == ((0, 1) if name.endswith("phase") else (1, 0)), name
    assert found.parent_bodies.tolist() == [1]


def test_nuclei_and_islands_in_one_volume():
    far = [distance(SHAPE, c) for c in ((23.0, 23.0, 22.0), (24.0, 23.0, 66.0))]
    # New phase in the left ball; an island of parent phase in a shell of new phase on the right.
    field = np.where(far[0] < 22, LEVEL + SLOPE * (far[0] - 9), LEVEL + SLOPE * (4 - np.abs(far[1] - 13.5)) * -1)
    found = topography(field, [LEVEL])
    areas = 4 * np.pi * np.array([9.0, 9.5, 17.5]) ** 2
    assert found.components.tolist() == [3]
    assert found.negative[0] == pytest.approx(areas[1] / areas.sum(), rel=0.07)
    assert found.alternation.parent_bodies[0] == pytest.approx(areas[1] / areas.sum(), rel=0.07)
    by_body = shares(found.alternation)
    assert by_body["H by body"] == (1, 0)
    assert by_body["H by phase"][1] == pytest.approx(found.negative[0])


def test_a_cylinder_has_one_curved_direction():
    _, y, x = np.meshgrid(*(np.arange(44) - 21.4,) * 3, indexing="ij")
    inner = topography(LEVEL - SLOPE * (np.hypot(y, x) - 9), [LEVEL]).alternation
    found = shares(inner)
    assert found["k2 by phase"][1] > 0.99
    assert found["k1 by body"][0] > 0.99


def test_what_counts_as_the_alternation():
    def of(negative):
        negative = np.array([negative])
        turns = np.array([8338.0, 8340.0, 8342.0])
        return Alternation(
            READINGS[:1], 1 - negative, negative, np.zeros(3), turns, np.diff(negative), -np.diff(negative)
        )

    assert of([0.2, 0.4, 0.3]).shown.tolist() == [True]
    assert "H by phase" in of([0.2, 0.4, 0.3]).sentence()
    for other in ([0.2, 0.4, 0.5], [0.4, 0.2, 0.3], [0.4, 0.3, 0.2], [np.nan, 0.3, 0.2]):
        assert of(other).shown.tolist() == [False]
    assert "no reading" in of([0.2, 0.4, 0.5]).sentence()


def test_turns_are_the_nearest_levels_with_a_surface():
    field = LEVEL + SLOPE * (distance(SHAPE, (23.4, 23.6, 44.5)) - 11)  # appears at 8337.8, and is a ball at 8338.5
    levels = np.arange(8338.0, 8342.1, 0.5)
    assert topography(field, levels).alternation.turns.tolist() == [8338.5, 8340, 8342]
    assert topography(field, levels[::-1]).alternation.turns.tolist() == [8338.5, 8340, 8342]
    without = topography(field, [8338.5, 8339.5, 8342]).alternation
    assert np.isnan(without.turns).all()
    assert "nothing can be said" in without.sentence()
