"""The volume made slab by slab: on a Dask cluster, under a killed worker, and taken up after a kill."""

import contextlib
import os
import signal
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from redoxscope.live.monitor import Monitor
from redoxscope.live.profile import load_profile
from redoxscope.live.replay import open_source
from redoxscope.live.series_folder import list_series

from .experiments import Notes

pytestmark = pytest.mark.timeout(400)


def volume_of(data: Path) -> np.ndarray:
    (folder,) = list_series(data)
    with h5py.File(folder.index_path) as file:
        return file["entry/volume/edge_energy"][()]


def replayed(source: Path, data: Path, scheduler: str | None = None) -> Monitor:
    monitor = Monitor(data, load_profile("nsls2_fxi"), observer=Notes(), scheduler=scheduler)
    for name, doc in open_source(source).documents():
        monitor(name, doc)
    monitor.finish()
    return monitor


@pytest.fixture(scope="module")
def alone(shared_data: Path, tmp_path_factory) -> np.ndarray:
    """The volume of the recorded 3D scan, made by this machine's cores."""
    data = tmp_path_factory.mktemp("alone")
    assert replayed(shared_data / "fxi_3d", data).failures == []
    return volume_of(data)


@pytest.fixture
def cluster(tmp_path: Path):
    """A scheduler and two worker processes, as a beamline would start them."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, local_directory=str(tmp_path / "dask")
    ) as running:
        yield running


def test_a_cluster_makes_the_same_volume_even_if_a_worker_is_killed(shared_data, tmp_path, alone, cluster):
    victim = next(iter(cluster.workers.values()))
    killed = threading.Event()

    def kill() -> None:
        """As soon as the first slab is there."""
        while not killed.is_set():
            if any((tmp_path / "data" / "results").glob("*/.volume/slab_*.h5")):
                os.kill(victim.process.pid, signal.SIGKILL)
                killed.set()
            time.sleep(0.005)

    watcher = threading.Thread(target=kill, daemon=True)
    watcher.start()
    monitor = replayed(shared_data / "fxi_3d", tmp_path / "data", cluster.scheduler_address)
    assert monitor.failures == []
    assert killed.is_set()
    np.testing.assert_array_equal(volume_of(tmp_path / "data"), alone)


def test_a_killed_analysis_is_taken_up_at_the_slab_where_it_stopped(shared_data, tmp_path, alone):
    first = Monitor(tmp_path, load_profile("nsls2_fxi"), observer=Notes())
    for name, doc in open_source(shared_data / "fxi_3d").documents():
        first(name, doc)
    made = _until_two_slabs(tmp_path)
    workers = _workers()
    first.close()
    assert workers
    assert not workers & _workers()
    (folder,) = list_series(tmp_path)
    assert not folder.has_volume
    before = {path.name: path.stat().st_mtime_ns for path in made}
    second = Monitor(tmp_path, load_profile("nsls2_fxi"), observer=Notes())
    kept = {}
    second.resume()
    deadline = time.monotonic() + 120
    while not list_series(tmp_path)[0].has_topography and time.monotonic() < deadline:
        for path in (folder.path / ".volume").glob("slab_*.h5"):
            kept[path.name] = path.stat().st_mtime_ns
        second.poll()
        time.sleep(0.02)
    second.wait()
    second.close()
    assert second.failures == []
    assert before.items() <= kept.items()
    np.testing.assert_array_equal(volume_of(tmp_path), alone)
    assert not (folder.path / ".volume").exists()


def test_a_scan_that_was_watched_and_left_in_the_middle_has_the_same_volume(shared_data, tmp_path, alone):
    """Half of its energies are placed and folded as they come; then the monitor is killed, and another one comes."""
    documents = list(open_source(shared_data / "fxi_3d").documents())
    half = [i + 1 for i, (name, _) in enumerate(documents) if name == "stop"][15]
    first = Monitor(tmp_path, load_profile("nsls2_fxi"), observer=Notes())
    for name, doc in documents[:half]:
        first(name, doc)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "results").glob("*/.volume/coarse_0015.npy")) and time.monotonic() < deadline:
        first.poll()
        time.sleep(0.05)
    assert list((tmp_path / "results").glob("*/.volume/knots/*/*.npy"))
    first.close()
    second = Monitor(tmp_path, load_profile("nsls2_fxi"), observer=Notes())
    second.resume()
    for name, doc in documents[half:]:
        second(name, doc)
    second.finish()
    assert second.failures == []
    np.testing.assert_array_equal(volume_of(tmp_path), alone)


def test_the_slabs_that_are_there_can_be_seen_while_the_others_are_made(shared_data, tmp_path):
    monitor = Monitor(tmp_path, load_profile("nsls2_fxi"), observer=Notes())
    for name, doc in open_source(shared_data / "fxi_3d").documents():
        monitor(name, doc)
    _until_two_slabs(tmp_path)
    seen = volume_of(tmp_path)
    monitor.close()
    assert seen.shape == (48, 64, 64)
    assert np.isfinite(seen).any()


def _until_two_slabs(data: Path) -> list[Path]:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        found = list((data / "results").glob("*/.volume/slab_*.h5"))
        if len(found) >= 2:
            return found
        time.sleep(0.005)
    raise AssertionError("no slab was made in two minutes")


def _workers() -> set[int]:
    """Processes that make slabs and are not those of a zombie."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes()
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                if b"multiprocessing.spawn" in words and state != "Z":
                    found.add(int(entry.name))
    return found
