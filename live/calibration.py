"""Darks and flats of a run, and with them a frame's absorbance."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from redoxscope.analysis.absorbance import absorbance, absorbance_variance, air_level, transmission
from redoxscope.live.frames import Frame, FrameError, Pixels
from redoxscope.live.profile_tables import Camera

SAME_ENERGY = 0.25
"""Frames closer than this in energy, eV, belong together."""
BEAM_JUMP = 1.0
"""A frame whose median absorbance is this far from that of its neighbours was taken without the full beam."""
_SAME_BEAM = 0.2
"""Flats of one energy whose level differs by more than this part were taken in another beam."""
_LEAST_LIT = 0.5
"""A frame with fewer pixels above the dark knows nothing."""
_SHADE, _SCOUTS = 0.1, 8192
"""A pixel with a flat of less than this part of the typical one, as so many show it, is a source of noise."""


@dataclass(frozen=True)
class Absorbance:
    """A frame's absorbance, (y, x)."""

    value: NDArray[np.float32]
    variance: NDArray[np.float32] | None
    """None where no counts are known."""
    shaded: NDArray[np.bool_] | None
    """Which pixels next to no beam reaches; None if there are none."""


class Calibration:
    """The darks and flats of one run; their pixels are read when a frame needs them."""

    def __init__(self, camera: Camera) -> None:
        self._camera = camera
        self._darks: list[Frame] = []
        self._flats: list[Frame] = []
        self._dark: NDArray[np.float32] | None = None
        self._mean: tuple[float, int, NDArray[np.float32]] | None = None
        self._shape: tuple[int, ...] = ()
        """Of the frames that the means are for."""
        self.incomplete = False
        """Whether a dark or flat could not be read when it was wanted."""
        self.misfits: set[str] = set()
        """What to say of darks and flats that are not of the size of the frames that they are for."""

    @property
    def darks(self) -> int:
        """How many there are."""
        return len(self._darks)

    @property
    def flats(self) -> int:
        """How many there are, at all energies."""
        return len(self._flats)

    def add(self, frame: Frame) -> None:
        """File a dark or a flat."""
        if frame.kind == "dark":
            self._darks.append(frame)
            self._dark = None
        else:
            self._flats.append(frame)

    def renew(self) -> None:
        """Forget the means: what could not be read may be readable by now."""
        self._shape, self.incomplete = (), False

    def flats_at(self, energy: float) -> list[Frame]:
        """The flats of an energy (eV)."""
        return [f for f in self._flats if abs(f.energy - energy) < SAME_ENERGY]

    def absorbance(self, frame: Frame) -> Absorbance:
        """Absorbance of a sample frame, with the flats of its energy, or of the nearest one that has some.

        Raises FrameError if the frame, or every flat, cannot be read or holds no image.
        """
        pixels = frame.read()
        if pixels.shape != self._shape:
            self._shape, self._dark, self._mean = pixels.shape, None, None
        saturated = self._saturated(pixels)
        flat = self._flat(frame.energy, required=not frame.transmission)
        dark = self._mean_dark()
        if frame.transmission:
            passed = pixels.astype(np.float32)  # a copy
        else:
            assert flat is not None
            ratio = self._exposure_ratio(frame)
            try:
                passed = transmission(pixels, flat, 0.0 if dark is None else dark, exposure_ratio=ratio)
            except ValueError as error:
                raise FrameError(f"frame {frame.index} of run {frame.run}: {error}") from error
        if saturated is not None:
            passed[saturated] = np.nan
        value = absorbance(passed)
        if np.isfinite(value).mean() < _LEAST_LIT:
            raise FrameError(f"frame {frame.index} of run {frame.run} at {frame.energy:g} eV holds no image")
        if flat is None:
            return Absorbance(value, None, None)
        counts = flat if dark is None else flat - dark
        variance = absorbance_variance(value, counts, photons_per_count=self._camera.photons_per_count)
        shaded = counts < _SHADE * np.median(counts.ravel()[:: max(1, counts.size // _SCOUTS)])
        level = np.float32(air_level(value, variance))
        return Absorbance(value - level, variance, shaded if shaded.any() else None)

    def _mean_dark(self) -> NDArray[np.float32] | None:
        if self._dark is None and self._darks:
            self._dark = self._average(self._darks)
        return self._dark

    def _flat(self, energy: float, *, required: bool) -> NDArray[np.float32] | None:
        """Mean flat at the nearest energy whose flats can be read."""
        near = sorted({f.energy for f in self._flats}, key=lambda e: abs(e - energy))
        for candidate in near:
            flats = self.flats_at(candidate)
            if self._mean is not None and self._mean[:2] == (candidate, len(flats)):
                return self._mean[2]
            mean = self._average(flats)
            if mean is not None:
                self._mean = (candidate, len(flats), mean)
                return mean
        if required:
            raise FrameError(f"no readable flat for the frame at {energy:g} eV: the plan must take flats")
        return None

    def _exposure_ratio(self, frame: Frame) -> float:
        """t_F/t_I, from flats at the frame's energy; 1 where either is not recorded."""
        flats = self.flats_at(frame.energy) or self._flats
        ratio = flats[0].exposure / frame.exposure if flats and frame.exposure else np.nan
        return float(ratio) if np.isfinite(ratio) and ratio > 0 else 1.0

    def _saturated(self, pixels: Pixels) -> NDArray[np.bool_] | None:
        """(y, x) which counts are those of a full well: the profile's, else the largest of an integer type."""
        limit = self._camera.saturation
        if limit is None and pixels.dtype.kind in "ui" and pixels.dtype.itemsize <= 2:
            limit = np.iinfo(pixels.dtype).max
        if limit is None:
            return None
        full = np.asarray(pixels >= limit)
        return full if full.any() else None

    def _average(self, frames: list[Frame]) -> NDArray[np.float32] | None:
        """Mean of those frames that can be read and hold an image; among flats, in the beam of most. None if none."""
        images = []
        for frame in frames:
            try:
                pixels = frame.read()
            except FrameError:
                self.incomplete = True
                continue
            full = self._saturated(pixels)
            pixels = pixels.astype(np.float32)
            if full is not None:
                pixels[full] = np.nan
            known = np.isfinite(pixels) if frame.kind == "dark" else pixels > 0
            if pixels.shape != self._shape:
                at = f" at {frame.energy:g} eV" if np.isfinite(frame.energy) else ""
                self.misfits.add(f"{frame.kind}s{at} of run {frame.run} are {pixels.shape}, not {self._shape}")
            elif known.mean() >= _LEAST_LIT:
                images.append(pixels)
        if len(images) > 2 and frames[0].kind == "flat":
            levels = np.array([np.nanmedian(image) for image in images])
            usual = float(np.median(levels))
            images = [i for i, level in zip(images, levels, strict=True) if abs(level - usual) <= _SAME_BEAM * usual]
        return np.mean(images, axis=0) if images else None  # NaN where one of them knows nothing
