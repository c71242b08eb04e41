from pathlib import Path

import numpy as np
import pytest

from redoxscope.simulators.spectra import ENERGIES_53, absorption, background, half_jump

DENSE = np.union1d(ENERGIES_53, np.arange(8330, 8350, 0.02))


def test_energies_are_the_papers():
    assert len(ENERGIES_53) == 53
    assert (ENERGIES_53[0], ENERGIES_53[-1]) == (8200, 8450)
    assert np.all(np.diff(ENERGIES_53) > 0)
    assert set(np.arange(8325, 8361)) <= set(ENERGIES_53)


def test_the_parameter_is_the_half_jump():
    # numpy's own lines and a crossing searched by hand, spectrum by spectrum
    pre = (DENSE >= 8200) & (DENSE <= 8310)
    post = (DENSE >= 8380) & (DENSE <= 8460)
    for e0 in np.arange(8338.5, 8343.01, 0.173):
        mu = absorption(DENSE, e0)
        low = np.polynomial.Polynomial.fit(DENSE[pre], mu[pre], 1)
        high = np.polynomial.Polynomial.fit(DENSE[post], mu[post], 1)
        normal = (mu - low(DENSE)) / (high(DENSE) - low(DENSE))
        i = next(i for i in range(7, len(DENSE)) if normal[i] < 0.5 <= normal[i + 1])
        crossing = DENSE[i] + (0.5 - normal[i]) / (normal[i + 1] - normal[i]) * (DENSE[i + 1] - DENSE[i])
        assert crossing == pytest.approx(e0, abs=0.002)


def test_half_jump_finds_a_known_crossing():
    straight = np.clip((ENERGIES_53 - 8336.4) / 10, 0, 1)  # crosses one half at 8341.4
    tilted = 0.3 + 2 * straight + 1e-3 * (ENERGIES_53 - 8341)
    edge, jump = half_jump(np.stack([straight, tilted, np.zeros(53)], axis=1))
    np.testing.assert_allclose(edge[:2], 8341.4, atol=1e-6)
    np.testing.assert_allclose(jump, [1, 2, 0], atol=1e-6)
    assert np.isnan(edge[2])


def test_a_matrix_hardly_moves_the_half_jump():
    mu = absorption(DENSE, np.array([8339.0, 8342.0])) + 0.6 * background(DENSE)[:, None]
    np.testing.assert_allclose(half_jump(mu, DENSE)[0], [8339.0, 8342.0], atol=0.01)


def test_the_edge_shifts_smoothly():
    e0 = np.linspace(8338.5, 8343, 200)
    mu = absorption(np.array([8341.0]), e0)[0]
    assert np.all(np.diff(mu) < 0)
    assert np.abs(np.diff(mu, 2)).max() < 1e-3


@pytest.mark.parametrize(("name", "edge", "ours"), [("NiO", 8340.4, 8338.5), ("LiNiO2", 8341.4, 8342.9)])
def test_it_looks_like_a_measured_oxide(measured: Path, name: str, edge: float, ours: float):
    energy, mu = np.loadtxt(measured / f"ref_{name}.txt").T
    energy, mu = energy[energy <= 8.46] * 1000, mu[energy <= 8.46]
    found, _ = half_jump(mu[:, None], energy)
    assert found[0] == pytest.approx(edge, abs=0.1)
    model = absorption(energy - edge + ours, ours)
    near = energy > 8320

    def normalised(spectrum: np.ndarray) -> np.ndarray:
        pre, post = (energy >= 8200) & (energy <= 8310), (energy >= 8380) & (energy <= 8460)
        low, high = (np.polyval(np.polyfit(energy[w], spectrum[w], 1), energy) for w in (pre, post))
        return (spectrum - low) / (high - low)

    a, b = normalised(mu), normalised(model)
    assert np.corrcoef(a[near], b[near])[0, 1] > 0.98
    assert np.sqrt(np.mean((a - b)[near] ** 2)) < 0.08
    assert b.max() == pytest.approx(a.max(), abs=0.2)
    assert energy[b.argmax()] == pytest.approx(energy[a.argmax()], abs=1.5)
