"""`redoxscope speed` on balls that grow in a particle with marks, as a user calls it."""

import re
from dataclasses import replace

import h5py
import numpy as np
import pytest
import pyvista as pv

from redoxscope.live.cli import main
from redoxscope.live.series_folder import SeriesFolder

from .series_of_scans import FACTS, volume_of
from .stored_fronts import PROFILE, disc

SHAPE, CENTRE, VOXEL = (48, 52, 56), np.array([23.4, 25.7, 27.2]), 0.1
RADIUS, PARTICLE = 9.0, 20.0
"""Voxels: of the first front, and of the particle."""
VOID, MARK = np.array([0, 16, 4]), np.array([0, 0, 18])
"""Voxels from the centre: of a void, and of one voxel."""
SLOPE, LEVEL, HOURS = 0.2, 8341.0, 2.5
TOLD = r"front at 8341 eV: (\S+) µm/h on average, half of it (\S+) to (\S+) µm/h"


def away(place):
    return np.sqrt(sum((n - c) ** 2 for n, c in zip(np.indices(SHAPE), place, strict=True)))


def grown(steps, move=(0.0, 0.0, 0.0), noise=0.0):
    """A volume whose front is a sphere grown by `steps` voxels; the particle, with a void in it, stands elsewhere."""
    centre = CENTRE + move
    inside = np.clip(PARTICLE - away(centre) + 0.5, 0, 1) * np.clip(away(centre + VOID) - 3 + 0.5, 0, 1)
    rng = np.random.default_rng(int(10 * abs(steps)))
    jump = inside + noise * rng.standard_normal(SHAPE)
    field = LEVEL + SLOPE * (away(centre) - RADIUS - steps) + noise * rng.standard_normal(SHAPE)
    made = volume_of(np.where(jump > 0.5, field, np.nan).astype("f4"))
    return replace(made, jump=jump.astype("f4"))


def store(data, name, volume, hours, voxel=VOXEL):
    folder = SeriesFolder.create(data / "results", name, replace(FACTS, profile=PROFILE))
    if volume is not None:
        folder.set_volume(volume, voxel, ["uid-3d"], time=1.7e9 + 3600 * hours)
    return folder


def run(data, *arguments):
    return main(["speed", *arguments, "--data", str(data)])


@pytest.mark.parametrize(
    ("growth", "move", "noise"),
    [
        (3.0, (0, 0, 0), 0),
        (-2.0, (0, 0, 0), 0.1),
        (3.0, (1.3, -2.6, 0.45), 0),
        (3.0, (1.3, -2.6, 0.45), 0.1),
    ],
)
def test_a_ball_that_grew_by_so_much(tmp_path, capsys, growth, move, noise):
    """Where the particle stands by then does not matter: without being put back, the quartiles would be apart."""
    store(tmp_path, "first", grown(0, noise=noise), 1.0)
    store(tmp_path, "second", grown(growth, move, noise), 1.0 + HOURS)
    out = tmp_path / "speed.vtp"
    assert run(tmp_path, "first", "sec", "--out", str(out)) == 0
    told = capsys.readouterr().out
    expected = growth * VOXEL / HOURS
    mean, low, high = map(float, re.search(TOLD, told).groups())
    assert mean == pytest.approx(expected, rel=0.03)
    assert low <= mean <= high
    assert high - low < (0.15 if noise else 0.08) * abs(expected)
    assert "100% of its" in told
    assert "2.5 h later" in told
    by = [float(text) for text in re.search(r"\((\S+), (\S+), (\S+)\) voxels", told).groups()]
    np.testing.assert_allclose(by, -np.array(move), atol=0.1)
    assert told.splitlines()[-1] == str(out)
    mesh = pv.read(out)
    # The front of the first series, where that stood.
    np.testing.assert_allclose(np.linalg.norm(mesh.points / VOXEL - CENTRE[::-1], axis=1), RADIUS, atol=0.3 + noise)
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * (RADIUS * VOXEL) ** 3, rel=0.05)
    assert mesh.active_scalars_name == "speed"
    assert np.median(mesh["speed"]) == pytest.approx(expected, rel=0.05)
    assert "speed um/h" in list(mesh.field_data["units"])
    assert any("positive where the new" in text for text in mesh.field_data["description"])


