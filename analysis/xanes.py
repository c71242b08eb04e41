"""Edge energy of XANES spectra: linear baselines and the half-jump crossing, or another of its definitions.

μ(E) = (A - pre)/(post - pre); the half-jump is the first upward crossing of 0.5 in the search window, as in
TXM-Wizard (Liu et al., J. Synchrotron Rad. 19, 281 (2012)) and Mu et al., Nat. Commun. 9:2810 (2018).
"""

from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from redoxscope.analysis.expected import SAME, line
from redoxscope.analysis.frame_stack import FrameStack, NotWholeError, Variance

Floats = NDArray[np.floating]
Window = tuple[float, float]
Definition = Literal["half_jump", "white_line", "derivative"]


@dataclass(frozen=True)
class Edge:
    """Where an absorption edge and its baselines are (energies in eV).

    Raises ValueError, in a line, if the nominal edge is outside the search window or the definition is unknown.
    """

    name: str = "Ni K"
    nominal: float = 8341.0
    """Within the search window: the edge jump is post-edge minus pre-edge line here."""
    pre: Window = (8200.0, 8310.0)
    post: Window = (8380.0, 8460.0)
    search: Window = (8325.0, 8360.0)
    plateau: Window = (8346.0, 8352.0)
    """The white line's top: what the jump is guessed from in a first scan, until its post-edge comes."""
    plateau_ratio: float = 1.36
    """Mean absorbance over the pre-edge line in this window, in jumps: 1.33 in NiO, 1.43 in LiNiO2 (measured, with the
    energies and windows of the operando experiment), less where a phase's edge lies lower."""
    plateau_scatter: float = 0.07
    """Relative standard deviation of that, from one sample and phase to another."""
    jump_drift: float = 0.01
    """Relative standard deviation of a pixel's jump from one scan to the next, if its edge stays where it is. A series
    learns its own from its final maps."""
    jump_trend: float = -0.02
    """Relative change of the jump per eV that the edge moves: the wiggles behind the edge differ between phases. Of
    nickel oxides; a series learns its own from its final maps."""
    jump_trend_scatter: float = 0.015
    """Standard deviation of that: from no change to -0.04 per eV were seen."""
    definition: Definition = "half_jump"
    """What is called the edge energy: where half the jump is crossed, the peak of the white line, or the maximum of the
    first derivative; the latter two within the search window."""
    span: float = 2.0
    """White line and derivative are of polynomials over so many eV on either side. That moves the maximum: of nickel
    oxides by 0.04 and 0.2 eV (with 3 eV the derivative's by 0.4), about as much in all pixels, and not in sigma."""
    energy_offset: float = 0.0
    """Added to every edge energy: the laboratory's scale against the standard one."""
    min_jump: float = 0.02
    """A pixel with a smaller edge jump holds no material of this element."""
    min_jump_over_noise: float = 4.0
    """A pixel whose jump is fewer standard deviations than this has no edge energy."""

    def __post_init__(self) -> None:
        if self.definition not in get_args(Definition):
            raise ValueError(f"definition = {self.definition!r} is none of {', '.join(get_args(Definition))}")
        low, high = self.search
        if not low <= self.nominal <= high:
            raise ValueError(
                f"nominal = {self.nominal:g} is not within the {self.name} edge's search window, {low:g}-{high:g}: "
                "give both in eV"
            )

    def members(self, energies: Floats, window: Window) -> NDArray[np.intp]:
        """Indices of the energies inside a window, its ends included (half an meV of slack for rounding)."""
        low, high = window
        return np.flatnonzero((energies >= low - 5e-4) & (energies <= high + 5e-4))

    def searched(self, energies: Floats, seen: NDArray[np.bool_]) -> bool:
        """Whether both ends of the search window (energies ascending) have been seen: a maximum before may be none."""
        inside = self.members(energies, self.search)
        return bool(seen[inside[-1] :].any()) and bool(seen[: inside[0] + 1].any())

    def check(self, energies: ArrayLike) -> None:
        """Raise ValueError, in a line, if a scan over these energies (eV) cannot give an edge energy."""
        e = np.asarray(energies, dtype=np.float64)
        if e.size == 0:
            raise ValueError("there is no energy: give one per image, in eV")
        if not np.all(np.isfinite(e)):
            raise ValueError(f"the scan's energies are not all numbers: {e.tolist()[:5]}")
        if e.max() < self.nominal / 100:
            raise ValueError(f"energies up to {e.max():g} look like keV: give eV, or set energy_unit = 'keV'")
        for name, window, least in (("pre", self.pre, 2), ("post", self.post, 2), ("search", self.search, 3)):
            found = len(_alike(e, self.members(e, window).tolist()))
            if found < least:
                raise ValueError(
                    f"{found} different energies in the {self.name} edge's {name} window "
                    f"{window[0]:g}-{window[1]:g} eV, {least} needed: extend the scan "
                    f"({e.min():g}-{e.max():g} eV) or edit the profile"
                )


@dataclass(frozen=True)
class EdgeEnergy:
    """Edge energy per pixel (or voxel) with its uncertainty; all arrays have the pixels' shape, float32."""

    edge_energy: NDArray[np.float32]
    """eV; NaN where there is no material or no crossing."""
    sigma: NDArray[np.float32]
    """One standard deviation of the edge energy, eV."""
    noise_sigma: NDArray[np.float32]
    """The part of it that is each pixel's noise, eV: see `known_map.Map`."""
    jump: NDArray[np.float32]
    """Edge jump: post-edge minus pre-edge line at the nominal edge."""


