"""Slices of an edge-energy volume in a file: what can be seen of a 3D scan while it goes on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from redoxscope.live.nexus import MAPS, Quantity, new_file, put, set_data

AXES = ("z", "y", "x")


@dataclass(frozen=True)
class Slice:
    """The plane at one voxel of one axis; (z, y), (z, x) or (y, x), whichever two axes remain."""

    position: float
    """Voxel."""
    edge_energy: NDArray[np.float32]
    """eV, NaN outside the particle."""
    edge_energy_sigma: NDArray[np.float32]
    """eV."""
    edge_jump: NDArray[np.float32]
    """Absorbance per voxel."""
    state: NDArray[np.uint8]
    """0 none, 1 provisional, 2 final."""


def write_slices(path: Path, slices: Sequence[Slice], energies: int, version: int) -> None:
    """The slices at z, y and x, from so many energies; `version` counts their states."""
    with new_file(path) as file:
        file.attrs["version"] = version
        file.attrs["energies"] = energies
        for axis, cut in zip(AXES, slices, strict=True):
            group = file.create_group(axis)
            for name in ("edge_energy", "edge_energy_sigma", "edge_jump", "state"):
                put(group, name, getattr(cut, name), MAPS[name])
            put(group, "position", cut.position, Quantity("f8", "voxel", f"where the slice is along {axis}"))
            set_data(group, "edge_energy", (".", "."), ("edge_energy_sigma", "edge_jump", "state"))
