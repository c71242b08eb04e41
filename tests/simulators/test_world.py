import time
from dataclasses import replace

import h5py
import numpy as np
import pytest
from scipy.ndimage import affine_transform

from redoxscope.simulators import World, WorldConfig
from redoxscope.simulators.furnace import Furnace
from redoxscope.simulators.sample import reaction_rate
from redoxscope.simulators.spectra import ENERGIES_53, half_jump


def test_heater_ramps_and_settles():
    furnace = Furnace(0.0, ramp=10.0, lag=90.0)
    furnace.heat_to(231.0)
    furnace.advance(10 * 60)
    # ten minutes into a ramp of 10 K/min, a first-order system lags by ramp times time constant
    assert furnace.temperature == pytest.approx(25 + 100 - 10 / 60 * 90, abs=1)
    assert not furnace.settled
    furnace.settle()
    assert furnace.temperature == pytest.approx(231, abs=0.5)
    assert 20.6 * 60 < furnace.time < 30 * 60


def test_extent_is_the_integral_of_the_rate():
    furnace = Furnace(0.0, ramp=10.0, lag=90.0)
    furnace.heat_to(100.0)
    furnace.settle()
    furnace.advance(1.5 * 3600)
    assert furnace.extent < 1e-4
    furnace.heat_to(231.0)
    furnace.settle()
    before = furnace.extent
    furnace.advance(10 * 3600)
    assert furnace.extent - before == pytest.approx(reaction_rate(231) * 36000, rel=2e-3)
    furnace.advance(9 * 3600)
    assert furnace.extent > 1.0


def test_the_past_can_be_asked_for(world: World):
    start = world.time
    world.furnace.heat_to(231.0)
    world.settle()
    world.sleep(8 * 3600)
    middle = world.furnace.at(start + 4 * 3600)
    assert middle[0] == pytest.approx(231, abs=0.5)
    assert world.furnace.extent * 0.4 < middle[1] < world.furnace.extent * 0.55
    with pytest.raises(ValueError, match="not in the simulated past"):
        world.true_map(world.time + 60)


def test_simulated_time_is_not_slept(world: World):
    began = time.monotonic()
    status = world.sleep(20 * 3600)
    assert status.done
    assert time.monotonic() - began < 1


def test_real_speed_waits_without_blocking():
    world = World(WorldConfig(volume_size=24, detector_shape=(36, 36), real_time=100.0))
    began = time.monotonic()
    status = world.sleep(30.0)
    assert time.monotonic() - began < 0.2
    assert not status.done
    status.wait(5)
    assert 0.29 < time.monotonic() - began < 2


def test_drift_starts_at_zero_and_stays_small(world: World):
    assert world.sample_shift(world.time) == (0.0, 0.0)
    walk = np.array([world.sample_shift(world.time + 600 * i) for i in range(120)])
    assert 0.1 < np.abs(walk).max() < 8
    assert np.abs(np.diff(walk, axis=0)).max() < 1.0
    again = world.sample_shift(world.time + 6000)
    assert again == tuple(walk[10])


def test_truth_file(world: World, tmp_path):
    start = world.time
    world.furnace.heat_to(231.0)
    world.settle()
    world.sleep(9 * 3600)
    path = tmp_path / "truth.h5"
    world.save_truth(path, [start + 1, world.time], world.time)
    with h5py.File(path) as file:
        assert file["map_edge_energy"].shape == (2, 48, 52)
        assert file["volume_edge_energy"].shape == (32, 32, 32)
        assert file["map_edge_energy"].attrs["units"] == "eV"
        first, last = file["map_edge_energy"][:]
        volume = file["volume_edge_energy"][:]
    assert np.nanmin(first) > 8342.5
    assert np.nanmean(last) < np.nanmean(first) - 0.5
    assert 8338.4 < np.nanmin(last) < np.nanmax(last) < 8343.1
    assert np.nanmean(last) == pytest.approx(np.nanmean(volume), abs=0.4)
    assert np.mean(np.isnan(first) != np.isnan(last)) < 0.01


def test_a_plain_half_jump_of_the_frames_finds_the_true_map():
    world = World(replace(WorldConfig.quick(), drift_per_root_hour=0.0), seed=1)
    world.furnace.heat_to(231.0)
    world.settle()
    world.sleep(9 * 3600)
    world.shutter_open = False
    dark = np.mean([world.expose()[0] for _ in range(5)], axis=0)
    world.shutter_open = True
    absorbance = []
    for energy in ENERGIES_53:
        world.energy = energy
        world.sample_in = True
        sample = world.expose()[0] - dark
        world.sample_in = False
        flat = world.expose()[0] - dark
        with np.errstate(all="ignore"):
            image = np.nan_to_num(-np.log(sample / flat), nan=0, posinf=0, neginf=0)
        scale = energy / 8200.0
        centre = np.array([43.5, 43.5])
        absorbance.append(affine_transform(image, [scale, scale], centre - scale * centre, order=1))
    found = half_jump(np.reshape(absorbance, (53, -1)))[0].reshape(88, 88)
    error = np.abs(found - world.true_map(world.time))
    good = np.isfinite(error)
    assert good.mean() > 0.25
    assert np.median(error[good]) < 0.2
