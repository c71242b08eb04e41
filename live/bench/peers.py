"""The packages we are measured against; where one is not installed, the algorithm it publishes stands in.

larch: Newville, J. Phys.: Conf. Ser. 430, 012007 (2013). pyxas: Ge & Lee, J. Synchrotron Rad. 27, 567 (2020).
txm_sandbox: Xiao et al., J. Synchrotron Rad. 29, 266 (2022). algotom: Vo et al., Opt. Express 29, 17849 (2021).
"""

import importlib
import signal
from collections.abc import Callable
from types import ModuleType

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import UnivariateSpline

from redoxscope.live.bench.inputs import EDGE, ENERGIES, NEAR, POST, PRE, WHITE_LINE, Sizes
from redoxscope.live.bench.measure import Peer

Floats = NDArray[np.floating]

HOW_TO_GET = {
    "larch": "pip install 'redoxscope[bench]'",
    "pyxas": "pip install 'redoxscope[bench]'",
    "algotom": "pip install 'redoxscope[bench]'",
    "txm_sandbox": "pip install --no-deps txm_sandbox, then pip install multiprocess scikit-learn pystackreg "
    "(its own requirements are conda packages: pip cannot resolve them)",
}
_WINDOW = ENERGIES[WHITE_LINE]
_FINE = np.linspace(_WINDOW[0], _WINDOW[-1], 20 * (_WINDOW.size - 1))
_SMOOTH = 0.02
"""Smoothing of splines: the sum of squares that the noise makes up."""


def imported(name: str) -> ModuleType | None:
    """A module, or None if it cannot be had (some fail with more than an ImportError, or end the program)."""
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit):
        return None


def missing() -> dict[str, str]:
    """Packages that are not installed, and how to get them."""
    return {name: how for name, how in HOW_TO_GET.items() if imported(name) is None}


