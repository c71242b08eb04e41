"""Image formation: absorbance of the reacting particle at an energy, an angle and a reaction extent.

The absorption is interpolated in the edge energy, μ(E, e0) = Σ μ(E, e_k)·L_k(e0), by the polynomial through K
Chebyshev nodes e_k, exact to 1e-4. So K component volumes L_k(e0) are projected once for a state and an angle, and
every energy is a weighted sum of K images. (An SVD would need as many.)
"""

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from redoxscope.simulators.elements import NICKEL, Element
from redoxscope.simulators.projection import StripProjector
from redoxscope.simulators.sample import OXIDISED, REDUCED, Particle
from redoxscope.simulators.spectra import background

COMPONENTS = 9
_CHEBYSHEV = np.cos(np.pi * (np.arange(COMPONENTS) + 0.5) / COMPONENTS)
NODES = 0.5 * (OXIDISED + REDUCED) + 0.5 * (OXIDISED - REDUCED) * _CHEBYSHEV
"""(K,) edge energies e_k, eV."""
KNOT = 2e-3
"""Projections are computed at multiples of this extent; in between they are interpolated (error below 1 meV)."""
REFERENCE_ENERGY = 8200.0
"""The magnification is 1 at this energy, eV, unless another is given."""
CENTRAL_JUMP = 0.55
MATRIX = 0.24
"""Absorbance of everything but nickel through the particle's centre, at 8333 eV."""

Image = NDArray[np.float32]


