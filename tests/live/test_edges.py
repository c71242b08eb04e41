"""Several absorption edges in one sweep: documents in, one map per edge out, each against its truth."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
from event_model import DocumentNames, schema_validators

from redoxscope.live.errors import UserError
from redoxscope.live.export import export
from redoxscope.live.monitor import Monitor
from redoxscope.live.profile import load_profile
from redoxscope.live.series_folder import SeriesFolder, list_series
from redoxscope.live.truth import compare

from .experiments import EDGES, Notes, edges_experiment, error, notes, profile_of_edges, same, watch
from .series_of_scans import FACTS, edge, scan

MN, CO, NI = EDGES
GROUPS = {"Mn_K": MN, "Co_K": CO}
MAPS = ("edge_energy", "edge_energy_sigma", "edge_jump", "state")


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """DIR after two scans over all three edges, the documents, the beamline, the monitor and its own documents."""
    folder = tmp_path_factory.mktemp("swept")
    documents, world = edges_experiment(folder / "beamline")
    monitor = Monitor(folder / "data", profile_of_edges(), observer=Notes())
    results = []
    monitor.subscribe(lambda name, doc: results.append((name, doc)))
    for name, doc in documents:
        monitor(name, doc)
    monitor.finish()
    assert monitor.failures == []
    return folder / "data", documents, world, monitor, results


@pytest.fixture(scope="module")
def exported(swept, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "series.h5"
    export(list_series(swept[0])[0], path)
    return path


def test_the_map_of_each_edge_is_near_its_truth(swept, exported):
    world = swept[2]
    with h5py.File(exported) as file:
        groups = {name: file["entry/edges"][group] for group, name in GROUPS.items()} | {NI: file["entry/scan"]}
        for i, time in enumerate(file["entry/scan/time"][()]):
            for name, group in groups.items():
                true = world.true_map(time, name)
                median, covered = error(group["edge_energy"][i], true)
                assert median < 0.25, (name, i)
                assert covered > 0.95, (name, i)
                known = np.isfinite(group["edge_energy"][i])
                assert (group["state"][i][known] == 2).all()
                assert np.nanmedian(group["edge_energy_sigma"][i]) < 0.25
        # Nothing of nickel's reaction is in manganese's map, part of it in cobalt's.
        moved = {name: np.nanmedian(np.ptp(group["edge_energy"][()], axis=0)) for name, group in groups.items()}
        assert moved[MN] < 0.1 < moved[CO] < moved[NI]


def test_the_groups_of_the_edges_have_the_schema(swept, exported):
    for path in (exported, list_series(swept[0])[0].index_path):
        with h5py.File(path) as file:
            edges = file["entry/edges"]
            assert set(edges) == set(GROUPS)
            shape = file["entry/scan/edge_energy"].shape
            assert shape[0] == 2
            for name, group in edges.items():
                assert group.attrs["NX_class"] == "NXdata"
                assert (group.attrs["signal"], *group.attrs["axes"]) == ("edge_energy", "time", ".", ".")
                assert group.attrs["edge"] == GROUPS[name]
                assert group.attrs["nominal_energy"] == {"Mn_K": 6547.0, "Co_K": 7717.0}[name]
                np.testing.assert_array_equal(group["time"], file["entry/scan/time"])
                for key, dtype in zip(MAPS, ("f4", "f4", "f4", "u1"), strict=True):
                    like = file["entry/scan"][key]
                    assert (group[key].shape, group[key].dtype) == (shape, np.dtype(dtype))
                    assert group[key].attrs["units"] == like.attrs["units"]


def test_every_frame_is_placed_and_magnified_as_its_energy_says(exported, swept):
    with h5py.File(exported) as file:
        energy = file["entry/scan/energy"][()]
        np.testing.assert_allclose(file["entry/scan/magnification"], np.tile(energy / energy[0], (2, 1)))
        assert file["entry/scan/magnification"][0, -1] > 1.3
        assert (file["entry/scan/shift_quality"][()] > 0.9).all()
        assert list(file["entry/provenance/scan_frames_used"]) == [159, 159]
        assert list(file["entry/provenance/scan_frames_bad"]) == [0, 0]


def test_the_truth_file_has_all_edges(swept, exported, tmp_path):
    world = swept[2]
    with h5py.File(exported) as file:
        times = file["entry/scan/time"][()]
    world.save_truth(tmp_path / "truth.h5", times, None)
    rows = compare(exported, tmp_path / "truth.h5").rows
    assert set(rows) == {"map 0", "map 1", "all maps", "Mn_K maps", "Co_K maps"}
    assert all(row.median < 0.25 for row in rows.values())


def test_the_result_documents_lead_to_the_maps_of_all_edges(swept):
    data, *_, results = swept
    for name, doc in results:
        schema_validators[DocumentNames[name]].validate(doc)
    resources = {doc["data_key"]: doc for name, doc in results if name == "stream_resource"}
    with h5py.File(list_series(data)[0].index_path) as file:
        for group in GROUPS:
            for key in MAPS:
                dataset = file[resources[f"{group}_{key}"]["parameters"]["dataset"]]
                assert dataset.name == f"/entry/edges/{group}/{key}"
                assert dataset.shape[0] == 2


def test_an_edge_is_final_while_the_next_is_scanned_and_provisional_with_its_own_baselines(swept, tmp_path):
    _, documents, world, *_ = swept
    monitor = Monitor(tmp_path, profile_of_edges())
    uids = [doc["uid"] for name, doc in documents if name == "start"]
    second = next(i for i, (name, doc) in enumerate(documents) if doc.get("uid") == uids[1])
    energies = {doc["uid"]: doc["data"].get("mono_energy") for name, doc in documents if name == "event"}
    shown = {}
    for i, (name, doc) in enumerate(documents):
        monitor(name, doc)
        if i > second and name == "event" and energies[doc["uid"]] in (7730.0, 8354.0):
            shown[energies[doc["uid"]]] = monitor.runs.get(uids[1]).scan.result()
    monitor.finish()
    cobalt, nickel = shown[7730.0], shown[8354.0]
    assert set(np.unique(cobalt.others[MN].state)) == {0, 2}
    assert set(np.unique(cobalt.others[CO].state)) == {0, 1}
    assert set(np.unique(cobalt.main.state)) == {0}
    assert set(np.unique(nickel.others[CO].state)) == {0, 2}
    assert set(np.unique(nickel.main.state)) == {0, 1}
    time = float(list_series(tmp_path)[0].scans[1].small["time"])
    for found, name in ((cobalt.others[CO], CO), (nickel.main, NI)):
        median, covered = error(found.edge_energy, world.true_map(time, name))
        assert median < 0.4
        assert covered > 0.6


def test_a_monitor_started_again_between_two_scans_finds_the_same(swept, tmp_path):
    """The baselines, grid and times of the scan before come from its state on disk."""
    data, documents, *_ = swept
    runs = np.flatnonzero([name == "start" for name, _ in documents])
    for part in (documents[: runs[1]], documents[runs[1] :]):
        watch(tmp_path, part, profile_of_edges())
    (first,), (again,) = list_series(data), list_series(tmp_path)
    for i in range(2):
        one, other = first.scan(i), again.scan(i)
        assert same(one.edge_energy, other.edge_energy)
        assert other.pixel_size == 0.18
        np.testing.assert_equal([other.front_length, other.front_speed], [one.front_length, one.front_speed])
        for group in GROUPS:
            assert same(one.edges[group].edge_energy, other.edges[group].edge_energy)


def test_an_edge_that_the_scan_does_not_cover_is_told_once_and_left_out(tmp_path):
    documents, _ = edges_experiment(tmp_path / "beamline", ["Mn K", "Ni K"])
    monitor = watch(tmp_path / "data", documents, profile_of_edges())
    assert monitor.failures == []
    told = [text for text in notes(monitor).messages if "Co K" in text]
    assert len(told) == 1
    assert "is left out: 0 different energies in the Co K edge's pre window 7576-7686 eV" in told[0]
    (folder,) = list_series(tmp_path / "data")
    assert [set(folder.scan(i).edges) for i in range(2)] == [{"Mn_K"}] * 2
    assert np.isfinite(folder.scan(1).edge_energy).any()


def test_a_scan_of_another_edge_only_has_no_main_map(tmp_path):
    documents, world = edges_experiment(tmp_path / "beamline", ["Mn K"])
    monitor = watch(tmp_path / "data", documents, profile_of_edges())
    assert monitor.failures == []
    told = notes(monitor).messages
    assert len(told) == 2
    assert any("Ni K, the main edge, has empty maps and no front" in text for text in told)
    (folder,) = list_series(tmp_path / "data")
    for record in (folder.scan(0), folder.scan(1)):
        assert np.isnan(record.edge_energy).all()
        assert not record.state.any()
        assert record.front_components == -1
        assert np.isnan(record.front_length)
        assert error(record.edges["Mn_K"].edge_energy, world.true_map(record.time, MN))[0] < 0.25


def test_a_scan_of_no_edge_is_refused_as_ever(tmp_path):
    documents, _ = edges_experiment(tmp_path / "beamline", ["Mn K"], scans=1)
    monitor = watch(tmp_path / "data", documents)
    assert len(monitor.failures) == 1
    assert "pre window 8200-8310 eV, 2 needed: extend the scan" in monitor.failures[0]
    assert list_series(tmp_path / "data") == [] or list_series(tmp_path / "data")[0].scan_count == 0


def test_frames_between_the_edges_are_placed_and_not_bad(tmp_path):
    """Any edge can be the main one; what lies in no window of the profile helps to place the frames."""
    documents, world = edges_experiment(tmp_path / "beamline", scans=1)
    monitor = watch(tmp_path / "data", documents, profile_of_edges("Co K", ["Mn K"]))
    ((_, _, record, bad),) = notes(monitor).done
    assert (record.frames.used, record.frames.bad, bad) == (159, 0, [])
    assert error(record.edge_energy, world.true_map(record.time, CO))[0] < 0.25
    assert set(record.edges) == {"Mn_K"}


def test_the_main_map_is_as_good_as_without_other_edges_in_the_profile(swept, tmp_path):
    """There, as ever, all frames of the sweep are the edge's."""
    data, documents, world, *_ = swept
    record = list_series(data)[0].scan(0)
    true = world.true_map(record.time)
    alone = watch(tmp_path, documents[: len(documents) // 2], load_profile("simulated"))
    found = notes(alone).done[0][2]
    assert error(record.edge_energy, true)[0] < error(found.edge_energy, true)[0] + 0.03


def test_scans_without_an_edge_are_nan_in_its_stack(tmp_path):
    folder = SeriesFolder.create(tmp_path / "results", "mixed", FACTS)
    for i in range(3):
        folder.add_scan(replace(scan(i), edges={} if i == 1 else {"Mn_K": edge(i, "Mn K"), "a_b": edge(9 + i, "a b")}))
    export(folder, tmp_path / "out.h5")
    for path in (tmp_path / "out.h5", folder.index_path):
        with h5py.File(path) as file:
            group = file["entry/edges/Mn_K"]
            assert set(file["entry/edges"]) == {"Mn_K", "a_b"}
            for key in MAPS[:3]:
                assert np.isnan(group[key][1]).all()
            assert not group["state"][1].any()
            for i in (0, 2):
                np.testing.assert_array_equal(group["edge_energy"][i], edge(i, "Mn K").edge_energy)
                np.testing.assert_array_equal(group["state"][i], edge(i, "Mn K").state)
    current = replace(scan(5), edges={"Mn_K": edge(5, "Mn K")})
    folder.set_current(current, 4)
    found, version = folder.current()
    assert version == 4
    np.testing.assert_array_equal(found.edges["Mn_K"].edge_jump, current.edges["Mn_K"].edge_jump)
    assert (found.edges["Mn_K"].edge, found.edges["Mn_K"].nominal) == ("Mn K", 6547.0)


OTHER = 'name = "Mn K"\nnominal = 6547\npre = [6406, 6516]\npost = [6586, 6666]\nsearch = [6531, 6566]\n'


@pytest.mark.parametrize(
    ("table", "wanted"),
    [
        (OTHER.replace('name = "Mn K"\n', ""), ["other_edges.0.name", "required"]),
        (OTHER.replace("nominal = 6547\n", ""), ["other_edges.0.nominal", "required"]),
        (OTHER.replace("search = [6531, 6566]\n", ""), ["other_edges.0.search", "required"]),
        (OTHER + "colour = 3", ["other_edges.0.colour", "unknown key", "spelling"]),
        (OTHER.replace("6547", "6.547"), ["other_edges.0", "nominal = 6.547", "Mn K", "6531-6566", "in eV"]),
        (OTHER.replace("[6531, 6566]", "[8325, 8360]"), ["other_edges.0", "nominal = 6547", "8325-8360"]),
        (
            OTHER.replace("6547", "6510").replace("6531", "6500"),
            ["other_edges.0", "nominal = 6510 is not between", "6516", "6586"],
        ),
        (OTHER.replace("6566]", "6700]"), ["other_edges.0", "search = [6531, 6700]", "6406", "6666"]),
        (OTHER + "plateau = [8346, 8352]", ["other_edges.0", "plateau = [8346, 8352]", "6666"]),
        (OTHER.replace("[6406, 6516]", "[6516, 6406]"), ["other_edges.0", "pre", "smaller"]),
        (OTHER.replace("Mn K", "Ni_K"), ["two edges are called", "Ni_K", "name of its own"]),
        (OTHER + "[[other_edges]]\n" + OTHER, ["two edges are called 'Mn K'", "name of its own"]),
    ],
)
def test_what_is_wrong_with_an_edge_is_named_with_the_remedy(tmp_path, table, wanted):
    path = tmp_path / "profile.toml"
    documents = '[documents]\nimage = "i"\nenergy = "e"\nenergies = "l"\nplans_2d = ["scan"]\n'
    path.write_text(f'name = "mine"\n{documents}[[other_edges]]\n{table}\n')
    with pytest.raises(UserError) as caught:
        load_profile(path)
    text = str(caught.value)
    assert "\n" not in text
    for word in (str(path), *wanted):
        assert word in text


def test_the_name_of_a_group_is_made_of_letters_digits_and_underscores():
    profile = profile_of_edges(others=["Mn K"])
    assert profile.edge.group == "Ni_K"
    assert [table.group for table in profile.other_edges] == ["Mn_K"]
