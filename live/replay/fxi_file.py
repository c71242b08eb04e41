"""What an NSLS-II FXI file says about itself, read once and checked; the pixels stay where they are.

A 2D file (`img_xanes`, one energy per frame) is a XANES scan of one field of view; a 3D file (`img_tomo`, one
energy in all) a tomogram. Energies are in keV, `scan_time` is in seconds since the epoch.
"""

import re
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from redoxscope.live.errors import UserError

TRANSMISSION_LIMIT = 5.0  # no sample transmits more than this; a camera counts more where there is light


@dataclass(frozen=True)
class Images:
    """A dataset of frames: (count, height, width)."""

    dataset: str
    count: int
    height: int
    width: int
    dtype: str


@dataclass(frozen=True)
class FxiFile:
    """One file: `energies` has an entry per frame in 2D and a single one in 3D; `angles` (3D) in degrees."""

    path: Path
    sample: Images
    dark: Images | None
    flat: Images | None
    energies: tuple[float, ...]
    angles: tuple[float, ...]
    units: str
    plan_name: str
    scan_id: int | None
    time: float
    note: str
    uid: str
    pixel_size_nm: float | None
    repeat: int
    position: int | None

    @property
    def is_3d(self) -> bool:
        """Whether it is a tomogram at one energy."""
        return bool(self.angles)

    @property
    def frames(self) -> int:
        """Frames of all kinds."""
        return sum(images.count for images in (self.sample, self.dark, self.flat) if images)

    @property
    def order(self) -> tuple[Any, ...]:
        """The key that sorts files into the order they were taken in."""
        return self.is_3d, self.time, self.scan_id or 0, self.repeat, self.position or 0, self.energies[0]


def read_header(path: Path) -> FxiFile:
    """Read and check everything but the pixels. Raises UserError for what is no sound FXI file."""
    try:
        with h5py.File(path, "r", locking="best-effort") as file:
            return _read(path, file)
    except BlockingIOError:
        raise UserError(f"{path}: still being written; try again when its scan has ended") from None
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path}: damaged or truncated HDF5 ({reason}); copy it again") from error


def _read(path: Path, file: h5py.File) -> FxiFile:
    names = {name for name in file if isinstance(file.get(name), h5py.Dataset)}
    sample_name = next((name for name in ("img_xanes", "img_tomo") if name in names), None)
    if sample_name is None or "X_eng" not in names:
        found = ", ".join(sorted(file)[:12]) or "nothing"
        raise UserError(f"{path}: HDF5, but not of FXI: has {found}; needs X_eng with img_xanes or img_tomo")
    sample = _images(path, file, sample_name)
    energies = _numbers(path, file, "X_eng")
    angles: tuple[float, ...] = ()
    if sample_name == "img_tomo":
        angles = _numbers(path, file, "angle") if "angle" in names else ()
        _expect(path, len(energies) == 1, f"X_eng has {len(energies)} values where a tomogram has one")
        _expect(path, len(angles) == sample.count, f"{len(angles)} angles for {sample.count} frames")
    else:
        _expect(path, len(energies) == sample.count, f"{len(energies)} energies for {sample.count} frames")
    _expect(path, all(isfinite(e) and e > 0 for e in energies), "X_eng holds values that are no energies")
    _expect(path, all(map(isfinite, angles)), "angle holds values that are no numbers")

    dark, flat = (_companion(path, file, names, kind, sample) for kind in ("img_dark", "img_bkg"))
    units = "transmission" if sample_name == "img_xanes" and _is_transmission(file, sample) else "counts"
    if units == "counts":
        # In the variant `xanes_scan_img_only` they are ones.
        known = flat is not None and not _is_ones(file, flat)
        _expect(path, known, f"{sample_name} holds counts that need flats, and img_bkg has none")
    if flat is not None and not angles:
        _expect(path, flat.count in (1, sample.count), f"{flat.count} flats for {sample.count} energies")
    scan_id, time = _scalar(file, "scan_id"), _scalar(file, "scan_time")
    return FxiFile(
        path=path.absolute(),
        sample=sample,
        dark=dark,
        flat=flat,
        energies=energies,
        angles=angles,
        units=units,
        plan_name=_text(file, "scan_type") or ("fly_scan" if angles else "xanes_scan2"),
        scan_id=int(scan_id) if scan_id is not None else _in_name(path, "id"),
        time=time if time is not None else path.stat().st_mtime,
        note=_text(file, "note"),
        uid=_text(file, "uid"),
        pixel_size_nm=_pixel_size(file),
        repeat=_in_name(path, "repeat") or 0,
        position=_in_name(path, "pos"),
    )


