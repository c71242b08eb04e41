"""What stands in files, registered in Tiled: series below `results`, raw runs below `raw`.

Nothing is stored in Tiled alone except the readings of the raw runs, which stand in the journals too: whatever fails
can be done again.
"""

import json
import logging
import os
import socket
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from redoxscope.live.errors import UserError
from redoxscope.live.journal import read
from redoxscope.live.nexus import open_read
from redoxscope.live.tiled_frames import StoredRun
from redoxscope.live.tiled_server import TiledError
from redoxscope.live.tiled_text import file_uri, one_line, plain

__all__ = ["TiledError", "connect", "register_raw", "register_series", "sync"]

log = logging.getLogger(__name__)

_PARTS = {
    "scan": ("series.h5", "/entry/scan"),
    "edges": ("series.h5", "/entry/edges"),
    "volume": ("volume.h5", "/"),
    "slices": ("slices.h5", "/"),
    "topography": ("topography.h5", "/"),
    "provenance": ("series.h5", "/entry/provenance"),
    "current": ("current.h5", "/"),
}
_REPLACED = ("volume", "slices")
"""Files that are replaced by others with other attributes."""
_HDF5 = "application/x-hdf5"


def connect(uri: str) -> Any:
    """A client of the server at `uri`, with the key in $TILED_API_KEY or in the file $REDOXSCOPE_TILED_KEY_FILE."""
    from tiled.client import from_uri

    parts = urlparse(uri)
    shown = uri.split("?")[0]
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UserError(f"{shown}: not the address of a Tiled server; give one such as http://host:8000")
    key = os.environ.get("TILED_API_KEY")
    if not key and (file := os.environ.get("REDOXSCOPE_TILED_KEY_FILE")):
        try:
            key = Path(file).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{file}: {one_line(error)}; check $REDOXSCOPE_TILED_KEY_FILE") from error
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname, port), 10.0).close()
        return from_uri(uri, api_key=key or None)
    except (OSError, ValueError) as error:
        raise UserError(f"{shown}: no Tiled server answers ({one_line(error)}); check the address") from error
    except Exception as error:
        hint = "check its key" if key else "set TILED_API_KEY or REDOXSCOPE_TILED_KEY_FILE"
        raise UserError(f"{shown}: Tiled does not let us in ({one_line(error)}); {hint}") from error


def register_series(client: Any, folder_path: Path, name: str, facts: Mapping[str, Any]) -> None:
    """Bring `results/<name>` up to date with the folder of a series and its facts.

    Its children are views of the files: what is added to those is seen at once, without registering again.
    Raises TiledError.
    """
    from tiled.structures.core import Spec

    folder = Path(folder_path).absolute()
    with _tiled(client):
        run = _find(client, "results", name)
        metadata = _metadata(facts, name, run.metadata if run is not None else {})
        if run is None:
            results = _container(client, "results")
            results.create_container(name, metadata=metadata, specs=[Spec("BlueskyRun", version="3.0")])
        elif _text(run.metadata) != _text(metadata):
            run.replace_metadata(metadata, drop_revision=True)
        run = client["results", name]
        there = set(run)
        for part, (file, group) in _PARTS.items():
            attributes = _attributes(folder / file, group)
            if attributes is not None and part not in there:
                _register(run, part, folder / file, group, attributes)
            elif attributes is not None and part in _REPLACED and _text(run[part].metadata) != _text(attributes):
                run[part].replace_metadata(attributes, drop_revision=True)
            elif attributes is None and part in there and not (folder / file).exists():
                run[part].delete()


def register_raw(client: Any, journal_path: Path) -> None:
    """Write the run in a journal to `raw/<start uid>`; one that is there whole, or has no stop yet, is left alone.

    Frames stay in their files. Raises TiledError; what was written until then is written anew the next time.
    """
    path = Path(journal_path).absolute()
    start = _start(path)
    if start is None:
        return
    uid = str(start["uid"])
    with _tiled(client):
        found = _find(client, "raw", uid)
        if found is not None and found.metadata.get("stop"):
            return
    try:
        run = StoredRun(lambda: ((name, doc) for _, name, doc in read(path)), path.parent / f"{uid}.frames.h5")
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise UserError(f"{path}: its run cannot be stored ({type(error).__name__}: {one_line(error)})") from error
    if run.stop is None:
        return
    with _tiled(client):
        if found is not None:
            log.warning("run %s was not written whole to Tiled; writing it again", uid)
            found.delete(recursive=True, external_only=False)
        _write(client, run)