def test_another_energy(tmp_path, capsys):
    """The sphere at another energy is another one, which grows alike."""
    store(tmp_path, "first", grown(0), 0.0)
    store(tmp_path, "second", grown(2), HOURS)
    assert run(tmp_path, "first", "second", "--energy", "8341.6") == 0
    told = capsys.readouterr().out
    assert "front at 8341.6 eV" in told
    area = float(re.search(r"of its (\S+) µm²", told)[1])
    assert area == pytest.approx(4 * np.pi * ((RADIUS + 3) * VOXEL) ** 2, rel=0.05)


def test_lengths_are_voxels_where_their_size_is_unknown(tmp_path, capsys):
    store(tmp_path, "first", grown(0), 0.0, voxel=None)
    store(tmp_path, "second", grown(3), HOURS, voxel=None)
    assert run(tmp_path, "first", "second") == 0
    told = capsys.readouterr().out
    assert float(re.search(r"eV: (\S+) voxel/h", told)[1]) == pytest.approx(3 / HOURS, rel=0.03)


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """DIR with a series and others that cannot be compared with it."""
    data = tmp_path_factory.mktemp("odd")
    store(data, "first", grown(0), 1.0)
    store(data, "same-time", grown(1), 1.0)
    store(data, "earlier", grown(1), 0.5)
    store(data, "timeless", grown(1), float("nan"))
    store(data, "coarse", grown(1), 2.0, voxel=0.2)
    store(data, "pixels", grown(1), 2.0, voxel=None)
    store(data, "cut", volume_of(grown(1).edge_energy[2:]), 2.0)
    store(data, "hot", volume_of(grown(1).edge_energy + 20), 2.0)
    store(data, "empty", volume_of(np.full(SHAPE, np.nan, dtype="f4")), 2.0)
    store(data, "maps", None, 2.0).add_scan(disc(0))
    shifted = grown(0)
    far = np.where(np.isfinite(shifted.edge_energy), 8350.0, np.nan).astype("f4")
    far[tuple(int(c) for c in CENTRE + MARK)] = 8330.0
    store(data, "far", replace(shifted, edge_energy=far), 2.0)
    store(data, "late", grown(1), 3.0)
    old = store(data, "old", grown(1), 2.0)
    with h5py.File(old.solids["volume"], "r+") as file:
        del file["time"]
    return data


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["first", "first"], ("first", "give two")),
        (["first", "fir"], ("both the series first", "give two")),
        (["first", "nothing"], ("nothing", "there are")),
        (["first", "maps"], ("maps", "no volume")),
        (["maps", "first"], ("maps", "no volume")),
        (["first", "coarse"], ("0.1 um in first", "0.2 um in coarse", "same magnification")),
        (["first", "pixels"], ("0.1 um", "1 voxel", "same magnification")),
        (["first", "cut"], ("48 × 52 × 56", "46 × 52 × 56", "same view")),
        (["first", "same-time"], ("not later", "earlier one first")),
        (["first", "earlier"], ("not later", "earlier one first")),
        (["first", "timeless"], ("timeless", "replay")),
        (["first", "old"], ("old", "replay")),
        (["first", "hot"], ("hot has no front at 8341 eV", "--energy")),
        (["first", "empty"], ("empty", "no voxel")),
        (["first", "coarse", "--energy", "9000"], ("magnification",)),
        (["earlier", "first", "--energy", "9000"], ("earlier has no front at 9000 eV", "--energy")),
        (["earlier", "first", "--energy", "nan"], ("no front at nan eV", "--energy")),
        (["earlier", "first", "--energy", "warm"], ("--energy", "warm")),
        (["first", "far"], ("meets none of far", "20 voxels", "--energy")),
        (["far", "late"], ("far has no more than specks", "--energy")),
        (["earlier", "first", "--out", "front.stl"], ("front.stl", ".vtp")),
        (["earlier", "first", "--out", "nowhere/front.vtp"], ("nowhere", "make it first")),
    ],
)
def test_what_cannot_be_compared_is_one_line(odd, capsys, arguments, words):
    assert run(odd, *arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1, said.err
    assert all(word in said.err for word in words), said.err
