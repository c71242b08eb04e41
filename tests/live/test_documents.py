"""From documents to frames: however a beamline says where its pixels are."""

import logging
from pathlib import Path

import h5py
import numpy as np
import pytest

from redoxscope.live.documents import RunReader
from redoxscope.live.frames import FrameError, FrameFiles
from redoxscope.live.profile import Profile
from redoxscope.live.profile_tables import Documents

from .experiments import Experiment, maps, same, watch

H, W = 6, 7
STACK = np.arange(12 * H * W, dtype="u2").reshape(12, H, W)
PROFILE = Profile(
    name="test",
    documents=Documents(image="cam", energy="dcm", energies="list", angle="rot", temperature="hot", plans_2d=("scan",)),
)
START = {"uid": "run", "time": 1.0, "plan_name": "scan", "list": [8330.0, 8340.0]}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "frames one.h5"
    with h5py.File(path, "w") as out:
        out["/entry/data/data"] = STACK
    return path


def descriptor(stream="primary", shape=(1, H, W), **key):
    keys = {"cam": {"dtype": "array", "shape": list(shape), "source": "x", "external": "STREAM:", **key}, "dcm": {}}
    return "descriptor", {"uid": f"d-{stream}", "run_start": "run", "name": stream, "data_keys": keys, "time": 1.0}


def event(number, stream="primary", **data):
    data = {"dcm": 8330.0 + number, **data}
    doc = {"uid": f"{stream}-{number}", "descriptor": f"d-{stream}", "seq_num": number, "time": 10.0 + number}
    return "event", {**doc, "data": data, "timestamps": dict.fromkeys(data, 20.0 + number)}


def stream_resource(path, uid="r"):
    doc = {"uid": uid, "run_start": "run", "data_key": "cam", "mimetype": "application/x-hdf5"}
    uri = f"file://localhost{str(path).replace(' ', '%20')}"
    return "stream_resource", {**doc, "uri": uri, "parameters": {"dataset": "/entry/data/data"}}


def stream_datum(first, seq_num, count=1, stream="primary", uid="r"):
    return "stream_datum", {
        "uid": f"{uid}/{first}",
        "stream_resource": uid,
        "descriptor": f"d-{stream}",
        "indices": {"start": first, "stop": first + count},
        "seq_nums": {"start": seq_num, "stop": seq_num + count},
    }


def resource(path, per_point=1, uid="r"):
    doc = {"uid": uid, "spec": "AD_HDF5", "root": str(path.parent), "resource_path": path.name, "run_start": "run"}
    return "resource", {**doc, "resource_kwargs": {"frame_per_point": per_point}}


def datum(point, uid="r"):
    return "datum", {"datum_id": f"{uid}/{point}", "resource": uid, "datum_kwargs": {"point_number": point}}


def frames(*documents, profile=PROFILE, start=START):
    reader = RunReader(start, profile, FrameFiles())
    return [frame for name, doc in documents for frame in reader.read(name, doc)]


def test_stream_datum_before_its_event(file):
    found = frames(descriptor(), stream_resource(file), stream_datum(3, 1), event(1, rot=30.0, hot=231.0))
    (frame,) = found
    assert np.array_equal(frame.read(), STACK[3])
    assert (frame.kind, frame.index, frame.energy, frame.angle, frame.temperature) == ("sample", 0, 8331.0, 30.0, 231.0)
    assert np.isnan(frame.exposure)


def test_events_wait_for_a_stream_datum_that_covers_several(file):
    early = [descriptor(), stream_resource(file), *(event(n) for n in (2, 1, 3))]
    assert frames(*early) == []
    found = frames(*early, stream_datum(5, 1, 2), stream_datum(9, 3))
    assert [f.energy for f in found] == [8331.0, 8332.0, 8333.0]
    assert [int(f.read()[0, 0]) for f in found] == [int(STACK[n][0, 0]) for n in (5, 6, 9)]


def test_a_missing_stream_datum_costs_its_frame_and_no_other(file):
    found = frames(
        descriptor(), stream_resource(file), event(1), stream_datum(0, 1), event(2), stream_datum(2, 3), event(3)
    )
    assert [(f.index, int(f.read()[0, 0])) for f in found] == [(0, 0), (2, int(STACK[2][0, 0]))]


def test_one_file_for_all_streams_by_resource_and_datum(file):
    found = frames(
        descriptor("dark"), descriptor(), descriptor("flat"), resource(file), datum(0), event(1, "dark", cam="r/0"),
        datum(1), event(1, cam="r/1"), event(1, "flat", cam="r/2"), datum(2),
    )  # fmt: skip
    assert [(f.kind, int(f.read()[0, 0])) for f in found] == [
        ("dark", 0),
        ("sample", int(STACK[1][0, 0])),
        ("flat", int(STACK[2][0, 0])),
    ]


def test_datum_page(file):
    page = {"datum_id": ["r/0", "r/4"], "resource": "r", "datum_kwargs": {"point_number": [0, 4]}}
    found = frames(descriptor(), resource(file), ("datum_page", page), event(1, cam="r/4"))
    assert np.array_equal(found[0].read(), STACK[4])


