"""How far a result is from the truth of a simulated experiment."""

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Error:
    """Of one map or volume, where the truth has material."""

    median: float
    """eV, of |error|"""
    p95: float
    """eV"""
    covered: float
    """Part of the true material that has an edge energy."""


@dataclass(frozen=True)
class Errors:
    """By name."""

    rows: dict[str, Error]


def compare(exported: Path, truth: Path) -> Errors:
    """Errors of an exported series against a truth file of the simulator.

    Every map is held against the true map nearest in time. The volume stands on the grid of the 3D scan's first frame,
    which lay somewhat higher or lower than the series' first one: the height at which the two shapes fit best is found
    first, the axis fixes the rest.
    """
    rows: dict[str, Error] = {}
    with h5py.File(exported, "r") as found, h5py.File(truth, "r") as true:
        if "entry/scan" in found:
            times = found["entry/scan/time"][()]
            nearest = np.abs(true["map_time"][()] - times[:, None]).argmin(axis=1)
            pairs = _pairs(found["entry/scan"], true, nearest)
            rows |= {f"map {i}": _row(*pair) for i, pair in enumerate(pairs)}
            rows["all maps"] = _together(pairs)
            for name, group in found.get("entry/edges", {}).items():
                if f"edges/{name}" in true:
                    rows[f"{name} maps"] = _together(_pairs(group, true["edges"][name], nearest))
        if "entry/volume" in found and "volume_edge_energy" in true:
            wanted = true["volume_edge_energy"][()]
            volume = _central(found["entry/volume/edge_energy"][()], wanted.shape[1])
            rows["volume"] = _row(*_errors(_lifted(volume, wanted), wanted))
    return Errors(rows)


Pair = tuple[NDArray[np.floating], float]
"""Errors in eV, and the part of the true material that has an edge energy."""


def _pairs(found: h5py.Group, true: h5py.Group, nearest: NDArray[np.intp]) -> list[Pair]:
    """Of each map against the true one whose number is in `nearest`."""
    maps, truths = found["edge_energy"], true["map_edge_energy"]
    return [_errors(maps[i], truths[number]) for i, number in enumerate(nearest)]


def _together(pairs: list[Pair]) -> Error:
    return _row(np.concatenate([error for error, _ in pairs]), float(np.mean([part for _, part in pairs])))


def _errors(found: NDArray[np.floating], true: NDArray[np.floating]) -> Pair:
    inside = np.isfinite(true)
    error = (found - true)[inside]
    known = np.isfinite(error)
    return error[known], float(known.mean())


def _row(error: NDArray[np.floating], covered: float) -> Error:
    if error.size == 0:
        return Error(float("nan"), float("nan"), covered)
    return Error(float(np.median(np.abs(error))), float(np.percentile(np.abs(error), 95)), covered)


def _central(volume: NDArray[np.floating], size: int) -> NDArray[np.floating]:
    """The columns of the truth's grid: both are centred on the rotation axis."""
    before = (volume.shape[1] - size) // 2
    return volume[:, before : before + size, before : before + size]


def _lifted(volume: NDArray[np.floating], true: NDArray[np.floating]) -> NDArray[np.floating]:
    """The volume on the truth's heights, moved to where its material's mass per height fits best (linear)."""
    rows = np.arange(true.shape[0]) + (volume.shape[0] - true.shape[0]) / 2
    have = np.isfinite(volume).sum(axis=(1, 2)).astype(float)
    want = np.isfinite(true).sum(axis=(1, 2)).astype(float)
    offsets = np.arange(-8.0, 8.01, 0.05)
    fit = [np.abs(np.interp(rows + d, np.arange(have.size), have, 0, 0) - want).sum() for d in offsets]
    position = np.clip(rows + offsets[int(np.argmin(fit))], 0, volume.shape[0] - 1)
    low = np.minimum(position.astype(int), volume.shape[0] - 2)
    part = (position - low)[:, None, None]
    both = (1 - part) * volume[low] + part * volume[low + 1]
    nearest = volume[np.rint(position).astype(int)]
    return np.asarray(np.where(np.isfinite(both), both, nearest))
