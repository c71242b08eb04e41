"""A box of the volume, and the front in it at successive edge energies."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from redoxscope.analysis.topography.shape_statistics import clip

if TYPE_CHECKING:
    from redoxscope.analysis.topography.report import FrontSurface

Box = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
"""((z0, z1), (y0, y1), (x0, x1)) µm from the centre of voxel (0, 0, 0)."""


def region(surfaces: "Sequence[FrontSurface]", box: Box) -> "tuple[FrontSurface, ...]":
    """The surfaces' parts within a box, with everything that is known at their vertices.

    Triangles that reach beyond the box are left out; a level without a surface in it has an empty one.

    Raises
    ------
    ValueError
        If the box is not three pairs that ascend.
    """
    ends = np.asarray(box, dtype=np.float64)
    if ends.shape != (3, 2) or not (ends[:, 0] < ends[:, 1]).all():
        raise ValueError(f"the region {box} is no box: give ((z0, z1), (y0, y1), (x0, x1)) in µm, each pair ascending")
    parts = []
    for surface in surfaces:
        within = (surface.vertices >= ends[:, 0]) & (surface.vertices <= ends[:, 1])
        parts.append(clip(surface, np.asarray(within.all(axis=1))))
    return tuple(parts)
