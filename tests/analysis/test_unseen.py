"""What folded spectra lack of the edges' places is in the sigma: a simulated particle with more states than components.

The truth is the crossing of the spectra without noise, on energies 0.05 eV apart, by numpy.
"""

import numpy as np
import pytest

from redoxscope.analysis.edge_map import EdgeMap
from redoxscope.analysis.xanes import Edge
from redoxscope.simulators import Particle
from redoxscope.simulators.microscope import Microscope
from redoxscope.simulators.spectra import ENERGIES_53 as ENERGIES

NEAR = np.arange(8334, 8350, 0.05)
EXTENTS = (0.15, 0.3, 0.45, 0.6)


@pytest.fixture(scope="module")
def series():
    """(extent, energy, row, col) absorbance without noise, and (extent, row, col) edge energy, eV."""
    microscope = Microscope(Particle(48, 3), (52, 52))
    pairs = [seen(microscope, microscope.components(extent, 0.0)) for extent in EXTENTS]
    return [np.array(a) for a in zip(*pairs, strict=True)]


def seen(microscope, components):
    def absorbance(energies):
        return microscope.to_detector(np.einsum("ek,kzu->ezu", microscope.line_weights(energies), components))

    clean, fine, x = absorbance(ENERGIES), absorbance(NEAR), ENERGIES - 8341
    below, behind = (
        np.polyfit(x[window], clean[window].reshape(window.sum(), -1), 1)
        for window in (ENERGIES <= 8310, ENERGIES >= 8380)
    )
    line = 0.5 * (below + behind)
    above = fine.reshape(NEAR.size, -1) - (NEAR[:, None] - 8341) * line[0] - line[1]
    up = np.diff(np.sign(above), axis=0) > 0
    first, pixel = np.argmax(up, axis=0), np.arange(above.shape[1])
    low, high = above[first, pixel], above[first + 1, pixel]
    with np.errstate(invalid="ignore"):
        edge = np.where(up.any(axis=0), NEAR[first] - 0.05 * low / (high - low), np.nan)
    material = (behind - below)[1] > 0.1
    return clean, np.where(material, edge, np.nan).reshape(clean.shape[1:])


@pytest.mark.parametrize("photons", [1500, 5000, 20000])
@pytest.mark.parametrize("upto", [8352, 8378, 9000])
def test_width_of_the_pulls(series, upto, photons):
    pulls = []
    for seed in range(4):
        rng, before = np.random.default_rng(seed), None
        for clean, truth in zip(*series, strict=True):
            counts = rng.poisson(photons * np.exp(-clean)).clip(1)
            flats = rng.poisson(photons, clean.shape)
            scan = EdgeMap(ENERGIES, truth.shape, Edge())
            for i, energy in enumerate(ENERGIES):
                scan.update(i, -np.log(counts[i] / flats[i]), 1 / counts[i] + 1 / flats[i])
                if before is not None and energy <= upto < np.append(ENERGIES, 1e4)[i + 1]:
                    found = scan.result(previous=before)
                    pulls.append((found.edge_energy - truth) / found.sigma)
            before = scan.result(previous=before)
    assert 0.9 < np.nanmedian(np.abs(pulls)) / 0.6745 < 1.1
