import json
import tracemalloc
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from redoxscope.live.cli import main
from redoxscope.live.errors import UserError
from redoxscope.live.export import export
from redoxscope.live.series_folder import SeriesFolder

from .series_of_scans import ENERGIES, FACTS, scan, topography, volume

N, SHAPE = 3, (12, 16)
E = len(ENERGIES)
SCHEMA = {
    "scan/edge_energy": ("f4", (N, *SHAPE), "eV"),
    "scan/edge_energy_sigma": ("f4", (N, *SHAPE), "eV"),
    "scan/edge_jump": ("f4", (N, *SHAPE), "1"),
    "scan/state": ("u1", (N, *SHAPE), "1"),
    "scan/front": ("u1", (N, *SHAPE), "1"),
    "scan/histogram": ("f8", (N, 20), "1"),
    "scan/histogram_edges": ("f8", (21,), "eV"),
    "scan/transformed_fraction": ("f8", (N,), "1"),
    "scan/time": ("f8", (N,), "s"),
    "scan/temperature": ("f8", (N,), "degC"),
    "scan/energy": ("f8", (E,), "eV"),
    "scan/shift": ("f8", (N, E, 2), "px"),
    "scan/magnification": ("f8", (N, E), "1"),
    "scan/shift_quality": ("f8", (N, E), "1"),
    "volume/edge_energy": ("f4", (10, 11, 12), "eV"),
    "volume/edge_energy_sigma": ("f4", (10, 11, 12), "eV"),
    "volume/edge_jump": ("f4", (10, 11, 12), "1"),
    "volume/voxel_size": ("f8", (), "um"),
    "volume/time": ("f8", (), "s"),
    "topography/iso_energy": ("f8", (2,), "eV"),
    "topography/curvature_histogram": ("f8", (2, 2), "1"),
    "topography/curvature_edges": ("f8", (3,), "1/um"),
    "topography/positive": ("f8", (2,), "1"),
    "topography/negative": ("f8", (2,), "1"),
    "topography/area": ("f8", (2,), "um^2"),
    "topography/components": ("i8", (2,), "1"),
    "topography/euler": ("i8", (2,), "1"),
    "topography/positive_interval": ("f8", (2, 2), "1"),
    "topography/negative_interval": ("f8", (2, 2), "1"),
    "topography/euler_from_curvature": ("f8", (2,), "1"),
    "topography/gaussian_histogram": ("f8", (2, 3), "1"),
    "topography/gaussian_edges": ("f8", (4,), "1/um^2"),
    "topography/shape_distribution": ("f8", (2, 4, 4), "1"),
    "topography/shape_edges": ("f8", (5,), "1/um"),
    "topography/nuclei": ("i8", (2,), "1"),
    "topography/islands": ("i8", (2,), "1"),
    "topography/nucleus_position": ("f8", (1, 3), "um"),
    "topography/nucleus_energy": ("f8", (1,), "eV"),
    "topography/neck_position": ("f8", (1, 3), "um"),
    "topography/neck_width": ("f8", (1,), "um"),
    "topography/neck_widths": ("f8", (1, 2), "um"),
    "topography/neck_energy": ("f8", (1,), "eV"),
    "topography/alternation_positive": ("f8", (7, 2), "1"),
    "topography/alternation_negative": ("f8", (7, 2), "1"),
    "topography/particle": ("i4", (10, 11, 12), "1"),
    "topography/particles/volume": ("f8", (1,), "um^3"),
    "topography/particles/centre": ("f8", (1, 3), "um"),
    "topography/particles/area": ("f8", (1, 2), "um^2"),
    "topography/particles/nuclei": ("i8", (1, 2), "1"),
    "topography/particles/curvature_histogram": ("f8", (1, 2, 2), "1"),
    "topography/surface_000/vertices": ("f4", (3, 3), "um"),
    "topography/surface_000/faces": ("i4", (1, 3), "1"),
    "topography/surface_000/mean_curvature": ("f4", (3,), "1/um"),
    "topography/surface_000/gaussian_curvature": ("f4", (3,), "1/um^2"),
    "topography/surface_000/vertex_area": ("f4", (3,), "um^2"),
    "topography/surface_001/vertices": ("f4", (0, 3), "um"),
}


