"""Where each frame lies on the grid of the series' first frame.

The magnification is known from the energy; what is measured is the drift. Across an absorption edge neighbouring
frames look alike but the first and the last do not, the contrast of reacted grains even inverts at the white line, and
a front that moves through the edge looks like a shift. So a frame is not compared with one other, but with whatever
mixture of the frames placed so far resembles it best: their principal components, in a band of fine structure
(`shift_fit`). The components gather the light of all frames: on frames of low contrast this beats phase correlation,
which finds nothing there (tests/analysis/test_registration.py compares them).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import fftshift, irfft2, next_fast_len, rfft2
from skimage.feature import peak_local_max

from redoxscope.analysis.resample import bridge
from redoxscope.analysis.shift_error import regress
from redoxscope.analysis.shift_fit import Placement as Placement
from redoxscope.analysis.shift_fit import binned, fine_structure, fit, hidden, moved

Image = NDArray[np.float32]

_COMPONENTS = 6
_UNUSUAL = 1.15
"""A frame that is by this factor less explained than those before may lie somewhere else."""
_NEARLY = 0.75
"""Found elsewhere, it must be like the mixture by this part of what frames usually are, where that is little."""
_LEAST = 0.35
"""One that is like the mixture by less than this part of what frames usually are is not placed at all."""
_RECENT = 7
_PLACES = 4
"""Where else it may lie: so many peaks of the correlation are tried."""
_OVERLAP = 0.4
"""Part of the frame that must remain in view there."""


class Registration:
    """Places the frames of a series, scan after scan.

    Call `place` for each frame of a scan, `next_scan` between scans. Memory: a dozen frames of at most 512² pixels,
    however long the series.
    """

    def __init__(self, minimum_quality: float = 0.12) -> None:
        self.minimum_quality = minimum_quality
        self._first: list[Image] = []
        """Components of the first scan: they keep later ones from drifting away step by step."""
        self._pool: list[Image] = []
        """Components of all frames placed so far."""
        self._settled: list[Image] = []
        """Those of the scans that have ended."""
        self._first_error = self._pool_error = self._settled_error = np.zeros(0)
        """Standard errors of where these components lie, px of the binned frames."""
        self._unlike: list[float] = []
        """Parts of the current scan's frames that the mixtures do not explain."""
        self._previous: dict[int, tuple[float, float]] = {}
        self._current: dict[int, tuple[float, float]] = {}
        """Shifts, by number of the energy."""

    def next_scan(self) -> None:
        """End a scan: its shifts are where those of the next are looked for until it has its own."""
        if not self._current:
            return
        if not self._first:
            self._first, self._first_error = self._pool, self._pool_error
        self._settled, self._settled_error = self._pool, self._pool_error
        self._previous, self._current, self._unlike = self._current, {}, []

    def restart_scan(self) -> None:
        """Forget the frames of the current scan, to place them anew."""
        self._pool, self._pool_error = self._settled, self._settled_error
        self._current, self._unlike = {}, []

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """What the next scan needs to know, as plain arrays; to be called between scans."""
        return {
            "first": np.array(self._first),
            "settled": np.array(self._settled),
            "first_error": self._first_error,
            "settled_error": self._settled_error,
            "index": np.array(list(self._previous), dtype=np.int64),
            "shift": np.array(list(self._previous.values())),
        }

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take up where the registration that gave `arrays` was."""
        self._first, self._settled = list(arrays["first"]), list(arrays["settled"])
        placed = zip(arrays["index"], arrays["shift"], strict=True)
        self._previous = {int(i): (float(dy), float(dx)) for i, (dy, dx) in placed}
        self._first_error, self._settled_error = arrays["first_error"], arrays["settled_error"]
        self.restart_scan()

    def place(self, index: int, absorbance: NDArray[np.floating], scale: float) -> Placement:
        """Where the frame number `index` of the current scan lies.

        Parameters
        ----------
        index : number of the energy in the scan
        absorbance : (y, x), NaN allowed
        scale : magnification over that of the series' first frame

        Raises
        ------
        ValueError
            If the frame's shape is not that of the frames before.
        """
        image, factor = binned(bridge(absorbance.astype(np.float32)))
        missing = np.isnan(absorbance)
        if self._pool and self._pool[0].shape != image.shape:
            raise ValueError(f"frame of {absorbance.shape} in a series whose frames have another shape")
        known = self._current or self._previous
        near = known[min(known, key=lambda i: abs(i - index))] if known else (0.0, 0.0)
        start = np.array(near) / factor
        fine = fine_structure(image, scale)
        shown = None
        if missing.any():
            out = hidden(missing, scale)
            fine[out] = 0
            shown = (~out).astype(np.float32)
        band = moved(fine, scale, start)
        if not band.std() > 1e-6:
            return Placement(near, np.inf, 0.0, False)
        if not self._pool:
            self._keep(index, band, near, 0.0, 0.0)
            return Placement(near, 0.0, 1.0, True)
        components = [*self._first, *self._pool]
        best = fit(fine, scale, start, components, self.minimum_quality, shown)
        if self._doubtful(best):
            # Lost, far from where the last one was, or a period off: look for it everywhere.
            # Found on the grid, where a shift of the frame is smaller by its magnification.
            places = [start + scale * away for away in _elsewhere(self._pool[:2], band)]
            others = [fit(fine, scale, place, components, self.minimum_quality, shown) for place in places]
            other = max((o for o in others if o.valid), key=lambda o: o.quality, default=best)
            if other.quality > self._convincing() and _better(other, best):
                best = other
        if not best.valid or best.quality < _LEAST * self._usual():
            return Placement(near, np.inf, best.quality, False)
        shift = (best.shift[0] * factor, best.shift[1] * factor)
        self._unlike.append(1 - best.quality**2)
        band = moved(fine, scale, np.array(best.shift))
        behind = self._mixture_error(band, components)
        self._keep(index, band, shift, best.sigma, behind)
        return Placement(shift, float(np.hypot(best.sigma, behind)) * factor, best.quality, True)

    def _doubtful(self, found: Placement) -> bool:
        """Whether a frame is less like the mixture than frames usually are, or none tells how much that is."""
        if not found.valid or found.quality < 2.5 * self.minimum_quality or len(self._unlike) < 2:
            return True
        return 1 - found.quality**2 > _UNUSUAL * float(np.median(self._unlike[-_RECENT:]))

    def _convincing(self) -> float:
        """How much like the mixture a frame must be elsewhere: at low counts, about as much as frames usually are."""
        return min(2 * self.minimum_quality, _NEARLY * (self._usual() or 1.0))

    def _usual(self) -> float:
        """How much like the mixture this scan's frames are; 0 before there is one."""
        return float(np.sqrt(1 - np.median(self._unlike[-_RECENT:]))) if self._unlike else 0.0

    def _mixture_error(self, band: Image, components: list[Image]) -> float:
        """Standard error of where the mixture lies that a placed frame is most like."""
        columns = np.stack(components).reshape(len(components), -1)
        products = columns @ columns.T
        mixture, _ = regress(products, columns @ band.ravel())
        light = mixture**2 * np.diag(products)
        return float(light @ np.concatenate([self._first_error, self._pool_error]) / max(float(light.sum()), 1e-12))

    def _keep(self, index: int, band: Image, shift: tuple[float, float], error: float, known: float) -> None:
        """Take a frame into the mixture; `error` is that of its comparison, `known` that of what it was compared to."""
        self._current[index] = shift
        frames = np.stack([*self._pool, band]).reshape(len(self._pool) + 1, -1)
        products = (frames @ frames.T).astype(np.float64)
        _, vectors = np.linalg.eigh(products)
        main = vectors[:, ::-1][:, :_COMPONENTS].T
        mixed = main.astype(np.float32) @ frames
        # By its part in a component, an error moves it; that of what was there is common to all.
        light = main**2 * np.diag(products)
        part = light / np.maximum(light.sum(axis=1, keepdims=True), 1e-12)
        self._pool_error = np.hypot(part @ np.append(self._pool_error, known), part[:, -1] * error)
        self._pool = list(mixed.reshape(-1, *band.shape))


