import errno
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from redoxscope.live.atomic import locked
from redoxscope.live.errors import UserError
from redoxscope.live.series_folder import SeriesFolder, find_series, list_series

from .series_of_scans import ENERGIES, FACTS, scan, topography, volume

ADD_FOR_EVER = """
import sys
from pathlib import Path
from redoxscope.live.series_folder import SeriesFolder
sys.path.insert(0, sys.argv[1])
from series_of_scans import FACTS, scan
folder = SeriesFolder.create(Path(sys.argv[2]), "heating", FACTS)
number = folder.scan_count
while True:
    for version in range(3):
        folder.set_current(scan(number, (200, 300)), version)
    folder.add_scan(scan(number, (200, 300)))
    print(number, flush=True)
    number += 1
"""


@pytest.fixture
def folder(tmp_path):
    return SeriesFolder.create(tmp_path / "results", "heating", FACTS)


def same(one, other):
    for field in fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, np.ndarray):
            np.testing.assert_allclose(b, a, rtol=1e-6)
        else:
            np.testing.assert_equal(b, a)


def swmr(path):
    """As Tiled opens it."""
    return h5py.File(path, "r", swmr=True, libver="latest")


def test_scans_come_back(folder):
    assert [folder.add_scan(scan(i)) for i in range(3)] == [0, 1, 2]
    again = SeriesFolder(folder.path)
    assert again.scan_count == 3
    for i in range(3):
        same(scan(i), again.scan(i))


def test_facts_come_back_and_change(folder):
    assert SeriesFolder(folder.path).facts == FACTS
    folder.update_facts(finished=True, raw_uids=["a", "b"], profile={"path": Path("x")})
    facts = SeriesFolder(folder.path).facts
    assert (facts.finished, facts.raw_uids, facts.profile) == (True, ("a", "b"), {"path": "x"})
    with h5py.File(folder.index_path) as file:
        assert list(file["entry/provenance/raw_uids"].asstr()) == ["a", "b"]
    with pytest.raises(TypeError, match="colour"):
        folder.update_facts(colour="red")


def test_opening_a_series_again_keeps_its_facts(folder):
    again = SeriesFolder.create(folder.path.parent, "heating", replace(FACTS, source="other"))
    assert again.path == folder.path
    assert again.facts.source == FACTS.source


@pytest.mark.parametrize("series", ["a/b", "../..", "", ".hidden", "Ni 231 °C", "x" * 300, "\0\n"])
def test_any_name_makes_a_folder_of_its_own(tmp_path, series):
    made = SeriesFolder.create(tmp_path, series, FACTS)
    assert made.path.parent == tmp_path
    assert made.facts.series == series
    assert SeriesFolder.create(tmp_path, series + "?", FACTS).path != made.path


def test_a_scan_is_stored_once(folder):
    folder.add_scan(scan(0))
    folder.add_scan(scan(1))
    assert folder.add_scan(scan(5, uid="uid-0")) == 0
    assert folder.scan_count == 2
    same(scan(0), folder.scan(0))


@pytest.mark.parametrize(
    "other",
    [scan(9, shape=(12, 17)), scan(9, energies=ENERGIES + 1), scan(9, energies=ENERGIES[1:])],
    ids=["shape", "energies", "number of energies"],
)
def test_a_scan_unlike_the_others_is_refused(folder, other):
    folder.add_scan(scan(0))
    with pytest.raises(ValueError, match="uid-9 does not belong to the series heating"):
        folder.add_scan(other)
    assert SeriesFolder(folder.path).scan_count == 1


def test_energies_may_jitter_as_a_monochromator_does(folder):
    folder.add_scan(scan(0))
    assert folder.add_scan(scan(1, energies=ENERGIES + 0.01)) == 1


def test_a_record_that_contradicts_itself_is_refused():
    with pytest.raises(ValueError, match="front has the shape"):
        replace(scan(0), front=np.zeros((3, 3)))


