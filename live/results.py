"""Our results as an ordinary Bluesky run: one per series, so that anyone's callback can follow them.

Scalars are in the events; maps and volumes stay in the series' index file, to which stream resources refer. The maps of
another edge are called Mn_K_edge_energy and so on.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

import event_model
import numpy as np

from redoxscope.live.nexus import EDGE_MAPS, MAPS
from redoxscope.live.series_folder import SeriesFolder
from redoxscope.live.series_parts import ScanRecord

log = logging.getLogger(__name__)

Callback = Callable[[str, dict[str, Any]], Any]

_MAPS = ("edge_energy", "edge_energy_sigma", "edge_jump", "state", "front")
_NUMBERS = {
    "transformed_fraction": "",
    "time": "s",
    "temperature": "degC",
    "frames_used": "",
    "front_length": "um",
    "front_components": "",
    "front_speed": "um/s",
    "front_speed_sigma": "um/s",
}
"""With units; without a pixel size, px instead of µm."""


class ResultsRun:
    """Emits start, a `scan` event per completed XANES scan, a `volume` event, and stop.

    Parameters
    ----------
    folder : of the series, with the index file that the documents refer to
    subscribers : callbacks; one that raises is logged and does not disturb the others
    """

    def __init__(self, folder: SeriesFolder, subscribers: Sequence[Callback]) -> None:
        self._folder = folder
        self._subscribers = subscribers
        facts = folder.facts
        self._compose: Any = event_model.compose_run(
            metadata={
                "plan_name": "redoxscope",
                "series": facts.series,
                "raw_uids": list(facts.raw_uids),
                "profile": facts.profile.get("name", ""),
                "source": facts.source,
            }
        )
        self._scans: Any = None
        self._maps: list[Any] = []
        self._emit("start", self._compose.start_doc)

    def scan(self, index: int, record: ScanRecord) -> None:
        """A XANES scan, number `index` of the series, is complete and in the index file."""
        if self._scans is None:
            self._describe_scans(record)
        numbers = {
            "transformed_fraction": record.transformed_fraction,
            "time": record.time,
            "temperature": record.temperature,
            "frames_used": record.frames.used,
            "front_length": record.front_length,
            "front_components": record.front_components,
            "front_speed": record.front_speed,
            "front_speed_sigma": record.front_speed_sigma,
            "raw_uid": record.raw_uid,
        }
        event = self._scans.compose_event(
            data=numbers, timestamps=dict.fromkeys(numbers, record.time), time=record.time
        )
        seq_nums = event_model.StreamRange(start=event["seq_num"], stop=event["seq_num"] + 1)
        for resource in self._maps:
            indices = event_model.StreamRange(start=index, stop=index + 1)
            self._emit(
                "stream_datum",
                resource.compose_stream_datum(
                    indices=indices, seq_nums=seq_nums, descriptor=self._scans.descriptor_doc
                ),
            )
        self._emit("event", event)

    def volume(self, outcome: dict[str, Any]) -> None:
        """Volume and topography are in the index file."""
        keys = {
            "voxels": ("number", ""),
            "axis_offset": ("number", "px"),
            "axis_quality": ("number", ""),
            "file": ("string", ""),
        }
        data_keys = {
            key: {"dtype": dtype, "shape": [], "source": "redoxscope", "units": units}
            for key, (dtype, units) in keys.items()
        }
        stream: Any = self._compose.compose_descriptor(name="volume", data_keys=data_keys)
        self._emit("descriptor", stream.descriptor_doc)
        data = {key: outcome[key] for key in keys if key != "file"} | {"file": str(self._folder.index_path)}
        self._emit("event", stream.compose_event(data=data, timestamps=dict.fromkeys(data, self._folder.facts.created)))

    def stop(self) -> None:
        """No more results."""
        self._emit("stop", self._compose.compose_stop())

    def _describe_scans(self, record: ScanRecord) -> None:
        unit = "um" if np.isfinite(record.pixel_size) else "px"
        numbers: dict[str, Any] = {
            key: {"dtype": "number", "shape": [], "source": "redoxscope", "units": units.replace("um", unit)}
            for key, units in _NUMBERS.items()
        }
        numbers["raw_uid"] = {"dtype": "string", "shape": [], "source": "redoxscope"}
        datasets = {key: f"scan/{key}" for key in _MAPS}
        datasets |= {f"{group}_{key}": f"edges/{group}/{key}" for group in record.edges for key in EDGE_MAPS}
        maps = {
            key: {
                "dtype": "array",
                "dtype_numpy": np.dtype(MAPS[dataset.split("/")[-1]].dtype).str,
                "shape": [1, *record.edge_energy.shape],
                "source": "redoxscope",
                "external": "STREAM:",
            }
            for key, dataset in datasets.items()
        }
        self._scans = self._compose.compose_descriptor(name="scan", data_keys=numbers | maps)
        self._emit("descriptor", self._scans.descriptor_doc)
        for key, dataset in datasets.items():
            resource = self._compose.compose_stream_resource(
                mimetype="application/x-hdf5",
                uri=f"file://localhost{quote(str(self._folder.index_path.resolve()))}",
                data_key=key,
                parameters={"dataset": f"/entry/{dataset}", "chunk_shape": maps[key]["shape"]},
            )
            self._maps.append(resource)
            self._emit("stream_resource", resource.stream_resource_doc)

    def _emit(self, name: str, doc: Any) -> None:
        for callback in self._subscribers:
            try:
                callback(name, dict(doc))
            except Exception:
                log.exception("a subscriber to the results failed at a %s document", name)