def _better(found: Placement, than: Placement) -> bool:
    """Whether a placement is clearly more like the mixture than another one."""
    if not found.valid or not than.valid or found.quality > 1.2 * than.quality:
        return found.valid and found.quality > than.quality
    return 1 - found.quality**2 < 0.9 * (1 - than.quality**2)


def _elsewhere(references: list[Image], band: Image) -> list[NDArray[np.float64]]:
    """Shifts (dy, dx) at which the band looks most like one of the references, by their correlation in the overlap.

    Normalised by what overlaps (Padfield, IEEE Trans. Image Process. 21, 2706 (2012), for whole frames); of either
    sign, as contrast inverts across an edge.
    """
    shape = [next_fast_len(2 * n, real=True) for n in band.shape]

    def correlation(one: NDArray[np.complex64], other: NDArray[np.complex64]) -> Image:
        return np.asarray(fftshift(irfft2(np.conj(one) * other, shape)), dtype=np.float32)

    whole, frame, light = (rfft2(image, shape) for image in (np.ones_like(band), band, band**2))
    overlap, seen_light = correlation(whole, whole) / band.size, correlation(whole, light)
    seen = overlap > _OVERLAP
    places = []
    for reference in references:
        energy = correlation(rfft2(reference**2, shape), whole) * seen_light
        least = 1e-3 * float((reference**2).sum() * (band**2).sum())
        like = np.where(seen & (energy > least), np.abs(correlation(rfft2(reference, shape), frame)), 0)
        # Of the many places where a lattice looks the same, the nearest are the likeliest.
        like *= overlap / np.sqrt(np.maximum(energy, least))
        peaks = peak_local_max(like, min_distance=2, num_peaks=_PLACES)
        places.extend(peaks - np.array(shape) // 2)
    return [np.asarray(place, dtype=np.float64) for place in places]
