import contextlib
import os
import socket
import stat
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest
from event_model import DocumentNames, schema_validators

from redoxscope.live.cli import main
from redoxscope.live.errors import UserError
from redoxscope.live.journal import Journal
from redoxscope.live.replay import open_source, paced

DATA = Path(os.environ.get("REDOXSCOPE_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
recorded = pytest.mark.skipif(not (DATA / "fxi_2d").is_dir(), reason=f"no recorded data in {DATA}")

ENERGIES = np.array([8.325, 8.340, 8.355, 8.370])


def write_2d(path, *, counts=False, **changes):
    """A small file as FXI's export writes it; a change to None leaves a dataset out."""
    rng = np.random.default_rng(0)
    flat = rng.normal(4000, 60, (4, 6, 5)).astype("f4")
    sample = np.full((4, 6, 5), 0.7, "f4")
    content = {
        "X_eng": ENERGIES,
        "img_xanes": sample * flat + 100 if counts else sample,
        "img_bkg": flat,
        "img_dark": np.full((1, 6, 5), 100, "f4"),
        "scan_id": 7,
        "scan_time": 1.5e9,
        "note": "a note",
        "uid": "abc",
        "Pixel Size": "30.0nm",
    } | changes
    return _write(path, content)


def write_3d(path, energy, **changes):
    content = {
        "X_eng": energy,
        "img_tomo": np.full((3, 6, 5), 9000, "u2"),
        "angle": np.array([0.0, 60.0, 120.0]),
        "img_bkg": np.full((2, 6, 5), 20000, "u2"),
        "img_dark": np.full((2, 6, 5), 100, "u2"),
        "scan_time": 1.5e9,
        "note": "3D",
    } | changes
    return _write(path, content)


def _write(path, content):
    with h5py.File(path, "w") as file:
        for name, value in content.items():
            if value is not None:
                file[name] = value
    return path


def documents(path):
    found = list(open_source(path).documents())
    for name, doc in found:
        schema_validators[DocumentNames[name]].validate(doc)
    return found


def only(found, kind):
    return [doc for name, doc in found if name == kind]


def streams(found):
    """The stream of every event, in order."""
    names = {doc["uid"]: doc["name"] for doc in only(found, "descriptor")}
    return [names[doc["descriptor"]] for doc in only(found, "event")]


def pixels(found):
    """Every frame, found by its documents alone, as (stream, energy, image)."""
    descriptors = {doc["uid"]: doc for doc in only(found, "descriptor")}
    resources = {doc["uid"]: doc for doc in only(found, "stream_resource")}
    data = {(doc["descriptor"], doc["seq_num"]): doc["data"] for doc in only(found, "event")}
    for datum in only(found, "stream_datum"):
        resource = resources[datum["stream_resource"]]
        assert resource["uri"].startswith("file://localhost/")
        with h5py.File(resource["uri"].removeprefix("file://localhost").replace("%20", " ")) as file:
            image = file[resource["parameters"]["dataset"]][datum["indices"]["start"] : datum["indices"]["stop"]]
        descriptor = descriptors[datum["descriptor"]]
        key = descriptor["data_keys"][resource["data_key"]]
        assert list(image.shape) == key["shape"]
        assert image.dtype.str == key["dtype_numpy"]
        energy = data[datum["descriptor"], datum["seq_nums"]["start"]]["XEng"]
        yield descriptor["name"], energy, image


@recorded
def test_recorded_2d_series():
    source = open_source(DATA / "fxi_2d")
    assert (source.format, source.profile, source.frames) == ("FXI 2D", "nsls2_fxi", 3 * 107)
    found = documents(DATA / "fxi_2d")
    starts = only(found, "start")
    assert [start["repeat"] for start in starts] == [0, 1, 2]
    assert len({start["series"] for start in starts}) == 1
    assert len({start["uid"] for start in starts}) == 3
    assert starts[0]["plan_name"] == "multipos_2D_xanes_scan2"
    assert (starts[0]["scan_id"], starts[0]["num_eng"], starts[0]["pixel_size_nm"]) == (40003, 53, 30.0)
    assert starts[0]["eng_list"][0] == pytest.approx(8.2)
    assert streams(found)[:5] == ["dark", "primary", "flat", "primary", "flat"]
    units = {doc["name"]: doc["data_keys"]["KinetixU_image"]["units"] for doc in only(found, "descriptor")}
    assert units == {"dark": "counts", "primary": "transmission", "flat": "counts"}
    assert only(found, "stop")[0]["num_events"] == {"dark": 1, "primary": 53, "flat": 53}


@recorded
def test_recorded_3d_series():
    source = open_source(DATA / "fxi_3d")
    assert (source.format, source.profile, source.frames) == ("FXI 3D", "nsls2_fxi", 32 * 121)
    found = documents(DATA / "fxi_3d")
    starts = only(found, "start")
    assert {start["series"] for start in starts} == {starts[0]["series"]}
    assert [start["XEng"] for start in starts] == starts[0]["eng_list"] == sorted(starts[0]["eng_list"])
    assert starts[0]["num_eng"] == 32
    assert Counter(streams(found)) == {"dark": 320, "primary": 32 * 91, "flat": 640}
    primary = only(found, "descriptor")[1]
    angles = [doc["data"]["zps_pi_r"] for doc in only(found, "event") if doc["descriptor"] == primary["uid"]]
    assert angles[:3] == [0.0, 2.0, 4.0]
    assert primary["data_keys"]["zps_pi_r"]["units"] == "deg"


def test_documents_lead_to_the_pixels(tmp_path):
    path = write_2d(tmp_path / "with space.h5")
    found = list(pixels(documents(path)))
    assert [(stream, energy) for stream, energy, _ in found[:4]] == [
        ("dark", ENERGIES[0]),
        ("primary", ENERGIES[0]),
        ("flat", ENERGIES[0]),
        ("primary", ENERGIES[1]),
    ]
    with h5py.File(path) as file:
        np.testing.assert_array_equal(found[4][2][0], file["img_bkg"][1])


def _primary_units(found):
    [primary] = [doc for doc in only(found, "descriptor") if doc["name"] == "primary"]
    return primary["data_keys"]["KinetixU_image"]["units"]


def test_units_are_told_by_the_values(tmp_path):
    assert _primary_units(documents(write_2d(tmp_path / "a.h5"))) == "transmission"
    assert _primary_units(documents(write_2d(tmp_path / "b.h5", counts=True))) == "counts"
    hot = np.full((4, 6, 5), 0.7, "f4")
    hot[:, 0, 0], hot[:, 1, 1], hot[0] = np.inf, np.nan, 0
    assert _primary_units(documents(write_2d(tmp_path / "c.h5", img_xanes=hot))) == "transmission"
    integers = np.full((4, 6, 5), 3, "u2")
    assert _primary_units(documents(write_2d(tmp_path / "d.h5", img_xanes=integers))) == "counts"


ONES = np.ones((1, 6, 5), "f4")


@pytest.mark.parametrize("flats", [None, ONES], ids=["none", "ones"])
@pytest.mark.parametrize("where", ["file", "folder"])
def test_counts_without_flats_are_told_before_the_first_frame(tmp_path, capfd, flats, where):
    """Ones are what the variant `xanes_scan_img_only` has for flats."""
    (tmp_path / "scan").mkdir()
    path = write_2d(tmp_path / "scan" / "a.h5", counts=True, img_bkg=flats)
    data = tmp_path / "data"
    assert main(["replay", str(path if where == "file" else path.parent), "--data", str(data)]) == 2
    told = capfd.readouterr().err
    assert told.count("\n") == 1
    for word in (str(path), "img_xanes holds counts that need flats", "img_bkg has none", "export the scan again"):
        assert word in told
    assert not data.exists()


def test_transmission_needs_no_flats(tmp_path):
    assert set(streams(documents(write_2d(tmp_path / "a.h5", img_bkg=None)))) == {"dark", "primary"}


def test_of_several_files_those_without_flats_are_left_out(tmp_path):
    write_2d(tmp_path / "a.h5", counts=True, img_bkg=None)
    write_2d(tmp_path / "b.h5", counts=True)
    told = []
    assert open_source(tmp_path, tell=told.append).frames == 9
    assert len(told) == 1
    assert "a.h5" in told[0]


def test_positions_are_series_of_their_own_in_order_of_time(tmp_path):
    for repeat in (0, 1):
        for position in (1, 2):
            name = f"multipos_2D_xanes_scan2_id_7_repeat_{repeat:02}_pos_{position:02}.h5"
            write_2d(tmp_path / name, scan_time=1.5e9 + 100 * repeat + position)
    starts = only(documents(tmp_path), "start")
    assert [(start["repeat"], start["position"]) for start in starts] == [(0, 1), (0, 2), (1, 1), (1, 2)]
    assert starts[0]["series"] == starts[2]["series"] != starts[1]["series"] == starts[3]["series"]


def test_a_second_sweep_of_tomograms_is_a_second_series(tmp_path):
    for index, energy in enumerate([8.33, 8.34, 8.33, 8.34]):
        write_3d(tmp_path / f"fly_scan_id_{index}.h5", energy, scan_time=1.5e9 + 600 * index, scan_id=index)
    starts = only(documents(tmp_path), "start")
    assert [start["eng_list"] for start in starts] == [[8.33, 8.34]] * 4
    assert starts[0]["series"] == starts[1]["series"] != starts[2]["series"] == starts[3]["series"]


def test_each_replay_makes_new_runs(tmp_path):
    source = open_source(write_2d(tmp_path / "a.h5"))
    first, second = (dict(source.documents())["start"] for _ in range(2))
    assert first["uid"] != second["uid"]
    assert first["series"] != second["series"]
    assert first["source_uid"] == second["source_uid"] == "abc"


def test_what_a_file_does_not_say(tmp_path):
    bare = dict.fromkeys(["scan_id", "scan_time", "note", "uid", "Pixel Size", "img_bkg", "img_dark"])
    path = write_2d(tmp_path / "bare_id_12.h5", **bare, Magnification=260.0)
    found = documents(path)
    start = found[0][1]
    assert (start["scan_id"], start["plan_name"], start["pixel_size_nm"]) == (12, "xanes_scan2", 25.0)
    assert start["time"] == path.stat().st_mtime
    assert set(streams(found)) == {"primary"}


def test_a_folder_of_both_kinds_and_a_broken_file(tmp_path):
    write_3d(tmp_path / "a.h5", 8.33)
    write_2d(tmp_path / "b.h5")
    (tmp_path / "c.h5").write_bytes((tmp_path / "b.h5").read_bytes()[:900])
    (tmp_path / "d.txt").write_text("notes")
    (tmp_path / "e").mkdir()
    told = []
    assert open_source(tmp_path, tell=told.append).format == "FXI 2D and FXI 3D"
    assert [start["plan_name"] for start in only(documents(tmp_path), "start")] == ["xanes_scan2", "fly_scan"]
    assert len(told) == 1, "notes are no recording"
    assert "c.h5" in told[0]


def test_a_journal_comes_back_as_it_is(tmp_path):
    found = documents(write_2d(tmp_path / "b.h5"))
    found[0][1]["profile"] = "ssrl_6-2c"
    inline = [
        ("descriptor", {"uid": "d", "data_keys": {"image": {"dtype": "array", "shape": [2, 6, 5]}}}),
        ("event", {"descriptor": "d", "seq_num": 1, "data": {"image": np.zeros((2, 6, 5))}}),
    ]
    with Journal(tmp_path / "no suffix") as journal:
        for name, doc in [*found, *inline]:
            journal.append(name, doc)
    source = open_source(tmp_path / "no suffix")
    assert (source.format, source.profile, source.frames) == ("redoxscope journal", "ssrl_6-2c", 9 + 2)
    again = list(source.documents())
    assert again[: len(found)] == found
    both = open_source(tmp_path)
    assert both.format == "FXI 2D and redoxscope journal"
    assert both.frames == 9 + 11


NOTHING_READABLE = {
    "missing": (lambda p: p, "no such file"),
    "text": (lambda p: p.write_text("hello"), "neither HDF5 nor a journal"),
    "empty": (lambda p: p.write_bytes(b""), "empty"),
    "xrm": (lambda p: p.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99)), "xrm files cannot be read"),
    "signature alone": (lambda p: p.write_bytes(b"\x89HDF\r\n\x1a\n"), "truncated"),
    "journal without a run": (lambda p: Journal(p).close(), "holds no run"),
    "empty folder": (lambda p: p.mkdir(), "empty folder"),
    "other HDF5": (lambda p: _write(p, {"frames": 1}), "has frames; needs X_eng with img_xanes or img_tomo"),
    "energies": (lambda p: write_2d(p, X_eng=ENERGIES[:3]), "3 energies for 4 frames"),
    "nan": (lambda p: write_2d(p, X_eng=ENERGIES * np.nan), "no energies"),
    "text energies": (lambda p: write_2d(p, X_eng="abc"), "not a list of numbers"),
    "flat frame": (lambda p: write_2d(p, img_xanes=np.ones((4, 6))), "no frames"),
    "flats": (lambda p: write_2d(p, img_bkg=np.ones((3, 6, 5)) * 9), "3 flats for 4 energies"),
    "flat size": (lambda p: write_2d(p, img_bkg=np.ones((4, 6, 6))), "img_bkg has frames of"),
    "object frames": (lambda p: write_2d(p, img_xanes=np.full((4, 6, 5), b"x")), "not numbers"),
    "3D flats": (lambda p: write_3d(p, 8.3, img_bkg=None), "img_tomo holds counts that need flats"),
    "angles": (lambda p: write_3d(p, 8.3, angle=[0.0]), "1 angles for 3 frames"),
    "no angles": (lambda p: write_3d(p, 8.3, angle=None), "0 angles for 3 frames"),
    "many energies in 3D": (lambda p: write_3d(p, [8.3, 8.4, 8.5]), "3 values where a tomogram has one"),
}


