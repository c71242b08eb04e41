"""A virtual dataset that shows the frames of a stream by event, wherever they stand."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from redoxscope.live.frames import open_frames

_Size = tuple[int, ...]


@dataclass(frozen=True)
class Place:
    """Frames `first` to `first + count` of a dataset."""

    path: Path
    dataset: str
    first: int
    count: int


def virtual_layout(
    rows: Sequence[int], places: Mapping[int, Place], data_key: Mapping[str, Any]
) -> h5py.VirtualLayout | None:
    """Frames by event, whose numbers are `rows`; None where nothing is known of their size."""
    found = [places[number] for number in rows if number in places]
    if not found or (known := _look(found, data_key)) is None:
        return None
    size, dtype, totals = known
    count = found[0].count
    layout = h5py.VirtualLayout((len(rows) * count, *size), dtype)
    for row, place in _joined((row * count, places.get(number)) for row, number in enumerate(rows)):
        total = max(totals.get((place.path, place.dataset), 0), place.first + place.count)
        source = h5py.VirtualSource(str(place.path).replace("%", "%%"), place.dataset, (total, *size), dtype)
        layout[row : row + place.count] = source[place.first : place.first + place.count]
    return layout


def _joined(rows: Iterable[tuple[int, Place | None]]) -> Iterator[tuple[int, Place]]:
    """Neighbours in the array that are neighbours in the file, as one."""
    start, held = 0, None
    for row, place in rows:
        if place is None:
            continue
        if (
            held is not None
            and (place.path, place.dataset) == (held.path, held.dataset)
            and place.first == held.first + held.count
            and row == start + held.count
        ):
            held = Place(held.path, held.dataset, held.first, held.count + place.count)
            continue
        if held is not None:
            yield start, held
        start, held = row, place
    if held is not None:
        yield start, held


def _look(
    places: list[Place], data_key: Mapping[str, Any]
) -> tuple[_Size, np.dtype[Any], dict[tuple[Path, str], int]] | None:
    """Size and dtype of a frame, and the number of frames in each dataset that can be opened."""
    totals = {}
    size: _Size = tuple((data_key.get("shape") or ())[-2:])
    dtype = np.dtype(data_key["dtype_numpy"]) if isinstance(data_key.get("dtype_numpy"), str) else None
    for path, dataset in dict.fromkeys((place.path, place.dataset) for place in places):
        try:
            with open_frames(path) as file:
                totals[path, dataset] = file[dataset].shape[0]
                size, dtype = file[dataset].shape[1:], file[dataset].dtype
        except (OSError, KeyError, ValueError, AttributeError):
            continue
    return (size, dtype, totals) if len(size) == 2 and dtype is not None else None
