"""From Bluesky documents to frames.

Frames are paired with their readings by index, never by arrival: an event that refers to pixels by `seq_num` waits for
the stream_datum that says where they are.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import event_model
import numpy as np
from numpy.typing import NDArray

from redoxscope.live.announced import announced_energies
from redoxscope.live.frames import Frame, FrameError, FrameFiles, Kind, Pixels, path_of_uri
from redoxscope.live.profile import Profile

Document = dict[str, Any]


class _Span(NamedTuple):
    """What a stream_datum says; one document may claim any number of events, so they are never counted out."""

    start: int
    stop: int
    resource: str
    first: int
    """Index in the resource of the event with seq_num `start`."""


class RunReader:
    """Reads the documents of one run.

    Parameters
    ----------
    start : its start document
    profile : says which data key is what
    files : shared by all runs
    """

    def __init__(self, start: Document, profile: Profile, files: FrameFiles) -> None:
        self.start = start
        self.uid = str(start["uid"])
        self.profile = profile
        self._files = files
        self._unit = 1000.0 if profile.documents.energy_unit == "keV" else 1.0
        self._kinds: dict[str, Kind] = {
            **dict.fromkeys(profile.documents.sample_streams, "sample"),
            **dict.fromkeys(profile.documents.flat_streams, "flat"),
            **dict.fromkeys(profile.documents.dark_streams, "dark"),
        }
        self._descriptors: dict[str, Document] = {}
        self._resources: dict[str, Document] = {}
        self._datums: dict[str, Document] = {}
        self._places: dict[str, dict[int, _Span]] = {}
        """By descriptor and first seq_num."""
        self._long: dict[str, list[_Span]] = {}
        """Those of more than one event."""
        self._waiting: dict[tuple[str, int], Document] = {}
        self._events: set[tuple[str, int]] = set()
        self._per_stream: dict[str, int] = {}
        self.stop: Document | None = None

    @property
    def energies(self) -> NDArray[np.float64]:
        """(n,) eV, as announced by the start document; empty if it does not say. Raises UserError if they are none."""
        return announced_energies(self.start, self.profile.documents)

    @property
    def pixel_size(self) -> float:
        """µm; NaN if the start document does not say, or nothing that makes sense."""
        documents = self.profile.documents
        value = self.start.get(documents.pixel_size) if documents.pixel_size else None
        if not isinstance(value, int | float) or not 0 < value < np.inf:
            return float("nan")
        return float(value) / (1000.0 if documents.pixel_size_unit == "nm" else 1.0)

    @property
    def expected(self) -> int | None:
        """How many frames of the sample the run had by its stop document; None before it."""
        if self.stop is None:
            return None
        counts: dict[str, int] = self.stop.get("num_events", {})
        return sum(n for stream, n in counts.items() if self._kinds.get(stream) == "sample")

    @property
    def lost(self) -> int:
        """How many frames of the sample never came, by the stop document's count; 0 before it."""
        expected = self.expected
        return 0 if expected is None else max(0, expected - self._per_stream.get("sample", 0))

    def read(self, name: str, doc: Document) -> Iterator[Frame]:
        """Take in a document of this run; yields the frames that are complete with it.

        A document that makes no sense raises KeyError, TypeError or ValueError and changes nothing that came before.
        """
        match name:
            case "descriptor":
                self._descriptors[doc["uid"]] = doc
            case "resource" | "stream_resource":
                self._resources[doc["uid"]] = doc
            case "datum":
                self._datums[doc["datum_id"]] = doc
            case "datum_page":
                page: Any = doc
                for datum in event_model.unpack_datum_page(page):
                    self._datums[datum["datum_id"]] = dict(datum)
            case "stream_datum":
                yield from self._located(doc)
            case "event":
                yield from self._event(doc)
            case "event_page":
                events: Any = doc
                for event in event_model.unpack_event_page(events):
                    yield from self._event(dict(event))
            case "stop":
                self.stop = doc

    def _located(self, doc: Document) -> Iterator[Frame]:
        descriptor, seq_nums = str(doc["descriptor"]), doc["seq_nums"]
        span = _Span(
            int(seq_nums["start"]), int(seq_nums["stop"]), str(doc["stream_resource"]), int(doc["indices"]["start"])
        )
        self._places.setdefault(descriptor, {})[span.start] = span
        if span.stop - span.start > 1:
            self._long.setdefault(descriptor, []).append(span)
        for key in sorted(k for k in self._waiting if k[0] == descriptor and span.start <= k[1] < span.stop):
            yield from self._frame(self._waiting.pop(key))

    def _place_of(self, key: tuple[str, int]) -> tuple[str, int] | None:
        """Resource and index of the event with this descriptor and seq_num, if a stream_datum has told."""
        span = self._places.get(key[0], {}).get(key[1])
        if span is None:
            span = next((s for s in self._long.get(key[0], ()) if s.start <= key[1] < s.stop), None)
        return None if span is None else (span.resource, span.first + key[1] - span.start)

    def _event(self, doc: Document) -> Iterator[Frame]:
        key = (str(doc["descriptor"]), int(doc["seq_num"]))
        descriptor = self._descriptors[key[0]]
        image = self.profile.documents.image
        if descriptor.get("name") not in self._kinds or image not in descriptor["data_keys"] or key in self._events:
            return
        if image not in doc["data"] and self._place_of(key) is None:
            self._waiting[key] = doc
            return
        yield from self._frame(doc)

    def _frame(self, doc: Document) -> Iterator[Frame]:
        names = self.profile.documents
        descriptor = self._descriptors[doc["descriptor"]]
        kind = self._kinds[descriptor["name"]]
        data_key = descriptor["data_keys"][names.image]
        energy = self._value(doc, names.energy)
        times = doc.get("timestamps", {})
        read = self._place(doc, data_key)
        key = (str(doc["descriptor"]), int(doc["seq_num"]))
        frame = Frame(
            run=self.uid,
            kind=kind,
            index=key[1] - 1,
            energy=energy * self._unit,
            angle=self._value(doc, names.angle),
            time=float(times.get(names.image, times.get(names.energy, doc["time"]))),
            temperature=self._value(doc, names.temperature),
            exposure=self._value(doc, names.exposure),
            transmission=data_key.get("units") == "transmission",
            read=lambda: self._pixels(read),
        )
        self._events.add(key)
        self._per_stream[kind] = self._per_stream.get(kind, 0) + 1
        yield frame

    def _value(self, doc: Document, key: str | None) -> float:
        """A reading of the event, else of the start document, else NaN."""
        value = doc["data"].get(key, self.start.get(key)) if key else None
        return float(np.mean(value)) if isinstance(value, int | float | np.ndarray | list) else float("nan")

    def _pixels(self, read: Callable[[], Pixels]) -> Pixels:
        """What `read` gives; documents that make no sense are a FrameError too."""
        try:
            pixels = read()
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, MemoryError) as error:
            raise FrameError(f"the documents of run {self.uid} do not say where its pixels are: {error!r}") from error
        if pixels.size == 0:
            raise FrameError(f"a frame of run {self.uid} has no pixels: its shape is {pixels.shape}")
        return pixels

    def _place(self, doc: Document, data_key: Document) -> Callable[[], Pixels]:
        """How to read the pixels of an event's frame."""
        image = self.profile.documents.image
        per_event = int(data_key["shape"][0]) if len(data_key.get("shape", ())) == 3 else 1
        if image not in doc["data"]:
            place = self._place_of((str(doc["descriptor"]), int(doc["seq_num"])))
            assert place is not None
            resource, index = place
            return lambda: self._read_stream(resource, index, per_event)
        value = doc["data"][image]
        if isinstance(value, str):
            return lambda: self._read_datum(value, per_event)
        return lambda: _plane(value)

    def _read_stream(self, resource: str, index: int, per_event: int) -> Pixels:
        """The frames of event number `index` of a stream_resource."""
        doc = self._resources.get(resource)
        if doc is None:
            raise FrameError(f"stream_resource {resource} of run {self.uid} is missing")
        if doc.get("mimetype") != "application/x-hdf5":
            raise FrameError(f"frames of type {doc.get('mimetype')} cannot be read; application/x-hdf5 can")
        path = path_of_uri(doc["uri"])
        return self._files.read(path, doc["parameters"]["dataset"], index * per_event, per_event)

    def _read_datum(self, datum_id: str, per_event: int) -> Pixels:
        """The frames of an AD_HDF5 datum: `point_number` counts events across all streams of the file."""
        datum = self._datums.get(datum_id)
        resource = self._resources.get(datum["resource"]) if datum else None
        if datum is None or resource is None:
            raise FrameError(f"datum {datum_id} of run {self.uid}, or its resource, is missing")
        if resource["spec"] not in ("AD_HDF5", "AD_HDF5_SWMR", "AD_HDF5_TS"):
            raise FrameError(f"resource spec {resource['spec']} cannot be read; AD_HDF5 can")
        arguments = resource.get("resource_kwargs", {})
        per_point = int(arguments.get("frame_per_point", per_event))
        path = Path(resource.get("root") or "/") / resource["resource_path"]
        dataset = arguments.get("dataset", "/entry/data/data")
        return self._files.read(path, dataset, int(datum["datum_kwargs"]["point_number"]) * per_point, per_point)


def _plane(value: Any) -> Pixels:
    """Inline pixels as (y, x); several exposures are averaged."""
    pixels = np.asarray(value)
    if pixels.ndim not in (2, 3) or pixels.dtype.kind not in "uif" or pixels.size == 0:
        raise FrameError(f"an inline frame of shape {pixels.shape} and type {pixels.dtype} is no image")
    if pixels.ndim == 2:
        return pixels
    return np.asarray(pixels[0] if pixels.shape[0] == 1 else pixels.mean(axis=0, dtype=np.float32))