def test_the_scan_in_progress_is_replaced_and_goes_with_its_completion(folder):
    assert folder.current() is None
    for version in (1, 2):
        folder.set_current(scan(0), version)
    record, version = SeriesFolder(folder.path).current()
    assert version == 2
    same(scan(0), record)
    with swmr(folder.path / "current.h5") as file:
        assert (file.attrs["version"], file.attrs["frames_used"]) == (2, 9)
    folder.add_scan(scan(0))
    assert folder.current() is None
    folder.set_current(scan(0), 3)
    assert folder.current() is None


REPLACE_FOR_EVER = """
import itertools, sys
from dataclasses import replace
from pathlib import Path
import numpy as np
from redoxscope.live.series_folder import SeriesFolder
sys.path.insert(0, sys.argv[1])
from series_of_scans import scan
folder = SeriesFolder(Path(sys.argv[2]))
record = scan(0, (200, 300))
for version in itertools.count(1):
    folder.set_current(replace(record, edge_jump=np.full((200, 300), version)), version)
"""


def test_the_scan_in_progress_is_replaced_while_another_process_reads_it(folder):
    folder.set_current(replace(scan(0, (200, 300)), edge_jump=np.zeros((200, 300))), 0)
    command = [sys.executable, "-c", REPLACE_FOR_EVER, str(Path(__file__).parent), str(folder.path)]
    versions = []
    end = time.monotonic() + 60
    with swmr(folder.path / "current.h5") as held, subprocess.Popen(command) as writer:
        try:
            while len(set(versions)) < 10 and time.monotonic() < end:
                record, version = folder.current()
                assert (record.edge_jump == version).all()
                versions.append(version)
            assert held.attrs["version"] == 0
            assert (held["edge_jump"][()] == 0).all()
        finally:
            writer.kill()
    assert len(set(versions)) == 10
    assert versions == sorted(versions)


def test_the_index_shows_everything_as_tiled_opens_it(folder, tmp_path, monkeypatch):
    for i in range(2):
        folder.add_scan(scan(i))
    folder.set_volume(volume(), 0.0325, ["uid-3d"])
    folder.set_topography(topography())
    assert folder.has_volume
    assert folder.has_topography
    monkeypatch.chdir("/")
    with swmr(folder.index_path) as file:
        entry = file["entry"]
        for i in range(2):
            np.testing.assert_array_equal(entry["scan/edge_energy"][i], scan(i).edge_energy)
            np.testing.assert_array_equal(entry["scan/front"][i], scan(i).front)
        np.testing.assert_array_equal(entry["volume/edge_energy"], volume().edge_energy)
        assert list(file["entry/volume"].attrs["raw_uids"]) == ["uid-3d"]
        assert entry["topography/surface_000/vertices"].shape == (3, 3)
    for path in folder.path.glob("*.h5"):
        with swmr(path) as file:
            assert "NX_class" in file.attrs


@pytest.mark.parametrize("first", [swmr, h5py.File], ids=["swmr", "plain"])
def test_a_part_can_be_read_while_others_have_the_files_open(folder, first):
    folder.add_scan(scan(0))
    folder.set_current(scan(1), 1)
    with first(folder.index_path) as index, first(folder.path / "scan_0000.h5"), first(folder.path / "current.h5"):
        again = SeriesFolder(folder.path)
        same(scan(0), again.scan(0))
        assert again.current() is not None
        assert index["entry/scan/edge_energy"].shape == (1, 12, 16)


def test_a_folder_may_be_moved(folder, tmp_path):
    folder.add_scan(scan(0))
    folder.set_volume(volume(), None, [])
    moved = tmp_path / "elsewhere" / "renamed"
    moved.parent.mkdir()
    shutil.move(folder.path, moved)
    with swmr(moved / "series.h5") as file:
        np.testing.assert_array_equal(file["entry/scan/edge_energy"][0], scan(0).edge_energy)
        assert file["entry/volume/voxel_size"].attrs["units"] == "voxel"
        assert file["entry/volume/edge_energy"].shape == (10, 11, 12)
    same(scan(0), SeriesFolder(moved).scan(0))


