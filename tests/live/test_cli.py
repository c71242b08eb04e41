"""The command line as a user meets it, in processes of its own."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from redoxscope.live import journal
from redoxscope.live.cli import main
from redoxscope.live.export import export
from redoxscope.live.series_folder import list_series
from redoxscope.live.truth import compare

from .experiments import Experiment

COMMAND = [sys.executable, "-m", "redoxscope"]
QUIET = {"OMP_WAIT_POLICY": "passive", "OPENBLAS_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, **QUIET, "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}


def redoxscope(tmp_path: Path, *arguments: object, timeout: float = 240) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@pytest.fixture(scope="module")
def attempts(tmp_path_factory):
    """A folder with things that cannot be used, and what a user may try on them."""
    folder = tmp_path_factory.mktemp("refused")
    (folder / "text.txt").write_text("no data here")
    (folder / "empty").mkdir()
    (folder / "only-text").mkdir()
    (folder / "only-text" / "a.txt").write_text("hello")
    with h5py.File(folder / "whole.h5", "w") as file:
        file["data"] = np.zeros((40, 40))
    (folder / "short.h5").write_bytes((folder / "whole.h5").read_bytes()[:700])
    (folder / "odd.toml").write_text(
        'name = "x"\ncolour = 1\n[documents]\nimage="a"\nenergy="b"\nenergies="c"\nplans_2d=[]'
    )
    (folder / "store" / "raw").mkdir(parents=True)
    (folder / "file").write_text("")
    held = socket.socket()
    held.bind(("127.0.0.1", 0))
    held.listen()
    busy = f"tcp://127.0.0.1:{held.getsockname()[1]}"
    cases = {
        "no such path": ["replay", "nowhere.h5"],
        "no HDF5": ["replay", "text.txt"],
        "truncated HDF5": ["replay", "short.h5"],
        "other HDF5": ["replay", "whole.h5"],
        "empty folder": ["replay", "empty"],
        "nothing readable": ["replay", "only-text"],
        "unknown profile key": ["replay", "whole.h5", "--profile", "odd.toml"],
        "unknown profile": ["monitor", "--profile", "aps_99"],
        "unknown command": ["replya", "whole.h5"],
        "no command": [],
        "unknown option": ["runs", "--dta", "x"],
        "bad speed": ["replay", "whole.h5", "--speed", "-3"],
        "bad seed": ["demo", "--seed", "-1"],
        "unknown series": ["export", "nothing", "out.h5", "--data", "store"],
        "no data folder": ["runs", "--data", "missing"],
        "busy address": ["monitor", "--listen", busy, "--data", "monitor-data"],
        "public address": ["monitor", "--listen", "tcp://0.0.0.0:5599", "--data", "monitor-data"],
        "odd address": ["monitor", "--listen", "telnet://x", "--data", "monitor-data"],
        "unknown fault": ["simulate", "--fault", "earthquake"],
        "unknown edge": ["simulate", "--edges", "Ni", "Fe"],
        "dead file inline": ["simulate", "--inline", "--quick", "--fault", "dead_file"],
        "bad real time": ["simulate", "--real-time", "0"],
        "data is a file": ["monitor", "--data", "file"],
    }
    yield folder, cases
    held.close()


@pytest.mark.parametrize(
    ("case", "named", "remedy"),
    [
        ("no such path", "nowhere.h5", "check the spelling"),
        ("no HDF5", "text.txt", "give"),
        ("truncated HDF5", "short.h5", "truncated|cut off|copy|damaged|whole"),
        ("other HDF5", "whole.h5", "needs X_eng"),
        ("empty folder", "empty", "give"),
        ("nothing readable", "only-text", "give"),
        ("unknown profile key", "colour", "remove it or correct"),
        ("unknown profile", "aps_99", "simulated"),
        ("unknown command", "replya", "--help"),
        ("no command", "COMMAND", "--help"),
        ("unknown option", "--dta", "--help"),
        ("bad speed", "--speed", "larger than 0"),
        ("bad seed", "--seed", "0 or more"),
        ("unknown series", "store", "run redoxscope|there are"),
        ("no data folder", "missing", "--data"),
        ("busy address", "127.0.0.1", "in use"),
        ("public address", "0.0.0.0", "key"),
        ("odd address", "telnet", "write tcp://"),
        ("unknown fault", "earthquake", "blank_frame"),
        ("unknown edge", "Fe K", "choose from"),
        ("dead file inline", "dead_file", "inline"),
        ("bad real time", "--real-time", "more than 0"),
        ("data is a file", "file", "--data"),
    ],
)
def test_bad_usage_is_one_line_that_names_it_and_the_remedy(attempts, monkeypatch, capfd, case, named, remedy):
    folder, cases = attempts
    monkeypatch.chdir(folder)
    held = signal.getsignal(signal.SIGTERM)
    try:
        status = main(cases[case])
    finally:
        signal.signal(signal.SIGTERM, held)
    told = capfd.readouterr()
    assert status == 2, told.err
    assert told.err.count("\n") == 1, told.err
    assert told.out == ""
    assert named in told.err
    assert re.search(remedy, told.err), told.err


@pytest.mark.parametrize("case", ["no such path", "no command", "busy address"])
def test_the_command_itself_ends_so(attempts, case):
    folder, cases = attempts
    done = redoxscope(folder, *cases[case])
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("redoxscope: ")
    assert done.stderr.count("\n") == 1


def test_help_is_no_error(tmp_path):
    done = redoxscope(tmp_path, "--help")
    assert done.returncode == 0
    for command in ("demo", "monitor", "simulate", "replay", "runs", "export", "speed"):
        assert command in done.stdout


@pytest.mark.timeout(300)
def test_recorded_files_are_replayed_listed_and_exported(shared_data: Path, tmp_path):
    done = redoxscope(tmp_path, "replay", shared_data / "fxi_2d", "--data", "store", "--no-view")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    listed = redoxscope(tmp_path, "runs", "--data", "store")
    assert listed.returncode == 0
    assert "159/159" in listed.stdout
    written = redoxscope(tmp_path, "export", "latest", "out.h5", "--data", "store")
    assert written.returncode == 0
    assert written.stdout.strip() == "out.h5"
    truth = np.load(shared_data / "fxi_2d" / "truth.npz")
    inside = truth["inside"]
    with h5py.File(tmp_path / "out.h5") as file:
        found, states = file["entry/scan/edge_energy"][()], file["entry/scan/state"][()]
    off = np.abs(found - truth["edge_energy"])[:, inside]
    assert np.isfinite(off).mean() > 0.9
    assert np.nanmedian(off) < 0.15
    assert set(np.unique(states)) <= {0, 2}


def until(condition, what: str, seconds: float = 150.0) -> None:
    """Wait; a process that does not do its part in time fails the test."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.1)