def sync(client: Any, data: Path) -> None:
    """Register everything below DIR that Tiled does not have yet; what cannot be read is logged and left out.

    Raises the first TiledError after all has been tried.
    """
    data = Path(data)
    tasks: list[tuple[Path, Callable[[], None]]] = [
        (path.parent, partial(_register_folder, client, path)) for path in sorted(data.glob("results/*/series.json"))
    ]
    tasks += [(path, partial(register_raw, client, path)) for path in sorted(data.glob("raw/*.journal"))]
    refused: TiledError | None = None
    for path, register in tasks:
        try:
            register()
        except TiledError as error:
            refused = refused or error
        except (OSError, ValueError, UserError) as error:
            log.warning("%s is not registered in Tiled: %s", path, error)
    if refused is not None:
        raise refused


def _register_folder(client: Any, facts: Path) -> None:
    register_series(client, facts.parent, facts.parent.name, json.loads(facts.read_text("utf-8")))


@contextmanager
def _tiled(client: Any) -> Iterator[None]:
    """Turn whatever a server and its client can raise into a TiledError, without the client's minute of retrying."""
    uri = urlparse(str(client.context.api_uri))
    try:
        port = uri.port or (443 if uri.scheme == "https" else 80)
        socket.create_connection((uri.hostname, port), 10.0).close()
        yield
    except UserError:
        raise
    except Exception as error:
        log.debug("Tiled failed", exc_info=True)
        raise TiledError(f"Tiled at {uri.hostname}:{uri.port}: {type(error).__name__}: {one_line(error)}") from error


def _find(client: Any, *path: str) -> Any:
    try:
        return client[path]
    except KeyError:
        return None


def _container(client: Any, name: str, **options: Any) -> Any:
    found = _find(client, name)
    return client.create_container(name, **options) if found is None else found


def _metadata(facts: Mapping[str, Any], name: str, before: Mapping[str, Any]) -> dict[str, Any]:
    """Start and stop of the results as a run, which keep what they were given at first."""
    old_start, old_stop = before.get("start", {}), before.get("stop")
    created = float(facts.get("created") or old_start.get("time") or 0.0)
    series = str(facts.get("series", name))
    start = {
        **{key: value for key, value in facts.items() if key not in ("created", "finished", "profile")},
        "uid": old_start.get("uid") or _uid(f"{series} {name} {created!r}"),
        "time": created,
        "plan_name": "redoxscope",
        "series": series,
        "raw_uids": list(facts.get("raw_uids", ())),
        "profile": facts.get("profile", {}),
    }
    if isinstance(start["profile"], Mapping):  # `start.profile` is a name, as in raw runs
        start |= {"profile": start["profile"].get("name", ""), "profile_used": start["profile"]}
    metadata: dict[str, Any] = {"start": start}
    if facts.get("finished"):
        stop = {"uid": _uid(f"stop {start['uid']}"), "run_start": start["uid"], "time": created, "num_events": {}}
        metadata["stop"] = old_stop or {**stop, "exit_status": "success", "reason": ""}
    result: dict[str, Any] = plain(metadata)
    return result


def _uid(text: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"redoxscope {text}"))


def _text(metadata: Any) -> str:
    return json.dumps(plain(metadata), sort_keys=True)


def _attributes(path: Path, group: str) -> dict[str, Any] | None:
    """Attributes of a group of a file, None if it is not there."""
    try:
        with open_read(path) as file:
            result: dict[str, Any] = plain(dict(file[group].attrs))
            return result
    except (OSError, KeyError):
        return None


def _register(run: Any, part: str, path: Path, group: str, attributes: dict[str, Any]) -> None:
    from tiled.structures.core import StructureFamily
    from tiled.structures.data_source import Asset, DataSource, Management

    asset = Asset(file_uri(path), is_directory=False, parameter="data_uris", num=0)
    source = DataSource(
        structure_family=StructureFamily.container,
        structure=None,
        mimetype=_HDF5,
        parameters={"dataset": group, "swmr": True, "locking": False},
        management=Management.external,
        assets=[asset],
    )
    run.new(StructureFamily.container, [source], key=part, metadata=attributes)


def _start(path: Path) -> dict[str, Any] | None:
    return next((doc for _, name, doc in read(path) if name == "start"), None)


def _write(client: Any, run: StoredRun) -> None:
    from bluesky_tiled_plugins import TiledWriter
    from tiled.structures.core import Spec

    raw = _container(client, "raw", specs=[Spec("CatalogOfBlueskyRuns", version="3.0")])
    writer = TiledWriter(raw, normalizer=None, batch_size=run.batch_size)
    for name, doc in run.documents():
        writer(name, doc)