def map_peers(stack: Floats, sizes: Sizes) -> tuple[Peer, ...]:
    """For an edge-energy map: half-jumps, and peak fits of the white line, which moves with the edge."""
    spectra = stack.reshape(len(stack), -1)

    def part(count: int) -> tuple[NDArray[np.intp], Floats]:
        pick = np.linspace(0, spectra.shape[1] - 1, min(count, spectra.shape[1])).astype(np.intp)
        return pick, np.ascontiguousarray(spectra[:, pick], dtype=np.float64)

    def peer(
        name: str, package: str | None, run: Callable[[Floats], Floats], count: int, *, other: bool = False
    ) -> Peer:
        """`other`: not the half-jump, but a definition that differs from it by a constant, which is left out."""
        pick, given = part(count)

        def difference(ours: Floats, theirs: Floats) -> float:
            apart = theirs - ours.reshape(-1)[pick]
            return float(np.nanmedian(np.abs(apart - (np.nanmedian(apart) if other else 0.0))))

        stand_in = package is not None and imported(package) is None
        label = f"{name}, as {package} does" if stand_in else name
        return Peer(label, lambda: run(given), pick.size / 1e6, difference, 0.25 if other else 0.15, stand_in)

    larch, pyxas = imported("larch.xafs"), imported("pyxas.lsq_fit")
    sandbox = imported("txm_sandbox.utils.xanes_math")
    few = max(8, sizes.spectra // 32)
    return (
        peer("numpy: np.polyfit of all lines at once", None, half_jump, 32 * sizes.spectra),
        peer("larch pre_edge", "larch", lambda s: _larch(larch, s), few)
        if larch
        else peer("np.polyfit per spectrum", "larch", _half_jump_each, few),
        peer("txm_sandbox peak fit", "txm_sandbox", lambda s: _sandbox(sandbox, s), 16 * sizes.spectra, other=True)
        if sandbox
        else peer("np.polyfit peak per pixel", "txm_sandbox", _peak_each, sizes.spectra, other=True),
        peer(
            "pyxas polynomial peak, all at once",
            "pyxas",
            lambda s: _pyxas_peak(pyxas, s),
            16 * sizes.spectra,
            other=True,
        )
        if pyxas
        else peer("np.polyfit peak of all at once", "pyxas", _peak_at_once, 16 * sizes.spectra, other=True),
        *(
            [peer("pyxas polynomial peak", "pyxas", lambda s: _pyxas_peak_each(pyxas, s), sizes.spectra, other=True)]
            if pyxas
            else []
        ),
        peer("pyxas spline edge", "pyxas", lambda s: _pyxas_spline(pyxas, s), few, other=True)
        if pyxas
        else peer("UnivariateSpline edge per pixel", "pyxas", _spline_each, few, other=True),
    )


def half_jump(spectra: Floats) -> Floats:
    """(pixel,) TXM-Wizard's definition in closed form: lines by np.polyfit, linear interpolation to 0.5."""
    x = ENERGIES - EDGE.nominal
    pre, post = (np.polyfit(x[window], spectra[window], 1) for window in (PRE, POST))
    low = np.outer(x[NEAR], pre[0]) + pre[1]
    high = np.outer(x[NEAR], post[0]) + post[1]
    above = (spectra[NEAR] - low) / (high - low) - 0.5
    rising = (above[:-1] < 0) & (above[1:] >= 0)
    first = rising.argmax(axis=0)
    pixel = np.arange(spectra.shape[1])
    a, b = above[first, pixel], above[first + 1, pixel]
    energy = ENERGIES[NEAR]
    crossing = energy[first] - a / (b - a) * (energy[first + 1] - energy[first])
    return np.asarray(np.where(rising.any(axis=0), crossing, np.nan))


def _half_jump_each(spectra: Floats) -> Floats:
    return np.array([half_jump(s[:, None])[0] for s in spectra.T])


def _larch(larch: ModuleType, spectra: Floats) -> Floats:
    """Normalised by larch, one spectrum after the other; the crossing of 0.5 is read off."""
    limits = {
        "pre1": EDGE.pre[0] - EDGE.nominal, "pre2": EDGE.pre[1] - EDGE.nominal,
        "norm1": EDGE.post[0] - EDGE.nominal, "norm2": EDGE.post[1] - EDGE.nominal,
    }  # fmt: skip
    group_of = importlib.import_module("larch").Group
    out = np.empty(spectra.shape[1])
    for i, s in enumerate(spectra.T):
        group = group_of(energy=ENERGIES, mu=s)
        larch.pre_edge(group, e0=EDGE.nominal, nnorm=1, **limits)
        near = group.norm[NEAR] - 0.5
        k = int(((near[:-1] < 0) & (near[1:] >= 0)).argmax())
        out[i] = np.interp(0.0, near[k : k + 2], ENERGIES[NEAR][k : k + 2])
    return out


def _sandbox(sandbox: ModuleType, spectra: Floats) -> Floats:
    # It ends its worker processes by a signal that our command line takes for Ctrl-C.
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        fitted = sandbox.fit_curv_polynd(_WINDOW - EDGE.nominal, spectra[WHITE_LINE], 3)[0]
        return np.asarray(sandbox.find_fit_peak("polynd", fitted, _FINE - EDGE.nominal)[0]).ravel()
    finally:
        signal.signal(signal.SIGTERM, before)


def _pyxas_peak(pyxas: ModuleType, spectra: Floats) -> Floats:
    """All spectra as one matrix, which it takes too."""
    return np.ravel(pyxas.fit_peak_curve_poly(_WINDOW, spectra[WHITE_LINE], 3)["peak_pos"])


def _pyxas_peak_each(pyxas: ModuleType, spectra: Floats) -> Floats:
    return np.array([pyxas.fit_peak_curve_poly(_WINDOW, s, 3)["peak_pos"].item() for s in spectra[WHITE_LINE].T])


def _pyxas_spline(pyxas: ModuleType, spectra: Floats) -> Floats:
    # Its default weight, a number, is refused by scipy today.
    energy, even = ENERGIES[NEAR], np.ones(NEAR.size)
    fit = pyxas.fit_peak_curve_spline
    return np.array([fit(energy, s, 3, _SMOOTH, even)["edge_pos"] for s in _normalised(spectra).T])


def _normalised(spectra: Floats) -> Floats:
    """About 0 to 1, near the edge."""
    low = spectra[PRE].mean(axis=0)
    return np.asarray((spectra[NEAR] - low) / (spectra[POST].mean(axis=0) - low))


def _peak_each(spectra: Floats) -> Floats:
    x = _WINDOW - EDGE.nominal
    fine = _FINE - EDGE.nominal
    return np.array([_FINE[np.polyval(np.polyfit(x, s, 3), fine).argmax()] for s in spectra[WHITE_LINE].T])


def _peak_at_once(spectra: Floats) -> Floats:
    fitted = np.polyfit(_WINDOW - EDGE.nominal, spectra[WHITE_LINE], 3)
    fine = np.linspace(_WINDOW[0], _WINDOW[-1], 101)
    values = np.vander(fine - EDGE.nominal, 4) @ fitted
    return np.asarray(fine[values.argmax(axis=0)])


def _spline_each(spectra: Floats) -> Floats:
    energy = ENERGIES[NEAR]
    fine = np.linspace(energy[0], energy[-1], 1001)
    splines = (UnivariateSpline(energy, s, k=3, s=_SMOOTH) for s in _normalised(spectra).T)
    return np.array([fine[np.abs(np.diff(spline(fine))).argmax()] for spline in splines])
