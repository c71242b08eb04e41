"""What is drawn and written of a volume in which there is no front to be seen.

Voxels that are no cubes do not come this far: a series has one voxel size, and `topography` refuses three that differ
(test_curvature.py).
"""

from dataclasses import replace

import h5py
import numpy as np
import pytest

from redoxscope.analysis.topography.report import topography
from redoxscope.live.cli import main
from redoxscope.live.figures.probe import can_render
from redoxscope.live.series_folder import SeriesFolder

from .stored_fronts import FACTS, LEVELS, PROFILE, VOXEL, ball, disc, volume_of

FIELDS = {
    "one phase": lambda: np.where(np.isfinite(ball()), 8350.0, np.nan).astype("f4"),
    "no value": lambda: ball() * np.float32(np.nan),
    "one voxel thick": lambda: ball()[20:21].copy(),
}


@pytest.fixture(params=FIELDS)
def data(request, tmp_path):
    """DIR with a series of one scan and such a volume."""
    field = FIELDS[request.param]()
    folder = SeriesFolder.create(tmp_path / "results", "fronts", replace(FACTS, profile=PROFILE))
    folder.add_scan(disc(0))
    folder.set_volume(volume_of(field), VOXEL, ["uid-3d"])
    folder.set_topography(topography(field, LEVELS, VOXEL))
    return tmp_path


@pytest.mark.skipif(not can_render(), reason="VTK cannot draw here: install libegl1 libgl1-mesa-dri")
def test_figures_without_a_front_are_drawn_but_for_the_region(data, tmp_path, capfd):
    out = tmp_path / "figures"
    assert main(["figures", "latest", "--out", str(out), "--data", str(data)]) == 0
    said = capfd.readouterr()
    assert said.err == "redoxscope: no front at any energy in the volume: fig5 is left out\n"
    assert sorted(p.name for p in out.iterdir()) == [f"fig{n}.{kind}" for n in range(1, 5) for kind in ("pdf", "png")]


def test_exports_without_a_front(data, tmp_path, capfd):
    written = tmp_path / "all.h5"
    assert main(["export", "latest", str(written), "--data", str(data)]) == 0
    with h5py.File(written) as file:
        entry = file["entry/topography"]
        assert (entry["area"][()] == 0).all()
        assert np.isnan(entry["negative"][()]).all()
        assert (entry["curvature_histogram"][()] == 0).all()
        assert entry["surface_000/vertices"].shape == (0, 3)
        assert "nothing can be said" in entry["findings"][()].decode()
    for ending in ("tif", "ome.zarr"):
        assert main(["export", "latest", str(tmp_path / f"volume.{ending}"), "--data", str(data)]) == 0
    capfd.readouterr()
    for ending in ("vtp", "ply"):
        assert main(["export", "latest", str(tmp_path / f"front.{ending}"), "--data", str(data)]) == 2
        said = capfd.readouterr()
        assert said.err.count("\n") == 1
        assert "no front at any energy" in said.err
        assert not list(tmp_path.glob(f"*.{ending}"))
