"""3D scans through the monitor: when one is complete, its volume and its topography."""

import itertools
from pathlib import Path

import h5py
import numpy as np
import pytest

from redoxscope.live.export import export
from redoxscope.live.monitor import Monitor
from redoxscope.live.profile import load_profile
from redoxscope.live.replay import open_source
from redoxscope.live.series_folder import list_series
from redoxscope.live.truth import compare

from .experiments import Experiment, Notes, notes, watch


def events(run, stream):
    uids = [doc["uid"] for kind, doc in run if kind == "descriptor" and doc["name"] == stream]
    return [item for item in run if item[0] == "event" and item[1]["descriptor"] in uids]


@pytest.fixture(scope="module")
def tomogram(heating: Experiment):
    """The 3D run alone, and of its 45 angles every third."""
    whole = next(run for run in heating.runs if run[0][1]["plan_name"] == "xanes_3d")
    left_out = {doc["uid"] for i, (_, doc) in enumerate(events(whole, "primary")) if i % 3}
    stop = whole[-1][1]
    counts = {**stop["num_events"], "primary": stop["num_events"]["primary"] - len(left_out)}
    kept = [item for item in whole[:-1] if item[1].get("uid") not in left_out]
    return [*kept, ("stop", {**stop, "num_events": counts})]


@pytest.mark.timeout(300)
def test_the_whole_experiment_ends_with_maps_a_volume_and_its_topography(heating: Experiment, heated, tmp_path):
    data, monitor, _ = heated
    assert monitor.failures == []
    (folder,) = list_series(data)
    assert (folder.scan_count, folder.has_volume, folder.has_topography) == (5, True, True)
    assert folder.facts.finished
    assert set(folder.facts.raw_uids) == {run[0][1]["uid"] for run in heating.runs}
    frames = sum(len(events(run, "primary")) for run in heating.runs)
    assert (folder.facts.frames.expected, folder.facts.frames.used) == (frames, frames)
    export(folder, tmp_path / "out.h5")
    errors = compare(tmp_path / "out.h5", heating.truth)
    assert errors.rows["all maps"].median < 0.25
    assert errors.rows["all maps"].covered > 0.85
    assert errors.rows["volume"].median < 0.35
    assert errors.rows["volume"].covered > 0.8
    with h5py.File(tmp_path / "out.h5") as file:
        histogram = file["entry/topography/curvature_histogram"][()]
        area = file["entry/topography/area"][()]
        voxel = np.max(file["entry/volume/voxel_size"][()])
        when = file["entry/volume/time"][()]
    assert np.allclose(histogram.sum(axis=1)[area > 0], 1)
    assert (area > 0).any()
    assert voxel == pytest.approx(0.18)
    low, high = load_profile("simulated").edge.search
    (solid,) = (run for run in heating.runs if run[0][1]["plan_name"] == "xanes_3d")
    near = [
        d["timestamps"]["camera_image"] for _, d in events(solid, "primary") if low <= d["data"]["mono_energy"] <= high
    ]
    assert when == pytest.approx(np.median(near), abs=1.0)


@pytest.mark.timeout(300)
def test_one_run_per_energy(shared_data: Path, tmp_path):
    source = open_source(shared_data / "fxi_3d")
    monitor = watch(tmp_path, source.documents(), "nsls2_fxi")
    assert monitor.failures == []
    (folder,) = list_series(tmp_path)
    assert folder.has_topography
    assert len(folder.facts.raw_uids) == 32
    truth = np.load(shared_data / "fxi_3d" / "truth.npz")
    with h5py.File(folder.index_path) as file:
        found = file["entry/volume/edge_energy"][()]
    wanted = truth["edge_energy"]
    size = wanted.shape[1]
    before = (found.shape[1] - size) // 2
    off = np.abs(found[:, before : before + size, before : before + size] - wanted)[truth["inside"]]
    assert np.nanmedian(off) < 0.15
    assert np.isfinite(off).mean() > 0.9