@pytest.mark.parametrize(("make", "says"), NOTHING_READABLE.values(), ids=NOTHING_READABLE.keys())
def test_bad_input_is_one_line_with_the_remedy(tmp_path, make, says):
    path = tmp_path / "input"
    make(path)
    with pytest.raises(UserError, match=says) as caught:
        open_source(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    assert "; " in message


def test_every_truncation_is_a_user_error(tmp_path):
    whole = write_2d(tmp_path / "whole").read_bytes()
    path = tmp_path / "cut"
    for size in range(8, len(whole) - 1, 97):
        path.write_bytes(whole[:size])
        with pytest.raises(UserError, match="truncated"):
            open_source(path)


def test_damage_is_a_user_error_or_harmless(tmp_path):
    whole = write_2d(tmp_path / "whole").read_bytes()
    rng = np.random.default_rng(2)
    path = tmp_path / "damaged"
    for _ in range(150):
        bad = bytearray(whole)
        for place in rng.integers(8, 3000, 8):
            bad[place] = rng.integers(256)
        path.write_bytes(bad)
        with contextlib.suppress(UserError):
            list(open_source(path).documents())


def test_a_socket_is_no_source(tmp_path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        with pytest.raises(UserError, match="neither a file nor a folder"):
            open_source(tmp_path / "s")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_permission_denied(tmp_path):
    path = write_2d(tmp_path / "a.h5")
    path.chmod(0)
    with pytest.raises(UserError, match="permission denied"):
        open_source(path)


def test_permission_denied_is_explained(tmp_path, monkeypatch):
    path = write_2d(tmp_path / "a.h5")
    assert stat.S_ISREG(path.stat().st_mode)

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(UserError, match="permission denied; ask its owner"):
        open_source(path)


def test_pace_follows_the_time_of_the_events():
    now, waits = 0.0, []

    def sleep(seconds):
        nonlocal now
        waits.append(seconds)
        now += seconds

    times = [100.0, 110.0, 105.0, 120.0]
    found = [("start", {"time": 0.0}), *(("event", {"time": time}) for time in times), ("stop", {"time": 1e9})]
    assert list(paced(found, 5.0, sleep=sleep, clock=lambda: now)) == found
    assert waits == [2.0, 2.0]
    assert list(paced(found, None, sleep=sleep)) == found
    assert len(waits) == 2
    with pytest.raises(ValueError, match="positive"):
        list(paced(found, 0.0))