def edge_energy(
    absorbance: Floats,
    energies: ArrayLike,
    edge: Edge,
    *,
    variance: ArrayLike | None = None,
    subspace: bool = True,
) -> EdgeEnergy:
    """Edge energy of a whole stack.

    Parameters
    ----------
    absorbance : (energy, ...) absorbance; NaN samples are left out
    energies : (energy,) eV, in any order
    edge : windows and thresholds
    variance : absorbance variance, broadcastable to `absorbance`; without it sigma is NaN and no pixel is
        rejected for noise
    subspace : fold the spectra into the few components that stand above the noise first (`subspace.learn`)

    Raises
    ------
    ValueError
        If the energies do not cover the windows, or are not one per image.
    """
    from redoxscope.analysis.edge_map import EdgeMap  # the batch is the accumulator, fed at once

    e = np.asarray(energies, dtype=np.float64)
    if absorbance.ndim < 1 or len(absorbance) != e.size:
        raise ValueError(f"{len(absorbance)} images for {e.size} energies: one image per energy is needed")
    edge.check(e)
    pixels = absorbance.shape[1:]
    flat = absorbance.reshape(e.size, -1)
    noise: list[Variance] = [None] * e.size
    if variance is not None:
        noise = [_of_image(image) for image in np.broadcast_to(np.asarray(variance), absorbance.shape)]
    whole = FrameStack.of(flat, noise) if np.all(np.diff(e) >= 0) else None
    try:
        found = EdgeMap(e, flat.shape[1:], edge, whole=whole).result(subspace=subspace) if whole else None
    except NotWholeError:
        found = None
    if found is None:
        scan = EdgeMap(e, flat.shape[1:], edge)
        for i, image in enumerate(flat):
            scan.update(i, image, noise[i])
        found = scan.result(subspace=subspace)
    images = (found.edge_energy, found.sigma, found.noise_sigma, found.jump)
    return EdgeEnergy(*(image.reshape(pixels) for image in images))


def _of_image(variance: Floats) -> Variance:
    """(pixel,) of an image; a number that was broadcast remains one, which is much less to add up."""
    return variance.reshape(-1) if any(variance.strides) or variance.size == 0 else float(variance.flat[0])


@dataclass(frozen=True)
class Functionals:
    """The edge's definition as linear functionals of a spectrum sampled at n energies.

    The half-jump is where `above` turns from negative to positive: A(E) - [pre(E) + (post(E) - pre(E))/2].
    """

    near: NDArray[np.float64]
    """(m,) ascending energies of the search window, eV"""
    above: NDArray[np.float64]
    """(m, n)"""
    jump: NDArray[np.float64]
    """(n,) post-edge minus pre-edge line at the nominal edge"""
    half_jump_line: NDArray[np.float64]
    """(2, n) half the jump: its value at the nominal edge, and its slope per eV"""
    doubt: float = 0.0
    """Relative standard deviation of the jump where it was predicted, that of the samples' noise not counted."""


def functionals(
    energies: Floats, seen: NDArray[np.bool_], edge: Edge, *, jump_known: bool = False
) -> Functionals | None:
    """The functionals over the energies seen so far; None while a baseline has fewer than two of them.

    With `jump_known`, half the jump is to be subtracted by the caller and `above` is A(E) - pre(E) only.
    """
    x = np.asarray(energies - edge.nominal, dtype=np.float64)
    pre = line(x, [i for i in edge.members(energies, edge.pre) if seen[i]])
    post = line(x, [i for i in edge.members(energies, edge.post) if seen[i]])
    if pre is None or (post is None and not jump_known):
        return None
    half = np.zeros((2, x.size)) if post is None else 0.5 * (post - pre)
    found = with_half(x, seen, edge, pre, np.zeros_like(half) if jump_known else half, 0.0)
    return replace(found, jump=2 * half[0], half_jump_line=half)


def with_half(
    x: NDArray[np.float64],
    seen: NDArray[np.bool_],
    edge: Edge,
    pre: NDArray[np.float64],
    half: NDArray[np.float64],
    doubt: float,
) -> Functionals:
    """Functionals over the energies seen, for half the jump's line `half` (2, n) and the pre-edge line `pre` (2, n).

    `x` (n,) is in eV from the nominal edge; `doubt` as of `Functionals`.
    """
    alike = _alike(x, [i for i in edge.members(x + edge.nominal, edge.search) if seen[i]])
    near = np.array([x[group].mean() for group in alike])
    above = np.zeros((len(alike), x.size))
    for row, group in zip(above, alike, strict=True):
        row[group] = 1 / len(group)
        at = x[group].mean()
        row -= pre[0] + at * pre[1]
        row -= half[0] + at * half[1]
    return Functionals(near + edge.nominal, above, 2 * half[0], half, doubt)


def _alike(x: NDArray[np.float64], members: list[int]) -> list[list[int]]:
    """The members in ascending order, repeated energies together."""
    groups: list[list[int]] = []
    for i in sorted(members, key=lambda i: float(x[i])):
        if groups and x[i] - x[groups[-1][0]] < SAME:
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups
