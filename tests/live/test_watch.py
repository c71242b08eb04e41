"""A RunEngine watched by a callback, as the README says."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from bluesky import RunEngine
from bluesky.utils import DuringTask

from redoxscope.live import watch
from redoxscope.live.errors import UserError
from redoxscope.live.series_folder import find_series
from redoxscope.simulators import World, WorldConfig, make_beamline, xanes_2d
from redoxscope.simulators.spectra import ENERGIES_53


def test_a_scan_is_analysed_in_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    world = World(WorldConfig(volume_size=32, detector_shape=(48, 48)), seed=1)
    beamline = make_beamline(world, tmp_path / "frames")
    roles: dict[str, Any] = {
        f.name: getattr(beamline, f.name) for f in dataclasses.fields(beamline) if f.name != "timer"
    }
    engine = RunEngine({}, context_managers=[], during_task=DuringTask())
    callback = watch(tmp_path / "data")
    engine.subscribe(callback)
    (uid,) = engine(xanes_2d(**roles, energies=ENERGIES_53, md={"series": "watched"}))
    assert callback.close(timeout=120)
    assert callback.monitor_has_ended
    folder = find_series(tmp_path / "data", "watched")
    assert folder.scan(0).raw_uid == uid
    assert folder.scan(0).frames.used == ENERGIES_53.size
    assert not list((tmp_path / "state").rglob("*.journal"))


def test_an_unknown_profile_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such profile"):
        watch(tmp_path, profile="nowhere")
