import numpy as np
import pytest

from redoxscope.analysis.tomography.recipe import Recipe
from redoxscope.analysis.xanes import Edge
from redoxscope.live.edge_maps import EdgeMaps
from redoxscope.live.errors import UserError
from redoxscope.live.profile import load_profile, profile_names
from redoxscope.live.reference_spectra import references

GOOD = """
name = "mine"
[documents]
image = "pixels"
energy = "dcm"
energies = "list"
plans_2d = ["scan"]
"""


def refused(path_or_name) -> str:
    with pytest.raises(UserError) as caught:
        load_profile(path_or_name)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_every_profile_that_comes_with_it_loads_and_can_make_an_edge():
    names = profile_names()
    assert {"simulated", "simulated_edges", "nsls2_fxi"} <= set(names)
    for name in names:
        profile = load_profile(name)
        assert profile.name == name
        profile.xanes_edge().check([*range(8200, 8320, 20), *range(8325, 8361), *range(8380, 8460, 20)])


def test_a_file_or_its_folder_is_a_profile_too(tmp_path):
    path = tmp_path / "profile.toml"
    path.write_text(GOOD)
    assert load_profile(path) == load_profile(tmp_path)
    assert load_profile(str(path)).documents.image == "pixels"


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("imagee = 'x'", ["'documents.imagee'", "unknown key", "remove", "spelling"]),
        ("[colours]", ["'colours'", "unknown key", "remove"]),
        ("[edge]\nnominal = 'high'", ["edge.nominal", "number"]),
        ("[edge]\nnominal = 8.341", ["edge: nominal = 8.341 is not", "Ni K", "search window, 8325-8360", "in eV"]),
        ("[edge]\nsearch = [8342, 8360]", ["edge: nominal = 8341", "search window, 8342-8360"]),
        ("[edge]\npre = [8310, 8200]", ["edge", "pre", "smaller"]),
        ("[edge]\npre = [8200, 8400]", ["edge", "pre-edge window must end"]),
        ("[camera]\nphotons_per_count = 0", ["camera.photons_per_count", "greater than 0"]),
        ("[registration]\nmagnification = 'maybe'", ["registration.magnification", "proportional"]),
        ("[tomography]\nfilter = 'boxcar'", ["tomography.filter", "ramp", "hann"]),
        ("[tomography]\nmethod = 'art'", ["tomography.method", "fbp", "sirt", "tv"]),
        ("[tomography]\nstripes = 'wavelet'", ["tomography.stripes", "sorting"]),
        ("[tomography]\nbackend = 'gridrec'", ["tomography.backend", "gridding", "finufft"]),
        ("[tomography]\nmethod = 'tv'\nfilter = 'ramp'", ["tomography", "filter is of method", "leave it out"]),
        ("[tomography]\nmethod = 'sirt'\nbackend = 'finufft'", ["tomography", "backend is of method"]),
        ("[tomography]\nangles = 3", ["'tomography.angles'", "unknown key"]),
        ("[histogram]\nlow = 1\nhigh = 2\nstep = 0", ["histogram.step"]),
        ("[broken", ["mend the TOML"]),
    ],
)
def test_what_is_wrong_is_named_with_the_remedy(tmp_path, line, wanted):
    path = tmp_path / "night.toml"
    path.write_text(GOOD + line)
    text = refused(path)
    assert str(path) in text
    for word in wanted:
        assert word in text


def test_the_choices_of_the_tomography(tmp_path, monkeypatch):
    path = tmp_path / "profile.toml"
    path.write_text(GOOD + "[tomography]\nfilter = 'ramp'\nbackend = 'finufft'\n")
    assert load_profile(path).tomography.recipe() == Recipe("ramp", backend="finufft")
    path.write_text(GOOD)
    assert load_profile(path).tomography.recipe() == Recipe()
    path.write_text(GOOD + "[tomography]\nstripes = 'sorting'\n")
    monkeypatch.setattr("redoxscope.live.profile_tables.find_spec", lambda name: None)
    assert "redoxscope[tomo]" in refused(path)
    monkeypatch.setattr("redoxscope.live.profile_tables.find_spec", lambda name: object())
    assert load_profile(path).tomography.recipe().stripes == "sorting"
    path.write_text(GOOD + "[tomography]\nbackend = 'astra'\n")
    assert load_profile(path).tomography.recipe().backend == "astra"
    monkeypatch.setattr("redoxscope.live.profile_tables.find_spec", lambda name: None)
    assert "pip install astra-toolbox" in refused(path)


