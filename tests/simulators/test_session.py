from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest

from redoxscope.simulators import FAULTS, World, make_beamline, run_session, xanes_2d
from redoxscope.simulators.faults import faulty
from redoxscope.simulators.spectra import ENERGIES_53

from .test_plans import roles, run, streams


def test_a_quick_session(tmp_path: Path):
    documents: list[tuple[str, dict]] = []
    uids = run_session(
        [lambda name, doc: documents.append((name, doc))],
        frames_dir=tmp_path / "frames",
        quick=True,
        seed=4,
        truth_path=tmp_path / "truth.h5",
    )
    starts = [doc for name, doc in documents if name == "start"]
    assert [doc["uid"] for doc in starts] == uids
    assert Counter(doc["plan_name"] for doc in starts) == {"xanes_2d": 5, "xanes_3d": 1}
    assert len({doc["series"] for doc in starts}) == 1
    assert streams(documents) == {"dark": 30, "primary": 5 * 53 + 30 * 45, "flat": 5 * 53 + 30 * 3}
    energies = np.array(next(doc["energies"] for doc in starts if doc["plan_name"] == "xanes_3d"))
    assert np.sum(energies <= 8310) >= 3
    assert np.sum(energies >= 8380) >= 4
    assert set(range(8335, 8348)) <= set(energies)
    with h5py.File(tmp_path / "truth.h5") as file:
        maps = file["map_edge_energy"][:]
        transformed = file["map_transformed"][:]
        half_way = file["volume_transformed"][()]
    assert maps.shape[0] == 5
    assert transformed[0] < 0.05
    assert np.all(np.diff(transformed) > 0)
    assert transformed[-1] > 0.93
    assert 0.45 < half_way < 0.65


def test_faults_have_names(tmp_path: Path):
    with pytest.raises(ValueError, match="'earthquake': choose from blank_frame"):
        run_session([], frames_dir=tmp_path, quick=True, faults=["earthquake"])
    assert set(FAULTS) == {"blank_frame", "beam_drop", "stage_jump", "lost_frame", "duplicate", "dead_file"}


def frames_of(documents, world: World) -> list[np.ndarray]:
    return [doc["data"]["camera_image"][0] for name, doc in documents if name == "event"]


@pytest.mark.parametrize("kind", ["blank_frame", "beam_drop"])
def test_bad_frames(world: World, tmp_path: Path, kind: str):
    beamline = make_beamline(world, tmp_path, inline=True, faults=[kind])
    frames = frames_of(run(xanes_2d(**roles(beamline), energies=ENERGIES_53)), world)
    assert len(frames) == 111
    if kind == "blank_frame":
        assert [i for i, frame in enumerate(frames) if not frame.any()] == [36, 73, 110]
    else:
        light = np.array([np.median(frame) for frame in frames[5:]])
        assert list(np.flatnonzero(light < 1500) + 5) == [19, 20, 21, 72, 73, 74]


def test_stage_jump(world: World, tmp_path: Path):
    beamline = make_beamline(world, tmp_path, inline=True, faults=["stage_jump"])
    run(xanes_2d(**roles(beamline), energies=[8200]))
    assert world.kick == (0.0, 0.0)
    run(xanes_2d(**roles(beamline), energies=ENERGIES_53))
    assert np.hypot(*world.kick) == pytest.approx(30)
    run(xanes_2d(**roles(beamline), energies=[8200]))
    assert world.kick == (0.0, 0.0)


def test_dead_file(world: World, tmp_path: Path):
    beamline = make_beamline(world, tmp_path, faults=["dead_file"])
    states = []
    for _ in range(3):
        documents = run(xanes_2d(**roles(beamline), energies=ENERGIES_53[:30]))
        resources = [doc for name, doc in documents if name == "resource"]
        states.append([_state(Path(doc["root"]) / doc["resource_path"]) for doc in resources])
        assert streams(documents).total() == 65
    assert states == [["good"], ["good", "truncated"], ["good", "missing"]]


def _state(path: Path) -> str:
    if not path.exists():
        return "missing"
    try:
        with h5py.File(path) as file:
            file["/entry/data/data"][0]
    except (OSError, KeyError):
        return "truncated"
    return "good"


def test_lost_and_repeated_documents():
    for kind, expected in (("lost_frame", 97), ("duplicate", 120)):
        seen: list[str] = []
        publish = faulty(lambda name, doc, seen=seen: seen.append(name), [kind])
        for _ in range(100):
            publish("datum", {})
            publish("event", {})
        assert Counter(seen) == {"datum": 100, "event": expected}
