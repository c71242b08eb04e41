import multiprocessing
import time
from collections import Counter
from pathlib import Path

import event_model
import h5py
import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.utils import DuringTask

from redoxscope.simulators import World, WorldConfig, make_beamline, operando_heating, xanes_2d, xanes_3d
from redoxscope.simulators.devices import Beamline

KEYS = {
    "camera_image", "mono_energy", "rotation_angle", "heater_temperature", "camera_exposure_time", "sample_in"
}  # fmt: skip


def roles(beamline: Beamline, timer: bool = False) -> dict:
    names = ["mono", "rotation", "sample", "shutter", "heater", "camera", *(["timer"] if timer else [])]
    return {name: getattr(beamline, name) for name in names}


def run(plan, *callbacks) -> list[tuple[str, dict]]:
    documents: list[tuple[str, dict]] = []
    engine = RunEngine({}, context_managers=[], during_task=DuringTask())
    engine.subscribe(lambda name, doc: documents.append((name, doc)))
    for callback in callbacks:
        engine.subscribe(callback)
    engine(plan)
    for name, doc in documents:
        event_model.schema_validators[event_model.DocumentNames[name]].validate(doc)
    return documents


def streams(documents) -> Counter:
    names = {doc["uid"]: doc["name"] for name, doc in documents if name == "descriptor"}
    return Counter(names[doc["descriptor"]] for name, doc in documents if name == "event")


def test_xanes_2d_documents(world: World, tmp_path: Path):
    beamline = make_beamline(world, tmp_path)
    documents = run(xanes_2d(**roles(beamline), energies=[8200, 8300, 8400], darks=4, md={"sample": "test"}))
    assert Counter(name for name, _ in documents) == {
        "start": 1, "descriptor": 3, "resource": 1, "datum": 10, "event": 10, "stop": 1
    }  # fmt: skip
    assert streams(documents) == {"dark": 4, "primary": 3, "flat": 3}
    start = documents[0][1]
    assert start["plan_name"] == "xanes_2d"
    assert start["energies"] == [8200, 8300, 8400]
    assert start["num_darks"] == 4
    assert start["sample"] == "test"
    for name, doc in documents:
        if name == "descriptor":
            assert set(doc["data_keys"]) == KEYS
            image = doc["data_keys"]["camera_image"]
            assert (image["shape"], image["dtype_numpy"], image["external"]) == ([1, 48, 52], "<u2", "FILESTORE:")
    names = {doc["uid"]: doc["name"] for name, doc in documents if name == "descriptor"}
    events = [doc for name, doc in documents if name == "event"]
    order = [names[doc["descriptor"]] for doc in events]
    assert order == ["dark"] * 4 + ["primary", "flat"] * 3
    assert [doc["data"]["sample_in"] for doc in events[4:]] == [1, 0] * 3
    assert [doc["data"]["mono_energy"] for doc in events[4:]] == [8200, 8200, 8300, 8300, 8400, 8400]
    times = [doc["timestamps"]["camera_image"] for doc in events]
    assert np.all(np.diff(times) > 1.0)
    assert times[0] >= world.config.start_time


def test_frames_stand_in_one_file_by_point_number(world: World, tmp_path: Path):
    beamline = make_beamline(world, tmp_path)
    documents = run(xanes_2d(**roles(beamline), energies=[8200, 8400], darks=2))
    [resource] = [doc for name, doc in documents if name == "resource"]
    assert resource["spec"] == "AD_HDF5"
    assert resource["resource_kwargs"] == {"frame_per_point": 1}
    data = [doc for name, doc in documents if name == "datum"]
    assert [doc["datum_kwargs"]["point_number"] for doc in data] == list(range(6))
    events = [doc for name, doc in documents if name == "event"]
    assert [doc["data"]["camera_image"] for doc in events] == [doc["datum_id"] for doc in data]
    with h5py.File(Path(resource["root"]) / resource["resource_path"]) as file:
        frames = file["/entry/data/data"]
        assert frames.shape == (6, 48, 52)
        assert frames.dtype == np.uint16
        dark, _, sample, flat, _, _ = np.median(frames[:, 20:28, 22:30], axis=(1, 2))
    assert dark < 150 < sample < 0.85 * flat


def _count(path: str, queue) -> None:
    with h5py.File(path, "r", swmr=True, libver="latest") as file:
        data = file["/entry/data/data"]
        queue.put((data.shape[0], int(data[-1].max())))


def test_another_process_reads_while_it_is_written(world: World, tmp_path: Path):
    camera = make_beamline(world, tmp_path).camera
    world.shutter_open = True
    camera.stage()
    for _ in range(3):
        camera.trigger()
    [(_, resource), *_] = camera.collect_asset_docs()
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    reader = context.Process(target=_count, args=(str(tmp_path / resource["resource_path"]), queue))
    reader.start()
    count, largest = queue.get(timeout=30)
    reader.join()
    camera.unstage()
    assert count == 3
    assert largest > 1000


