"""The stages from counts to the edge-energy map."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.signal import wiener
from skimage.registration import phase_cross_correlation

from redoxscope.analysis.absorbance import absorbance, absorbance_variance, transmission
from redoxscope.analysis.edge_map import EdgeMap
from redoxscope.analysis.neighbours import Joined, with_neighbours
from redoxscope.analysis.registration import Placement, Registration
from redoxscope.analysis.resample import resample
from redoxscope.analysis.xanes import edge_energy
from redoxscope.live.bench.inputs import EDGE, ENERGIES, Field, Sizes, flat_and_dark, texture
from redoxscope.live.bench.measure import Peer, Stage
from redoxscope.live.bench.peers import half_jump, map_peers

Floats = NDArray[np.floating]

_NOISE = 0.01
"""Standard deviation of an absorbance in the map stages: 10 000 photons."""
_DIM = 0.05
"""Of a dim beam: 400 photons."""
_ENERGY = "edge energy, median, eV"


def absorbance_stage(sizes: Sizes) -> Stage:
    """Counts of one frame to its absorbance and variance."""
    flat, dark = flat_and_dark(sizes.map)
    counts = Field(sizes.map).counts(8350.0, (0.0, 0.0), 1.0, 7)

    def ours() -> tuple[Floats, Floats]:
        value = absorbance(transmission(counts, flat, dark))
        return value, absorbance_variance(value, flat.astype(np.float32) - dark)

    def by_numpy() -> tuple[Floats, Floats]:
        i, f, d = (a.astype(np.float32) for a in (counts, flat, dark))
        return -np.log((i - d) / (f - d)), 1 / (i - d) + 1 / (f - d)

    def difference(a: tuple[Floats, Floats], b: tuple[Floats, Floats]) -> float:
        return float(max(np.nanmax(np.abs(a[0] - b[0])), np.nanmax(np.abs(a[1] / b[1] - 1))))

    pixels = counts.size / 1e6
    peer = Peer("numpy", by_numpy, pixels, difference, 1e-3)
    return Stage("absorbance of a frame", "Mpixel", pixels, 14 * counts.size, ours, (peer,), "absorbance, largest")


def resample_stage(sizes: Sizes) -> Stage:
    """Magnification and shift of one frame, in one interpolation."""
    image = texture(sizes.map, 3.0, 1)
    scale, shift = 1.003, (1.3, -2.6)
    centre = (sizes.map - 1) / 2

    def by_scipy() -> Floats:
        offset = [centre - scale * centre + s for s in shift]
        return np.asarray(ndimage.affine_transform(image, np.full(2, scale), offset, order=3, mode="nearest"))

    def difference(a: tuple[Floats, Floats, Floats], b: Floats) -> float:
        return float(np.nanmedian(np.abs(a[0] - b)))

    pixels = image.size / 1e6
    peer = Peer("scipy affine_transform, cubic", by_scipy, pixels, difference, 0.01)
    run = lambda: resample(image, scale, shift)  # noqa: E731
    return Stage("resample a frame", "Mpixel", pixels, 8 * image.size, run, (peer,), "value over its spread, median")


def registration_stage(sizes: Sizes) -> Stage:
    """The shift of one frame in the middle of a scan."""
    field = Field(sizes.map)
    flat, dark = flat_and_dark(sizes.map)
    shift = (2.3, -1.6)

    def seen(energy: float, moved: tuple[float, float]) -> Floats:
        return absorbance(transmission(field.counts(energy, moved, 1.0, int(energy)), flat, dark))

    registration = Registration()
    reference = seen(8330.0, (0.0, 0.0))
    for i in range(6):
        registration.place(i, reference if i == 0 else seen(8330.0 + i, (0.1 * i, 0.0)), 1.0)
    frame = seen(8336.0, shift)

    def by_skimage() -> Floats:
        return -np.asarray(phase_cross_correlation(reference, frame, upsample_factor=20, normalization=None)[0])

    def difference(a: Placement, b: Floats) -> float:
        return float(np.abs(np.array([np.subtract(a.shift, shift), np.subtract(a.shift, b)])).max())

    pixels = frame.size / 1e6
    peer = Peer("scikit-image phase_cross_correlation", by_skimage, pixels, difference, 0.25)
    run = lambda: registration.place(6, frame, 1.0)  # noqa: E731
    return Stage("registration of a frame", "Mpixel", pixels, 4 * frame.size, run, (peer,), "shift, from both, px")


def update_stage(sizes: Sizes) -> Stage:
    """All frames of a scan filed in an edge map, which keeps it up to date."""
    shape = (sizes.frame, sizes.frame)
    image = Field(sizes.frame, disc=False).absorbance(8345.0)
    variance = np.full(shape, _NOISE**2, dtype=np.float32)
    scans = [EdgeMap(ENERGIES, shape, EDGE)]

    def prepare() -> None:
        scans.clear()
        scans.append(EdgeMap(ENERGIES, shape, EDGE))

    def run() -> bool:
        return all(scans[0].update(i, image, variance) for i in range(ENERGIES.size))

    pixels = image.size * ENERGIES.size
    # Read: the frame, its variance, the sum of variances; written: the sample on file, the sum.
    return Stage(f"update of a {shape[0]}² frame", "Mpixel", pixels / 1e6, 24 * pixels, run, (), "", prepare)


def map_stages(sizes: Sizes) -> Iterator[Stage]:
    """A whole stack to its map, from all energies and from the few components."""
    field = Field(sizes.map, disc=False)
    stack = field.stack(_NOISE)
    pixels = stack[0].size / 1e6
    peers = map_peers(stack, sizes)
    for name, subspace in (("plain", False), ("subspace", True)):

        def run(subspace: bool = subspace) -> Floats:
            return edge_energy(stack, ENERGIES, EDGE, variance=_NOISE**2, subspace=subspace).edge_energy

        touched = stack.nbytes + 3 * stack[0].nbytes
        yield Stage(f"batch map, {name}", "Mpixel", pixels, touched, run, peers, _ENERGY)


def neighbours_stage(sizes: Sizes) -> Stage:
    """A noisy map's pixels joined with their neighbours."""
    field = Field(sizes.map, disc=False)
    known = edge_energy(field.stack(_DIM), ENERGIES, EDGE, variance=_DIM**2)
    noise = float(np.nanmedian(known.sigma))

    def by_scipy() -> Floats:
        """With one noise for all pixels, and a number for those that have none."""
        filled = np.nan_to_num(known.edge_energy - EDGE.nominal)
        return np.asarray(wiener(filled, 3, noise**2)) + EDGE.nominal

    def difference(a: Joined, b: Floats) -> float:
        return float(np.nanmedian(np.abs(a.edge_energy - b)))

    pixels = known.edge_energy.size
    peer = Peer("scipy wiener, 3 x 3", by_scipy, pixels / 1e6, difference, noise)
    run = lambda: with_neighbours(known.edge_energy, known.sigma, known.noise_sigma)  # noqa: E731
    # Read: edge energy, sigma and the part that is noise; written: the same.
    return Stage(
        "noisy pixels and neighbours",
        "Mpixel",
        pixels / 1e6,
        20 * pixels,
        run,
        (peer,),
        _ENERGY,
    )