def test_several_exposures_of_one_event_are_averaged(file):
    (by_datum,) = frames(descriptor(), resource(file, 4), datum(2), event(1, cam="r/2"))
    assert by_datum.read() == pytest.approx(STACK[8:12].mean(axis=0))
    (by_stream,) = frames(descriptor(shape=(4, H, W)), stream_resource(file), stream_datum(1, 1), event(1))
    assert by_stream.read() == pytest.approx(STACK[4:8].mean(axis=0))


@pytest.mark.parametrize("pixels", [STACK[3], STACK[3:4], STACK[3].tolist(), STACK[2:5]], ids=["2D", "3D", "list", "3"])
def test_inline(pixels):
    (frame,) = frames(descriptor(), event(1, cam=pixels))
    assert frame.read() == pytest.approx(STACK[3])


def test_event_page():
    pages = {
        "descriptor": "d-primary",
        "uid": ["a", "b"],
        "seq_num": [1, 2],
        "time": [1.0, 2.0],
        "data": {"dcm": [8331.0, 8332.0], "cam": [STACK[0], STACK[1]]},
        "timestamps": {"dcm": [1.0, 2.0], "cam": [3.0, 4.0]},
    }
    found = frames(descriptor(), ("event_page", pages))
    assert [(f.index, f.energy, f.time) for f in found] == [(0, 8331.0, 3.0), (1, 8332.0, 4.0)]
    assert np.array_equal(found[1].read(), STACK[1])


def test_energies_in_kev_and_from_the_start_document():
    documents = PROFILE.documents.model_copy(update={"energy_unit": "keV"})
    profile = PROFILE.model_copy(update={"documents": documents})
    start = {**START, "list": [8.33, 8.34], "dcm": 8.3351}
    name, doc = event(1, cam=STACK[0])
    del doc["data"]["dcm"]
    (frame,) = frames(descriptor(), (name, doc), profile=profile, start=start)
    assert frame.energy == pytest.approx(8335.1)
    assert RunReader(start, profile, FrameFiles()).energies == pytest.approx([8330.0, 8340.0])


def test_duplicates_and_other_streams_give_no_frames():
    found = frames(
        descriptor(), descriptor("baseline"), event(1, cam=STACK[0]), event(1, cam=STACK[0]), event(1, "baseline")
    )
    assert len(found) == 1


def test_a_reading_is_counted_against_the_stop_document():
    reader = RunReader(START, PROFILE, FrameFiles())
    stop = "stop", {"run_start": "run", "uid": "s", "num_events": {"primary": 3, "flat": 9}}
    for name, doc in [descriptor(), event(1, cam=STACK[0]), stop]:
        list(reader.read(name, doc))
    assert (reader.expected, reader.lost) == (3, 2)


def unreadable(*documents):
    (frame,) = frames(descriptor(), *documents)
    with pytest.raises(FrameError) as caught:
        frame.read()
    return str(caught.value)


def test_a_frame_whose_pixels_are_nowhere_says_which(file, tmp_path):
    truncated = tmp_path / "short.h5"
    truncated.write_bytes(file.read_bytes()[:1000])
    assert "r/3" in unreadable(event(1, cam="r/3"))
    assert "gone.h5" in unreadable(resource(tmp_path / "gone.h5"), datum(0), event(1, cam="r/0"))
    assert "short.h5" in unreadable(resource(truncated), datum(0), event(1, cam="r/0"))
    assert "frames one.h5" in unreadable(resource(file), datum(12), event(1, cam="r/12"))
    assert "frames one.h5" in unreadable(resource(file), datum(-1), event(1, cam="r/-1"))
    assert "frames one.h5" in unreadable(stream_resource(file), stream_datum(-3, 1), event(1))
    for odd in (np.zeros(5), np.zeros((2, 2, 2, 2)), [["a"]], [[1, 2], [3]], np.zeros((0, 4)), None, 7.0):
        unreadable(event(1, cam=odd))


def test_a_file_is_read_when_it_is_whole_though_it_was_not_at_first(tmp_path):
    path = tmp_path / "growing.h5"
    (frame,) = frames(descriptor(), resource(path), datum(2), event(1, cam="r/2"))
    with h5py.File(path, "w") as out:
        out["/entry/data/data"] = STACK[:2]
    with pytest.raises(FrameError):
        frame.read()
    with h5py.File(path, "a") as out:
        del out["/entry/data/data"]
        out["/entry/data/data"] = STACK
    assert np.array_equal(frame.read(), STACK[2])


def test_one_document_may_claim_any_number_of_events(file):
    huge = stream_datum(0, 1, 10**18)
    found = frames(descriptor(), stream_resource(file), huge, event(3), event(10**17))
    assert np.array_equal(found[0].read(), STACK[2])
    with pytest.raises(FrameError):
        found[1].read()


