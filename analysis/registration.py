"""Where each frame lies on the grid of the series' first frame.

The magnification is known from the energy; what is measured is the drift. Across an absorption edge neighbouring
frames look alike but the first and the last do not, and the contrast of reacted grains even inverts at the white line.
So each frame is compared, in a band of fine structure, with several frames already placed: a few steps back in its own
scan, and the same energy in earlier scans. Every comparison is a least-squares one (Lucas & Kanade, IJCAI 1981) with
the contrast as a free factor, and weighs as much as it knows. On frames of low contrast this beats phase correlation,
which finds nothing there (tests/analysis/test_registration.py compares them).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.registration import phase_cross_correlation

from redoxscope.analysis.resample import bridge, resample

_FINE, _COARSE = 1.0, 4.0
"""Band of structure that is compared: difference of two Gaussians, standard deviations in pixels."""
_LAGS = (1, 2, 3, 5, 8, 12, 18, 25)
_LARGEST = 512
"""Frames are binned down to about this many pixels for the comparison."""
_MARGIN = 8
_STEPS = 8


@dataclass(frozen=True)
class Placement:
    """Where a frame lies."""

    shift: tuple[float, float]
    """(dy, dx) px: position in the frame minus position on the series' grid."""
    sigma: float
    """Standard error of the shift from the comparisons' residuals, px."""
    quality: float
    """Correlation with the frames it was compared to, 0 to 1."""
    valid: bool
    """Whether the shift may be trusted."""


@dataclass(frozen=True)
class _Placed:
    """A frame on the series' grid, reduced to the band that is compared."""

    band: NDArray[np.float32]
    """(y, x), binned"""
    shift: tuple[float, float]


