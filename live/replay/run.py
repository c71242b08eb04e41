"""The documents of one run whose frames lie in an HDF5 file."""

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from redoxscope.live.replay.fxi_file import Images

_Document = tuple[str, dict[str, Any]]


def _new_uid() -> str:
    return str(uuid.uuid4())


@dataclass
class Stream:
    """One stream of a run: its frames, and the units of the scalar keys that come with each."""

    name: str
    images: Images
    scalars: Mapping[str, str]
    units: str
    uid: str = field(default_factory=_new_uid)
    resource: str = field(default_factory=_new_uid)
    events: int = 0


class Run:
    """Compose a run. The file tells only when it began: each event is put one second after the one before."""

    def __init__(self, path: Path, time: float, image_key: str) -> None:
        self._uri = f"file://localhost{quote(str(path))}"
        self._time = time
        self._image_key = image_key
        self._uid = _new_uid()
        self._streams: list[Stream] = []

    def start(self, metadata: Mapping[str, Any]) -> _Document:
        """Return the start document."""
        return "start", {"uid": self._uid, "time": self._time, **metadata}

    def declare(self, stream: Stream) -> Iterator[_Document]:
        """Yield the stream's descriptor and the reference to its dataset."""
        self._streams.append(stream)
        images, key = stream.images, self._image_key
        image = {
            "source": f"HDF5:{images.dataset}",
            "dtype": "array",
            "dtype_numpy": images.dtype,
            "shape": [1, images.height, images.width],
            "units": stream.units,
            "external": "STREAM:",
            "object_name": "KinetixU",
        }
        scalars = {
            name: {"source": name, "dtype": "number", "shape": [], "units": units, "object_name": name}
            for name, units in stream.scalars.items()
        }
        yield (
            "descriptor",
            {
                "uid": stream.uid,
                "run_start": self._uid,
                "time": self._time,
                "name": stream.name,
                "data_keys": {key: image, **scalars},
                "configuration": {},
                "hints": {},
                "object_keys": {"KinetixU": [key], **{name: [name] for name in scalars}},
            },
        )
        yield (
            "stream_resource",
            {
                "uid": stream.resource,
                "run_start": self._uid,
                "data_key": key,
                "mimetype": "application/x-hdf5",
                "uri": self._uri,
                "parameters": {"dataset": images.dataset, "chunk_shape": [1, images.height, images.width]},
            },
        )

    def event(self, stream: Stream, data: Mapping[str, float]) -> Iterator[_Document]:
        """Yield the reference to the stream's next frame and the event with its scalars."""
        index, stream.events = stream.events, stream.events + 1
        yield (
            "stream_datum",
            {
                "uid": f"{stream.resource}/{index}",
                "stream_resource": stream.resource,
                "descriptor": stream.uid,
                "indices": {"start": index, "stop": index + 1},
                "seq_nums": {"start": index + 1, "stop": index + 2},
            },
        )
        yield (
            "event",
            {
                "uid": _new_uid(),
                "descriptor": stream.uid,
                "seq_num": index + 1,
                "time": self._time,
                "data": dict(data),
                "timestamps": dict.fromkeys(data, self._time),
                "filled": {},
            },
        )
        self._time += 1.0

    def stop(self) -> _Document:
        """Return the stop document."""
        return "stop", {
            "uid": _new_uid(),
            "run_start": self._uid,
            "time": self._time,
            "exit_status": "success",
            "reason": "",
            "num_events": {stream.name: stream.events for stream in self._streams},
        }
