"""Figures of stored series: what they show is what is stored, and they are drawn on a machine without a display."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import matplotlib.image
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from redoxscope.live.cli import main
from redoxscope.live.export import export
from redoxscope.live.figures import draw, particle, style
from redoxscope.live.figures.overview import overview, successive
from redoxscope.live.figures.probe import can_render
from redoxscope.live.figures.propagation import propagation
from redoxscope.live.figures.region import Region, choose_region, parse_region, region_curvature
from redoxscope.live.figures.rendering import Layer, View, box_lines, render
from redoxscope.live.figures.solid import solid_figure
from redoxscope.live.figures.topography import merged, topography_figure
from redoxscope.live.series_folder import find_series
from redoxscope.live.stored import Solid, read_series

from .stored_fronts import CENTRE, LEVELS, VOXEL, ball, disc, radius_of, series

drawing = pytest.mark.skipif(not can_render(), reason="VTK cannot draw here: install libegl1 libgl1-mesa-dri")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """DIR with a series of growing discs and a ball with spherical fronts."""
    return series(tmp_path_factory.mktemp("figures")).path.parent.parent


@pytest.fixture(scope="module")
def stored(data):
    return read_series(find_series(data, "latest").index_path, 0.05)


def panel(figure, letter):
    """The axes that carry this letter."""
    (found,) = [axes for axes in figure.get_axes() if letter in [text.get_text() for text in axes.texts]]
    return found


def curves(axes):
    return [np.array(line.get_xydata()) for line in axes.get_lines()]


def has_curve(axes, x, y):
    return any(c.shape == (len(x), 2) and np.allclose(c, np.stack([x, y], axis=1)) for c in curves(axes))


def colours_in(path):
    pixels = matplotlib.image.imread(path)[..., :3].reshape(-1, 3)
    return len(np.unique((pixels * 255).round().astype(np.uint8), axis=0))


@drawing
def test_the_command_draws_all_five(data, tmp_path, capfd):
    out = tmp_path / "new" / "figures"
    assert main(["figures", "latest", "--out", str(out), "--data", str(data)]) == 0
    said = capfd.readouterr()
    names = [f"fig{n}.{kind}" for n in range(1, 6) for kind in ("pdf", "png")]
    assert said.out.splitlines() == [str(out / name) for name in names]
    assert said.err == ""
    assert sorted(path.name for path in out.iterdir()) == sorted(names)
    for n in range(1, 6):
        assert (out / f"fig{n}.pdf").read_bytes().startswith(b"%PDF")
        picture = matplotlib.image.imread(out / f"fig{n}.png")
        assert abs(picture.shape[1] - style.WIDTH * style.DPI) <= 1
        assert colours_in(out / f"fig{n}.png") > 300


def test_maps_only_gives_two_figures_and_says_so(tmp_path, capsys):
    series(tmp_path, solid=False)
    assert main(["figures", "fronts", "--out", str(tmp_path / "out"), "--data", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert {path.stem for path in (tmp_path / "out").iterdir()} == {"fig1", "fig2"}
    assert said.err.count("\n") == 1
    assert "no edge-energy volume" in said.err
    assert "fig3, fig4 and fig5" in said.err


def test_a_volume_only_gives_the_others_and_says_so(tmp_path, capsys):
    series(tmp_path, scans=0)
    assert main(["figures", "fronts", "--out", str(tmp_path / "out"), "--data", str(tmp_path)]) == 0
    assert {"fig3", "fig4"} <= {path.stem for path in (tmp_path / "out").iterdir()} <= {"fig3", "fig4", "fig5"}
    assert "no completed XANES scan: fig1 and fig2" in capsys.readouterr().err


def test_where_vtk_cannot_draw_the_rest_comes_out(data, tmp_path):
    """As on a machine without libEGL: VTK's window is refused in the process that tries it, and in none else."""
    broken = tmp_path / "broken" / "pyvista"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("import os\nos.abort()\n")
    command = [sys.executable, "-m", "redoxscope", "figures", "latest", "--data", str(data), "--out", "out"]
    paths = [str(broken.parent), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert {path.stem for path in (tmp_path / "out").iterdir()} == {"fig1", "fig2", "fig3", "fig4"}
    assert done.stderr.count("\n") == 1
    assert "install libegl1 libgl1-mesa-dri" in done.stderr


def test_nothing_to_draw_is_said(tmp_path, capsys):
    series(tmp_path, scans=0, solid=False)
    assert main(["figures", "fronts", "--out", str(tmp_path / "out"), "--data", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "neither a completed scan nor a volume" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--depths", "1,99"], ("depth 99", "between 0 and")),
        (["--depths", "1;2"], ("--depths", "1;2", "commas")),
        (["--depths", "-1"], ("--depths",)),
        (["--region", "1:2,3:4"], ("1:2,3:4", "z0:z1,y0:y1,x0:x1")),
        (["--region", "2:1,0:1,0:1"], ("2:1,0:1,0:1", "smaller")),
        (["--region", "90:91,0:1,0:1"], ("no front", "within")),
        (["--out", "file"], ("it is a file", "give a folder")),
    ],
)
def test_bad_options_are_one_line(data, tmp_path, monkeypatch, capsys, options, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    command = ["figures", "latest", "--data", str(data), *(["--out", "out"] if "--out" not in options else [])]
    assert main([*command, *options]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert all(word in said for word in words), said
    assert {path.name for path in tmp_path.iterdir()} == {"file"}


def test_fig1_shows_what_is_stored(stored):
    figure = overview(stored)
    hours = np.arange(4.0)
    temperature = curves(panel(figure, "b"))[0]
    np.testing.assert_allclose(temperature, np.stack([hours, [231, np.nan, 231, 231]], axis=1))
    (fraction,) = [axes for axes in figure.get_axes() if axes.get_ylabel() == "transformed fraction"]
    assert has_curve(fraction, hours, [disc(n).transformed_fraction for n in range(4)])
    maps = [image for axes in figure.get_axes() for image in axes.images if image.get_cmap().name == style.ENERGY_MAP]
    assert len(maps) == 4
    for number, image in enumerate(maps):
        shown, whole = np.ma.filled(image.get_array(), np.nan), disc(number).edge_energy
        assert np.isfinite(shown).sum() == np.isfinite(whole).sum()
        assert np.nanmin(shown) == np.nanmin(whole)
        assert image.get_clim() == maps[0].get_clim()
    assert panel(figure, "c").get_xlabel() == "time (h)"
    assert panel(figure, "d").get_xlabel() == "edge energy (eV)"


def test_fronts_on_the_maps_are_circles_of_the_right_size(stored):
    """Radius 4n + 2 px of 0.05 µm around (24, 28) px."""
    figure = propagation(stored)
    for number in range(4):
        (axes,) = [a for a in figure.get_axes() if a.get_title().startswith(f"{number}.0 h")]
        lines = [line for line in curves(axes) if len(line) > 2]
        radius = np.concatenate([np.hypot(line[:, 0] / 0.05 - 28, line[:, 1] / 0.05 - 24) for line in lines])
        np.testing.assert_allclose(radius, 4 * number + 2, atol=0.1)


def test_fig2_follows_the_front(stored):
    figure = propagation(stored)
    times, fractions = np.arange(4.0), [disc(n).transformed_fraction for n in range(4)]
    assert has_curve(panel(figure, "c"), times, fractions)
    (lengths,) = curves(panel(figure, "d"))
    np.testing.assert_allclose(lengths[:, 1], 0.05 * 2 * np.pi * (4 * times + 2), rtol=0.02)
    assert panel(figure, "d").get_ylabel() == "length of the front (µm)"


def test_without_a_pixel_size_lengths_are_pixels(data):
    figure = propagation(read_series(find_series(data, "latest").index_path))
    assert panel(figure, "d").get_ylabel() == "length of the front (px)"
    assert any("px" in text.get_text() for axes in figure.get_axes() for text in axes.texts)


def test_the_pixel_size_is_that_of_the_recorded_run(heated):
    folder = find_series(heated[0], "latest")
    with h5py.File(folder.solids["volume"]) as file:
        assert draw.recorded_pixel_size(folder) == pytest.approx(float(file["voxel_size"][()]))


def test_many_scans_are_thinned_out_by_time_and_progress(stored):
    n = 60
    scans = replace(
        stored.scans,
        time=np.arange(n) * 3600.0,
        fraction=np.clip((np.arange(n) - 40) / 10, 0, 1),
        temperature=np.full(n, 231.0),
    )
    shown = successive(scans, 6)
    assert shown[0] == 0
    assert shown[-1] == n - 1
    assert len(shown) == 6
    assert sum(40 <= i <= 50 for i in shown) >= 2


def test_fig3_slices_are_those_of_the_depths(stored):
    """The ball's top is the first slice that holds it."""
    field = ball()
    first = int(np.argmax(np.isfinite(field).any(axis=(1, 2))))
    figure = solid_figure(stored, [0.6, 3.0], in_3d=False)
    slices = [axes for axes in figure.get_axes() if axes.get_title().startswith("depth")]
    assert [axes.get_title() for axes in slices] == ["depth 0.6 µm", "depth 3 µm"]
    for axes, depth in zip(slices, (0.6, 3.0), strict=True):
        shown = np.ma.filled(axes.images[0].get_array(), np.nan)
        plane = field[first + round(depth / VOXEL)]
        assert np.isfinite(shown).sum() == np.isfinite(plane).sum()
        assert np.nansum(shown) == pytest.approx(np.nansum(plane))
    # The front at 8341 eV is a circle where the plane cuts the sphere.
    height = (CENTRE[0] - (first + 15)) * VOXEL
    line = np.concatenate([c for c in curves(slices[1]) if len(c) > 2])
    away = np.hypot(line[:, 0] - CENTRE[2] * VOXEL, line[:, 1] - CENTRE[1] * VOXEL)
    np.testing.assert_allclose(away, np.sqrt(radius_of(8341.0) ** 2 - height**2), atol=0.02)


def test_fig4_shows_the_stored_statistics(stored, data):
    figure = topography_figure(stored, in_3d=False)
    with h5py.File(find_series(data, "latest").solids["topography"]) as file:
        saved = {name: item[()] for name, item in file.items() if isinstance(item, h5py.Dataset)}
    assert has_curve(panel(figure, "b"), LEVELS, saved["area"])
    assert has_curve(panel(figure, "c"), LEVELS, saved["components"])
    density, edges = merged(saved["curvature_histogram"], saved["curvature_edges"])
    large = saved["area"] > saved["area"].max() / 30
    assert large.sum() == 4
    for row in density[large]:
        assert has_curve(panel(figure, "d"), (edges[:-1] + edges[1:]) / 2, row)
    (mesh,) = panel(figure, "e").collections
    np.testing.assert_allclose(mesh.get_array(), np.diff(density[large], axis=0))
    np.testing.assert_allclose(mesh.get_coordinates()[:, 0, 1], LEVELS[large])
    known = np.isfinite(saved["negative"])
    shares = [c for c in curves(panel(figure, "f")) if len(c) == len(LEVELS)]
    np.testing.assert_allclose(shares[0][known, 1], saved["positive"][known])
    np.testing.assert_allclose(shares[1][known, 1], saved["negative"][known])


def test_merged_bins_keep_the_area_and_the_sign():
    """All but what lies beyond the outermost edges."""
    edges = np.linspace(-2.5, 2.5, 101)
    shares = np.random.default_rng(0).dirichlet(np.ones(100), size=3)
    density, fewer = merged(shares, edges)
    assert 25 <= density.shape[1] <= 33
    assert np.abs(fewer).min() < 1e-9
    inside = (edges[:-1] > fewer[0] - 1e-9) & (edges[1:] < fewer[-1] + 1e-9)
    assert 95 <= inside.sum() <= 98
    np.testing.assert_allclose((density * np.diff(fewer)).sum(axis=1), shares[:, inside].sum(axis=1))
    below = fewer[1:] < 1e-9
    np.testing.assert_allclose(
        (density * np.diff(fewer))[:, below].sum(axis=1), shares[:, inside & (edges[1:] < 1e-9)].sum(axis=1)
    )


@pytest.mark.parametrize("count", [0, 1, 2])
def test_fig4_of_few_surfaces_comes_out(stored, count, tmp_path):
    area = np.where(np.arange(len(LEVELS)) < count, stored.topography.area, 0.0)
    figure = topography_figure(replace(stored, topography=replace(stored.topography, area=area)), in_3d=False)
    assert len(panel(figure, "e").collections) == (count == 2)
    style.save(figure, tmp_path, "fig4")


@drawing
def test_cracks_stay_open_in_the_cut():
    """A slit one voxel wide, which the outline smooths over, is no part of the cut face that it crosses."""
    z, y, x = np.mgrid[:40, :40, :40] - 19.6
    field = np.where(z**2 + y**2 + x**2 < 15**2, 8341.0, np.nan)
    field[7:17, 15:25, 26] = np.nan
    _, _, across_y, _, _ = particle.cutaway(Solid(field, 0.1, "um"), (8340.0, 8342.0))
    faces = across_y.points[across_y.faces].mean(axis=1) / 0.1
    beside = faces[(faces[:, 2] > 9) & (faces[:, 2] < 15), 0] - 26
    assert np.abs(beside).min() > 0.05
    assert (np.abs(beside) < 1).any()
    assert beside.min() < -5
    assert beside.max() > 3


def test_optional_statistics_are_shown_where_they_are_stored(stored):
    iso = len(LEVELS)
    edges = np.linspace(-2, 2, 11)
    shape = np.zeros((iso, 10, 10))
    shape[2, 8, 5] = 1.0
    more = {
        "shape_distribution": shape,
        "shape_edges": edges,
        "positive_interval": np.stack([np.full(iso, 0.4), np.full(iso, 0.9)], axis=1),
        "nuclei": np.array([3, 2, 1, 1, 0]),
    }
    figure = topography_figure(replace(stored, topography=replace(stored.topography, more=more)), in_3d=False)
    assert has_curve(panel(figure, "c"), LEVELS, more["nuclei"])
    (band,) = panel(figure, "f").collections
    assert band.get_paths()[0].get_extents().ymin == pytest.approx(0.4)
    assert band.get_paths()[0].get_extents().ymax == pytest.approx(0.9)
    mesh = panel(figure, "h").collections[0]
    drawn = np.ma.filled(mesh.get_array(), 0)
    # Larger curvature to the right, smaller one up: column 8, row 5.
    assert np.argwhere(drawn.reshape(10, 10)).tolist() == [[5, 8]]


def test_the_chosen_region_is_round_the_widest_neck(stored):
    necks = {"neck_position": np.array([[1.0, 1, 1], [3.0, 4, 5]]), "neck_width": np.array([0.2, 0.6])}
    region = choose_region(replace(stored.topography, more=necks))
    np.testing.assert_allclose((region.low + region.high) / 2, [5, 4, 3])


def test_the_chosen_region_is_where_curvature_changes(stored):
    """All over a growing sphere it changes alike; a dent in one place changes more there."""
    surfaces = {}
    for i in stored.topography.drawable:
        surface = stored.topography.surface(i)
        curvature = surface.values["mean_curvature"].copy()
        curvature[surface.points[:, 0] > CENTRE[2] * VOXEL + 0.8] += 3.0 * i
        surfaces[i] = replace(surface, values={**surface.values, "mean_curvature": curvature})

    class Dented(type(stored.topography)):
        def surface(self, index):
            return surfaces[index]

    fields = {name: getattr(stored.topography, name) for name in stored.topography.__dataclass_fields__}
    region = choose_region(Dented(**fields))
    assert ((region.low + region.high) / 2)[0] > CENTRE[2] * VOXEL + 0.5


def test_a_region_counts_what_lies_in_it(stored):
    """Half of the sphere, and none of it."""
    c = np.array(CENTRE[::-1]) * VOXEL
    half = Region(np.array([c[0], -9, -9]), np.array([9.0, 99, 99]))
    area, mean, negative = region_curvature(stored.topography, half)
    np.testing.assert_allclose(area[:4], 2 * np.pi * radius_of(LEVELS[:4]) ** 2, rtol=0.1)
    np.testing.assert_allclose(mean[:4], 1 / radius_of(LEVELS[:4]), rtol=0.1)
    np.testing.assert_allclose(negative[:4], 0, atol=0.02)
    assert area[4] == 0
    assert np.isnan(mean[4])


def test_a_region_is_written_z_first():
    region = parse_region("1:2, 3:4.5, -5:6e0")
    assert region.low.tolist() == [-5, 3, 1]
    assert region.high.tolist() == [6, 4.5, 2]


@drawing
def test_a_rendered_sphere_is_a_disc_of_its_size(stored):
    surface = stored.topography.surface(2)
    view = View.of(box_lines(np.zeros(3), np.full(3, 8.0))[0])
    picture = render([Layer(surface.points, surface.faces, colour="#ff0000")], view, 300)
    covered = picture.image[..., 3] > 127
    left, right, _, top = picture.extent
    pixel = (right - left) / covered.shape[1]
    assert covered.sum() * pixel**2 == pytest.approx(np.pi * radius_of(8341.0) ** 2, rel=0.03)
    rows, columns = np.nonzero(covered)
    centre = view.project(np.array([CENTRE[::-1]]) * VOXEL)[0]
    assert left + (columns.mean() + 0.5) * pixel == pytest.approx(centre[0], abs=2 * pixel)
    assert top - (rows.mean() + 0.5) * pixel == pytest.approx(centre[1], abs=2 * pixel)
    red = picture.image[covered][:, :3].astype(float)
    assert (red[:, 0] > 2 * red[:, 1]).mean() > 0.95


@drawing
def test_a_surface_has_the_colours_of_its_curvature(stored):
    surface = stored.topography.surface(2)
    view = View.of(surface.points)
    hue = []
    for value in (-1.0, 1.0):
        scalar = np.full(len(surface.points), value)
        picture = render([Layer(surface.points, surface.faces, scalar, (-1.0, 1.0))], view, 200)
        hue.append(picture.image[picture.image[..., 3] > 250][:, :3].astype(float).mean(axis=0))
    # Purple below, orange above.
    assert hue[0][2] > hue[0][1]
    assert hue[1][0] > hue[1][2]


def test_colours_of_the_fronts_are_told_apart_by_all():
    """The front's colour differs in lightness from both phases, which colour blindness leaves."""
    lightness = [np.dot(to_rgb(colour), (0.2126, 0.7152, 0.0722)) for colour in (style.FRONT, "white", "black")]
    assert min(abs(a - b) for n, a in enumerate(lightness) for b in lightness[:n]) > 0.2


def test_a_figure_is_there_whole_or_not_at_all(data, tmp_path, monkeypatch):
    folder = find_series(data, "latest")
    (tmp_path / "fig1.pdf").write_text("old")

    def fail(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("redoxscope.live.atomic._sync", fail)
    assert main(["figures", folder.name, "--out", str(tmp_path), "--data", str(data)]) == 2
    assert (tmp_path / "fig1.pdf").read_text() == "old"
    assert [path.name for path in Path(tmp_path).iterdir()] == ["fig1.pdf"]


def test_stored_front_lines_and_their_numbers_are_shown_as_they_are(data, tmp_path):
    """Another version of the analysis stores lines, length and speed by scan: these are drawn, none is computed."""
    path = tmp_path / "fronts.h5"
    export(find_series(data, "latest"), path)
    square = np.array([[20.0, 20], [20, 30], [30, 30], [30, 20], [20, 20]])
    speed = np.array([np.nan, 1e-5, 2e-5, 3e-5])
    with h5py.File(path, "a") as file:
        group = file["entry/scan"]
        for name, values, units in (
            ("pixel_size", 0.1, "um"),
            ("front_line", np.concatenate([square, square + 5, square]), "px"),
            ("front_line_number", [0] * 5 + [1] * 5 + [0] * 5, "1"),
            ("front_line_scan", [1] * 10 + [2] * 5, "1"),
            ("front_length", [0.0, 8.0, 4.0, 0.0], "um"),
            ("front_speed", speed, "um/s"),
        ):
            if name in group:
                del group[name]
            group[name] = values
            group[name].attrs["units"] = units
    figure = propagation(read_series(path))
    drawn = {
        axes.get_title()[:1]: [line for line in curves(axes) if len(line) == 5]
        for axes in figure.get_axes()
        if " h" in axes.get_title()
    }
    # Each piece has a light rim: it is drawn twice.
    assert [len(drawn[scan]) // 2 for scan in "0123"] == [0, 2, 1, 0]
    np.testing.assert_allclose(drawn["2"][0], 0.1 * square[:, ::-1])
    assert has_curve(panel(figure, "d"), np.arange(4.0), [0, 8, 4, 0])
    np.testing.assert_allclose(panel(figure, "e").get_lines()[0].get_ydata()[1:], 3600 * speed[1:])
    assert panel(figure, "e").get_ylabel() == "speed of the front (µm/h)"
