"""A run stored in Tiled, as the documents it came in: in the order of time, its frames by the files they stand in."""

import heapq
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlparse

import numpy as np

from redoxscope.live.errors import UserError
from redoxscope.live.frames import open_frames
from redoxscope.live.tiled_server import EmbeddedTiled
from redoxscope.live.tiled_store import connect
from redoxscope.live.tiled_text import one_line

Document = tuple[str, dict[str, Any]]

PREFIX = "tiled:"


def open_tiled(text: str, *, client: Any = None, data: Path | None = None) -> "TiledSource":
    """The run that `tiled:URI`, `tiled:raw/<uid>` or `tiled:<uid>` names.

    Parameters
    ----------
    text : with the prefix
    client : of the root of the store that a uid is looked up in, and in which a URI below its address is
    data : DIR, whose embedded store is started for a uid where no client is given

    Raises
    ------
    UserError
        If there is no such run.
    """
    name = re.sub(r"^(https?):/+", r"\1://", text.removeprefix(PREFIX))  # a Path has lost a slash
    shown = name.split("?")[0]
    if "://" not in name:
        return _stored(name, client, data)
    below = _below(name, client)
    try:
        node = client[below] if below else connect(name)
        return TiledSource(node, shown)
    except KeyError as error:
        raise UserError(f"{shown}: there is no such run in Tiled; check the uid") from error


def _stored(name: str, client: Any, data: Path | None) -> "TiledSource":
    path = tuple(name.strip("/").split("/"))
    path = path if len(path) > 1 else ("raw", *path)
    if not path[-1]:
        raise UserError("tiled: names no run; give tiled:UID or tiled:http://HOST:PORT/api/v1/metadata/raw/UID")
    if client is None and (data is None or not (data / "tiled" / "catalog.db").is_file()):
        raise UserError(f"tiled:{name}: there is no Tiled store in {data or 'this folder'}; give its --data, or a URI")
    server = EmbeddedTiled(data) if client is None and data is not None else None
    try:
        return TiledSource((server.client() if server else client)[path], f"tiled:{name}", server)
    except BaseException as error:
        if server is not None:
            server.close()
        if isinstance(error, KeyError):
            raise UserError(f"tiled:{name}: there is no such run in this store; check the uid") from error
        raise


def _below(uri: str, client: Any) -> tuple[str, ...]:
    """The path of a node below a client's server, empty if it is elsewhere."""
    if client is None:
        return ()
    wanted, api = urlparse(uri), urlparse(str(client.context.api_uri))
    place = "/".join(part for part in (api.path.rstrip("/"), "metadata", "") if part)
    if (wanted.hostname, wanted.port) != (api.hostname, api.port) or not wanted.path.startswith(place):
        return ()
    return tuple(unquote(part) for part in wanted.path.removeprefix(place).strip("/").split("/"))


class TiledSource:
    """One run in Tiled. `server` is closed with it."""

    format = "tiled"

    def __init__(self, run: Any, name: str, server: EmbeddedTiled | None = None) -> None:
        specs = {spec.name: str(spec.version) for spec in getattr(run, "specs", [])}
        if "BlueskyRun" not in specs or not run.metadata.get("start"):
            raise UserError(f"{name}: this is no recorded run; give the address of one, ending in its uid")
        if run.metadata["start"].get("plan_name") == "redoxscope":
            raise UserError(f"{name}: these are results; give one of the raw runs they come from")
        self._run, self._name, self._server = run, name, server
        self._by_stream = specs["BlueskyRun"].startswith("3.")
        profile = run.metadata["start"].get("profile")
        self.profile = profile if isinstance(profile, str) else None

    def close(self) -> None:
        """Stop the server that was started for it."""
        if self._server is not None:
            self._server.close()

    @cached_property
    def _streams(self) -> "list[_Stream]":
        streams = (_Stream(self._run[name]) for name in self._run)
        return [stream for stream in streams if stream.descriptors]

    @property
    def frames(self) -> int:
        """Frames of all streams; 0 where the store does not tell."""
        return sum(stream.frames for stream in self._streams) if self._by_stream else 0

    def documents(self) -> Iterator[Document]:
        """Yield the run's documents. Raises UserError if the store fails."""
        try:
            if self._by_stream:
                yield from self._ordered()
            else:  # of a store that keeps the documents themselves
                for name, doc in self._run.documents():
                    yield name, dict(doc)
        except (UserError, GeneratorExit):
            raise
        except Exception as error:
            raise UserError(f"{self._name}: Tiled fails to give it ({one_line(error)}); try again") from error

    def _ordered(self) -> Iterator[Document]:
        yield "start", dict(self._run.metadata["start"])
        parts = [stream.timed(number) for number, stream in enumerate(self._streams)]
        for _, documents in heapq.merge(*parts, key=lambda timed: timed[0]):
            yield from documents
        if stop := self._run.metadata.get("stop"):
            yield "stop", dict(stop)


_Timed = tuple[tuple[float, int, int], list[Document]]