def test_opening_renews_an_index_that_is_out_of_date(folder):
    folder.add_scan(scan(0))
    old = folder.index_path.read_bytes()
    folder.add_scan(scan(1))
    folder.index_path.write_bytes(old)
    SeriesFolder(folder.path)
    with h5py.File(folder.index_path) as file:
        assert file["entry/scan/time"].shape == (2,)
    folder.index_path.write_bytes(b"rubbish")
    SeriesFolder(folder.path)
    with h5py.File(folder.index_path) as file:
        assert file["entry/scan/time"].shape == (2,)
    before = folder.index_path.stat().st_ino
    SeriesFolder(folder.path)
    assert folder.index_path.stat().st_ino == before


def test_opening_removes_what_a_dead_process_left_and_nothing_else(folder):
    folder.add_scan(scan(0))
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait(timeout=60)
    with_pid = "import os;from redoxscope.live import atomic;print(atomic._HOST)"
    host = subprocess.run([sys.executable, "-c", with_pid], capture_output=True, text=True, timeout=60).stdout.strip()
    left = folder.path / f".volume.h5.{host}-{dead.pid}-0.part"
    in_progress = folder.path / f".volume.h5.{host}-{os.getpid()}-99.part"
    other_machine = folder.path / f".volume.h5.other-{dead.pid}-0.part"
    for path in (left, in_progress, other_machine):
        path.write_bytes(b"half")
    SeriesFolder(folder.path)
    assert [path.exists() for path in (left, in_progress, other_machine)] == [False, True, True]


def test_a_reader_does_not_wait_for_a_writer(folder):
    folder.add_scan(scan(0))
    with locked(folder.path):
        assert SeriesFolder(folder.path).scan_count == 1