@pytest.mark.timeout(300)
def test_lost_and_bad_projections_are_counted_and_the_rest_is_analysed(tomogram, tmp_path):
    primary, flats = events(tomogram, "primary"), events(tomogram, "flat")
    lost = [doc["uid"] for _, doc in primary[100:130:10]]
    sick = {primary[50][1]["uid"]: {"camera_image": "no such datum"}}
    sick |= {primary[77][1]["uid"]: {"rotation_angle": float("nan")}}
    sick |= {flats[3][1]["uid"]: {"camera_image": "no such datum"}}
    documents = []
    for name, doc in tomogram:
        if doc.get("uid") in lost:
            continue
        if doc.get("uid") in sick:
            doc = {**doc, "data": {**doc["data"], **sick[doc["uid"]]}}
        documents.append((name, doc))
        if doc.get("uid") == primary[200][1]["uid"]:
            documents.append(("event", {**doc, "uid": "h", "seq_num": 9000, "data": {"mono_energy": "?"}}))
    monitor = watch(tmp_path, documents)
    (folder,) = list_series(tmp_path)
    assert folder.has_topography
    frames = folder.facts.frames
    assert (frames.expected, frames.lost, frames.bad) == (len(primary), 3, 2)
    assert any("no such datum" in text for text in notes(monitor).warnings)


def test_a_job_that_fails_is_told_and_the_monitor_goes_on(tomogram, heating: Experiment, tmp_path):
    blind = []
    for name, doc in tomogram:
        if name == "event":
            doc = {**doc, "data": {k: v for k, v in doc["data"].items() if k != "rotation_angle"}}
        blind.append((name, doc))
    monitor = watch(tmp_path, [*blind, *heating.scans[0]])
    assert len(monitor.failures) == 1
    assert "angle" in monitor.failures[0]
    (folder,) = list_series(tmp_path)
    assert (folder.scan_count, folder.has_volume) == (1, False)


def cut(run, projections, status="abort"):
    """A run that was aborted after so many projections."""
    last = events(run, "primary")[projections][1]["uid"]
    at = next(i for i, (_, doc) in enumerate(run) if doc.get("uid") == last)
    return [*run[:at], ("stop", {**run[-1][1], "exit_status": status, "num_events": {"primary": projections}})]


def test_a_3d_scan_cut_short_is_told_at_once_and_does_not_spoil_the_next(tomogram, tmp_path):
    monitor = Monitor(tmp_path, load_profile("simulated"), observer=Notes())
    for name, doc in cut(tomogram, 140):
        monitor(name, doc)
    assert len(monitor.failures) == 1
    assert "cut short" in monitor.failures[0]
    uid = tomogram[0][1]["uid"]
    for name, doc in tomogram:
        text = {key: str(value).replace(uid, "again") for key, value in doc.items() if key in ("uid", "run_start")}
        monitor(name, {**doc, **text})
    monitor.finish()
    assert len(monitor.failures) == 1
    (folder,) = list_series(tmp_path)
    assert folder.has_topography
    assert folder.facts.raw_uids == ("again",)


def test_killed_during_the_3d_analysis_it_is_done_by_the_next_monitor(tomogram, tmp_path):
    first = Monitor(tmp_path, load_profile("simulated"))
    for name, doc in tomogram:
        first(name, doc)
    first.close()
    (folder,) = list_series(tmp_path)
    assert not folder.has_topography
    second = Monitor(tmp_path, load_profile("simulated"), observer=Notes())
    second.resume()
    second.finish()
    assert second.failures == []
    assert list_series(tmp_path)[0].has_topography
    third = Monitor(tmp_path, load_profile("simulated"), observer=Notes())
    third.resume()
    third.finish()
    assert notes(third).outcomes == []


def test_an_energy_that_was_aborted_is_waited_for(shared_data: Path, tmp_path):
    """A fly scan is repeated after an abort: the 3D scan is complete when all energies are."""
    documents = list(open_source(shared_data / "fxi_3d").documents())
    starts = [i for i, (name, _) in enumerate(documents) if name == "start"]
    runs = [documents[a:b] for a, b in itertools.pairwise([*starts, len(documents)])]
    monitor = Monitor(tmp_path, load_profile("nsls2_fxi"), observer=Notes())
    for name, doc in itertools.chain(cut(runs[-1], 20), *runs[:-1]):
        monitor(name, doc)
    assert monitor._experiment._analyses == []
    again = {doc["uid"]: f"again-{doc['uid']}" for _, doc in runs[-1] if "uid" in doc}
    for name, doc in runs[-1]:
        monitor(name, {key: again.get(value, value) if isinstance(value, str) else value for key, value in doc.items()})
    assert len(monitor._experiment._analyses) == 1
    monitor.close()
