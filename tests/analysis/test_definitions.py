"""Every definition of the edge, on measured spectra and on made ones."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from redoxscope.analysis.edge_map import NONE, PROVISIONAL, EdgeMap
from redoxscope.analysis.xanes import Edge, edge_energy

from .conftest import ENERGIES, spectrum

DATA = Path(os.environ.get("REDOXSCOPE_TEST_DATA") or Path(__file__).parents[3] / "shared/data") / "ni_k_edge"
EDGES = {name: Edge(definition=name) for name in ("half_jump", "white_line", "derivative")}


@pytest.mark.skipif(not DATA.exists(), reason=f"{DATA} is absent (set REDOXSCOPE_TEST_DATA)")
@pytest.mark.parametrize(
    ("material", "expected"),
    [
        ("NiO", {"half_jump": 8340.4, "derivative": 8342.5, "white_line": 8347.5}),
        ("LiNiO2", {"half_jump": 8341.4, "derivative": 8347.0, "white_line": 8349.5}),
    ],
)
@pytest.mark.parametrize("definition", EDGES)
def test_measured_references(material, expected, definition):
    energies, absorbance = np.loadtxt(DATA / f"ref_{material}.txt").T
    stack = absorbance[:, None].astype(np.float32)
    # These are sampled every 0.5 eV: less need be smoothed.
    found = edge_energy(stack, energies * 1e3, replace(EDGES[definition], span=1.5), subspace=False)
    assert found.edge_energy[0] == pytest.approx(expected[definition], abs=0.3)


def oxides(shape=(50, 60), seed=0):
    """Spectra with a white line that moves with the edge, and where their peak and their steepest rise are."""
    truth = np.random.default_rng(seed).uniform(8339.5, 8342.5, shape)
    x = ENERGIES[:, None, None] - truth
    clean = 0.4 * (spectrum(truth, 1.8) + 0.6 * np.exp(-(((x - 6.5) / 3) ** 2))) + 0.3 - 3e-4 * (x + truth - 8341)
    t = np.arange(-10, 15, 1e-3)

    def shape_at(t):
        return 1 / (1 + np.exp(-t / 1.8)) + 0.6 * np.exp(-(((t - 6.5) / 3) ** 2))

    curve = shape_at(t)
    # The derivative is that of a parabola fitted to five samples 1 eV apart.
    rise = sum(k * shape_at(t + k) for k in range(-2, 3)) / 10
    at = {
        "half_jump": t[np.argmax(curve >= 0.5)],
        "white_line": t[np.argmax(curve)],
        "derivative": t[np.argmax(rise)],
    }
    return truth, clean, at


@pytest.mark.parametrize("subspace", [True, False])
@pytest.mark.parametrize("definition", EDGES)
def test_made_edges_and_their_sigma(definition, subspace):
    truth, clean, at = oxides()
    noise = 0.004
    found = []
    for seed in range(6):
        stack = (clean + noise * np.random.default_rng(seed).standard_normal(clean.shape)).astype(np.float32)
        found.append(edge_energy(stack, ENERGIES, EDGES[definition], variance=noise**2, subspace=subspace))
    energies, sigmas = np.array([f.edge_energy for f in found]), np.array([f.sigma for f in found])
    assert np.isfinite(energies).mean() > 0.99
    assert np.nanmedian(np.abs(energies - truth - at[definition])) < (0.15 if subspace else 0.4)
    pulls = (energies - energies.mean(axis=0)) / sigmas * np.sqrt(6 / 5)
    assert np.nanmedian(np.abs(pulls)) / 0.6745 == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("definition", ["white_line", "derivative"])
def test_the_subspace_makes_it_more_exact(definition):
    truth, clean, at = oxides()
    stack = (clean + 0.01 * np.random.default_rng(0).standard_normal(clean.shape)).astype(np.float32)
    error = [
        np.nanmedian(
            np.abs(
                edge_energy(stack, ENERGIES, EDGES[definition], variance=1e-4, subspace=s).edge_energy
                - truth
                - at[definition]
            )
        )
        for s in (True, False)
    ]
    assert error[0] < 0.7 * error[1]


@pytest.mark.parametrize("definition", ["white_line", "derivative"])
def test_no_maximum_before_the_window_has_been_passed(definition):
    truth, clean, at = oxides((20, 20))
    stack = (clean + 0.002 * np.random.default_rng(0).standard_normal(clean.shape)).astype(np.float32)

    def upto(last):
        scan = EdgeMap(ENERGIES, truth.shape, replace(EDGES[definition], plateau_ratio=1.4))
        for i in np.flatnonzero(last >= ENERGIES):
            scan.update(i, stack[i], 4e-6)
        return scan.result()

    assert (upto(8355).state == NONE).all()
    early = upto(8360)
    assert (early.state == PROVISIONAL).mean() > 0.95
    assert np.nanmedian(np.abs(early.edge_energy - truth - at[definition])) < 0.2


def test_too_few_energies_around():
    with pytest.raises(ValueError, match="wider span"):
        edge_energy(np.ones((53, 4), dtype=np.float32), ENERGIES, Edge(definition="white_line", span=0.5))
