"""A stored series whose volume and surfaces are known: a ball whose edge energy rises linearly with the radius."""

from dataclasses import replace

import numpy as np

from redoxscope.analysis.topography.report import topography
from redoxscope.live.series_folder import SeriesFolder

from .series_of_scans import FACTS, scan, volume_of

VOXEL = 0.2
"""µm"""
SIZE = 40
RADIUS = 3.4
"""µm, of the ball."""
LEVELS = np.array([8340.0, 8340.5, 8341.0, 8341.25, 8347.0])
"""eV; at the last there is no surface."""
PROFILE = {**FACTS.profile, "front": {"energy": 8341.0, "half_width": 0.1}}


def radius_of(energy):
    """µm, of the sphere at an energy."""
    return (energy - 8339.0) * 1.2


def ball():
    """(z, y, x) the field, eV; NaN outside. Its centre is off the volume's, differently along each axis."""
    z, y, x = (VOXEL * (np.arange(SIZE) - c) for c in CENTRE)
    r = np.sqrt(z[:, None, None] ** 2 + y[None, :, None] ** 2 + x[None, None, :] ** 2)
    field = 8339.0 + r / 1.2
    field[r > RADIUS] = np.nan
    return field.astype("f4")


CENTRE = (19.0, 20.0, 21.0)
"""(z, y, x) voxels."""


def disc(number, shape=(48, 56)):
    """A scan in which the front, a circle around (24, 28) px, has grown to `number` steps."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    r = np.hypot(y - 24, x - 28)
    energy = np.where(r < 20, 8341.0 + 0.25 * (r - 4 * number - 2), np.nan).astype("f4")
    record = scan(number, shape)
    edges = np.linspace(8335, 8347, 121)
    radius, angle = 4 * number + 2, np.linspace(0, 2 * np.pi, 400)
    return replace(
        record,
        front_length=2 * np.pi * radius,
        front_components=1,
        front_line=np.stack([24 + radius * np.sin(angle), 28 + radius * np.cos(angle)], axis=1),
        front_line_number=np.zeros(angle.size, dtype=int),
        edge_energy=energy,
        front=np.abs(energy - 8341) < 0.1,
        transformed_fraction=float((energy < 8341).sum() / np.isfinite(energy).sum()),
        histogram=np.histogram(energy[np.isfinite(energy)], edges)[0].astype(float),
        histogram_edges=edges,
        time=1.7e9 + 3600.0 * number,
    )


def series(root, *, scans=4, solid=True, voxel=VOXEL, name="fronts"):
    """A stored series with discs, and if `solid`, the ball and its fronts."""
    folder = SeriesFolder.create(root / "results", name, replace(FACTS, profile=PROFILE))
    for number in range(scans):
        folder.add_scan(disc(number))
    if solid:
        field = ball()
        folder.set_volume(volume_of(field), voxel, ["uid-3d"])
        folder.set_topography(topography(field, LEVELS, voxel or 1.0, window=1.2))
    return folder
