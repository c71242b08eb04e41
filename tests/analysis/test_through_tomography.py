"""The front's statistics of a simulated particle, after photon noise, tomography and reconstruction."""

import numpy as np

from .through_tomography import ISO, compare


def test_a_particle_keeps_its_fronts_statistics_through_noise_and_tomography():
    result = compare(size=64, angles=90, counts=2000.0)
    assert result.error < 0.2, "eV, the volume"
    assert not len(result.lost()), "the sign of every change of P(H < 0) from energy to energy"
    # Where the reaction begins and ends a voxel's spectrum is a mixture, and what is rare moves most.
    inner = (ISO >= 8339.5) & (ISO <= 8341.5)
    true, found = result.negative
    assert np.abs(found - true)[inner].max() < 0.1
    assert result.distance[inner].max() < 0.12
    assert result.moved[inner].max() < 0.2
    np.testing.assert_allclose(result.found.area[inner], result.truth.area[inner], rtol=0.1)
