"""The topography of a simulated particle after noise, tomography and reconstruction, beside that of its truth.

    python tests/analysis/through_tomography.py --size 128 --angles 180 --counts 8000 2000

prints, energy by energy, P(H < 0) of both and the distance of their histograms of H.
"""

import argparse
from dataclasses import dataclass

import numpy as np

from redoxscope.analysis.curvature import LEVELS, WINDOWS, curvature_at
from redoxscope.analysis.scale_space import scale_space
from redoxscope.analysis.smooth_field import continue_field
from redoxscope.analysis.topography import Topography, topography
from redoxscope.analysis.volume import edge_volume
from redoxscope.analysis.xanes import Edge
from redoxscope.simulators import Particle
from redoxscope.simulators.microscope import Microscope

ENERGIES = np.concatenate([np.arange(8200.0, 8321, 30), np.arange(8330.0, 8353, 1), np.arange(8380.0, 8451, 14)])
ISO = np.arange(8338.5, 8342.6, 0.5)
"""eV; the simulator's edge energies run from 8338.5 to 8343."""
MARGIN = 4


@dataclass(frozen=True)
class Comparison:
    """Truth and reconstruction, at each energy of ISO; windows as in the reconstruction's topography for both."""

    truth: Topography
    found: Topography
    negative: np.ndarray
    """(2, iso) share of the area with H < 0, of the truth and of what was found."""
    distance: np.ndarray
    """(iso,) half the L1 distance of the two histograms of H: the share of the area that would have to move."""
    moved: np.ndarray
    """(iso,) earth mover's distance of the two, over the truth's rms H."""
    error: float
    """eV, median of the volume's error."""

    def lost(self, least=0.0):
        """Changes from one energy to the next of another sign than the truth's, which is larger than `least`."""
        true, found = np.diff(self.negative, axis=1)
        with np.errstate(invalid="ignore"):
            return np.flatnonzero((np.sign(true) != np.sign(found)) & (np.abs(true) > least))


def measure(particle, extent, angles, counts, rng):
    """(energy, angle, row, col) absorbance with photon noise, and the magnification of each energy."""
    width = particle.size + 2 * MARGIN
    microscope = Microscope(particle, (particle.size, width), reference_energy=float(ENERGIES[0]))
    out = np.empty((ENERGIES.size, angles.size, particle.size, width), dtype=np.float32)
    for a, angle in enumerate(angles):
        for e, energy in enumerate(ENERGIES):
            light = counts * np.exp(-microscope.absorbance(float(energy), extent, float(angle)))
            out[e, a] = -np.log(np.maximum(rng.poisson(light), 1) / counts)
    return out, ENERGIES / ENERGIES[0]


def compare(size=64, angles=90, counts=8000.0, seed=1, transformed=0.5):
    """A particle's front through everything, beside its truth."""
    particle = Particle(size, seed)
    extent = particle.extent_at(transformed)
    theta = np.arange(angles) * 180.0 / angles
    projections, scales = measure(particle, extent, theta, counts, np.random.default_rng(seed))
    volume = edge_volume(projections, ENERGIES, theta, Edge(), scales=scales)
    inner = slice(MARGIN, -MARGIN)
    field, sigma = volume.edge_energy[:, inner, inner], volume.sigma[:, inner, inner]
    exact = particle.edge_energy(extent)
    found = topography(field, ISO, sigma=sigma)
    truth = topography(exact, ISO, window=found.surface_window)
    # The truth's curvature by the window of the reconstruction's histograms.
    whole = continue_field(exact)
    window = int(np.abs(WINDOWS - found.fixed_window).argmin())
    ladder = scale_space(whole.values, LEVELS)
    edges = truth.curvature_edges
    width = edges[1] - edges[0]
    negative, distance, moved = np.full((2, ISO.size), np.nan), np.full(ISO.size, np.nan), np.full(ISO.size, np.nan)
    for i, (one, other) in enumerate(zip(truth.surfaces, found.surfaces, strict=True)):
        if not (len(one.vertices) and len(other.vertices)):
            continue
        mean, _, _ = curvature_at(ladder, one.vertices - whole.origin, np.full(len(one.vertices), window))
        area = one.vertex_area
        negative[:, i] = area[mean < 0].sum() / area.sum(), found.negative[i]
        histogram = np.histogram(np.clip(mean, edges[0], edges[-1]), edges, weights=area)[0] / area.sum()
        apart = found.curvature_histogram[i] - histogram
        distance[i] = np.abs(apart).sum() / 2
        moved[i] = np.abs(np.cumsum(apart)).sum() * width / np.sqrt((area * mean**2).sum() / area.sum())
    error = np.abs(field - exact)
    return Comparison(truth, found, negative, distance, moved, float(np.nanmedian(error)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--angles", type=int, default=180)
    parser.add_argument("--counts", type=float, nargs="+", default=[8000.0, 2000.0])
    parser.add_argument("--seed", type=int, nargs="+", default=[1])
    given = parser.parse_args()
    for seed in given.seed:
        for counts in given.counts:
            result = compare(given.size, given.angles, counts, seed)
            found = result.found
            print(
                f"{given.size} voxels, {given.angles} angles, {counts:g} counts, seed {seed}: volume {result.error:.3f} eV, "
                f"noise {found.noise.sigma:.3f} eV over {found.noise.correlation:.2f} voxel, "
                f"windows {found.surface_window:.2f} and {found.fixed_window:.2f} voxels"
            )
            for name, row in (("area true", result.truth.area), ("area found", found.area),
                              ("P(H<0) true", result.negative[0]), ("P(H<0) found", result.negative[1]),
                              ("histograms apart", result.distance), ("moved by rms H", result.moved)):  # fmt: skip
                print(f"  {name:18s}", " ".join(f"{value:8.3f}" for value in row))
            true = np.diff(result.negative[0])
            print("  changes with another sign:", [f"{ISO[i]:g} (true change {true[i]:+.3f})" for i in result.lost()])


if __name__ == "__main__":
    main()
