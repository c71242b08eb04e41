"""The one command of the README, as a user runs it."""

import os
import resource
import stat
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    data = tmp_path_factory.mktemp("demo") / "data"
    command = [sys.executable, "-m", "redoxscope", "demo", "--quick", "--no-view", "--seed", "3", "--data", str(data)]
    return data, subprocess.run(command, capture_output=True, text=True, check=False, timeout=400)


def exported(data: Path) -> Path:
    (found,) = (data / "exported").glob("*/series.h5")
    return found


def test_it_ends_well_and_says_how_far_off_it_was(demo: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    data, done = demo
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    for words in ("against the truth", "all maps", "volume", str(exported(data))):
        assert words in done.stdout.replace("\n", " ") or words in done.stdout.replace("\n", "")


def test_maps_are_near_the_truth(demo: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    data, _ = demo
    (truth_file,) = (data / "truth").glob("*.h5")
    with h5py.File(exported(data)) as found, h5py.File(truth_file) as truth:
        scan = found["entry/scan"]
        assert len(scan["time"]) == len(truth["map_time"]) >= 4
        np.testing.assert_allclose(scan["time"][()], truth["map_time"][()], atol=60)
        error = np.abs(scan["edge_energy"][()] - truth["map_edge_energy"][()])
        inside = np.isfinite(truth["map_edge_energy"][()])
        assert np.isfinite(error[inside]).mean() > 0.95
        assert np.nanmedian(error) < 0.1
        assert np.all(scan["state"][()][np.isfinite(scan["edge_energy"][()])] == 2)
        np.testing.assert_allclose(scan["transformed_fraction"][()], truth["map_transformed"][()], atol=0.15)
        np.testing.assert_allclose(scan["temperature"][()][1:], 231, atol=2)


def test_volume_and_topography_are_near_the_truth(demo: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    data, _ = demo
    (truth_file,) = (data / "truth").glob("*.h5")
    with h5py.File(exported(data)) as found, h5py.File(truth_file) as truth:
        true = truth["volume_edge_energy"][()]
        volume = found["entry/volume/edge_energy"][()]
        before = (volume.shape[1] - true.shape[1]) // 2
        volume = volume[:, before : before + true.shape[1], before : before + true.shape[2]]
        # The stage drifts by some pixels between the first frame and the tomograms: up or down is all that is left.
        medians = []
        for up in range(-6, 7):
            rows = slice(before + up, before + up + true.shape[0])
            medians.append(np.nanmedian(np.abs(volume[rows] - true)))
        assert min(medians) < 0.35
        topography = found["entry/topography"]
        assert topography["area"][()].max() > 0
        rows = topography["curvature_histogram"][()].sum(axis=1)
        np.testing.assert_allclose(rows[topography["area"][()] > 0], 1, atol=1e-6)


def test_memory_stays_below_three_gigabytes(demo: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 3 * 1024**2


def test_the_key_of_the_store_is_the_owners_alone(demo: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    data, done = demo
    key = data / "tiled" / "key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert key.read_text() not in done.stdout + done.stderr
    logs = list((data / "tiled").glob("*.log"))
    assert not any(key.read_text() in path.read_text(errors="replace") for path in logs)


@pytest.mark.skipif(not os.path.exists("/usr/lib/x86_64-linux-gnu/libEGL.so.1"), reason="VTK needs libegl1 to draw")
def test_pictures_are_drawn(demo: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    data, _ = demo
    for number in (1, 4):
        picture = exported(data).parent / f"fig{number}.png"
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert picture.stat().st_size > 10_000
