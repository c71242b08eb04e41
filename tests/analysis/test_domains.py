"""Nuclei, necks and islands of fields whose critical points are known."""

import numpy as np
import pytest
from scipy import ndimage

from redoxscope.analysis.topography.noise import estimate_noise
from redoxscope.analysis.topography.report import topography
from redoxscope.analysis.topography.smooth_field import APART, continue_field, smooth_field

from .known_fields import LEVEL, SLOPE, distance, grown_balls, noisy, two_wells

LEVELS = np.arange(8338.0, 8342.01, 0.5)


@pytest.mark.parametrize("noise", [0, 0.1, 0.3])
def test_the_neck_between_two_wells(noise):
    apart, bend, across, size = 16.0, 0.02, 0.01, 0.05
    field = noisy(two_wells(apart=apart, bend=bend, across=across), noise)
    saddle = LEVEL + bend * apart**2 / 4
    levels = [saddle - 0.3, saddle + 0.5, saddle + 1]
    found = topography(field, levels, size).domains
    middle = (np.array(field.shape) - 1) / 2 + 0.21
    assert found.nuclei.count(np.array(levels)).tolist() == [2, 1, 1]
    wells = found.nuclei.position[np.argsort(found.nuclei.position[:, 2])] / size
    along = np.array([[0, 0, -apart], [0, 0, apart]])
    # Flat bottoms: a voxel away the field is 0.005 eV higher only.
    np.testing.assert_allclose(wells, middle + along, atol=0.05 + 9 * noise)
    np.testing.assert_allclose(found.nuclei.energy, LEVEL, atol=0.02 + 0.2 * noise)
    assert len(found.necks.energy) == 1
    np.testing.assert_allclose(found.necks.energy, saddle, atol=0.02 + 0.2 * noise)
    np.testing.assert_allclose(found.necks.position[0] / size, middle, atol=0.05 + 9 * noise)
    assert abs(found.necks.axis[0, 2]) > 0.98
    expected = 2 * np.sqrt(2 * np.array([0.5, 1.0]) / across) * size
    assert np.isnan(found.necks.widths[0, 0])
    # Noise tilts the plane across the neck: its axis is that of a second derivative.
    np.testing.assert_allclose(found.necks.widths[0, 1:], expected, rtol=0.01 + 0.3 * noise)
    assert found.necks.width[0] == found.necks.widths[0, 1]


@pytest.mark.parametrize("noise", [0.1, 0.3])
def test_counted_nuclei_and_where_they_meet(noise):
    shape = (50, 60, 120)
    centres = [(24.0, 30.0, 20.0), (26.0, 28.0, 56.0), (23.0, 33.0, 98.0)]
    births = [8336.0, 8336.5, 8337.0]
    field = noisy(grown_balls(shape, centres, births), noise)
    result = topography(field, LEVELS)
    found = result.domains
    order = np.argsort(found.nuclei.position[:, 2])
    np.testing.assert_allclose(found.nuclei.position[order], centres, atol=0.6)
    # Two balls that grow alike meet on the line between their centres when the radii fill it; smoothing by 2.5 voxels
    # takes the point off a cone, and bridges a gap of two voxels or less.
    order = np.argsort(found.necks.position[:, 2])
    for number, (a, b) in zip(order, [(0, 1), (1, 2)], strict=True):
        apart = np.subtract(centres[b], centres[a])
        length = np.linalg.norm(apart)
        energy = (births[a] + births[b] + SLOPE * length) / 2
        place = np.array(centres[a]) + apart / length * (energy - births[a]) / SLOPE
        assert found.necks.energy[number] == pytest.approx(energy, abs=2 * SLOPE)
        assert found.necks.energy[number] < energy
        assert np.linalg.norm(found.necks.position[number] - place) < 2.5
        # At a level well above, the section is the circle in which the spheres cut each other; smoothing fills
        # the groove between them a little.
        radius = np.sqrt(((LEVELS[-1] - births[a]) / SLOPE) ** 2 - ((energy - births[a]) / SLOPE) ** 2)
        assert found.necks.widths[number, -1] == pytest.approx(2 * radius, rel=0.08)
    at = np.array([8337.6, 8339.4, 8341.9])
    truth = [ndimage.label(grown_balls(shape, centres, births) <= level)[1] for level in at]
    assert found.nuclei.count(at).tolist() == truth


def test_noise_makes_no_nuclei_necks_and_islands():
    field = noisy(np.full((64, 64, 64), LEVEL), 0.3)
    inside = distance(field.shape, (31.5, 31.5, 31.5)) < 30
    found = topography(np.where(inside, field, np.nan), LEVELS).domains
    assert len(found.nuclei.energy) == len(found.islands.energy) == 1
    assert len(found.necks.energy) == 0


def test_islands_of_parent_phase_vanish_at_maxima():
    shape, centres = (48, 48, 90), [(24.0, 24.0, 22.0), (23.0, 25.0, 66.0)]
    field = 2 * LEVEL - grown_balls(shape, centres, [LEVEL - 3, LEVEL - 2.5], blunt=0.3)
    found = topography(noisy(field, 0.1), LEVELS).domains.islands
    order = np.argsort(found.position[:, 2])
    np.testing.assert_allclose(found.position[order], centres, atol=1)
    # A cone's tip, smoothed: 2.5 voxels' window take 0.4 eV off.
    np.testing.assert_allclose(found.energy[order], [LEVEL + 3, LEVEL + 2.5], atol=0.5)
    assert found.count(np.array([LEVEL - 2, LEVEL + 1, LEVEL + 4])).tolist() == [1, 2, 0]


@pytest.mark.parametrize("width", [0, 0.6, 1.0])
def test_the_noise_that_smoothing_leaves(width):
    rng = np.random.default_rng(3)
    noise = ndimage.gaussian_filter(rng.standard_normal((64, 64, 64)), width)
    z, _, x = np.ogrid[:64, :64, :64]
    truth = LEVEL + 0.05 * z + 0.3 * np.sin(x / 12) + np.zeros((64, 64, 64))
    inside = distance(truth.shape, (31.5,) * 3) < 31
    field = np.where(inside, truth + 0.2 * noise / noise.std(), np.nan)
    smooth = smooth_field(field, 2.5)
    deep = distance(truth.shape, (31.5,) * 3) < 24
    left = (smooth.values + smooth.offset - truth)[deep].std()
    whole = continue_field(field)
    found = estimate_noise(whole.values, whole.depth)
    assert found.of_value(2.5 / APART, 2.5 * APART) == pytest.approx(left, rel=0.15)
    assert found.sigma == pytest.approx(0.2, rel=0.12)
