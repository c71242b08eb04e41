"""HDF5 datasets without chunks of their own, in parts.

Tiled takes a virtual one for a single chunk, and would read a whole night for one frame. Contiguous ones are parted in
the same way: a volume in the making is virtual, the finished one contiguous, and a client that holds the node of the
first goes on asking for its parts.
"""

from math import prod
from typing import Any

PART = 16_000_000
"""Bytes of a part, about; one request of a client fetches one part."""


class _Rows:
    """Reads from a dataset what is asked for, opening the file each time."""

    def __init__(self, path: Any, dataset: str, options: dict[str, Any], shape: tuple[int, ...], dtype: Any) -> None:
        self.path, self.dataset, self.options = path, dataset, options
        self.shape, self.dtype, self.ndim = shape, dtype, len(shape)

    def __getitem__(self, key: Any) -> Any:
        from tiled.adapters.hdf5 import h5open

        with h5open(self.path, self.dataset, **self.options) as data:
            return data[key]


def rows_per_part(shape: tuple[int, ...], itemsize: int) -> int:
    """How many rows of an array of this shape make a part."""
    return max(1, min(shape[0], PART // max(1, prod(shape[1:]) * itemsize)))


def read_datasets_in_parts() -> None:
    """Make Tiled's HDF5 adapter read such datasets so, in this process."""
    import dask.array
    from tiled.adapters.hdf5 import HDF5ArrayAdapter, h5open

    from_array: Any = dask.array.from_array
    original = HDF5ArrayAdapter.lazy_load_hdf5_array

    def load(*paths: Any, dataset: str | None = None, **options: Any) -> Any:
        if len(paths) == 1 and dataset:
            with h5open(paths[0], dataset, **options) as data:
                plain = data.chunks is not None or not data.size or not data.ndim
                shape, dtype = data.shape, data.dtype
            if not plain:
                rows = _Rows(paths[0], dataset, options, shape, dtype)
                chunks = (rows_per_part(shape, dtype.itemsize), *shape[1:])
                return from_array(rows, chunks=chunks, name=False)
        return original(*paths, dataset=dataset, **options)

    HDF5ArrayAdapter.lazy_load_hdf5_array = staticmethod(load)