@pytest.fixture
def folder(tmp_path):
    made = SeriesFolder.create(tmp_path / "results", "heating", FACTS)
    for i in range(N):
        made.add_scan(scan(i))
    return made


def complete(folder):
    folder.set_volume(volume(), 0.0325, ["uid-3d"])
    folder.set_topography(topography())
    return folder


@pytest.mark.parametrize("which", ["export", "index"])
def test_the_file_has_the_schema(folder, tmp_path, which):
    complete(folder)
    target = folder.index_path
    if which == "export":
        target = tmp_path / "out.h5"
        export(folder, target)
        folder.path.rename(tmp_path / "gone")
    with h5py.File(target, "r", swmr=True, libver="latest") as file:
        for path, (dtype, shape, units) in SCHEMA.items():
            dataset = file["entry"][path]
            assert (dataset.dtype, dataset.shape, dataset.attrs["units"]) == (np.dtype(dtype), shape, units), path
        for i in range(N):
            np.testing.assert_array_equal(file["entry/scan/edge_energy"][i], scan(i).edge_energy)
            np.testing.assert_array_equal(file["entry/scan/state"][i], scan(i).state)
            np.testing.assert_array_equal(file["entry/scan/shift"][i], scan(i).shift)
        np.testing.assert_array_equal(file["entry/scan/temperature"], [231, np.nan, 231])
        np.testing.assert_array_equal(file["entry/volume/edge_energy"], volume().edge_energy)
        np.testing.assert_array_equal(file["entry/topography/surface_000/vertices"], topography().surfaces[0].vertices)
        assert file["entry/topography/findings"].asstr()[()].startswith("No surface at 8340 eV")
        assert file["entry/topography/alternation_reading"].asstr()[0] == "H by phase"


@pytest.mark.parametrize("which", ["export", "index"])
def test_the_file_is_nexus(folder, tmp_path, which):
    complete(folder)
    target = folder.index_path if which == "index" else tmp_path / "out.h5"
    if which == "export":
        export(folder, target)
    with h5py.File(target) as file:
        assert file.attrs["NX_class"] == "NXroot"
        entry = file[file.attrs["default"]]
        assert entry.attrs["NX_class"] == "NXentry"
        assert entry.attrs["default"] == "scan"
        for name in ("scan", "volume", "topography"):
            group = entry[name]
            assert group.attrs["NX_class"] == "NXdata"
            signal = group[group.attrs["signal"]]
            assert len(group.attrs["axes"]) == signal.ndim
            for i, axis in enumerate(group.attrs["axes"]):
                if axis != ".":
                    assert group[axis].shape[0] - signal.shape[i] in (0, 1)
                    assert group.attrs[f"{axis}_indices"] == i
            for other in group.attrs.get("auxiliary_signals", []):
                assert group[other].shape == signal.shape


def test_provenance_says_where_it_comes_from(folder, tmp_path):
    export(folder, tmp_path / "out.h5")
    with h5py.File(tmp_path / "out.h5") as file:
        found = file["entry/provenance"]
        assert json.loads(found["profile"].asstr()[()]) == FACTS.profile
        assert json.loads(found["versions"].asstr()[()]) == FACTS.versions
        assert found["source"].asstr()[()] == FACTS.source
        assert list(found["raw_uids"].asstr()) == ["uid-0", "uid-1"]
        assert list(found["scan_raw_uid"].asstr()) == ["uid-0", "uid-1", "uid-2"]
        assert [int(found[f"frames_{name}"][()]) for name in ("expected", "used", "lost", "bad")] == [22, 20, 1, 1]
        assert list(found["scan_frames_used"]) == [9, 9, 9]


