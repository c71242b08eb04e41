"""The documents of a run as TiledWriter can store them.

Tiled wants each image key of a stream to be an array with a row per event. Beamlines write otherwise: dark, primary
and flat frames in turn into one file, several frames per event, a file per stage. So a file of virtual datasets is
made, `/<stream>/<key>`, that shows the frames by event and holds none of them, and the documents refer to it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import event_model
import h5py
import numpy as np

from redoxscope.live.atomic import replacing
from redoxscope.live.frames import path_of_uri
from redoxscope.live.tiled_layout import Place, virtual_layout
from redoxscope.live.tiled_text import file_uri, plain
from redoxscope.live.tiled_virtual import rows_per_part

Document = tuple[str, dict[str, Any]]

_HDF5 = "application/x-hdf5"
_SPECS = ("AD_HDF5", "AD_HDF5_SINGLE", "AD_HDF5_SWMR", "AD_HDF5_TS", "HDF5")
_RESERVED = ("time", "seq_num")  # columns of Tiled's table of events
_BATCH = 32_000_000  # bytes of inline pixels sent at a time
_ROWS = 10_000


@dataclass
class _Stream:
    uids: list[str]
    keys: dict[str, dict[str, Any]]
    rows: dict[int, int] = field(default_factory=dict)  # seq_num → row
    places: dict[str, dict[int, Place]] = field(default_factory=dict)  # key → seq_num → place
    inline: dict[str, Any] = field(default_factory=dict)  # key → its first array


class StoredRun:
    """One run, read through once to learn where its frames are; `documents` reads it again.

    Parameters
    ----------
    documents : called for an iterator over the run's documents
    frames_path : where the file of virtual datasets goes; it is made only if there is need of one
    """

    def __init__(self, documents: Any, frames_path: Path) -> None:
        self._documents = documents
        self._frames_path = frames_path
        self._streams: dict[str, _Stream] = {}
        self._of_descriptor: dict[str, str] = {}
        self.start: dict[str, Any] | None = None
        self.stop: dict[str, Any] | None = None
        self._resources: dict[str, dict[str, Any]] = {}
        datums: dict[str, dict[str, Any]] = {}
        wanted: list[tuple[_Stream, str, int, str]] = []
        for name, doc in _singly(documents()):
            match name:
                case "start" if self.start is None:
                    self.start = doc
                case "stop":
                    self.stop = doc
                case "descriptor":
                    self._of_descriptor[doc["uid"]] = doc["name"]
                    stream = self._streams.setdefault(doc["name"], _Stream([], doc["data_keys"]))
                    stream.uids.append(doc["uid"])
                case "resource" | "stream_resource":
                    self._resources[doc["uid"]] = doc
                case "datum":
                    datums[doc["datum_id"]] = doc
                case "stream_datum":
                    self._stream_datum(doc)
                case "event":
                    wanted += self._event(doc)
        for stream, key, seq_num, datum in wanted:
            if (place := self._datum(stream.keys[key], datums.get(datum))) is not None:
                stream.places.setdefault(key, {})[seq_num] = place
        for stream in self._streams.values():
            if not stream.rows:  # a detector that runs free
                numbers = sorted(set().union(*stream.places.values()))
                stream.rows = {number: row for row, number in enumerate(numbers)}
        self._shapes = self._write_frames()

    @property
    def batch_size(self) -> int:
        """How many events to send at a time."""
        sizes = [sum(int(value.nbytes) for value in stream.inline.values()) for stream in self._streams.values()]
        return max(1, min(_ROWS, _BATCH // max([1, *sizes])))

    def documents(self) -> Iterator[Document]:
        """The documents for a TiledWriter without a normalizer."""
        seen: set[tuple[str, int]] = set()
        for name, doc in _singly(self._documents()):
            match name:
                case "start":
                    yield name, plain(doc)
                case "descriptor":
                    yield name, self._descriptor(doc)
                case "event":
                    key = (self._of_descriptor[doc["descriptor"]], doc["seq_num"])
                    if key not in seen:
                        seen.add(key)
                        yield name, self._stored_event(doc)
        yield from self._references()
        yield "stop", plain(self.stop or {})

    def _stream_datum(self, doc: dict[str, Any]) -> None:
        resource = self._resources.get(doc["stream_resource"])
        name = self._of_descriptor.get(doc["descriptor"])
        if resource is None or name is None or resource.get("mimetype") != _HDF5:
            return
        stream, key, parameters = self._streams[name], resource["data_key"], resource["parameters"]
        count = _per_event(stream.keys.get(key, {}))
        path = path_of_uri(resource["uri"])
        places = stream.places.setdefault(key, {})
        dataset = str(parameters.get("dataset", parameters.get("path")))
        for i, number in enumerate(range(doc["seq_nums"]["start"], doc["seq_nums"]["stop"])):
            places.setdefault(number, Place(path, dataset, (doc["indices"]["start"] + i) * count, count))

    def _event(self, doc: dict[str, Any]) -> Iterator[tuple[_Stream, str, int, str]]:
        stream = self._streams[self._of_descriptor[doc["descriptor"]]]
        stream.rows.setdefault(doc["seq_num"], len(stream.rows))
        for key, value in doc["data"].items():
            if key in stream.keys and isinstance(value, str) and "external" in stream.keys[key]:
                yield stream, key, doc["seq_num"], value
            elif isinstance(value, np.ndarray):
                stream.inline.setdefault(key, value)
            elif isinstance(value, list):
                stream.inline.setdefault(key, np.asarray(value))

    def _datum(self, data_key: dict[str, Any], datum: dict[str, Any] | None) -> Place | None:
        resource = self._resources.get(datum["resource"]) if datum else None
        if datum is None or resource is None or resource.get("spec") not in _SPECS:
            return None
        arguments = resource.get("resource_kwargs", {})
        count = int(arguments.get("frame_per_point") or _per_event(data_key))
        path = Path(resource.get("root") or "/") / resource["resource_path"]
        dataset = str(arguments.get("dataset", "/entry/data/data"))
        return Place(path, dataset, int(datum["datum_kwargs"].get("point_number", 0)) * count, count)

    def _write_frames(self) -> dict[tuple[str, str], tuple[tuple[int, ...], str]]:
        """Make the file; the shape and dtype of each (stream, key) in it."""
        layouts = {}
        for name, stream in self._streams.items():
            for key, places in stream.places.items():
                if (
                    stream.rows
                    and key in stream.keys
                    and (layout := virtual_layout(list(stream.rows), places, stream.keys[key]))
                ):
                    layouts[name, key] = layout
        if layouts:
            with replacing(self._frames_path) as path, h5py.File(path, "w", libver="latest") as file:
                for (name, key), layout in layouts.items():
                    file.require_group(name).create_virtual_dataset(key, layout, fillvalue=0)
        return {names: (layout.shape, np.dtype(layout.dtype).str) for names, layout in layouts.items()}

    def _descriptor(self, doc: dict[str, Any]) -> dict[str, Any]:
        stream = self._streams[doc["name"]]
        keys = {}
        for key, given in doc["data_keys"].items():
            data_key = {**given, "shape": list(given.get("shape") or ())}
            if (doc["name"], key) in self._shapes:
                shape, dtype = self._shapes[doc["name"], key]
                count = shape[0] // len(stream.rows)
                leading = [] if len(data_key["shape"]) == 2 and count == 1 else [count]
                data_key |= {"external": "STREAM:", "shape": [*leading, *shape[1:]], "dtype": "array"}
                data_key |= {"dtype_numpy": dtype}
            elif key in stream.inline:
                value = stream.inline[key]
                data_key |= {"dtype": "array", "shape": list(value.shape), "dtype_numpy": value.dtype.str}
                data_key.pop("external", None)
            elif "external" in data_key:  # frames of a kind that Tiled cannot show: their references stay
                data_key = {k: v for k, v in data_key.items() if k not in ("external", "dtype_numpy")}
                data_key |= {"dtype": "string", "shape": []}
            keys[_safe(key)] = data_key
        names = {obj: [_safe(key) for key in held] for obj, held in doc.get("object_keys", {}).items()}
        for obj, held in names.items():
            for key in held:
                if key in keys:
                    keys[key].setdefault("object_name", obj)
        descriptor: dict[str, Any] = plain({**doc, "data_keys": keys, "object_keys": names})
        return descriptor

    def _stored_event(self, doc: dict[str, Any]) -> dict[str, Any]:
        name = self._of_descriptor[doc["descriptor"]]
        keys = self._streams[name].keys
        data = {}
        for key, value in doc["data"].items():
            if (name, key) in self._shapes:
                continue
            if isinstance(value, np.ndarray) and value.size <= 16:
                value = value.tolist()
            elif keys.get(key, {}).get("dtype") == "number" and isinstance(value, int):
                value = float(value)
            data[_safe(key)] = value
        times = {_safe(key): float(value) for key, value in doc["timestamps"].items()}
        return {**doc, "data": data, "timestamps": times, "filled": {}}

    def _references(self) -> Iterator[Document]:
        uri = file_uri(self._frames_path.absolute())
        run = (self.start or {})["uid"]
        for number, ((name, key), (shape, dtype)) in enumerate(self._shapes.items()):
            rows = len(self._streams[name].rows)
            count = shape[0] // rows
            part = rows_per_part((rows, count, *shape[1:]), np.dtype(dtype).itemsize)
            parameters = {"dataset": f"/{name}/{key}", "chunk_shape": [part], "swmr": True, "locking": False}
            resource, descriptor = f"{run}-{number}", self._streams[name].uids[0]
            yield (
                "stream_resource",
                {"uid": resource, "run_start": run, "data_key": _safe(key), "mimetype": _HDF5, "uri": uri}
                | {"parameters": parameters},
            )
            yield (
                "stream_datum",
                {"uid": f"{resource}/0", "stream_resource": resource, "descriptor": descriptor}
                | {"indices": {"start": 0, "stop": rows}, "seq_nums": {"start": 1, "stop": rows + 1}},
            )


def _singly(documents: Iterable[Any]) -> Iterator[Document]:
    """Pages taken apart."""
    for name, doc in documents:
        if name == "event_page":
            yield from (("event", event) for event in event_model.unpack_event_page(doc))
        elif name == "datum_page":
            yield from (("datum", datum) for datum in event_model.unpack_datum_page(doc))
        else:
            yield name, doc


def _safe(key: str) -> str:
    return f"{key}_" if key in _RESERVED else key


def _per_event(data_key: Mapping[str, Any]) -> int:
    shape = list(data_key.get("shape") or ())
    return int(shape[0]) if len(shape) == 3 and shape[0] else 1