def hostile(run):
    """Documents that no beamline should send, in the name of a good run."""
    start = run[0][1]["uid"]
    described = next(doc for name, doc in run if name == "descriptor" and doc["name"] == "primary")
    primary = described["uid"]
    good = next(doc for name, doc in run if name == "event" and doc["descriptor"] == primary)
    data, times = good["data"], good["timestamps"]
    number = iter(range(1000))

    def odd(**changes):
        return "event", {**good, "uid": f"hostile-{next(number)}", **changes}

    return [
        ("event", {}),
        ("event", None),
        ("event", ["a", "list"]),
        ("nonsense", {"x": 1}),
        ("start", {}),
        ("start", {"uid": None, "plan_name": np.array(["xanes_2d", "b"])}),
        ("start", {"uid": "../../escape", "time": "yesterday", "plan_name": "xanes_2d", "energies": ["a", None]}),
        ("start", {"uid": "empty", "time": -1e300, "plan_name": "xanes_3d", "energies": {"a": 1}, "series": {"x": 1}}),
        ("start", {"uid": "keV", "time": 0, "plan_name": "xanes_2d", "energies": [8.2, 8.3, 8.4]}),
        ("descriptor", {"run_start": start}),
        ("descriptor", {"run_start": "another", "uid": "x"}),
        ("descriptor", {**described, "uid": "flat", "name": "flat", "data_keys": {"camera_image": {"shape": 7}}}),
        ("descriptor", {"run_start": start, "uid": "void", "name": "primary", "data_keys": None}),
        ("event", {"descriptor": "flat", "seq_num": 1, "data": {"camera_image": "x"}, "uid": "f", "time": 1.0}),
        ("event", {"descriptor": "void", "seq_num": 1, "data": {"camera_image": "x"}, "uid": "g", "time": 1.0}),
        ("event", {"descriptor": "unknown", "seq_num": 1, "data": {}, "uid": "h", "time": 1.0}),
        ("resource", {"uid": "r"}),
        ("resource", {"run_start": start}),
        ("resource", {"run_start": start, "uid": "z", "spec": 5, "resource_path": None}),
        ("stream_resource", {"run_start": start, "uid": "sr", "uri": 3, "mimetype": "application/x-hdf5"}),
        ("datum", {"resource": "z", "datum_id": "z/0"}),
        ("datum", {"resource": "z"}),
        ("datum", {"resource": "nobody's", "datum_id": "n/0", "datum_kwargs": {}}),
        ("stream_datum", {"descriptor": primary}),
        ("stream_datum", {**stream_datum(0, -5, 10**18, uid="sr")[1], "descriptor": primary}),
        ("event_page", {"descriptor": primary, "seq_num": 3}),
        odd(seq_num="three"),
        odd(seq_num=-4),
        odd(seq_num=10**30),
        odd(seq_num=0),
        odd(seq_num=float("inf")),
        odd(seq_num=501, data={**data, "camera_image": "no such datum"}),
        odd(seq_num=502, data={**data, "camera_image": 12.5}),
        odd(seq_num=503, data={**data, "camera_image": np.zeros((3, 3))}),
        odd(seq_num=504, data={**data, "camera_image": np.zeros((1, 1, 1, 1, 1))}),
        odd(seq_num=505, data={**data, "mono_energy": 1e300}),
        odd(seq_num=506, data={**data, "mono_energy": float("nan")}),
        odd(seq_num=507, data={**data, "mono_energy": "8340 eV"}),
        odd(seq_num=508, timestamps=dict.fromkeys(times, 6.4e10), time=6.4e10),
        odd(seq_num=509, timestamps=dict.fromkeys(times, "noon")),
        odd(seq_num=510, data=None),
        odd(seq_num=511, timestamps=None),
        odd(seq_num=512, data={**data, "camera_image": np.array([object()])}),
        ("stop", {"run_start": "another", "uid": "s"}),
        ("stop", {}),
    ]  # fmt: skip


@pytest.mark.timeout(120)
@pytest.mark.parametrize("place", ["first", "among", "last"])
def test_hostile_documents_change_nothing(short: Experiment, tmp_path: Path, caplog, place):
    run = short.scans[0]
    bad = hostile(run)
    opened = 1 + max(i for i, (name, _) in enumerate(run) if name == "descriptor")
    if place == "first":
        documents = run[:opened] + bad + run[opened:]
    elif place == "last":
        documents = run[:-1] + bad + run[-1:]
    else:
        documents = list(run)
        for i, one in enumerate(bad):
            documents.insert(opened + 5 * i, one)
    with caplog.at_level(logging.WARNING):
        monitor = watch(tmp_path / "hostile", documents)
    assert len(monitor.failures) + len(caplog.records) > len(bad) / 2
    watch(tmp_path / "clean", run)
    uid = run[0][1]["uid"]
    assert same(maps(tmp_path / "hostile")[uid], maps(tmp_path / "clean")[uid])
    assert not list(tmp_path.parent.glob("escape*"))


def test_no_hostile_document_alone_raises(tmp_path, short):
    for one in hostile(short.scans[0]):
        watch(tmp_path, [one])