def end_to_end_stage(sizes: Sizes) -> Stage:
    """Counts of a scan that drifts, to its map: what the monitor does with every frame."""
    size = sizes.map
    field = Field(size)
    flat, dark = flat_and_dark(size)
    walk = np.cumsum(np.random.default_rng(8).normal(0, 0.4, (ENERGIES.size, 2)), axis=0)
    walk -= walk[0]
    scales = ENERGIES / ENERGIES[0]
    frames = [
        field.counts(float(e), (float(s[0]), float(s[1])), float(m), i)
        for i, (e, s, m) in enumerate(zip(ENERGIES, walk, scales, strict=True))
    ]
    beam = flat.astype(np.float32) - dark

    def ours() -> Floats:
        registration, scan = Registration(), EdgeMap(ENERGIES, (size, size), EDGE)
        for i, (counts, scale) in enumerate(zip(frames, scales, strict=True)):
            value = absorbance(transmission(counts, flat, dark))
            variance = absorbance_variance(value, beam)
            moved, noise_y, noise_x = resample(value, scale, registration.place(i, value, scale).shift)
            scan.update(i, moved, variance * noise_y[:, None] * noise_x)
        found = scan.result()
        return with_neighbours(found.edge_energy, found.sigma, found.noise_sigma).edge_energy

    inside = ndimage.binary_erosion(field.inside, iterations=3)

    def difference(a: Floats, b: Floats) -> float:
        return float(np.nanmedian(np.abs(a - b)[inside]))

    chain = Peer("numpy, scikit-image, scipy", _chain(frames, flat, dark, scales), ENERGIES.size, difference, 0.4, True)
    moved = 2 * size * size * ENERGIES.size + 12 * size * size
    return Stage(f"end to end, {size}² frames", "frame", ENERGIES.size, moved, ours, (chain,), _ENERGY)


def _chain(frames: list[NDArray[np.uint16]], flat: Any, dark: Any, scales: Floats) -> Callable[[], Floats]:
    """The same with what everybody has: phase correlation frame by frame, cubic spline, closed-form half-jump."""
    size = len(flat)
    centre = (size - 1) / 2

    def run() -> Floats:
        beam = flat.astype(np.float32) - dark
        placed: list[Floats] = []
        before, shift = None, np.zeros(2)
        for counts, scale in zip(frames, scales, strict=True):
            value = -np.log(np.maximum(counts.astype(np.float32) - dark, 1) / beam)

            def move(by: Floats, value: Floats = value, scale: float = float(scale)) -> Floats:
                offset = centre - scale * centre + by
                moved = ndimage.affine_transform(value, np.full(2, scale), offset, order=3, mode="nearest")
                return np.asarray(moved)

            still = move(np.zeros(2))
            if before is not None:
                shift = shift - phase_cross_correlation(before, still, upsample_factor=20, normalization=None)[0]
            before = still
            placed.append(move(shift).ravel())
        return half_jump(np.stack(placed)).reshape(size, size)

    return run
