"""The slabs of a volume put together, in files, so that memory holds one slab at a time."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from redoxscope.analysis.volume.evaluate import EdgeVolume
from redoxscope.analysis.volume.plan import VolumePlan
from redoxscope.analysis.volume.voxels import specks
from redoxscope.live.nexus import open_read

_CONTEXT = 6
"""Rows of the neighbouring slabs that are looked at: an island that reaches beyond them is no speck."""


def assembled(plan: VolumePlan, slabs: Sequence[Path], scratch: Path) -> list[EdgeVolume]:
    """The volume of each edge of the plan; its arrays lie in files in `scratch`."""
    return [_volume(plan, slabs, scratch, number) for number in range(len(plan.edges))]


def _volume(plan: VolumePlan, slabs: Sequence[Path], scratch: Path, number: int) -> EdgeVolume:
    energy, sigma, jump = (_gathered(slabs, f"{number}/{name}", scratch) for name in ("edge_energy", "sigma", "jump"))
    strange = []
    start = 0
    original = np.array(energy[:0])
    for path in slabs:
        with open_read(path) as file:
            strange.append(np.asarray(file[f"{number}/unfolded"][()], dtype=bool))
        stop = start + strange[-1].size
        # What stood there before specks were removed: an island must not be cut in two.
        before, after = original[-_CONTEXT:], energy[stop : stop + _CONTEXT]
        original = np.array(energy[start:stop])
        gone = specks(np.isfinite(np.concatenate([before, original, after])))
        gone = gone[len(before) : len(before) + len(original)]
        energy[start:stop][gone] = np.nan
        sigma[start:stop][gone] = np.nan
        start = stop
    edge = plan.edges[number]
    return EdgeVolume(
        energy,
        sigma,
        jump,
        edge.threshold,
        len(edge.basis),
        plan.alignment,
        np.concatenate(strange),
        plan.recipe,
        plan.findings,
    )


def _gathered(slabs: Sequence[Path], name: str, scratch: Path) -> NDArray[np.float32]:
    """(row, y, x) the rows of all slabs, in a file."""
    sizes = []
    for path in slabs:
        with open_read(path) as file:
            sizes.append(file[name].shape)
    total = (sum(size[0] for size in sizes), *sizes[0][1:])
    target = scratch / f"{name.replace('/', '_')}.npy"
    out = np.lib.format.open_memmap(target, "w+", np.dtype(np.float32), total)
    start = 0
    for path, size in zip(slabs, sizes, strict=True):
        with open_read(path) as file:
            out[start : start + size[0]] = file[name][()]
        start += size[0]
    return out