class Microscope:
    """Parallel-beam microscope looking at a particle; detector rows are z, the beam runs along y at 0°.

    Parameters
    ----------
    particle : what is looked at
    shape : (H, W) of the detector, pixels of one voxel
    axis_offset : px, rotation axis minus detector centre
    elements : what absorbs beside the matrix, everywhere in the same proportion; nickel must be one of them
    reference_energy : eV, where the magnification is 1
    """

    def __init__(
        self,
        particle: Particle,
        shape: tuple[int, int],
        axis_offset: float = 0.0,
        *,
        elements: tuple[Element, ...] = (NICKEL,),
        reference_energy: float = REFERENCE_ENERGY,
    ):
        self.particle = particle
        self.shape = shape
        self.axis_offset = axis_offset
        self.elements = elements
        self.reference_energy = reference_energy
        footprint = np.asarray(particle.inside.any(axis=0))
        self._projector = StripProjector(footprint)
        self._density = particle.density[:, footprint].T
        self._solid = particle.solid[:, footprint].T
        self._footprint = footprint
        self._states = np.linspace(REDUCED, OXIDISED, 4501)
        self._table = _cardinal_polynomials(self._states).astype(np.float32)
        centre = self._central(particle.density), self._central(particle.solid)
        self._nickel_scale, self._matrix_scale = CENTRAL_JUMP / centre[0], MATRIX / centre[1]
        self._cache: OrderedDict[tuple[int, float], Image] = OrderedDict()

    def weights(self, energies: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, K) weights of the components at energies in eV: the elements' absorption at the `NODES`."""
        return np.asarray(sum(element.absorption(energies, NODES) for element in self.elements))

    def components(self, extent: float, angle: float) -> Image:
        """(K + 1, z, u) line integrals in voxels: nickel times each component, and the solid.

        Parameters
        ----------
        extent : reaction extent
        angle : degrees
        """
        knot, fraction = divmod(extent / KNOT, 1.0)
        low, high = (self._components_at(int(knot) + i, angle) for i in (0, 1))
        return low + np.float32(fraction) * (high - low)

    def absorbance(
        self,
        energy: float,
        extent: float,
        angle: float = 0.0,
        *,
        drift: tuple[float, float] = (0.0, 0.0),
        magnification: float | None = None,
    ) -> Image:
        """(H, W) noise-free absorbance.

        Parameters
        ----------
        energy : eV
        extent, angle : state and degrees
        drift : (dy, dx) px by which the sample has moved, on the scale of the reference energy
        magnification : about the detector's centre; default energy / `reference_energy`
        """
        parts = self.components(extent, angle)
        weights = self.line_weights(np.array([energy]))[0].astype(np.float32)
        image: Image = np.einsum("k,kzu->zu", weights, parts)
        return self.to_detector(
            image, drift, energy / self.reference_energy if magnification is None else magnification
        )

    def line_weights(self, energies: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, K + 1) absorbance per voxel of each of the `components`, the matrix included."""
        nickel = self._nickel_scale * self.weights(energies)
        return np.column_stack([nickel, self._matrix_scale * background(energies)])

    def to_detector(self, images: Image, drift: tuple[float, float] = (0.0, 0.0), magnification: float = 1.0) -> Image:
        """(..., H, W) images of (..., z, u) line integrals, moved and magnified in one cubic interpolation."""
        h, w = self.shape
        moved = _cubic(images, h, -2, drift[0], magnification)
        return _cubic(moved, w, -1, drift[1] + self.axis_offset, magnification)

    def _components_at(self, knot: int, angle: float) -> Image:
        """`components` at the extent knot·KNOT, remembered."""
        key = (knot, angle)
        if key not in self._cache:
            energy = self.particle.edge_energy(knot * KNOT)[:, self._footprint].T
            state = np.nan_to_num((energy - REDUCED) * 1000, nan=0.0).round().astype(np.intp)
            volume = np.empty((COMPONENTS + 1, *state.shape), dtype=np.float32)
            np.multiply(np.moveaxis(self._table[state], -1, 0), self._density, out=volume[:-1])
            volume[-1] = self._solid
            voxels = np.moveaxis(volume, 1, 0).reshape(state.shape[0], -1)
            projected = self._projector.matrix(angle) @ voxels
            image = projected.reshape(-1, COMPONENTS + 1, state.shape[1]).transpose(1, 2, 0)
            self._cache[key] = np.ascontiguousarray(image)
            if len(self._cache) > 200:  # twice the angles of a tomogram
                self._cache.popitem(last=False)
        return self._cache[key]

    @staticmethod
    def _central(density: NDArray[np.float32]) -> float:
        """Mean line integral along y through the middle third, voxels."""
        n = density.shape[0]
        middle = slice(n // 3, n - n // 3)
        return float(density.sum(axis=1)[middle, middle].mean())


def _cardinal_polynomials(states: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, K) L_k at edge energies in eV: 1 at `NODES`[k], 0 at the others."""
    differences = states[:, None] - NODES
    columns = [
        np.prod(np.delete(differences, k, axis=1) / np.delete(NODES[k] - NODES, k), axis=1) for k in range(COMPONENTS)
    ]
    return np.stack(columns, axis=1)


def _cubic(images: Image, outputs: int, axis: int, shift: float, scale: float) -> Image:
    """Resample an axis by cubic convolution (Keys 1981, a = -1/2); beyond the input there is nothing.

    Written as four gathers and not as a small matrix product, which would wake all of BLAS's threads.
    """
    inputs = images.shape[axis]
    place = (np.arange(outputs) - (outputs - 1) / 2) / scale - shift + (inputs - 1) / 2
    first = np.floor(place).astype(np.intp) - 1
    result = np.zeros(1, dtype=np.float32)
    for tap in range(4):
        index = first + tap
        d = np.abs(place - index)
        near, far = (1.5 * d - 2.5) * d * d + 1, ((-0.5 * d + 2.5) * d - 4) * d + 2
        weight = np.where(d < 1, near, np.where(d < 2, far, 0.0)) * ((index >= 0) & (index < inputs))
        shape = (-1, 1) if axis == -2 else (-1,)
        part = np.take(images, np.clip(index, 0, inputs - 1), axis=axis)
        result = result + part * weight.astype(np.float32).reshape(shape)
    return result
