"""Several edges in one world: by numpy's own lines, spectrum by spectrum."""

import h5py
import numpy as np
import pytest

from redoxscope.simulators import World, WorldConfig
from redoxscope.simulators.elements import COBALT, ELEMENTS, MANGANESE, NICKEL, chosen
from redoxscope.simulators.spectra import ENERGIES_53, absorption


def crossing(energies, spectrum, offset):
    """Half-jump and jump by numpy's polynomials."""
    e = energies - offset
    pre, post = (e >= 8200) & (e <= 8310), (e >= 8380) & (e <= 8460)
    low, high = (np.polynomial.Polynomial.fit(e[w], spectrum[w], 1) for w in (pre, post))
    normal = (spectrum - low(e)) / (high(e) - low(e))
    i = next(i for i in range(7, len(e)) if normal[i] < 0.5 <= normal[i + 1])
    way = (0.5 - normal[i]) / (normal[i + 1] - normal[i])
    return energies[i] + way * (energies[i + 1] - energies[i]), high(8341.0) - low(8341.0)


def test_nickel_is_the_formula_and_the_others_respond_to_it():
    state = np.array([8338.5, 8340.0, 8343.0])
    np.testing.assert_array_equal(NICKEL.absorption(ENERGIES_53, state), absorption(ENERGIES_53, state))
    for element, moved in ((MANGANESE, 0.0), (COBALT, 0.4 * 4.5)):
        mu = element.absorption(element.energies, state)
        found = [crossing(element.energies, mu[:, k], element.offset) for k in range(3)]
        assert found[2][0] - found[0][0] == pytest.approx(moved, abs=0.05)
        assert all(jump == pytest.approx(element.jump, rel=0.1) for _, jump in found)
        assert abs(found[1][0] - element.nominal) < 4
        # Beyond the edge it falls by Victoreen's law, smoothly, through the whole sweep.
        far = element.absorption(np.arange(element.nominal + 200, 8600, 10.0), 8341.0)
        assert (np.diff(far) < 0).all()
        assert far[-1] / far[0] == pytest.approx((8600 / (element.nominal + 200)) ** -2.8, rel=0.1)


def test_an_unknown_edge_is_refused_with_those_there_are():
    assert [e.edge for e in chosen(["Ni K", "Mn K"])] == ["Mn K", "Ni K"]
    for names in ([], ["Fe K"]):
        with pytest.raises(ValueError, match="choose from Mn K, Co K, Ni K"):
            chosen(names)


@pytest.fixture(scope="module")
def swept():
    world = World(WorldConfig(volume_size=48, detector_shape=(72, 76), edges=tuple(ELEMENTS)), seed=3)
    world.furnace.heat_to(231.0)
    world.settle()
    world.sleep(9 * 3600)
    return world


def test_the_true_map_is_the_half_jump_of_what_the_camera_sees(swept: World):
    extent = swept.furnace.extent
    for element in ELEMENTS.values():
        energies = np.union1d(element.energies, element.offset + np.arange(8337, 8345, 0.1))
        stack = np.stack([swept.microscope.absorbance(e, extent, magnification=1.0) for e in energies])
        true = swept.true_map(swept.time, element.edge)
        for y, x in ((36, 38), (30, 40), (45, 33)):
            found, _ = crossing(energies, stack[:, y, x].astype(float), element.offset)
            assert true[y, x] == pytest.approx(found, abs=2e-3)
    spread = {name: np.nanstd(swept.true_map(swept.time, name)) for name in ELEMENTS}
    assert spread["Mn K"] < 0.05 < spread["Co K"] < spread["Ni K"]


def test_the_first_energy_has_magnification_one_and_the_mono_reaches_it(swept: World):
    energies = swept.config.energies
    assert energies.size == 3 * 53
    assert swept.microscope.reference_energy == energies[0] == 6406.0
    low, high = swept.energy_range
    assert low < energies[0] < energies[-1] < high
    widths = [swept.microscope.absorbance(e, 0.0).max(axis=0) > 0.01 for e in (energies[0], energies[-1])]
    assert widths[1].sum() / widths[0].sum() == pytest.approx(energies[-1] / energies[0], rel=0.05)
    assert World(WorldConfig(volume_size=24, detector_shape=(32, 32))).energy_range == (8000.0, 8600.0)


def test_the_truth_file_has_a_stack_per_edge(swept: World, tmp_path):
    swept.save_truth(tmp_path / "truth.h5", [swept.time - 60, swept.time], None)
    with h5py.File(tmp_path / "truth.h5") as file:
        assert set(file["edges"]) == {"Mn_K", "Co_K"}
        for place, name in (("", "Ni K"), ("edges/Mn_K/", "Mn K"), ("edges/Co_K/", "Co K")):
            assert file[f"{place}map_edge_energy"].shape == (2, 72, 76)
            np.testing.assert_array_equal(file[f"{place}map_edge_energy"][1], swept.true_map(swept.time, name))
