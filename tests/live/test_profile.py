import pytest

from redoxscope.analysis.recipe import Recipe
from redoxscope.live.errors import UserError
from redoxscope.live.profile import load_profile, profile_names

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
        ("[edge]\npre = [8310, 8200]", ["edge", "pre", "smaller"]),
        ("[edge]\npre = [8200, 8400]", ["edge", "pre-edge window must end"]),
        ("[camera]\nphotons_per_count = 0", ["camera.photons_per_count", "greater than 0"]),
        ("[registration]\nmagnification = 'maybe'", ["registration.magnification", "proportional"]),
        ("[tomography]\nfilter = 'boxcar'", ["tomography.filter", "ramp", "hann"]),
        ("[tomography]\nmethod = 'art'", ["tomography.method", "fbp", "sirt", "tv"]),
        ("[tomography]\nstripes = 'wavelet'", ["tomography.stripes", "sorting"]),
        ("[tomography]\nbackend = 'astra'", ["tomography.backend", "gridding", "finufft"]),
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
    monkeypatch.setattr("redoxscope.live.profile.find_spec", lambda name: None)
    assert "redoxscope[tomo]" in refused(path)
    monkeypatch.setattr("redoxscope.live.profile.find_spec", lambda name: object())
    assert load_profile(path).tomography.recipe().stripes == "sorting"


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