def test_a_missing_key_is_named(tmp_path):
    path = tmp_path / "profile.toml"
    path.write_text(GOOD.replace('image = "pixels"', ""))
    assert "documents.image" in refused(path)


def test_an_unknown_name_lists_those_that_exist():
    text = refused("aps_33")
    assert "aps_33" in text
    assert "simulated" in text


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "profile.toml"
    path.write_bytes(b"\xff\xfe\x00")
    assert str(path) in refused(path)


STEP = "".join(f"{energy} {1 / (1 + 2.0 ** (8341 - energy)):.4f}\n" for energy in range(8195, 8466, 2))


def test_reference_spectra_lie_beside_the_profile(tmp_path):
    (tmp_path / "spectra").mkdir()
    (tmp_path / "spectra" / "oxide.xmu").write_text("# made\n" + STEP.replace(" ", ",\t") + "8465 1.0\n8465 1.2\n")
    (tmp_path / "profile.toml").write_text(GOOD + "[edge]\nreferences = ['spectra/oxide.xmu']")
    profile = load_profile(tmp_path)
    ((energies, absorption),) = references(profile.edge)
    assert energies[[0, -1]].tolist() == [8195, 8465]
    assert absorption[energies == 8341] == 0.5
    assert absorption[-1] == pytest.approx((1 + 1.2 + 1.0) / 3), "measured again"
    again = type(profile).model_validate(profile.model_dump(mode="json"))
    assert references(again.edge)[0] == references(profile.edge)[0], "wherever the profile is read next"
    assert profile.xanes_edge() == Edge()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (None, ["No such file", "references"]),
        ("# nothing\n", ["no spectrum", "two columns"]),
        (STEP + "8467 high\n", ["line 137", "8467 high", "#"]),
        (STEP + "8467 nan\n", ["line 137", "#"]),
        ("energy mu\n" + STEP, ["line 1:", "energy mu", "#"]),
        ("8.2 0\n8.3 0\n8.4 1\n8.5 1\n", ["keV", "give eV"]),
        (STEP[: STEP.index("8441")], ["8195-8439 eV", "8200-8460 eV", "longer"]),
        ("8195 1\n8300 1\n8400 0.5\n8465 0.5\n", ["does not rise", "8341"]),
    ],
)
def test_a_reference_that_cannot_be_used_is_named_with_the_remedy(tmp_path, text, wanted):
    if text is not None:
        (tmp_path / "oxide.dat").write_text(text)
    path = tmp_path / "profile.toml"
    path.write_text(GOOD + "[edge]\nreferences = ['oxide.dat']")
    found = refused(path)
    assert str(tmp_path / "oxide.dat") in found
    for word in wanted:
        assert word in found


def test_maps_are_made_with_the_references(tmp_path):
    """Before the white line has been passed there is a map if there is a reference, and none without."""
    (tmp_path / "oxide.dat").write_text(STEP)
    path = tmp_path / "profile.toml"
    seen = []
    for more in ("", "[edge]\nreferences = ['oxide.dat']"):
        path.write_text(GOOD + more)
        energies = np.concatenate([np.arange(8200.0, 8321, 20), np.arange(8325.0, 8361), np.arange(8369.0, 8451, 9)])
        maps = EdgeMaps(energies, (30, 30), load_profile(path))
        for slot in np.flatnonzero(energies <= 8347):
            frame = np.full((30, 30), 0.4 / (1 + 2.0 ** (8341.5 - energies[slot])), dtype=np.float32)
            noise = 0.002 * np.random.default_rng(slot).standard_normal((30, 30))
            maps.update(slot, (frame + noise).astype(np.float32), np.full((30, 30), 4e-6, dtype=np.float32))
        seen.append(maps.result(None, {}).main)
    assert (seen[0].state == 0).all()
    assert (seen[1].state == 1).all()
    assert np.median(seen[1].edge_energy) == pytest.approx(8341.5, abs=0.15)
