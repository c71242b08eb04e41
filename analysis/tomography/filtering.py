"""The filters of filtered backprojection, by name."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import fft

Floats = NDArray[np.floating]

_WINDOWS: dict[str, Callable[[Floats], Floats]] = {
    "ramp": np.ones_like,
    "shepp-logan": lambda k: np.sinc(k),
    "cosine": lambda k: np.cos(np.pi * k),
    "hamming": lambda k: 0.54 + 0.46 * np.cos(2 * np.pi * k),
    "hann": lambda k: 0.5 + 0.5 * np.cos(2 * np.pi * k),
}
FILTERS = tuple(_WINDOWS)
"""Names that a reconstruction takes as `filter_name`, from sharp to smooth."""


def filter_response(length: int, name: str) -> Floats:
    """(length,) response at the frequencies of `scipy.fft.fftfreq`, per radian of angle.

    The ramp is the transform of its band-limited impulse response: no bias at zero frequency (Kak & Slaney, "Principles
    of Computerized Tomographic Imaging", IEEE Press 1988, eq. 61).

    Raises
    ------
    ValueError
        If there is no filter of this name.
    """
    if name not in _WINDOWS:
        raise ValueError(f"no filter {name!r}: one of {', '.join(FILTERS)}")
    n = np.minimum(np.arange(length), length - np.arange(length))
    odd = n % 2 == 1
    impulse = np.zeros(length)
    impulse[0] = 0.25
    impulse[odd] = -1 / (np.pi * n[odd]) ** 2
    return np.asarray(fft.fft(impulse).real * _WINDOWS[name](fft.fftfreq(length)))
