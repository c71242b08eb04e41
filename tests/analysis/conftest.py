from dataclasses import dataclass

import numpy as np
import pytest

ENERGIES = np.concatenate(
    [np.arange(8200, 8321, 20), np.arange(8325, 8361, 1), np.linspace(8369, 8450, 10)]
)  # 53, as in the operando experiment


def spectrum(edge_energy, width=1.2, kind="logistic", energies=ENERGIES):
    """Unit edge jump at `edge_energy` (eV, any shape): (energy, ...)."""
    x = energies.reshape(-1, *[1] * np.ndim(edge_energy)) - edge_energy
    if kind == "logistic":
        return 1 / (1 + np.exp(-x / width))
    return 0.5 + np.arctan(x / width) / np.pi


@dataclass
class Phantom:
    """Absorbance of pixels whose edge energy is known."""

    energies: np.ndarray
    edge_energy: np.ndarray
    jump: np.ndarray
    clean: np.ndarray

    def noisy(self, sigma, seed=0):
        noise = np.random.default_rng(seed).standard_normal(self.clean.shape)
        return (self.clean + sigma * noise).astype(np.float32)


def phantom(shape=(24, 30), low=8338.6, high=8342.9, jump=(0.2, 0.6), seed=1, width=1.2):
    """Two phases that mix across the field, on baselines that slope as those of nickel do."""
    rng = np.random.default_rng(seed)
    truth = rng.uniform(low, high, shape)
    heights = rng.uniform(*jump, shape)
    x = ENERGIES.reshape(-1, 1, 1) - 8341
    clean = heights * (spectrum(truth, width) - 2e-4 * x * (x > 0)) + rng.uniform(0.2, 0.5, shape) - 4e-4 * x
    return Phantom(ENERGIES, truth, heights, clean)


@pytest.fixture(scope="session")
def particle() -> Phantom:
    return phantom()
