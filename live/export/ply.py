"""Surfaces as PLY (binary, little-endian), one property per scalar.

Written here, as VTK's writer leaves scalars out and trimesh and meshio are no dependencies; both read it.
"""

from pathlib import Path

import numpy as np

from redoxscope.live.export.surfaces import remarks, scalars, units
from redoxscope.live.stored import StoredSurface

_LOST = "pyvista's PLY reader, which is VTK's, leaves these scalars out: for it export .vtp"


def write_ply(path: Path, surface: StoredSurface, length: str) -> None:
    """One surface; units stand in the comments."""
    columns = dict(zip("xyz", surface.points.T, strict=True)) | scalars(surface)
    vertices = np.empty(len(surface.points), dtype=[(name, "<f4") for name in columns])
    for name, values in columns.items():
        vertices[name] = values
    faces = np.empty(len(surface.faces), dtype=[("count", "u1"), ("corners", "<i4", 3)])
    faces["count"], faces["corners"] = 3, surface.faces
    header = [
        "ply",
        "format binary_little_endian 1.0",
        *(f"comment {line}" for line in (*remarks(surface), _LOST)),
        *(f"comment unit {name} {unit}" for name, unit in units(surface, length).items()),
        f"element vertex {len(vertices)}",
        *(f"property float {name}" for name in columns),
        f"element face {len(faces)}",
        "property list uchar int vertex_indices",
        "end_header",
    ]
    with path.open("wb") as file:
        file.write("".join(f"{line}\n" for line in header).encode("ascii"))
        file.write(vertices.tobytes())
        file.write(faces.tobytes())
