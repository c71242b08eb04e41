"""Nickel K-edge absorption as a formula, with the half-jump as its parameter.

An arctangent step (Breit-Wigner edge), a white line, a shoulder, a weak pre-edge peak and two damped shells of
EXAFS, on a Victoreen-like background. The numbers are our own, chosen to look like nickel oxides; no measured
value is copied. The formula's own position parameter is not the half-jump: a polynomial, fitted once, converts.
"""

from functools import lru_cache

import numpy as np
from numpy.polynomial import Chebyshev
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

Floats = NDArray[np.float64]

ENERGIES_53: Floats = np.concatenate(
    [np.arange(8200.0, 8321, 20), np.arange(8325.0, 8361, 1), np.arange(8369.0, 8451, 9)]
)
"""eV: the XANES scan's 7 pre-edge, 36 near-edge and 10 post-edge energies."""

ENERGIES_FINE: Floats = np.union1d(ENERGIES_53, np.arange(8336.0, 8346.01, 0.25))
"""eV: the same, and so many more around the edge that a straight line between two of them crosses one half within a
meV of the spectrum itself; between the 53 it errs by up to 17 meV."""

PRE = (8200.0, 8310.0)
POST = (8380.0, 8460.0)
NOMINAL = 8341.0
"""The edge jump is the post-edge minus the pre-edge line at this energy, eV."""

RANGE = (8338.4, 8343.1)
"""Edge energies that the formula is calibrated for, eV."""

NICKEL_BACKGROUND = 0.16
"""Nickel's absorption below its K edge, in edge jumps."""


def background(energy: ArrayLike) -> Floats:
    """Smooth absorption, 1 at 8333 eV, falling as E^-2.8 (Victoreen's law within this range)."""
    return np.asarray((np.asarray(energy, dtype=np.float64) / 8333.0) ** -2.8)


def absorption(energy: ArrayLike, edge_energy: ArrayLike) -> Floats:
    """Absorption of nickel whose half-jump is `edge_energy`, in units of its edge jump.

    Parameters
    ----------
    energy : (n,) or scalar, eV
    edge_energy : (...), eV, from 8338.5 (reduced) to 8343 (oxidised); clipped to `RANGE`

    Returns
    -------
    (n, ...) absorption, about 0.16 before the edge and 1.16 behind it
    """
    e0 = np.clip(np.asarray(edge_energy, dtype=np.float64), *RANGE)
    e = np.asarray(energy, dtype=np.float64)
    e = e.reshape(e.shape + (1,) * e0.ndim)
    return _formula(e, _position_of()(e0), e0)


def _formula(energy: Floats, position: Floats, edge_energy: Floats) -> Floats:
    """The spectrum, its step at `position` (eV) and its shape that of the state `edge_energy`."""
    x = energy - position
    r = (8343.0 - edge_energy) / 4.5  # 0 oxidised, like LiNiO2; 1 reduced, like NiO
    step = 0.5 + np.arctan(x / (2.0 + 0.7 * r)) / np.pi
    white_line = (0.84 + 0.2 * r) * np.exp(-(((x - 1.0 + 2.0 * r) / (6.0 - 1.2 * r)) ** 2))
    shoulder = 0.2 * np.exp(-(((x + 5.2 + 1.8 * r) / 3.9) ** 2))
    pre_edge = 0.02 * np.exp(-(((x + 15.0) / 1.8) ** 2))
    above = np.maximum(x, 0.0)
    k = np.sqrt(0.2625 * above)
    first_shell = (0.34 + 0.3 * r) * np.exp(-above / 38) * np.cos(3.65 * (k - 3.85 + 0.25 * r))
    second_shell = (0.22 + 0.2 * r) * np.exp(-above / 20) * np.cos(7.3 * (k - 2.15 + 0.2 * r))
    exafs = (first_shell + second_shell) * expit((x - 21.0 - 3.0 * r) / 2.7)
    mu = step + white_line + shoulder + pre_edge + exafs
    return np.asarray((mu + NICKEL_BACKGROUND) * background(energy))


@lru_cache(maxsize=1)
def _position_of() -> Chebyshev:
    """Position parameter (eV) for a half-jump (eV), solved by fixed-point iteration on `ENERGIES_FINE`."""
    edge = np.linspace(*RANGE, 241)
    position = edge.copy()
    for _ in range(20):
        stack = _formula(ENERGIES_FINE[:, None], position, edge)
        position = position - 0.8 * (half_jump(stack, ENERGIES_FINE)[0] - edge)
    return Chebyshev.fit(edge, position, 6)


def half_jump(absorbance: Floats, energies: ArrayLike = ENERGIES_53) -> tuple[Floats, Floats]:
    """Half-jump and edge jump by linear baselines, written independently of `redoxscope.analysis`.

    Parameters
    ----------
    absorbance : (energy, n)
    energies : (energy,) eV, ascending

    Returns
    -------
    (n,) first upward crossing of 0.5 between 8325 and 8360 eV, NaN where there is none, and (n,) edge jump
    """
    e = np.asarray(energies, dtype=np.float64) - NOMINAL
    stack = np.asarray(absorbance, dtype=np.float64)
    pre_slope, pre = np.polyfit(*_within(e, stack, PRE), 1)
    post_slope, post = np.polyfit(*_within(e, stack, POST), 1)
    jump = post - pre
    x, near = _within(e, stack, (8325.0, 8360.0))
    above = near - (pre + pre_slope * x[:, None]) - 0.5 * (jump + (post_slope - pre_slope) * x[:, None])
    upward = (above[:-1] < 0) & (above[1:] >= 0)
    first = np.argmax(upward, axis=0)
    column = np.arange(stack.shape[1])
    a, b = above[first, column], above[first + 1, column]
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = NOMINAL + x[first] + (x[first + 1] - x[first]) * a / (a - b)
    return np.where(upward.any(axis=0), crossing, np.nan), jump


def _within(e: Floats, stack: Floats, window: tuple[float, float]) -> tuple[Floats, Floats]:
    """The energies (from the nominal edge) inside a window, and their images."""
    chosen = (e >= window[0] - NOMINAL - 1e-6) & (e <= window[1] - NOMINAL + 1e-6)
    return e[chosen], stack[chosen]