def test_maps_are_compressed_one_by_one(tmp_path):
    folder = SeriesFolder.create(tmp_path, "large", FACTS)
    for i in range(2):
        folder.add_scan(scan(i, (300, 400)))
    folder.set_volume(volume((10, 40, 40)), 1.0, [])
    export(folder, tmp_path / "out.h5")
    with h5py.File(tmp_path / "out.h5") as file:
        for path, chunks in (("scan/edge_energy", (1, 300, 400)), ("volume/edge_energy", (1, 40, 40))):
            dataset = file["entry"][path]
            assert (dataset.chunks, dataset.compression) == (chunks, "gzip")
        np.testing.assert_array_equal(file["entry/scan/edge_energy"][1], scan(1, (300, 400)).edge_energy)


def test_memory_is_that_of_one_scan(tmp_path):
    shape = (512, 512)
    folder = SeriesFolder.create(tmp_path, "long", FACTS)
    for i in range(12):
        folder.add_scan(scan(i, shape))
    tracemalloc.start()
    export(folder, tmp_path / "out.h5")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 4 * shape[0] * shape[1]


def test_what_is_missing_is_left_out(folder, tmp_path):
    export(folder, tmp_path / "maps.h5")
    solid = SeriesFolder.create(tmp_path / "results", "solid", FACTS)
    solid.set_volume(volume(), None, [])
    solid.set_topography(topography())
    export(solid, tmp_path / "solid.h5")
    with h5py.File(tmp_path / "maps.h5") as file:
        assert set(file["entry"]) == {"scan", "provenance"}
    with h5py.File(tmp_path / "solid.h5") as file:
        assert set(file["entry"]) == {"volume", "topography", "provenance"}
        assert file["entry"].attrs["default"] == "volume"
        assert file["entry/volume/voxel_size"].attrs["units"] == "voxel"
        assert file["entry/topography/area"].attrs["units"] == "voxel^2"
        assert file["entry/topography/surface_000/mean_curvature"].attrs["units"] == "1/voxel"


def test_a_series_with_nothing_in_it_is_no_file(tmp_path, capsys):
    SeriesFolder.create(tmp_path / "results", "begun", FACTS)
    (tmp_path / "there").mkdir()
    for target in (tmp_path / "begun.h5", tmp_path / "there"):
        assert main(["export", "begun", str(target), "--data", str(tmp_path)]) == 2
        told = capsys.readouterr().err
        assert told.count("\n") == 1
        for word in ("cannot export to", str(target), "begun has neither a map nor a volume", "choose another"):
            assert word in told
    assert not (tmp_path / "begun.h5").exists()
    assert list((tmp_path / "there").iterdir()) == []


def test_progress_ends_at_one(folder, tmp_path):
    told = []
    export(complete(folder), tmp_path / "out.h5", told.append)
    assert told == sorted(told)
    assert told[0] < 0.1
    assert told[-1] == 1


def test_a_target_is_replaced_only_by_a_whole_file(folder, tmp_path, monkeypatch):
    target = tmp_path / "out.h5"
    target.write_text("old")

    def interrupt(fraction):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(folder, target, interrupt)
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    export(folder, target)
    assert h5py.is_hdf5(target)


def test_a_target_that_cannot_be_written_is_said_in_one_line(folder, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    for target, why in [
        (tmp_path / "nowhere" / "out.h5", "there is no folder .*nowhere; make it first"),
        (tmp_path / "file" / "out.h5", "there is no folder .*file"),
        (tmp_path, "it is a folder; give the name of a file"),
        (folder.index_path, "this is where the series is stored"),
        (tmp_path / ("x" * 300), "File name too long"),
    ]:
        with pytest.raises(UserError, match=why) as caught:
            export(folder, target)
        assert "\n" not in str(caught.value)
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(UserError, match="is not writable; choose another"):
        export(folder, tmp_path / "out.h5")


def test_a_full_disk_is_said(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=0))
    with pytest.raises(UserError, match="No space left on device"):
        export(folder, tmp_path / "out.h5")
    assert {path.name for path in tmp_path.iterdir()} == {"results"}
