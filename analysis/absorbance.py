"""Counts to absorbance, with its noise.

A = -ln[(I - D)/(F - D) · t_F/t_I], Lambert-Beer; see Mu et al., Nat. Commun. 9:2810 (2018), Methods.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

_SCOUTS, _LEAST_AIR = 8192, 0.05
"""Pixels that tell where the air is, and the part of them that must be air."""


def transmission(
    sample: NDArray[np.generic],
    flat: NDArray[np.generic],
    dark: NDArray[np.generic] | float = 0.0,
    *,
    exposure_ratio: float = 1.0,
) -> NDArray[np.float32]:
    """Transmission (I - D)/(F - D) · t_F/t_I of one frame.

    Parameters
    ----------
    sample, flat : (y, x) counts
    dark : (y, x) or scalar counts
    exposure_ratio : t_F/t_I, flat over sample exposure time

    Returns
    -------
    (y, x) float32; NaN where sample or flat do not stand above the dark: such a pixel knows nothing.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if sample.shape != flat.shape:
        raise ValueError(f"sample frame is {sample.shape}, flat frame is {flat.shape}: they must be the same")
    # In place: the memory that a new array needs costs more than what is done with it.
    level = np.asarray(dark, dtype=np.float32)
    out, beam = sample.astype(np.float32), flat.astype(np.float32)
    out -= level
    beam -= level
    lit = (out > 0) & (beam > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        out /= beam
    out *= np.float32(exposure_ratio)
    out[~lit] = np.nan
    return out


def absorbance(transmitted: NDArray[np.floating]) -> NDArray[np.float32]:
    """Absorbance -ln T of a transmission (any shape); NaN where T is not positive and finite."""
    # Of all at once and then without what is none: numpy takes masked logarithms one by one.
    with np.errstate(divide="ignore", invalid="ignore"):
        out = np.asarray(np.log(transmitted), dtype=np.float32)
    np.negative(out, out=out)
    out[~np.isfinite(out)] = np.nan
    return out


def absorbance_variance(
    absorbed: Floats, flat_counts: Floats | float, *, photons_per_count: float = 1.0
) -> NDArray[np.float32]:
    """Variance of the absorbance from photon statistics of the sample and the flat frame.

    var A = 1/N_I + 1/N_F with N_I = N_F·exp(-A), so (1 + e^A)/N_F (first-order propagation of Poisson noise).

    Parameters
    ----------
    absorbed : absorbance, any shape
    flat_counts : counts of the flat above dark, broadcastable
    photons_per_count : detected photons per camera count (1 if the camera counts photons)
    """
    photons = np.maximum(np.asarray(flat_counts, dtype=np.float32) * np.float32(photons_per_count), np.float32(1e-6))
    out = np.asarray(np.exp(absorbed), dtype=np.float32)
    out += 1
    return np.asarray(out / photons)


def air_level(absorbed: Floats, variance: Floats) -> float:
    """Absorbance of the air around the sample, which should be none: the flicker of the beam since the flat.

    A common offset of a frame shifts where it lies in every pixel's spectrum, which no averaging over pixels removes;
    0.003 at one energy near the edge moves a whole map by 0.05 eV. It is the median over the pixels that hold nothing
    within their noise.

    Parameters
    ----------
    absorbed, variance : (y, x) absorbance, NaN allowed, and its variance

    Returns
    -------
    the level; 0.0 where fewer than a twentieth of the pixels are air, or where these do not lie around zero
    """
    # First where it is, by some of the pixels, then how high, by all: medians are what takes the time.
    some = slice(None, None, max(1, absorbed.size // _SCOUTS))
    scouts, scouts_sigma = absorbed.ravel()[some], np.sqrt(variance.ravel()[some])
    level = 0.0
    for _ in range(8):
        air = _is_air(scouts, level, scouts_sigma)
        if air.sum() < _LEAST_AIR * air.size:
            return 0.0
        before, level = level, float(np.median(scouts[air]))
        if abs(level - before) < 1e-5:
            break
    if scouts.size < absorbed.size:
        level = float(np.median(absorbed[_is_air(absorbed, level, np.sqrt(variance))]))
    usual = float(np.median(scouts_sigma[air]))
    # Of pixels that hold nothing 0.69 lie within one sigma, of those within 2.5; of any slope of absorbance 0.4.
    like_noise = float(np.mean(np.abs(scouts[air] - level) < scouts_sigma[air])) > 0.6
    return level if abs(level) < (2 if like_noise else 1) * usual else 0.0


def _is_air(absorbed: Floats, level: float, sigma: Floats) -> NDArray[np.bool_]:
    with np.errstate(invalid="ignore"):
        return np.asarray(np.abs(absorbed - level) < 2.5 * sigma)
