"""The front's length, pieces, line and speed, from documents to the file, against the simulated truth."""

from dataclasses import replace

import h5py
import numpy as np
import pytest

from redoxscope.analysis.front import FrontWindow, front_length, front_lines, front_speed
from redoxscope.live.export import export
from redoxscope.live.nexus import ABSENT
from redoxscope.live.profile import load_profile
from redoxscope.live.series_folder import SeriesFolder, list_series
from redoxscope.live.terminal import Terminal

from .experiments import Experiment, edges_experiment, watch
from .series_of_scans import FACTS, scan

WINDOW = FrontWindow(8341.0, 0.1)
PIXEL = 0.18


@pytest.fixture(scope="module")
def reacting(tmp_path_factory):
    """DIR after four scans 1.5 h apart in mid-reaction, and the beamline."""
    folder = tmp_path_factory.mktemp("reacting")
    documents, world = edges_experiment(folder / "beamline", ["Ni K"], scans=4, hold=5400.0, before=20000.0)
    watch(folder / "data", documents)
    return folder / "data", world


def test_length_and_speed_are_those_of_the_true_front(reacting, tmp_path):
    data, world = reacting
    export(list_series(data)[0], tmp_path / "out.h5")
    with h5py.File(tmp_path / "out.h5") as file:
        found = file["entry/scan"]
        times = found["time"][()]
        true = [world.true_map(time).astype(float) for time in times]
        lengths = []
        for i, energy in enumerate(true):
            lines = front_lines(energy, WINDOW)
            lengths.append(front_length(lines, PIXEL))
            # Of the first scan a pool that is only a little deeper than the noise is lost.
            assert found["front_length"][i] == pytest.approx(lengths[-1], rel=0.25)
            # What the truth has besides are bits of a few pixels at the particle's border.
            large = sum(front_length([line], 1.0) > 8 for line in lines)
            assert abs(found["front_components"][i] - large) <= 2
        assert found["front_length"][()].sum() == pytest.approx(sum(lengths), rel=0.1)
        assert np.isnan(found["front_speed"][0])
        for i in (1, 2, 3):
            motion = front_speed(true[i - 1], true[i], WINDOW, interval=times[i] - times[i - 1], pixel_size=PIXEL)
            wanted = np.nanmedian(motion.speed)
            assert wanted > 0
            assert found["front_speed"][i] == pytest.approx(wanted, rel=0.15)
            assert 0 < found["front_speed_sigma"][i] < 0.5 * wanted


def test_the_line_can_be_read_scan_by_scan_and_piece_by_piece(reacting):
    (folder,) = list_series(reacting[0])
    with h5py.File(folder.index_path) as file:
        found = file["entry/scan"]
        points, scans, pieces = (found[f"front_line{end}"][()] for end in ("", "_scan", "_number"))
        assert points.shape == (len(scans), 2)
        for i in range(4):
            of_scan = scans == i
            lines = [points[of_scan & (pieces == k)].astype(float) for k in range(found["front_components"][i])]
            assert sum(map(len, lines)) == of_scan.sum()
            assert front_length(lines, PIXEL) == pytest.approx(found["front_length"][i], rel=1e-4)
            # The line runs where the map is at the front energy.
            y, x = np.rint(np.concatenate(lines)).astype(int).T
            assert abs(np.nanmedian(found["edge_energy"][i][y, x]) - 8341.0) < 0.15
        units = [found[name].attrs["units"] for name in ("front_length", "front_speed", "front_line", "pixel_size")]
        assert units == ["um", "um/s", "px", "um"]
        assert found["pixel_size"][()] == PIXEL


def test_without_a_pixel_size_lengths_are_in_pixels(tmp_path, reacting):
    documents, _ = edges_experiment(tmp_path / "beamline", ["Ni K"], scans=2, hold=5400.0, before=20000.0, size=None)
    watch(tmp_path / "data", documents)
    (folder,), (in_um,) = list_series(tmp_path / "data"), list_series(reacting[0])
    with h5py.File(folder.index_path) as file:
        found = file["entry/scan"]
        assert [found[name].attrs["units"] for name in ("front_length", "front_speed_sigma")] == ["px", "px/s"]
        assert np.isnan(found["pixel_size"][()])
        assert found["front_length"][0] == pytest.approx(in_um.scan(0).front_length / PIXEL, rel=1e-6)
        assert found["front_speed"][1] == pytest.approx(in_um.scan(1).front_speed / PIXEL, rel=1e-6)


def test_the_numbers_are_in_the_result_documents(heated):
    data, _, documents = heated
    (folder,) = list_series(data)
    descriptor = next(doc for name, doc in documents if name == "descriptor" and doc["name"] == "scan")
    assert descriptor["data_keys"]["front_speed"]["units"] == "um/s"
    events = [doc for name, doc in documents if name == "event" and doc["descriptor"] == descriptor["uid"]]
    for i, event in enumerate(events):
        record = folder.scan(i)
        for name in ("front_length", "front_components", "front_speed", "front_speed_sigma"):
            np.testing.assert_equal(event["data"][name], getattr(record, name))
    assert any(np.isfinite(event["data"]["front_speed"]) for event in events)


def test_the_terminal_says_it_with_its_unit():
    terminal = Terminal()
    with terminal.console.capture() as captured:
        known = {"front_length": 12.34, "front_components": 2, "front_speed": 0.5 / 3600, "front_speed_sigma": 1e-5}
        terminal.scan_done("series", 0, replace(scan(0), pixel_size=0.1, **known), [])
        terminal.scan_done("series", 1, replace(scan(1), **known | {"front_components": 1}), [])
        terminal.scan_done("series", 2, scan(2), [])
    first, second, third = captured.get().splitlines()
    assert "12.3 µm long in 2 pieces, +0.50 ± 0.04 µm/h" in first
    assert "12.3 px long in 1 piece, +0.50 ± 0.04 px/h" in second
    assert "long" not in third


def test_scans_that_were_stored_before_there_were_front_lines_stay_in_the_series(tmp_path):
    folder = SeriesFolder.create(tmp_path / "results", "old", FACTS)
    folder.add_scan(scan(0))
    with h5py.File(folder.path / "scan_0000.h5", "r+") as file:
        for name in ABSENT:
            del file[name]
    folder = SeriesFolder(folder.path)
    line = {"front_line": np.ones((3, 2)), "front_line_number": np.array([0, 0, 1])}
    folder.add_scan(replace(scan(1), pixel_size=0.5, front_length=4.0, front_components=2, **line))
    assert folder.scan_count == 2
    assert np.isnan(folder.scan(0).front_length)
    with h5py.File(folder.index_path) as file:
        found = file["entry/scan"]
        np.testing.assert_array_equal(found["front_length"], [np.nan, 4.0])
        np.testing.assert_array_equal(found["front_components"], [-1, 2])
        np.testing.assert_array_equal(found["front_line_scan"], [1, 1, 1])
        assert found["front_length"].attrs["units"] == "um"


def test_a_pixel_size_that_makes_no_sense_is_none(short: Experiment, tmp_path):
    documents = [(name, {**doc, "pixel_size_um": "small"} if name == "start" else doc) for name, doc in short.documents]
    monitor = watch(tmp_path, documents)
    assert monitor.failures == []
    assert np.isnan(list_series(tmp_path)[0].scan(0).pixel_size)
    assert load_profile("simulated").documents.pixel_size == "pixel_size_um"