class Registration:
    """Places the frames of a series, scan after scan.

    Call `place` for each frame of a scan in the order of its energies, `next_scan` between scans. Memory: two scans
    of frames of at most 512² pixels.
    """

    def __init__(self, minimum_quality: float = 0.08) -> None:
        self.minimum_quality = minimum_quality
        self._first: dict[int, _Placed] = {}
        self._previous: dict[int, _Placed] = {}
        self._current: dict[int, _Placed] = {}

    def next_scan(self) -> None:
        """Make the current scan the one that the next is compared with."""
        if not self._current:
            return
        if not self._first:
            self._first = self._current
        self._previous = self._current
        self._current = {}

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """What the next scan needs to know, as plain arrays: of the first scan and of the previous one."""
        out: dict[str, NDArray[np.generic]] = {}
        for name, scan in (("first", self._first), ("previous", self._previous)):
            if scan:
                out[f"{name}_index"] = np.array(sorted(scan))
                out[f"{name}_band"] = np.stack([scan[i].band for i in sorted(scan)])
                out[f"{name}_shift"] = np.array([scan[i].shift for i in sorted(scan)])
        return out

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take up where the registration that gave `arrays` was."""
        scans: list[dict[int, _Placed]] = []
        for name in ("first", "previous"):
            parts = (arrays[f"{name}_{part}"] for part in ("index", "band", "shift")) if f"{name}_index" in arrays else ()
            scans.append({int(i): _Placed(band, (float(y), float(x))) for i, band, (y, x) in zip(*parts, strict=True)})
        self._first, self._previous = scans

    def restart_scan(self) -> None:
        """Forget the frames of the current scan, to place them anew."""
        self._current = {}

    def place(self, index: int, absorbance: NDArray[np.floating], scale: float) -> Placement:
        """Where the frame number `index` of the current scan lies.

        Parameters
        ----------
        index : number of the energy in the scan
        absorbance : (y, x), NaN allowed
        scale : magnification over that of the series' first frame
        """
        image = _binned(bridge(absorbance.astype(np.float32)))
        step = absorbance.shape[0] / image.shape[0]
        references = self._references(index)
        if not references:
            band = _band(resample(image, scale, (0.0, 0.0))[0])
            self._current[index] = _Placed(band, (0.0, 0.0))
            return Placement((0.0, 0.0), 0.0, 1.0, True)
        start = np.asarray(references[0].shift) / step
        best = self._fit(image, scale, start, references)
        if not best.valid or best.quality < 4 * self.minimum_quality:
            # Lost, or far from where the last one was: look for it everywhere.
            band = _band(resample(image, scale, (float(start[0]), float(start[1])))[0])
            found, *_ = phase_cross_correlation(references[0].band, band, normalization=None)
            other = self._fit(image, scale, start - found, references)
            if other.quality > 1.2 * best.quality:
                best = other
        placement = Placement(
            (best.shift[0] * step, best.shift[1] * step), best.sigma * step, best.quality, best.valid
        )
        if placement.valid:
            self._current[index] = _Placed(_band(resample(image, scale, best.shift)[0]), placement.shift)
        return placement

    def _references(self, index: int) -> list[_Placed]:
        """The frames to compare with, the most alike first."""
        earlier = [self._current[i] for lag in _LAGS if (i := index - lag) in self._current]
        same = [scan[index] for scan in (self._previous, self._first) if index in scan]
        if not earlier and not same:
            # The scan starts with a gap: any placed frame is better than none.
            known = self._current or self._previous
            earlier = [known[min(known, key=lambda i: abs(i - index))]] if known else []
        return (earlier[:4] + same) if same else earlier

    def _fit(
        self,
        image: NDArray[np.float32],
        scale: float,
        start: NDArray[np.floating],
        references: Sequence[_Placed],
    ) -> Placement:
        """Least-squares shift (in binned pixels) from `start`, all references together."""
        shift = np.asarray(start, dtype=np.float64)
        lost = Placement((float(start[0]), float(start[1])), np.inf, 0.0, False)
        gradients = [np.gradient(r.band) for r in references]
        step = np.zeros(2)
        normal = np.zeros((2, 2))
        quality = 0.0
        for _ in range(_STEPS):
            band = _band(resample(image, scale, (float(shift[0]), float(shift[1])))[0])
            view = _view(band.shape, scale, shift)
            if view is None:
                return lost
            normal, pull, quality = _compare(band[view], [r.band[view] for r in references], view, gradients)
            if np.linalg.det(normal) <= 0:
                return lost
            step = np.clip(np.linalg.solve(normal, pull), -2.0, 2.0)
            shift += step
            if np.abs(step).max() < 3e-3:
                break
        sigma = float(np.sqrt(np.linalg.inv(normal).trace() / 2))
        converged = bool(np.abs(step).max() < 0.1)
        return Placement(
            (float(shift[0]), float(shift[1])), sigma, quality, converged and quality >= self.minimum_quality
        )


def _compare(
    band: NDArray[np.float32],
    references: Sequence[NDArray[np.float32]],
    view: tuple[slice, slice],
    gradients: Sequence[Sequence[NDArray[np.float32]]],
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Normal equations of the remaining shift: band = c·reference(p + step), each weighted by its residual."""
    normal, pull, quality = np.zeros((2, 2)), np.zeros(2), 0.0
    value = band.ravel()
    for reference, gradient in zip(references, gradients, strict=True):
        columns = np.stack([reference.ravel(), gradient[0][view].ravel(), gradient[1][view].ravel()])
        products = (columns @ columns.T).astype(np.float64)
        target = (columns @ value).astype(np.float64)
        try:
            contrast, *moved = np.linalg.solve(products, target)
        except np.linalg.LinAlgError:
            continue
        total = float(value @ value)
        correlation = target[0] / np.sqrt(products[0, 0] * total) if total > 0 else 0.0
        if contrast <= 0 or correlation <= 0:
            continue
        residual = max(total - float(np.dot([contrast, *moved], target)), 1e-12 * total) / value.size
        information = products[1:, 1:] * contrast**2 / residual
        normal += information
        pull -= information @ np.asarray(moved) / contrast
        quality = max(quality, float(correlation))
    return normal, pull, quality


def _view(shape: tuple[int, ...], scale: float, shift: NDArray[np.floating]) -> tuple[slice, slice] | None:
    """The part of the grid that the moved frame covers, less a margin; None if there is next to none."""
    out = []
    for size, moved in zip(shape, shift, strict=True):
        centre = (size - 1) / 2
        low = int(np.ceil(max(0.0, centre + (-moved - centre) / scale))) + _MARGIN
        high = int(np.floor(min(size - 1.0, centre + (size - 1 - moved - centre) / scale))) - _MARGIN
        if high - low < 2 * _MARGIN:
            return None
        out.append(slice(low, high + 1))
    return out[0], out[1]


def _band(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fine structure only; what lies outside the view is held level."""
    level = np.nanmedian(image) if np.isnan(image).any() else 0.0
    filled = np.where(np.isnan(image), np.float32(level), image)
    return np.asarray(gaussian_filter(filled, _FINE) - gaussian_filter(filled, _COARSE), dtype=np.float32)


def _binned(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean over squares of pixels, so that the longer side is at most `_LARGEST`."""
    factor = -(-max(image.shape) // _LARGEST)
    if factor == 1:
        return image
    height, width = (n // factor for n in image.shape)
    cut = image[: height * factor, : width * factor]
    return np.asarray(cut.reshape(height, factor, width, factor).mean(axis=(1, 3)), dtype=np.float32)