def scans(data: Path) -> int:
    return sum(len(list(folder.glob("scan_*.h5"))) for folder in (data / "results").glob("*"))


@pytest.mark.timeout(300)
def test_ctrl_c_stores_what_is_there_and_says_so(shared_data: Path, tmp_path):
    """One file takes 107 s of data time; the second of three is on its way when it is interrupted."""
    process = subprocess.Popen(
        [*COMMAND, "replay", str(shared_data / "fxi_2d"), "--data", "store", "--speed", "30"],
        cwd=tmp_path,
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    data = tmp_path / "store"
    try:
        until(lambda: scans(data) >= 1 and len(list((data / "raw").glob("*.journal"))) >= 2, "the first scan")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert "store" in said
    (folder,) = list_series(data)
    assert folder.scan_count >= 1
    assert str(folder.scan_count) in said
    assert redoxscope(tmp_path, "runs", "--data", "store").returncode == 0


@pytest.mark.timeout(400)
def test_a_monitor_that_is_killed_in_mid_series_loses_nothing(heating: Experiment, tmp_path):
    """Simulated beamline and monitor in two processes over 0MQ; the monitor is killed and started again."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    data = tmp_path / "store"

    def start(*arguments):
        with (tmp_path / f"{arguments[0]}.log").open("a") as log:
            return subprocess.Popen(
                [*COMMAND, *arguments], cwd=tmp_path, env=environment(tmp_path), stdout=log, stderr=log
            )

    def monitor():
        return start("monitor", "--listen", address, "--data", str(data), "--no-view")

    def journals():
        return len(list((data / "raw").glob("*.journal")))

    processes = [monitor()]
    try:
        truth = tmp_path / "truth.h5"
        beamline = start("simulate", "--publish", address, "--data", str(data), "--quick", "--truth", str(truth))
        processes.append(beamline)
        until(lambda: scans(data) >= 1 and journals() >= 2, "the first scan")
        processes[0].kill()
        processes[0].wait()
        assert scans(data) >= 1
        processes.append(monitor())
        assert beamline.wait(200) == 0, (tmp_path / "simulate.log").read_text()
        until(lambda: any(folder.has_topography for folder in list_series(data)), "the 3D result")
        until(lambda: scans(data) == 5, "all scans")
        processes[-1].send_signal(signal.SIGTERM)
        assert processes[-1].wait(120) == 130, (tmp_path / "monitor.log").read_text()
    finally:
        for process in processes:
            process.kill()
    assert "Traceback" not in (tmp_path / "monitor.log").read_text()
    (folder,) = list_series(data)
    export(folder, tmp_path / "out.h5")
    errors = compare(tmp_path / "out.h5", truth)
    assert errors.rows["all maps"].median < 0.25
    assert errors.rows["volume"].median < 0.35
    whole = [path for path in (data / "raw").glob("*.journal") if any(n == "stop" for _, n, _ in journal.read(path))]
    assert len(whole) == len(heating.runs)
    assert (folder.facts.frames.lost, folder.facts.frames.bad) == (0, 0)
