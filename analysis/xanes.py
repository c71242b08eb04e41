"""Edge energy of XANES spectra: linear baselines, and the half-jump crossing.

μ(E) = (A - pre)/(post - pre); the half-jump is the first upward crossing of 0.5 in the search window, as in
TXM-Wizard (Liu et al., J. Synchrotron Rad. 19, 281 (2012)) and Mu et al., Nat. Commun. 9:2810 (2018).
"""

from dataclasses import dataclass

import numpy as np
from numba import njit, prange
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.floating]
Window = tuple[float, float]


@dataclass(frozen=True)
class Edge:
    """Where an absorption edge and its baselines are (energies in eV)."""

    name: str = "Ni K"
    nominal: float = 8341.0
    """The edge jump is post-edge minus pre-edge line here."""
    pre: Window = (8200.0, 8310.0)
    post: Window = (8380.0, 8460.0)
    search: Window = (8325.0, 8360.0)
    energy_offset: float = 0.0
    """Added to every edge energy: the laboratory's scale against the standard one."""
    min_jump: float = 0.02
    """A pixel with a smaller edge jump holds no material of this element."""
    min_jump_over_noise: float = 4.0
    """A pixel whose jump is fewer standard deviations than this has no edge energy."""

    def members(self, energies: Floats, window: Window) -> NDArray[np.intp]:
        """Indices of the energies inside a window, its ends included (half an meV of slack for rounding)."""
        low, high = window
        return np.flatnonzero((energies >= low - 5e-4) & (energies <= high + 5e-4))

    def check(self, energies: ArrayLike) -> None:
        """Raise ValueError, in a line, if a scan over these energies (eV) cannot give an edge energy."""
        e = np.asarray(energies, dtype=np.float64)
        if e.size == 0 or not np.all(np.isfinite(e)):
            raise ValueError(f"the scan's energies are not all numbers: {e.tolist()[:5]}")
        if e.max() < self.nominal / 100:
            raise ValueError(f"energies up to {e.max():g} look like keV: give eV, or set energy_unit = 'keV'")
        for name, window, least in (("pre", self.pre, 2), ("post", self.post, 2), ("search", self.search, 3)):
            found = self.members(e, window).size
            if found < least:
                raise ValueError(
                    f"{found} energies in the {self.name} edge's {name} window {window[0]:g}-{window[1]:g} eV, "
                    f"{least} needed: extend the scan ({e.min():g}-{e.max():g} eV) or edit the profile"
                )


@dataclass(frozen=True)
class EdgeEnergy:
    """Edge energy per pixel (or voxel) with its uncertainty; all arrays have the pixels' shape, float32."""

    edge_energy: NDArray[np.float32]
    """eV; NaN where there is no material or no crossing."""
    sigma: NDArray[np.float32]
    """One standard deviation of the edge energy, eV."""
    jump: NDArray[np.float32]
    """Edge jump: post-edge minus pre-edge line at the nominal edge."""


def edge_energy(
    absorbance: Floats, energies: ArrayLike, edge: Edge, *, variance: ArrayLike | None = None
) -> EdgeEnergy:
    """Half-jump edge energy of a whole stack.

    Parameters
    ----------
    absorbance : (energy, ...) absorbance; NaN samples are left out
    energies : (energy,) eV, in any order
    edge : windows and thresholds
    variance : absorbance variance, broadcastable to `absorbance`; without it sigma is NaN and no pixel is
        rejected for noise

    Raises
    ------
    ValueError
        If the energies do not cover the windows, or are not one per image.
    """
    from redoxscope.analysis.edge_map import EdgeMap

    e = np.asarray(energies, dtype=np.float64)
    if absorbance.ndim < 1 or len(absorbance) != e.size:
        raise ValueError(f"{len(absorbance)} images for {e.size} energies: one image per energy is needed")
    edge.check(e)
    pixels = absorbance.shape[1:]
    noise = None if variance is None else np.broadcast_to(np.asarray(variance), absorbance.shape)
    scan = EdgeMap(e, (int(np.prod(pixels)),), edge)
    for i, image in enumerate(absorbance):
        scan.update(i, image.reshape(-1), None if noise is None else noise[i].reshape(-1))
    flat = scan.result()
    return EdgeEnergy(*(a.reshape(pixels) for a in (flat.edge_energy, flat.sigma, flat.jump)))


@njit(inline="always")  # type: ignore[untyped-decorator]
def _line(moments: NDArray[np.float64], p: int) -> tuple[float, float, float, float, float, float]:
    """Least-squares line from moments (see `edge_map`): value and slope at the nominal edge, the variance of
    one sample, and var(value), cov(value, slope), var(slope)."""
    n, sx, sxx, sy, sxy, sv = moments[:, p]
    det = n * sxx - sx * sx
    if n < 2 or det <= 1e-9:
        return np.nan, np.nan, np.nan, np.nan, np.nan, np.nan
    slope = (n * sxy - sx * sy) / det
    noise = sv / n
    return (sy - slope * sx) / n, slope, noise, noise * sxx / det, -noise * sx / det, noise * n / det


@njit(parallel=True, cache=True, nogil=True)  # type: ignore[untyped-decorator]
def half_jump(
    near: NDArray[np.float32],
    x: NDArray[np.float64],
    pre: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    provisional: bool,
    crossing: NDArray[np.float64],
    sigma: NDArray[np.float32],
    jump: NDArray[np.float32],
    jump_sigma: NDArray[np.float32],
) -> None:
    """First upward crossing of A(x) through pre(x) + (high(x) - low(x))/2, pixel by pixel, in one pass.

    Parameters
    ----------
    near : (n, pixel) absorbance in the search window, ascending in x
    x : (n,) energies in the units and from the origin of the moments
    pre, low, high : (6, pixel) moments of the baselines; a final map has `low` = `pre` and `high` = the post-edge,
        a provisional one (`provisional`) takes the jump's two lines from an earlier scan
    crossing, sigma, jump, jump_sigma : (pixel,) are filled, in units of x and of the absorbance; NaN where unknown
    """
    n, pixels = near.shape
    for p in prange(pixels):
        a, b, noise, vaa, vab, vbb = _line(pre, p)
        la, lb, _, laa, lab, lbb = _line(low, p)
        ha, hb, high_noise, haa, hab, hbb = _line(high, p)
        value = a + 0.5 * (ha - la)
        slope = b + 0.5 * (hb - lb)
        jump[p] = ha - la
        jump_sigma[p] = np.sqrt(haa + laa)
        found = np.nan
        spread = np.nan
        before = np.nan
        x_before = np.nan
        for i in range(n):
            d = near[i, p] - (value + slope * x[i])
            if not np.isfinite(d):
                continue
            if before < 0.0 <= d:
                f = before / (before - d)
                found = x_before + f * (x[i] - x_before)
                var = 0.25 * (haa + laa + 2 * found * (hab + lab) + found * found * (hbb + lbb))
                if provisional:
                    var += vaa + 2 * found * vab + found * found * vbb
                var += ((1 - f) * (1 - f) + f * f) * 0.5 * (noise + high_noise)
                spread = np.sqrt(var) * (x[i] - x_before) / (d - before)
                break
            before = d
            x_before = x[i]
        crossing[p] = found
        sigma[p] = spread
