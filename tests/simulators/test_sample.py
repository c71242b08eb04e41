import time
from itertools import pairwise

import numpy as np
import pytest
from scipy.ndimage import label

from redoxscope.simulators import Particle
from redoxscope.simulators.sample import OXIDISED, REDUCED, reaction_rate


def test_same_seed_same_particle():
    a, b, c = (Particle(32, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a.edge_energy(0.5), b.edge_energy(0.5))
    assert np.mean(a.inside != c.inside) > 0.01


def test_it_is_a_ball_with_holes(particle: Particle):
    assert particle.density.dtype == np.float32
    assert particle.density.shape == (48, 48, 48)
    assert 0 <= particle.density.min() <= particle.density.max() <= 1
    z, y, x = (np.argwhere(particle.inside) - 23.5).T
    assert np.sqrt(z * z + y * y + x * x).max() < 24.5
    pores, _ = label(~particle.inside)
    assert np.count_nonzero(pores > 1) > 5  # empty space that the outside does not reach


def test_it_only_ever_reduces(particle: Particle):
    states = [particle.edge_energy(extent) for extent in np.linspace(0, 1.2, 13)]
    for earlier, later in pairwise(states):
        assert np.all((later <= earlier)[particle.inside])
    assert np.array_equal(np.isnan(states[0]), ~particle.inside)
    assert np.nanmean(states[0]) > OXIDISED - 0.05
    assert np.nanmean(states[-1]) < REDUCED + 0.05
    assert states[0].dtype == np.float32


def test_nuclei_appear_and_merge(particle: Particle):
    def bodies(share: float) -> int:
        with np.errstate(invalid="ignore"):
            return label(particle.edge_energy(particle.extent_at(share)) < 8340.75)[1]

    counts = [bodies(share) for share in (0.02, 0.1, 0.3, 0.6)]
    assert max(counts) >= 3
    assert counts[-1] < max(counts)


def test_the_front_is_resolved(particle: Particle):
    energy = particle.edge_energy(particle.extent_at(0.5))
    gradient = np.sqrt(sum(g * g for g in np.gradient(energy)))
    at_front = (energy > 8340) & (energy < 8341.5) & np.isfinite(gradient)
    low, high = np.percentile(gradient[at_front], [5, 95])
    assert 0.1 < low < high < 1.1  # eV per voxel


def test_share_and_extent_are_inverse(particle: Particle):
    for share in (0.05, 0.5, 0.95):
        assert particle.transformed(particle.extent_at(share)) == pytest.approx(share, abs=1e-3)


def test_rate_follows_the_temperature():
    assert reaction_rate(100) * 1.5 * 3600 < 1e-4
    assert 0.8 < reaction_rate(231) * 17 * 3600 < 1.2
    ratio = reaction_rate(231) / reaction_rate(211)
    assert ratio == pytest.approx(np.exp(100e3 / 8.314462618 * (1 / 484.15 - 1 / 504.15)))


def test_it_is_made_quickly():
    Particle(24)  # the first call may compile
    began = time.process_time()
    Particle(64)
    assert time.process_time() - began < 3


def test_too_small_is_refused():
    with pytest.raises(ValueError, match="8 voxels"):
        Particle(8)