def _expect(path: Path, condition: bool, otherwise: str) -> None:
    if not condition:
        raise UserError(f"{path}: {otherwise}; export the scan again")


def _images(path: Path, file: h5py.File, name: str) -> Images:
    data = file[name]
    _expect(path, data.ndim == 3 and data.size > 0, f"{name} has shape {data.shape}, no frames")
    _expect(path, data.dtype.kind in "uif", f"{name} holds {data.dtype}, not numbers")
    count, height, width = data.shape
    return Images(f"/{name}", count, height, width, data.dtype.str)


def _companion(path: Path, file: h5py.File, names: set[str], kind: str, sample: Images) -> Images | None:
    name = next((name for name in (kind, f"{kind}_avg") if name in names), None)
    if name is None:
        return None
    images = _images(path, file, name)
    size, expected = (images.height, images.width), (sample.height, sample.width)
    _expect(path, size == expected, f"{name} has frames of {size}, the sample of {expected}")
    return images


def _centre(file: h5py.File, images: Images, index: int) -> Any:
    """Return at most 512² pixels of one frame, enough to tell what they are."""
    rows, columns = ((max(0, n // 2 - 256), min(n, n // 2 + 256)) for n in (images.height, images.width))
    return file[images.dataset][index, slice(*rows), slice(*columns)]


def _is_transmission(file: h5py.File, sample: Images) -> bool:
    if np.dtype(sample.dtype).kind != "f":
        return False
    frames = (_finite(_centre(file, sample, i)) for i in {0, sample.count // 2, sample.count - 1})
    brightest = [np.percentile(frame, 95) for frame in frames]
    return float(np.median(brightest)) < TRANSMISSION_LIMIT


def _finite(pixels: Any) -> Any:
    kept = pixels[np.isfinite(pixels)]
    return kept if kept.size else np.zeros(1)


def _is_ones(file: h5py.File, flat: Images) -> bool:
    return bool(np.all(_centre(file, flat, 0) == 1))


def _numbers(path: Path, file: h5py.File, name: str) -> tuple[float, ...]:
    data = file[name]
    plain = data.ndim <= 1 and data.size <= 1_000_000 and data.dtype.kind in "uif"
    _expect(path, plain, f"{name} has shape {data.shape} and type {data.dtype}, not a list of numbers")
    return tuple(np.atleast_1d(data[()]).astype(float).tolist())


def _scalar(file: h5py.File, name: str) -> float | None:
    data = file.get(name)
    if not isinstance(data, h5py.Dataset) or data.size != 1 or data.dtype.kind not in "uif":
        return None
    value = float(np.ravel(data[()])[0])
    return value if isfinite(value) else None


def _text(file: h5py.File, name: str) -> str:
    data = file.get(name)
    if not isinstance(data, h5py.Dataset) or data.shape != ():
        return ""
    value = data[()]
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _pixel_size(file: h5py.File) -> float | None:
    if match := re.match(r"\s*([\d.]+)\s*nm", _text(file, "Pixel Size")):
        return float(match[1])
    magnification = _scalar(file, "Magnification")
    return 6500.0 / magnification if magnification else None


def _in_name(path: Path, word: str) -> int | None:
    match = re.search(rf"_{word}_(\d+)", path.stem)
    return int(match[1]) if match else None
