"""Two edges in one 3D scan, far enough apart that the second image is a quarter larger: a volume for each."""

import h5py
import numpy as np
import pytest

from redoxscope.live.export import export
from redoxscope.live.profile import Profile, load_profile
from redoxscope.live.series_folder import list_series

from .balls import AXIS, CORE, ENERGIES, SHELL, Ball, frames_of, scan_documents, spectrum
from .experiments import watch

OFFSET = -1794.0
"""eV from nickel's edge to manganese's."""


def two_edges() -> Profile:
    simple = load_profile("simulated").model_dump()
    edge = simple["edge"]
    moved = {key: [e + OFFSET for e in edge[key]] for key in ("pre", "post", "search")}
    return Profile.model_validate(
        simple | {"other_edges": [{"name": "Mn K", "nominal": edge["nominal"] + OFFSET, **moved}]}
    )


@pytest.mark.timeout(300)
def test_each_edge_has_a_volume_on_the_grid_of_the_first_energy(tmp_path):
    ball = Ball(radius=11.0, core=6.0, place=(0.5, 2.0, -1.0), shape=(40, 56))
    energies = np.concatenate([ENERGIES + OFFSET, ENERGIES])
    # Manganese is oxidised all over, nickel in the shell only.
    shell = spectrum(energies, SHELL + OFFSET) + spectrum(energies, SHELL)
    core = spectrum(energies, SHELL + OFFSET) + spectrum(energies, CORE)
    scales = energies / energies[0]
    rng = np.random.default_rng(2)
    drift = np.cumsum(rng.normal(0, 0.15, (energies.size, 2)), axis=0)[:, None]
    shifts = np.broadcast_to((drift - drift[0]) * scales[:, None, None], (energies.size, ball.angles.size, 2))
    given = frames_of(ball, energies, shifts=shifts, scales=scales, spectra=(shell, core))
    monitor = watch(tmp_path / "data", scan_documents(given, energies, shape=ball.shape), two_edges())
    assert monitor.failures == []
    (folder,) = list_series(tmp_path / "data")
    export(folder, tmp_path / "out.h5")
    inner, outer = ball.inside()
    for path, entry in ((folder.path / "volume.h5", "/"), (tmp_path / "out.h5", "/entry/volume")):
        with h5py.File(path) as file:
            group = file[entry]
            assert list(group["edges"]) == ["Mn_K"]
            assert group["edges/Mn_K"].attrs["edge"] == "Mn K"
            assert list(group["findings"][()]) == []
            assert group["axis_offset"][()] == pytest.approx(AXIS, abs=0.1)
            for where, main, other in ((inner, CORE, SHELL + OFFSET), (outer, SHELL, SHELL + OFFSET)):
                for volume, true in ((group, main), (group["edges/Mn_K"], other)):
                    off = np.abs(volume["edge_energy"][()] - true)[where]
                    assert np.nanmedian(off) < 0.15
                    assert np.isfinite(off).mean() > 0.97
            for volume in (group, group["edges/Mn_K"]):
                energy, sigma, jump = (volume[f"edge_{name}"][()] for name in ("energy", "energy_sigma", "jump"))
                away = ~np.isfinite(energy)
                assert away[:, 2, 2].all()
                assert away.mean() > 0.8
                np.testing.assert_array_equal(away, np.isnan(sigma))
                assert np.nanmedian(sigma) < 0.3
                assert np.median(jump[inner | outer]) == pytest.approx(ball.density, rel=0.1)
                # The particle is as large as at the first energy, whatever the magnification.
                assert np.isfinite(energy).sum() == pytest.approx(4 / 3 * np.pi * ball.radius**3, rel=0.12)
