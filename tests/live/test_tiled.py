import itertools
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
import uuid
from dataclasses import asdict, replace
from pathlib import Path
from urllib.parse import unquote, urlparse

import h5py
import numpy as np
import pytest
from event_model import DocumentNames, schema_validators

from redoxscope.live.errors import UserError
from redoxscope.live.journal import Journal
from redoxscope.live.replay import open_source
from redoxscope.live.series_folder import SeriesFolder
from redoxscope.live.tiled_server import EmbeddedTiled
from redoxscope.live.tiled_store import TiledError, connect, register_raw, register_series, sync

from .series_of_scans import FACTS, edge, scan, topography, volume

DATA = Path(os.environ.get("REDOXSCOPE_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
SHAPE = (6, 5)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiled store") / "data"
    (folder / "raw").mkdir(parents=True)
    return folder


@pytest.fixture(scope="module")
def server(data):
    with EmbeddedTiled(data) as server:
        yield server


@pytest.fixture(scope="module")
def client(server):
    return server.client()


def frame(number):
    return np.random.default_rng(number).integers(0, 60000, (1, *SHAPE)).astype("<u2")


def recorded(kinds, path=None, *, per_event=1, key="camera_image", stop=True, lost=()):
    """A run as a camera with an HDF5 plugin sends it: all streams in one file; without `path` frames are inline."""
    uid, time = str(uuid.uuid4()), itertools.count(1.7e9)
    yield "start", {"uid": uid, "time": next(time), "scan_id": 3, "plan_name": "xanes", "eng_list": np.arange(3.0)}
    if path:
        with h5py.File(path, "w") as file:
            file["/entry/data/data"] = np.concatenate([frame(i) for i in range(len(kinds) * per_event)])
        resource = {"uid": str(uuid.uuid4()), "spec": "AD_HDF5", "root": str(path.parent), "resource_path": path.name}
        yield "resource", {**resource, "resource_kwargs": {"frame_per_point": per_event}, "path_semantics": "posix"}
    descriptors, numbers = {}, dict.fromkeys(kinds, 0)
    for i, kind in enumerate(kinds):
        if kind not in descriptors:
            descriptors[kind] = str(uuid.uuid4())
            image = {"source": "x", "dtype": "array", "shape": [per_event, *SHAPE]}
            energy = {"source": "x", "dtype": "number", "shape": []}
            image |= {"external": "FILESTORE:"} if path else {}
            doc = {"uid": descriptors[kind], "run_start": uid, "name": kind, "time": next(time)}
            keys = {key: image, "energy": energy, "seq_num": energy}
            yield "descriptor", {**doc, "data_keys": keys, "configuration": {}, "hints": {}, "object_keys": {}}
        datum = f"{resource['uid']}/{i}" if path else None
        if datum:
            yield "datum", {"datum_id": datum, "resource": resource["uid"], "datum_kwargs": {"point_number": i}}
        numbers[kind] += 1
        if i in lost:
            continue
        now = next(time)
        value = datum or np.concatenate([frame(i * per_event + n) for n in range(per_event)])
        values = {key: value, "energy": 8300 + i, "seq_num": 7.5}
        doc = {"uid": str(uuid.uuid4()), "descriptor": descriptors[kind], "seq_num": numbers[kind], "time": now}
        yield "event", {**doc, "data": values, "timestamps": dict.fromkeys(values, now - 0.5), "filled": {}}
    if stop:
        counts = {"uid": str(uuid.uuid4()), "run_start": uid, "time": next(time), "num_events": numbers}
        yield "stop", {**counts, "exit_status": "success", "reason": ""}


def write_journal(folder, documents):
    path = folder / f"{uuid.uuid4()}.journal"
    documents = list(documents)
    with Journal(path) as journal:
        for name, doc in documents:
            journal.append(name, doc)
    return path, documents[0][1]["uid"]


def events(documents, key):
    """(time, stream, seq_num, energy, time of the frame, frame) of every event, by the documents alone."""
    streams, resources, datums, places, found = {}, {}, {}, {}, []
    for name, doc in documents:
        schema_validators[DocumentNames[name]].validate(doc)
        if name == "descriptor":
            streams[doc["uid"]] = doc["name"]
        elif name in ("resource", "stream_resource"):
            resources[doc["uid"]] = doc
        elif name == "datum":
            datums[doc["datum_id"]] = doc
        elif name == "stream_datum":
            places[doc["descriptor"], doc["seq_nums"]["start"]] = doc["stream_resource"], doc["indices"]["start"]
        elif name == "event":
            value = doc["data"].get(key)
            if isinstance(value, str):
                datum = datums[value]
                where = resources[datum["resource"]]
                n, start = where["resource_kwargs"]["frame_per_point"], datum["datum_kwargs"]["point_number"]
                with h5py.File(Path(where["root"]) / where["resource_path"]) as file:
                    value = file["/entry/data/data"][start * n : start * n + n]
            elif value is None:
                where, index = places[doc["descriptor"], doc["seq_num"]]
                where = resources[where]
                n = frames_per_event(documents, doc["descriptor"], key)
                with h5py.File(unquote(urlparse(where["uri"]).path), swmr=True, libver="latest") as file:
                    value = file[where["parameters"]["dataset"]][index * n : index * n + n]
            energy = doc["data"].get("energy", doc["data"].get("XEng"))
            stamp = doc["timestamps"].get(key)
            found.append((doc["time"], streams[doc["descriptor"]], doc["seq_num"], energy, stamp, np.asarray(value)))
    return found


def frames_per_event(documents, descriptor, key):
    return next(d["data_keys"][key]["shape"][0] for n, d in documents if n == "descriptor" and d["uid"] == descriptor)


def assert_same(found, wanted, *, stamps=True):
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert one[:4] == other[:4]
        assert not stamps or one[4] == other[4]
        assert one[5].dtype == other[5].dtype
        np.testing.assert_array_equal(one[5].reshape(other[5].shape), other[5])


IRREGULAR = ["dark", "dark", "primary", "primary", "flat", "primary", "primary", "primary", "flat", "flat", "primary"]


@pytest.mark.parametrize(("inline", "per_event"), [(False, 1), (False, 3), (True, 1)], ids=["file", "chunks", "inline"])
def test_a_raw_run_is_stored_by_event_and_replayed_as_it_was(data, client, tmp_path, inline, per_event):
    path = None if inline else data / f"frames 100%b {uuid.uuid4()}.h5"
    documents = list(recorded(IRREGULAR, path, per_event=per_event, lost=[3]))
    journal, uid = write_journal(data / "raw", documents)
    register_raw(client, journal)
    register_raw(client, journal)

    wanted = events(documents, "camera_image")
    run = client["raw"][uid]
    assert "scan_id=3" in repr(run)
    assert sorted(run) == ["dark", "flat", "primary"]
    assert run.metadata["stop"]["num_events"] == {"dark": 2, "primary": 6, "flat": 3}
    for stream in run:
        pixels = run[stream]["camera_image"].read()
        assert pixels.dtype == "<u2"
        np.testing.assert_array_equal(pixels, [e[5] for e in wanted if e[1] == stream])
        np.testing.assert_array_equal(run[stream]["energy"].read(), [e[3] for e in wanted if e[1] == stream])
        np.testing.assert_array_equal(run[stream]["camera_image"][1], pixels[1])
        assert run[stream].read()["camera_image"].shape == pixels.shape

    source = open_source(f"tiled:{uid}", tiled=client)
    assert (source.format, source.profile) == ("tiled", None)
    assert source.frames == 10 * per_event
    replayed = list(source.documents())
    assert [replayed[0][0], replayed[-1]] == ["start", ("stop", documents[-1][1])]
    assert_same(events(replayed, "camera_image"), wanted)


def test_a_recorded_fxi_series_comes_back_out_of_tiled(data, server, client, tmp_path):
    files = sorted((DATA / "fxi_2d").glob("*.h5"))
    if not files:
        pytest.skip(f"no recorded data in {DATA}")
    with h5py.File(files[0]) as whole, h5py.File(tmp_path / files[0].name, "w") as part:
        for name in whole:
            values = whole[name][()]
            cut = name in ("img_xanes", "img_bkg", "X_eng") and np.ndim(values)
            part[name] = values[20:26] if cut else values
    documents = list(open_source(tmp_path / files[0].name).documents())
    journal, uid = write_journal(data / "raw", documents)
    register_raw(client, journal)
    wanted = events(documents, "KinetixU_image")
    assert client["raw", uid, "primary", "KinetixU_image"].shape == (6, 1, *wanted[-1][5].shape[-2:])

    for name in (
        f"tiled:raw/{uid}",
        f"tiled:{server.uri}/metadata/raw/{uid}",
        Path(f"tiled:{server.uri}/metadata/raw/{uid}"),
    ):
        source = open_source(name, tiled=client)
        assert source.frames == len(wanted)
        assert_same(events(list(source.documents()), "KinetixU_image"), wanted, stamps=False)

    (tmp_path / files[0].name).unlink()
    with pytest.raises(UserError, match=r"gone; put it back"):
        list(open_source(f"tiled:{uid}", tiled=client).documents())


def test_frames_that_cannot_be_read_here_come_through_tiled(data, client, monkeypatch):
    documents = list(recorded(IRREGULAR, data / "elsewhere.h5"))
    journal, uid = write_journal(data / "raw", documents)
    register_raw(client, journal)
    monkeypatch.setattr("redoxscope.live.replay.tiled_run._file", lambda item: None)
    replayed = list(open_source(f"tiled:{uid}", tiled=client).documents())
    assert not [name for name, _ in replayed if name.startswith("stream_")]
    assert_same(events(replayed, "camera_image"), events(documents, "camera_image"))


def test_a_run_that_was_not_written_whole_is_written_again(data, client):
    from bluesky_tiled_plugins import TiledWriter

    documents = list(recorded(IRREGULAR))
    writer = TiledWriter(client["raw"], batch_size=1, normalizer=None)
    for name, doc in documents[:9]:
        writer(name, {**doc, "eng_list": []} if name == "start" else doc)
    journal, uid = write_journal(data / "raw", documents)
    assert "stop" not in client["raw", uid].metadata
    register_raw(client, journal)
    assert client["raw", uid].metadata["stop"]["uid"] == documents[-1][1]["uid"]
    assert_same(
        events(list(open_source(f"tiled:{uid}", tiled=client).documents()), "camera_image"),
        events(documents, "camera_image"),
    )


def test_a_run_without_a_stop_is_left_for_later(data, client, tmp_path):
    journal, uid = write_journal(tmp_path, recorded(["dark"], stop=False))
    register_raw(client, journal)
    with pytest.raises(UserError, match="no such run"):
        open_source(f"tiled:{uid}", tiled=client)


def test_other_edges_and_the_front_line_stand_below_the_series(data, client):
    folder = SeriesFolder.create(data / "results", "edges", FACTS)
    line = {"front_line": np.array([[1.0, 2.0], [3.0, 4.5]]), "front_line_number": np.zeros(2, dtype=int)}
    folder.set_current(replace(scan(0), edges={"Mn_K": edge(0, "Mn K")}), 1)
    folder.add_scan(replace(scan(0), edges={"Mn_K": edge(0, "Mn K")}, **line))
    folder.add_scan(scan(1))
    folder.set_current(replace(scan(2), edges={"Mn_K": edge(2, "Mn K")}), 1)
    register_series(client, folder.path, "edges", asdict(folder.facts))
    run = client["results"]["edges"]
    assert sorted(run) == ["current", "edges", "provenance", "scan"]
    group = run["edges"]["Mn_K"]
    assert group.metadata["edge"] == "Mn K"
    assert group.metadata["nominal_energy"] == 6547.0
    wanted = edge(0, "Mn K")
    np.testing.assert_array_equal(group["edge_energy"].read(), [wanted.edge_energy, np.full((12, 16), np.nan)])
    np.testing.assert_array_equal(group["state"].read(), [wanted.state, np.zeros((12, 16))])
    np.testing.assert_array_equal(run["current"]["edges"]["Mn_K"]["edge_jump"].read(), edge(2, "Mn K").edge_jump)
    np.testing.assert_array_equal(run["scan"]["front_line"].read(), line["front_line"])
    np.testing.assert_array_equal(run["scan"]["front_line_scan"].read(), [0, 0])


def test_a_growing_series_is_seen_without_registering_again(data, client):
    from tiled.queries import Eq

    folder = SeriesFolder.create(data / "results", "heating", FACTS)
    facts = asdict(folder.facts)
    register_series(client, folder.path, "heating", facts)
    assert list(client["results"]["heating"]) == []
    folder.set_current(scan(0), 1)
    register_series(client, folder.path, "heating", facts)
    run = client["results"]["heating"]
    np.testing.assert_array_equal(run["current"]["edge_energy"].read(), scan(0).edge_energy)
    folder.add_scan(scan(0))
    register_series(client, folder.path, "heating", facts)
    uid = client["results"]["heating"].start["uid"]
    assert sorted(client["results"]["heating"]) == ["provenance", "scan"]
    for n in (1, 2):
        folder.add_scan(scan(n))
        for found in (
            client["results"]["heating"]["scan"]["edge_energy"],
            client["results", "heating", "scan", "edge_energy"],
        ):
            assert found.shape == (n + 1, 12, 16)
            np.testing.assert_array_equal(found.read(), [scan(i).edge_energy for i in range(n + 1)])
        np.testing.assert_array_equal(found[n], scan(n).edge_energy)

    folder.set_volume(volume(), 0.03, ["uid-3d"])
    folder.set_topography(topography())
    folder.update_facts(finished=True, raw_uids=("uid-0", "uid-1", "uid-2"))
    for _ in range(2):
        register_series(client, folder.path, "heating", asdict(folder.facts))
    run = client["results"]["heating"]
    assert "BlueskyRun" in repr(run)
    assert "heating" in repr(client["results"])
    assert run.start["uid"] == uid
    assert run.start["raw_uids"] == ["uid-0", "uid-1", "uid-2"]
    assert (run.start["plan_name"], run.start["profile"]) == ("redoxscope", "simulated")
    assert run.stop["run_start"] == uid
    assert [key for key, _ in run.items()] == ["provenance", "scan", "topography", "volume"]
    np.testing.assert_array_equal(client["results", "heating", "volume", "edge_energy"].read(), volume().edge_energy)
    vertices = client["results", "heating", "topography", "surface_000", "vertices"]
    np.testing.assert_array_equal(vertices.read(), topography().surfaces[0].vertices)
    front = client["results", "heating", "topography"]
    np.testing.assert_array_equal(front["particle"].read(), topography().particles.label)
    np.testing.assert_array_equal(front["particles", "nuclei"].read(), topography().particles.nuclei)
    np.testing.assert_array_equal(front["neck_energy"].read(), topography().domains.necks.energy)
    assert list(client["results"].search(Eq("start.series", "heating"))) == ["heating"]
    with pytest.raises(UserError, match="these are results"):
        open_source("tiled:results/heating", tiled=client)


def test_sync_registers_what_is_there_and_passes_over_what_is_broken(data, client, caplog):
    folder = SeriesFolder.create(data / "results", "second", replace(FACTS, series="second"))
    folder.add_scan(scan(0))
    (data / "results" / "broken").mkdir()
    (data / "results" / "broken" / "series.json").write_text("{")
    (data / "raw" / "broken.journal").write_bytes(b"nonsense")
    _, uid = write_journal(data / "raw", recorded(["dark", "primary"], data / "more.h5"))
    sync(client, data)
    assert client["results", "second", "scan", "edge_energy"].shape == (1, 12, 16)
    assert client["raw", uid].metadata["stop"]
    assert len([r for r in caplog.records if "broken" in r.message]) == 2
    (data / "raw" / "broken.journal").unlink()


def test_the_key_is_the_owners_and_stands_nowhere_else(data, server, client):
    folder = data / "tiled"
    key = (folder / "key").read_text()
    assert len(key) == 64
    assert stat.S_IMODE((folder / "key").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert key not in server.uri
    assert urlparse(server.uri).hostname == "127.0.0.1"
    for path in folder.glob("*.log"):
        assert key not in path.read_text(errors="replace")
    child = Path(f"/proc/{server._child.pid}")
    assert key.encode() not in child.joinpath("cmdline").read_bytes() + child.joinpath("environ").read_bytes()


def test_one_server_for_a_folder(data, server):
    with pytest.raises(UserError, match=rf"\(process {os.getpid()}\) is using .*; choose another --data or stop"):
        EmbeddedTiled(data)


def test_a_server_of_someone_else(data, server, monkeypatch, tmp_path):
    monkeypatch.delenv("TILED_API_KEY", raising=False)
    with pytest.raises(UserError, match="set TILED_API_KEY") as refusal:
        connect(server.uri)
    assert "\n" not in str(refusal.value)
    monkeypatch.setenv("REDOXSCOPE_TILED_KEY_FILE", str(data / "tiled" / "key"))
    assert "raw" in list(connect(server.uri))
    monkeypatch.setenv("TILED_API_KEY", "wrong")
    with pytest.raises(UserError, match="check its key"):
        connect(server.uri)
    for uri in ("http://127.0.0.1:9", "http://127.0.0.1:9/api/v1?api_key=secret"):
        with pytest.raises(UserError, match="no Tiled server answers") as refusal:
            connect(uri)
        assert "secret" not in str(refusal.value)
    with pytest.raises(UserError, match="not the address"):
        connect("nonsense")


@pytest.mark.parametrize("name", ["tiled:", "tiled:raw/", "tiled:no-such-run", "tiled:results"])
def test_what_is_no_run_in_tiled(client, name):
    with pytest.raises(UserError) as refusal:
        open_source(name, tiled=client)
    assert "\n" not in str(refusal.value)


def test_a_uid_needs_a_store(tmp_path):
    with pytest.raises(UserError, match="no Tiled store"):
        open_source("tiled:abcdef", data=tmp_path)


def test_a_store_that_cannot_be_opened_is_told_in_a_line(tmp_path):
    (tmp_path / "tiled").mkdir()
    (tmp_path / "tiled" / "catalog.db").write_bytes(b"this is no database" * 100)
    with (
        EmbeddedTiled(tmp_path) as server,
        pytest.raises(TiledError, match=r"did not start .*database.*server\.log") as refusal,
    ):
        server.client()
    assert "\n" not in str(refusal.value)


REGISTER = """
import sys, time
from pathlib import Path
from redoxscope.live.tiled_server import EmbeddedTiled
from redoxscope.live.tiled_store import register_raw
data = Path(sys.argv[1])
server = EmbeddedTiled(data)
print(server._child.pid, flush=True)
client = server.client()
for path in sorted((data / "raw").glob("*.journal")):
    register_raw(client, path)
    print(path, flush=True)
"""


def spawn(data):
    process = subprocess.Popen([sys.executable, "-c", REGISTER, data], stdout=subprocess.PIPE, text=True)
    return process, int(process.stdout.readline())


def wait_until_gone(pid, timeout=20.0):
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        status = Path(f"/proc/{pid}/stat")
        if not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.05)
    raise AssertionError(f"process {pid} lives")


def test_a_server_ends_with_its_parent(tmp_path):
    (tmp_path / "raw").mkdir()
    process, pid = spawn(tmp_path)
    process.kill()
    process.wait()
    process.stdout.close()
    wait_until_gone(pid)


def test_files_that_a_killed_server_did_not_enter_are_no_obstacle(tmp_path):
    (tmp_path / "raw").mkdir()
    documents = list(recorded(["primary", "primary"]))
    _, uid = write_journal(tmp_path / "raw", documents)
    arrays = tmp_path / "tiled" / "data" / "raw" / uid
    with EmbeddedTiled(tmp_path) as server:
        client = server.client()
        sync(client, tmp_path)
        shutil.copytree(arrays, tmp_path / "kept")
        client["raw"].delete_contents(uid, recursive=True, external_only=False)
    shutil.copytree(tmp_path / "kept", arrays, dirs_exist_ok=True)  # as if killed before the files were deleted, too
    for _ in range(2):  # the second time they are entered, and stay
        with EmbeddedTiled(tmp_path) as server:
            client = server.client()
            sync(client, tmp_path)
            replayed = list(open_source(f"tiled:{uid}", tiled=client).documents())
            assert_same(events(replayed, "camera_image"), events(documents, "camera_image"))


def test_a_store_whose_processes_are_killed_opens_again(tmp_path):
    (tmp_path / "raw").mkdir()
    wanted = {}
    for n in range(5):
        documents = list(recorded(["primary", "primary"], None if n % 2 else tmp_path / f"{n}.h5"))
        wanted[write_journal(tmp_path / "raw", documents)[1]] = events(documents, "camera_image")
    process, pid = spawn(tmp_path)
    for _ in range(2):
        assert process.stdout.readline()
    time.sleep(0.2)
    os.kill(pid, signal.SIGKILL)
    process.kill()
    process.wait()
    process.stdout.close()

    with EmbeddedTiled(tmp_path) as server:
        client = server.client()
        sync(client, tmp_path)
        assert sorted(client["raw"]) == sorted(wanted)
        for uid in wanted:
            replayed = list(open_source(f"tiled:{uid}", tiled=client).documents())
            assert_same(events(replayed, "camera_image"), wanted[uid])
        server._child.kill()
        server._child.wait()
        began = time.monotonic()
        with pytest.raises(TiledError) as refusal:
            sync(client, tmp_path)
        assert "\n" not in str(refusal.value)
        assert time.monotonic() - began < 5
