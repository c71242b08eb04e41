"""The front as lines out of a noisy map: where they run, how long they are, in how many pieces.

Marching squares on the map itself follow the noise: at 0.3 eV of it and a slope of 0.2 eV per pixel the line is more
than twice too long, in a simulated particle three to four times, and every speck counts as a piece. Two steps come
before it here, on f = edge energy - front energy:

- f is smoothed by a Gaussian, and what that lost once more: S f + S(f - S f). That is a kernel of fourth order: a
  curved front does not move inwards as under a Gaussian (by its variance over twice the radius). Noise of σ on a slope
  g makes a line longer by the part 0.05 (σ/g)²/s⁴, half the variance of its direction under this kernel, s being the
  Gaussian's width in pixels; so s is chosen from the noise to make this one per cent, and details are kept where there
  is little.
- Patches of one sign that are nowhere further from the front energy than a few standard deviations of the smoothed
  field are noise, and go. (Hysteresis thresholding; what is left is where the map really is on either side.)
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from redoxscope.analysis.front import FrontMotion, FrontWindow, front_lines, front_speed

_PILOT = 2.0
"""Width of the Gaussian under which the front's slope is looked at first, pixels."""
_NARROWEST, _WIDEST = 0.7, 3.5
_EXCESS = 0.01
"""Part by which noise may make the front longer."""
_BORDER = 1.0
"""The material's outline is smoothed by this, pixels."""
_SIGNIFICANT = 4.0
"""Standard deviations from the front energy that a patch must reach somewhere."""
_GAIN = 11 / 6
"""Variance of white noise under S + S(1 - S), in that under S alone: 4 - 4/1.5 + 1/2."""
_INDEPENDENT = 2.8
"""Length along the front over which its noise is alike, in widths: the integral of the kernel's autocorrelation."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FrontField:
    """A map made fit for its front to be drawn."""

    energy: Floats
    """(y, x) smoothed edge energy, eV, NaN outside the material."""
    sigma: Floats
    """(y, x) its standard deviation, eV."""
    width: float
    """Standard deviation of the Gaussian, pixels."""


def front_field(edge_energy: NDArray[np.floating], sigma: NDArray[np.floating], window: FrontWindow) -> FrontField:
    """Smooth a map, and take out the patches that noise makes.

    Parameters
    ----------
    edge_energy : (y, x) eV, NaN where there is no material
    sigma : (y, x) one standard deviation, eV; where it is not known the scatter about the smoothed map takes its place
    window : the front energy

    Returns
    -------
    The material is where more than half of a pixel's surroundings is known: single missing pixels are bridged, single
    known ones are not drawn.
    """
    known = np.isfinite(edge_energy)
    field = np.where(known, edge_energy - window.energy, 0.0)
    given = known & np.isfinite(sigma) & (sigma > 0)
    weight = known.astype(np.float64)
    if given.any():
        usual = float(np.median(sigma[given]))
        # Bounded: neither one pixel that claims to be exact, nor a slope of the uncertainty, may move the front.
        weight[given] /= 1 + (sigma[given] / usual) ** 2
        weight[known & ~given] /= 2
    pilot = _smooth(field, weight, _PILOT)
    rest = np.abs(field - pilot)[known]
    noise = np.where(given, sigma, 1.4826 * float(np.median(rest)) if rest.size else 0.0)
    inside = _blurred(known.astype(np.float64), _BORDER) > 0.5
    width = _width(np.where(inside, pilot, np.nan), noise)
    deviation = np.where(inside, _deviation(weight, noise, width), 0.0)
    clean = _without_specks(_smooth(field, weight, width), inside, _SIGNIFICANT * deviation)
    return FrontField(np.where(inside, clean + window.energy, np.nan), np.where(inside, deviation, np.nan), width)


def _blurred(values: Floats, width: float) -> Floats:
    return np.asarray(ndimage.gaussian_filter(values, width, mode="constant"))


def _smooth(field: Floats, weight: Floats, width: float) -> Floats:
    """S f + S(f - S f), S being the weighted Gaussian mean; 0 where there is nothing near."""
    total = _blurred(weight, width)
    share = np.divide(1.0, total, out=np.zeros_like(total), where=total > 1e-9)
    once = share * _blurred(weight * field, width)
    return np.asarray(once + share * _blurred(weight * (field - once), width))


def _deviation(weight: Floats, noise: Floats, width: float) -> Floats:
    """Standard deviation of `_smooth` for white noise: a Gaussian's square is a narrower Gaussian."""
    total = np.maximum(_blurred(weight, width), 1e-9)
    squares = _blurred((weight * noise) ** 2, width * np.sqrt(0.5)) / (4 * np.pi * width**2)
    return np.asarray(np.sqrt(_GAIN * squares) / total)


def _width(pilot: Floats, noise: Floats) -> float:
    """Width that keeps the front's excess length at `_EXCESS`, from noise and slope where the front is."""
    lines = front_lines(pilot, FrontWindow(0.0))
    if not lines:
        return _PILOT
    down, right = (np.asarray(slope) for slope in np.gradient(pilot))
    y, x = np.rint(np.concatenate(lines)).astype(np.intp).T
    with np.errstate(invalid="ignore", divide="ignore"):
        offset = noise[y, x] / np.hypot(down[y, x], right[y, x])
    offset = offset[np.isfinite(offset)]
    if offset.size == 0:
        return _PILOT
    return float(np.clip((0.05 * np.median(offset) ** 2 / _EXCESS) ** 0.25, _NARROWEST, _WIDEST))


def _without_specks(field: Floats, inside: NDArray[np.bool_], least: Floats) -> Floats:
    """The field; a patch of one sign that nowhere exceeds `least` gets the other."""
    out = field.copy()
    sure = np.abs(field) > least
    for sign in (-1, 1, -1):
        patches, count = ndimage.label(inside & (sign * out > 0))
        keep = np.zeros(count + 1, dtype=bool)
        keep[np.unique(patches[sure & (sign * field > 0)])] = True
        gone = ~keep[patches] & (patches > 0)
        out[gone] = -sign * np.maximum(np.abs(out[gone]), 1e-9)
    return out


@dataclass(frozen=True)
class Speed:
    """How fast a front moves along its normal, in pixels per unit of time, positive where the reacted phase grew."""

    median: float
    sigma: float
    """Standard error of the median from the scatter of speed along the front; NaN with less than two values."""


def median_speed(before: FrontField, after: FrontField, window: FrontWindow, interval: float) -> Speed:
    """Median normal speed of the front between two maps of one grid; see `front.front_speed` for what it raises.

    Neighbouring points share their noise: one value counts per 2.8 widths of the smoothing. A physical variation of the
    speed that is alike over longer stretches makes the true error larger than this one.
    """
    motion: FrontMotion = front_speed(before.energy, after.energy, window, interval=interval, pixel_size=1.0)
    known = motion.speed[np.isfinite(motion.speed)]
    if known.size == 0:
        return Speed(float("nan"), float("nan"))
    median = float(np.median(known))
    length = sum(np.hypot(*np.diff(line, axis=0).T).sum() for line in front_lines(before.energy, window))
    part = known.size / motion.speed.size
    independent = part * float(length) / (_INDEPENDENT * max(before.width, after.width))
    if independent < 2:
        return Speed(median, float("nan"))
    scatter = 1.4826 * float(np.median(np.abs(known - median)))
    return Speed(median, float(np.sqrt(np.pi / 2 / independent)) * scatter)