class _Stream:
    """One stream of a run: its table of readings, its arrays and the files that those stand in."""

    def __init__(self, node: Any) -> None:
        self.descriptors: list[dict[str, Any]] = list(getattr(node, "descriptors", []))
        base = getattr(node, "base", node).include_data_sources()
        items = dict(base.items())
        tables = [item for item in items.values() if item.structure_family == "table"]
        self._rows = _records(tables)
        self._arrays = {key: item for key, item in items.items() if item.structure_family == "array"}
        self._files = {key: found for key, item in self._arrays.items() if (found := _file(item))}
        if not self._rows and self._arrays:
            count = min(int(item.shape[0]) for item in self._arrays.values())
            time = float(self.descriptors[0]["time"]) if self.descriptors else 0.0
            self._rows = [{"seq_num": row + 1, "time": time} for row in range(count)]

    @property
    def frames(self) -> int:
        """Images in it, of the key that has most."""
        shapes = [item.shape for item in self._arrays.values() if len(item.shape) >= 3]
        return max((prod(shape[:-2]) for shape in shapes), default=0)

    def timed(self, number: int) -> Iterator[_Timed]:
        """Documents with the time to sort them by: the descriptors with their resources, then each event."""
        given = sorted(self.descriptors, key=lambda doc: float(doc["time"]))
        order = sorted(range(len(self._rows)), key=lambda row: (self._rows[row]["time"], self._rows[row]["seq_num"]))
        # Nothing precedes its descriptor, whatever the clocks say.
        first = min([float(given[0]["time"]), *(float(self._rows[row]["time"]) for row in order[:1])])
        current = given.pop(0)
        yield (first, 0, number), [("descriptor", self._descriptor(current)), *self._resources(current)]
        for row in order:
            time = float(self._rows[row]["time"])
            while given and float(given[0]["time"]) <= time:
                current = given.pop(0)
                yield (time, 0, number), [("descriptor", self._descriptor(current)), *self._resources(current)]
            yield (time, 1, number), self._event(current, row)

    def _descriptor(self, doc: dict[str, Any]) -> dict[str, Any]:
        keys = {}
        for key, data_key in doc["data_keys"].items():
            external = {"external": "STREAM:"} if key in self._files else {}
            keys[key] = {k: v for k, v in data_key.items() if k != "external"} | external
        return {**doc, "data_keys": keys}

    def _resources(self, descriptor: dict[str, Any]) -> Iterator[Document]:
        for key, (path, dataset) in self._files.items():
            yield (
                "stream_resource",
                {
                    "uid": f"{descriptor['uid']}-{key}",
                    "run_start": descriptor.get("run_start", ""),
                    "data_key": key,
                    "mimetype": "application/x-hdf5",
                    "uri": f"file://localhost{quote(str(path))}",
                    "parameters": {"dataset": dataset},
                },
            )

    def _event(self, descriptor: dict[str, Any], row: int) -> list[Document]:
        values = self._rows[row]
        seq_num, uid = int(values["seq_num"]), descriptor["uid"]
        documents: list[Document] = []
        for key in self._files:
            datum = {
                "uid": f"{uid}-{key}/{row}",
                "stream_resource": f"{uid}-{key}",
                "descriptor": uid,
                "indices": {"start": row, "stop": row + 1},
                "seq_nums": {"start": seq_num, "stop": seq_num + 1},
            }
            documents.append(("stream_datum", datum))
        names = descriptor["data_keys"]
        data = {key: value for key, value in values.items() if key in names and key not in self._files}
        data |= {key: np.asarray(item[row]) for key, item in self._arrays.items() if key not in self._files}
        times = {key: values.get(f"ts_{key}", values["time"]) for key in (*data, *self._files)}
        event = {"uid": f"{uid}/{seq_num}", "descriptor": uid, "seq_num": seq_num, "time": float(values["time"])}
        return [*documents, ("event", {**event, "data": data, "timestamps": times, "filled": {}})]


def _records(tables: Sequence[Any]) -> list[dict[str, Any]]:
    """Rows of the tables side by side, as plain values."""
    rows: list[dict[str, Any]] = []
    for table in tables:
        frame = table.read()
        for row, values in enumerate(frame.to_dict(orient="records")):
            if row == len(rows):
                rows.append({})
            rows[row] |= {key: v.item() if isinstance(v, np.generic) else v for key, v in values.items()}
    return rows


def _file(item: Any) -> tuple[Path, str] | None:
    """File and dataset with just what the array has, if this process can read it."""
    sources = item.data_sources() or []
    if len(sources) != 1 or sources[0].mimetype != "application/x-hdf5" or len(sources[0].assets) != 1:
        return None
    parameters, uri = sources[0].parameters, urlparse(sources[0].assets[0].data_uri)
    if uri.scheme != "file" or parameters.get("slice") or parameters.get("squeeze"):
        return None
    path, dataset = Path(uri.path), str(parameters.get("dataset"))
    path = path if path.exists() else Path(unquote(uri.path))  # Tiled takes addresses as they are
    try:
        with open_frames(path) as file:
            data = file[dataset]
            if data.size != prod(item.shape):
                return None
            parts = {source.file_name for source in data.virtual_sources()} if data.is_virtual else ()
    except (OSError, KeyError, ValueError, AttributeError):
        return None
    # HDF5 shows what is missing as zeros.
    missing = [part for part in parts if not (path.parent / part.replace("%%", "%")).is_file()]
    if missing:
        raise UserError(f"{missing[0]}: this file with frames of the run is gone; put it back")
    return path, dataset