def test_inline_frames(world: World, tmp_path: Path):
    beamline = make_beamline(world, tmp_path / "none", inline=True)
    documents = run(xanes_2d(**roles(beamline), energies=[8200], darks=1))
    assert streams(documents) == {"dark": 1, "primary": 1, "flat": 1}
    for name, doc in documents:
        assert name not in ("resource", "datum")
        if name == "event":
            image = doc["data"]["camera_image"]
            assert image.shape == (1, 48, 52)
            assert image.dtype == np.uint16
        if name == "descriptor":
            assert "external" not in doc["data_keys"]["camera_image"]
    assert not (tmp_path / "none").exists()


def test_xanes_3d_documents(world: World, tmp_path: Path):
    beamline = make_beamline(world, tmp_path)
    documents = run(
        xanes_3d(**roles(beamline), energies=[8300, 8400], angles=[0, 60, 120], flats_per_energy=2, darks=3)
    )
    assert streams(documents) == {"dark": 3, "primary": 6, "flat": 4}
    assert documents[0][1]["angles"] == [0, 60, 120]
    names = {doc["uid"]: doc["name"] for name, doc in documents if name == "descriptor"}
    primary = [doc["data"] for name, doc in documents if name == "event" and names[doc["descriptor"]] == "primary"]
    assert [(d["mono_energy"], d["rotation_angle"]) for d in primary] == [
        (8300, 0), (8300, 60), (8300, 120), (8400, 0), (8400, 60), (8400, 120)
    ]  # fmt: skip


def test_operando_heating_is_one_series(world: World, tmp_path: Path):
    beamline = make_beamline(world, tmp_path)
    documents = run(
        operando_heating(
            **roles(beamline, timer=True),
            programme=[(100, 5400), (231, 7200)],
            interval=3600,
            energies=[8200, 8400],
            final_3d=[0, 90],
        )
    )
    starts = [doc for name, doc in documents if name == "start"]
    assert [doc["plan_name"] for doc in starts] == ["xanes_2d"] * 4 + ["xanes_3d"]
    assert len({doc["series"] for doc in starts}) == 1
    run_of = {doc["uid"]: doc["run_start"] for name, doc in documents if name == "descriptor"}
    first = {}
    for name, doc in documents:
        if name == "event":
            first.setdefault(run_of[doc["descriptor"]], doc)
    readings = [first[doc["uid"]] for doc in starts]
    temperatures = [doc["data"]["heater_temperature"] for doc in readings]
    np.testing.assert_allclose(temperatures, [100, 100, 231, 231, 30], atol=0.6)
    times = [doc["timestamps"]["camera_image"] for doc in readings]
    assert times[1] - times[0] == pytest.approx(2700, abs=5)
    assert times[3] - times[2] == pytest.approx(3600, abs=5)


def test_plans_run_on_other_devices(tmp_path: Path):
    """Devices that are not ours, in the same roles, and no timer."""
    from ophyd.sim import SynAxis, det

    motors = {name: SynAxis(name=name) for name in ("mono", "rotation", "heater")}

    class InOut(SynAxis):
        def set(self, where):
            return super().set({"in": 1, "out": 0, "open": 1, "closed": 0}[where])

    documents = run(
        operando_heating(
            **motors,
            sample=InOut(name="sample"),
            shutter=InOut(name="shutter"),
            camera=det,
            programme=[(30, 0.02)],
            interval=1,
            energies=[8200, 8400],
            final_3d=[0, 90],
        )
    )
    assert streams(documents) == {"dark": 10, "primary": 2 + 4, "flat": 2 + 6}


def test_a_failing_scan_closes_the_shutter(world: World, tmp_path: Path):
    beamline = make_beamline(world, tmp_path)
    with pytest.raises(ValueError, match="8000-8600"):
        run(xanes_2d(**roles(beamline), energies=[8200, 9999]))
    assert not world.shutter_open
    assert world.sample_in


def test_real_speed(tmp_path: Path):
    config = WorldConfig(volume_size=24, detector_shape=(36, 36), real_time=50.0)
    beamline = make_beamline(World(config), tmp_path)
    began = time.monotonic()
    documents = run(xanes_2d(**roles(beamline), energies=[8200, 8400], darks=1))
    stamps = [doc["timestamps"]["camera_image"] for name, doc in documents if name == "event"]
    assert time.monotonic() - began > (stamps[-1] - stamps[0]) / 50


def test_wrong_values_are_refused(world: World, tmp_path: Path):
    beamline = make_beamline(world, tmp_path)
    with pytest.raises(ValueError, match="8000-8600 eV"):
        beamline.mono.set(8.34)
    with pytest.raises(ValueError, match=r"'in' .1. and 'out'"):
        beamline.sample.set("away")
    with pytest.raises(RuntimeError, match="stage it before"):
        beamline.camera.trigger()
    with pytest.raises(TypeError, match="cannot be written"):
        beamline.heater.temperature.put(5)
