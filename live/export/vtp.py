"""Surfaces as VTK PolyData (XML), for ParaView, PyVista and what else is built on VTK; needs no display."""

from pathlib import Path
from typing import Any

import numpy as np

from redoxscope.live.export.surfaces import remarks, scalars, units
from redoxscope.live.stored import StoredSurface


def write_vtp(path: Path, surface: StoredSurface, length: str) -> None:
    """One surface; units stand with the arrays (VTK's UNITS_LABEL) and, readable everywhere, in the field data.

    Raises OSError if VTK cannot write.
    """
    from vtkmodules.util import numpy_support
    from vtkmodules.vtkCommonCore import vtkDataArray, vtkPoints, vtkStringArray
    from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkPolyData
    from vtkmodules.vtkIOXML import vtkXMLPolyDataWriter

    convert: Any = numpy_support
    points = vtkPoints()
    points.SetData(convert.numpy_to_vtk(np.ascontiguousarray(surface.points, dtype=np.float32), deep=True))
    cells = vtkCellArray()
    starts = np.arange(0, 3 * len(surface.faces) + 1, 3, dtype=np.int64)
    corners = np.ascontiguousarray(surface.faces, dtype=np.int64).ravel()
    cells.SetData(
        convert.numpy_to_vtkIdTypeArray(starts, deep=True), convert.numpy_to_vtkIdTypeArray(corners, deep=True)
    )
    mesh = vtkPolyData()
    mesh.SetPoints(points)
    mesh.SetPolys(cells)
    known = units(surface, length)
    for name, values in scalars(surface).items():
        array = convert.numpy_to_vtk(values, deep=True)
        array.SetName(name)
        array.GetInformation().Set(vtkDataArray.UNITS_LABEL(), known[name])
        mesh.GetPointData().AddArray(array)
    mesh.GetPointData().SetActiveScalars("speed" if "speed" in known else "mean_curvature")
    for name, texts in {
        "units": [f"{name} {unit}" for name, unit in known.items()],
        "description": remarks(surface),
    }.items():
        strings = vtkStringArray()
        strings.SetName(name)
        for text in texts:
            strings.InsertNextValue(text)
        mesh.GetFieldData().AddArray(strings)
    writer = vtkXMLPolyDataWriter()
    writer.SetFileName(str(path))
    writer.SetInputData(mesh)
    if not writer.Write() or writer.GetErrorCode():
        raise OSError(f"VTK could not write {len(surface.points)} vertices")