@pytest.mark.parametrize("damage", ["truncated", "empty", "rubbish", "other file"])
def test_a_damaged_part_is_left_out_and_named(folder, damage, caplog):
    for i in range(3):
        folder.add_scan(scan(i))
    part = folder.path / "scan_0001.h5"
    whole = part.read_bytes()
    if damage == "other file":
        with h5py.File(part, "w") as file:
            file["x"] = 1
    else:
        part.write_bytes({"truncated": whole[: len(whole) // 2], "empty": b"", "rubbish": bytes(1000)}[damage])
    with caplog.at_level(logging.WARNING):
        again = SeriesFolder(folder.path)
        assert again.scan_count == 2
    assert "scan_0001.h5" in caplog.text
    with swmr(folder.index_path) as file:
        np.testing.assert_array_equal(file["entry/scan/edge_energy"][1], scan(2).edge_energy)
    assert again.add_scan(scan(3)) == 2
    assert (folder.path / "scan_0003.h5").exists()
    part.write_bytes(whole)
    assert SeriesFolder(folder.path).scan_count == 4
    with swmr(folder.index_path) as file:
        np.testing.assert_array_equal(file["entry/scan/edge_energy"][1], scan(1).edge_energy)


def test_damaged_volume_and_facts_do_not_hide_the_scans(folder, caplog):
    folder.add_scan(scan(0))
    folder.set_volume(volume(), 0.03, [])
    (folder.path / "volume.h5").write_bytes(b"half")
    (folder.path / "series.json").write_text('{"series": ')
    again = SeriesFolder(folder.path)
    assert (again.scan_count, again.has_volume, again.facts.series) == (1, False, "heating")
    assert "volume.h5" in caplog.text
    assert "series.json" in caplog.text
    with swmr(folder.index_path) as file:
        assert "volume" not in file["entry"]


WITH_A_FULL_DISK = """
import resource, sys
from pathlib import Path
from redoxscope.live.series_folder import SeriesFolder
sys.path.insert(0, sys.argv[1])
from series_of_scans import FACTS, scan, topography
folder = SeriesFolder(Path(sys.argv[2]))
for limit in (3_000, 60_000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    for write in (lambda: folder.add_scan(scan(1, (200, 300))), lambda: folder.set_current(scan(1, (200, 300)), 1)):
        try:
            write()
        except OSError as error:
            print(error.errno)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.getrlimit(resource.RLIMIT_FSIZE)[1],) * 2)
print(folder.add_scan(scan(1, (200, 300))))
"""


def test_a_full_disk_is_survived(folder):
    folder.add_scan(scan(0, (200, 300)))
    command = [sys.executable, "-c", WITH_A_FULL_DISK, str(Path(__file__).parent), str(folder.path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.stderr == ""
    assert done.stdout.split() == [str(errno.EFBIG)] * 4 + ["1"]
    assert SeriesFolder(folder.path).scan_count == 2


def test_a_volume_too_large_for_the_disk_is_not_begun(folder, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=0))
    with pytest.raises(OSError, match="No space left"):
        folder.set_volume(volume(), 1.0, [])
    assert not folder.has_volume


def test_a_failed_write_leaves_the_series_as_it_was(folder, monkeypatch):
    folder.add_scan(scan(0))

    def full(*args, **options):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("redoxscope.live.series_folder.write_scan", full)
        with pytest.raises(OSError, match="No space"):
            folder.add_scan(scan(1))
    assert not list(folder.path.glob(".*.part"))
    assert folder.add_scan(scan(1)) == 1


@pytest.mark.parametrize("wait", [0.0, 0.05, 0.11, 0.17])
def test_a_killed_writer_leaves_every_scan_that_it_added(tmp_path, wait):
    here = str(Path(__file__).parent)
    added = -1
    for _ in range(2):
        with subprocess.Popen(
            [sys.executable, "-c", ADD_FOR_EVER, here, str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as process:
            added = int(process.stdout.readline())
            time.sleep(wait)
            process.send_signal(signal.SIGKILL)
            added = max([added, *map(int, process.stdout.read().split())])
        folder = SeriesFolder(tmp_path / "heating")
        assert added + 1 <= folder.scan_count <= added + 2
        assert not list(folder.path.glob(".*.part"))
        with swmr(folder.index_path) as file:
            assert len(file["entry/scan/time"]) == folder.scan_count
            for i in range(folder.scan_count):
                same(scan(i, (200, 300)), folder.scan(i))
                np.testing.assert_array_equal(file["entry/scan/edge_energy"][i], scan(i, (200, 300)).edge_energy)


def test_several_objects_may_add_to_a_series(folder):
    others = [SeriesFolder(folder.path) for _ in range(4)]

    def add(i):
        for n in range(5):
            others[i].add_scan(scan(10 * i + n))

    threads = [threading.Thread(target=add, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert folder.scan_count == 20
    with swmr(folder.index_path) as file:
        assert file["entry/scan/edge_energy"].shape[0] == 20


def test_series_are_listed_by_age_and_found_by_name(tmp_path):
    for i, name in enumerate(["b-late", "a-mid", "a-early"]):
        SeriesFolder.create(tmp_path / "results", name, replace(FACTS, created=100.0 - i))
    SeriesFolder.create(tmp_path / "results", "Ni 231 °C", replace(FACTS, created=1.0))
    (tmp_path / "results" / "empty").mkdir()
    (tmp_path / "results" / "notes.txt").write_text("")
    names = [folder.name for folder in list_series(tmp_path)]
    assert names[1:] == ["a-early", "a-mid", "b-late"]
    assert find_series(tmp_path, "latest").name == "b-late"
    assert find_series(tmp_path, "b").name == "b-late"
    assert find_series(tmp_path, "a-mid").name == "a-mid"
    assert find_series(tmp_path, "Ni 231 °C").name == names[0]
    with pytest.raises(UserError, match="more than one series is called a: a-early, a-mid"):
        find_series(tmp_path, "a")
    with pytest.raises(UserError, match=r"no series z in .*: there are .*a-early, a-mid, b-late"):
        find_series(tmp_path, "z")


def test_no_series_is_said_with_the_remedy(tmp_path):
    assert list_series(tmp_path / "nowhere") == []
    with pytest.raises(UserError, match=r"no series is stored in .*--data"):
        find_series(tmp_path / "nowhere", "latest")


def test_a_place_that_cannot_hold_results_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot store results in .*file"):
        SeriesFolder.create(tmp_path / "file" / "results", "heating", FACTS)
