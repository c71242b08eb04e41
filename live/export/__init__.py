"""A series for other programs: all of it as one HDF5 file, or a part in a format that they read."""

from redoxscope.live.export.formats import export_as
from redoxscope.live.export.hdf5 import export

__all__ = ["export", "export_as"]
