"""Slices of the volume while the 3D scan is still going on."""

import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from redoxscope.live.monitor import Monitor
from redoxscope.live.profile import load_profile
from redoxscope.live.replay import open_source
from redoxscope.live.series_folder import list_series

from .experiments import Notes, notes

pytestmark = pytest.mark.timeout(600)


def slices_in(data: Path) -> dict[str, np.ndarray] | None:
    for folder in list_series(data):
        if "slices" in folder.solids:
            with h5py.File(folder.path / "slices.h5") as file:
                found = {f"{axis}_{name}": file[axis][name][()] for axis in "zyx" for name in ("edge_energy", "state")}
                return found | {"energies": file.attrs["energies"], "z": file["z/position"][()]}
    return None


def wait_for(monitor: Monitor, data: Path, energies: int) -> dict[str, np.ndarray]:
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        monitor.poll()
        found = slices_in(data)
        if found is not None and found["energies"] >= energies:
            return found
        time.sleep(0.1)
    raise AssertionError(f"no slices from {energies} energies: {notes(monitor).messages}")


def error(found: np.ndarray, true: np.ndarray, inside: np.ndarray) -> np.ndarray:
    wide, n = found.shape[-1], true.shape[-1]
    low = (wide - n) // 2
    rows = slice(None) if found.shape[0] == true.shape[0] else slice(low, low + n)
    return np.abs(found[rows, low : low + n] - true)[inside]


def test_slices_come_after_the_rising_edge_and_hold_to_the_end(shared_data: Path, tmp_path: Path):
    truth = np.load(shared_data / "fxi_3d" / "truth.npz")
    # 32 runs: the rising edge ends with the 22nd, the post-edge begins with the 25th.
    documents = list(open_source(shared_data / "fxi_3d").documents())
    stops = [i + 1 for i, (name, _) in enumerate(documents) if name == "stop"]
    monitor = Monitor(tmp_path, load_profile("nsls2_fxi"), observer=Notes())
    for name, doc in documents[: stops[11]]:
        monitor(name, doc)
    time.sleep(1)
    assert slices_in(tmp_path) is None or not (slices_in(tmp_path)["z_state"] > 0).any()
    seen = []
    for stop, before in ((stops[27], stops[11]), (stops[30], stops[27])):
        for name, doc in documents[before:stop]:
            monitor(name, doc)
        seen.append(wait_for(monitor, tmp_path, stops.index(stop) + 1))
    for name, doc in documents[stops[30] :]:
        monitor(name, doc)
    monitor.finish()
    assert monitor.failures == []
    seen.append(slices_in(tmp_path))
    medians = []
    for found in seen:
        level = round(float(found["z"]))
        off = error(found["z_edge_energy"], truth["edge_energy"][level], truth["inside"][level])
        assert np.isfinite(off).mean() > 0.8
        medians.append(np.nanmedian(off))
    states = [set(np.unique(found["z_state"])) for found in seen]
    assert states == [{0, 1}, {0, 1}, {0, 2}]
    assert max(medians) < 0.15
