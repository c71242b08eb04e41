"""How a frame lies on a mixture of others: the least-squares shift, in a band of fine structure.

Shift and mixture are found together (Lucas & Kanade, IJCAI 1981; Black & Jepson, IJCV 26, 63 (1998)).
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.special import chdtri

from redoxscope.analysis.resample import resample
from redoxscope.analysis.shift_error import regress, shift_error

Image = NDArray[np.float32]

_FINE, _COARSE = 1.0, 3.0
"""Band of structure that is compared: difference of two Gaussians, standard deviations in pixels."""
_LARGEST = 512
"""Frames are binned down to about this many pixels for the comparison."""
_MARGIN = 8
"""Pixels along the view's border that are not compared: what lies beyond is missing in the band there."""
_ALIKE = 5.0
"""Pixels of the band's noise that are alike, by the sum of its squared autocorrelation."""
_CHANCE = 1e-6
"""Probability that noise is as much like a mixture as a placed frame must be: the best of many places is looked for."""
_STEPS = 8
_MADE, _WHOLE = 0.02, 0.99
"""Part of what a pixel's fine structure is made of that may be missing; and what is left of 1 by moving, at least."""


@dataclass(frozen=True)
class Placement:
    """Where a frame lies."""

    shift: tuple[float, float]
    """(dy, dx) px: position in the frame minus that on the series' grid; if not valid, the nearest frame's."""
    sigma: float
    """Standard error of the shift, by axis, px: from the comparison's residual, and of what was compared to."""
    quality: float
    """Correlation with the mixture of earlier frames that is most like it, 0 to 1."""
    valid: bool
    """Whether the shift may be trusted."""


def binned(image: Image) -> tuple[Image, int]:
    """Mean over squares of pixels, so that the longer side is at most `_LARGEST`, and the squares' side."""
    factor = -(-max(image.shape) // _LARGEST)
    if factor == 1:
        return image, 1
    height, width = (n // factor for n in image.shape)
    cut = image[: height * factor, : width * factor]
    total = np.zeros((height, width), dtype=np.float32)
    for corner in product(range(factor), repeat=2):
        total += cut[corner[0] :: factor, corner[1] :: factor]
    total /= factor**2
    return total, factor


def fine_structure(image: Image, scale: float) -> Image:
    """Of a frame as it is, in the band that it will show on the grid: moving and filtering are both convolutions."""
    return np.asarray(gaussian_filter(image, scale * _FINE) - gaussian_filter(image, scale * _COARSE), dtype=np.float32)


def moved(fine: Image, scale: float, shift: NDArray[np.floating]) -> Image:
    """A frame's fine structure, moved to the series' grid; none where the frame shows nothing of it."""
    placed = resample(fine, scale, (float(shift[0]), float(shift[1])))[0]
    return np.nan_to_num(placed, copy=False, nan=0.0)


def hidden(missing: NDArray[np.bool_], scale: float) -> NDArray[np.bool_]:
    """(y, x) of a frame, binned, where its fine structure is made of what is missing, and not only of the sample."""
    part = binned(missing.astype(np.float32))[0]
    return np.asarray((part > 0.5) | (gaussian_filter(part, scale * _COARSE) > _MADE))


def fit(
    fine: Image,
    scale: float,
    start: NDArray[np.floating],
    components: list[Image],
    minimum_quality: float,
    shown: Image | None = None,
) -> Placement:
    """Least-squares shift together with the best mixture of the components.

    Parameters
    ----------
    fine : (y, x) fine structure of the frame; scale : its magnification over that of the components' grid
    start : (dy, dx) px where it is looked for, not much farther than the band's structure is wide
    components : each (y, x)
    minimum_quality : the least correlation with a mixture that a valid placement has; more where little is in view
    shown : (y, x) 1 where the fine structure is the sample's, else 0: dead pixels stay where they are as it moves
    """
    shift = np.array(start, dtype=np.float64)
    lost = Placement((float(start[0]), float(start[1])), np.inf, 0.0, False)
    step, quality = np.full(2, np.inf), 0.0
    seen = None
    for _ in range(_STEPS):
        view = _view(fine.shape, scale, shift)
        if view is None:
            return lost
        if view != seen or shown is not None:
            # The last two rows are for the slopes of the mixture.
            seen, both = view, np.stack([*(c[view] for c in components), *(fine[view],) * 2])
            within = None if shown is None else moved(shown, scale, shift)[view] > _WHOLE
            if within is not None:
                both *= within
            flat, products = both.reshape(len(both), -1), np.empty((len(both), len(both)), dtype=np.float32)
            columns, slopes = flat[:-2], flat[-2:]
            products[:-2, :-2] = columns @ columns.T
        value = moved(fine, scale, shift)[view].ravel()
        if within is not None:
            value *= within.ravel()
        mixture, _ = regress(products[:-2, :-2], columns @ value)
        model = (mixture.astype(np.float32) @ columns).reshape(both.shape[1:])
        lit = float(np.linalg.norm(model) * np.linalg.norm(value))
        if not lit > 0:
            return lost
        quality = float(model.ravel() @ value) / lit
        both[-2:] = np.gradient(model)
        if within is not None:
            both[-2:] *= within
        products[-2:] = slopes @ flat.T
        products[:, -2:] = products[-2:].T
        fitted, inverse = regress(products, flat @ value)
        step = -np.clip(fitted[-2:], -2.0, 2.0)
        shift += step
        if np.abs(step).max() < 3e-3:
            break
    # In a small part of the view noise is like some mixture of many components.
    size = value.size if within is None else max(int(within.sum()), 1)
    chance = chdtri(len(components), _CHANCE) * _ALIKE / size
    valid = bool(np.abs(step).max() < 0.1) and quality >= max(minimum_quality, np.sqrt(chance))
    error = shift_error(both, value.reshape(model.shape), fitted, inverse)
    return Placement((float(shift[0]), float(shift[1])), error, quality, valid)


def _view(shape: tuple[int, ...], scale: float, shift: NDArray[np.floating]) -> tuple[slice, slice] | None:
    """The part of the grid that the moved frame covers, less a margin; None if there is next to none."""
    out = []
    for size, away in zip(shape, shift, strict=True):
        centre = (size - 1) / 2
        low = int(np.ceil(max(0.0, centre + (-away - centre) / scale))) + _MARGIN
        high = int(np.floor(min(size - 1.0, centre + (size - 1 - away - centre) / scale))) - _MARGIN
        if high - low < 2 * _MARGIN:
            return None
        out.append(slice(low, high + 1))
    return out[0], out[1]
