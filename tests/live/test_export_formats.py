"""Exports for other programs, read with other programs."""

import json
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import pyvista as pv
import tifffile
import zarr

from redoxscope.live.cli import main
from redoxscope.live.errors import UserError
from redoxscope.live.export import export_as
from redoxscope.live.export.ome_zarr import halve, level_shapes
from redoxscope.live.export.surfaces import energy_name

from .stored_fronts import CENTRE, SIZE, VOXEL, ball, radius_of, series

NAMES = ("edge_energy", "edge_energy_sigma", "edge_jump")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """DIR with a series whose fronts are spheres."""
    return series(tmp_path_factory.mktemp("formats")).path.parent.parent


@pytest.fixture
def folder(data):
    from redoxscope.live.series_folder import find_series

    return find_series(data, "latest")


def volume_of(folder):
    with h5py.File(folder.solids["volume"]) as file:
        return np.stack([file[name][()] for name in NAMES])


def read_ply(path):
    """As PLY says it: an independent reader of what these files hold."""
    head, _, body = path.read_bytes().partition(b"end_header\n")
    lines = [line.split() for line in head.decode("ascii").splitlines()]
    assert lines[:2] == [["ply"], ["format", "binary_little_endian", "1.0"]]
    counts = {line[1]: int(line[2]) for line in lines if line[0] == "element"}
    names = [line[2] for line in lines if line[:2] == ["property", "float"]]
    units = {line[2]: line[3] for line in lines if line[:2] == ["comment", "unit"]}
    wide = 4 * len(names) * counts["vertex"]
    vertices = np.frombuffer(body[:wide], "<f4").reshape(-1, len(names))
    faces = np.frombuffer(body[wide:], np.dtype([("n", "u1"), ("i", "<i4", 3)]))
    assert len(faces) == counts["face"]
    assert (faces["n"] == 3).all()
    return dict(zip(names, vertices.T, strict=True)), faces["i"], units


@pytest.mark.parametrize("kind", ["vtp", "ply"])
def test_surfaces_are_spheres_of_the_right_place_size_and_curvature(folder, tmp_path, kind):
    made = export_as(folder, tmp_path / f"front.{kind}")
    assert [path.name for path in made] == [f"front-{e}.{kind}" for e in ("8340.0", "8340.5", "8341.0", "8341.25")]
    for path, energy in zip(made, (8340.0, 8340.5, 8341.0, 8341.25), strict=True):
        mesh = pv.read(path)
        offset = mesh.points - VOXEL * np.array(CENTRE[::-1])
        np.testing.assert_allclose(np.linalg.norm(offset, axis=1), radius_of(energy), atol=0.03)
        # Outward faces enclose a positive volume.
        assert mesh.volume == pytest.approx(4 / 3 * np.pi * radius_of(energy) ** 3, rel=0.05)
        a, b, c = (offset[corner] for corner in mesh.regular_faces.T)
        assert (np.einsum("ij,ij->i", np.cross(b - a, c - a), a) > 0).all()
        # PyVista leaves a PLY's scalars out; `read_ply` does not.
        curvature = mesh["mean_curvature"] if kind == "vtp" else read_ply(path)[0]["mean_curvature"]
        np.testing.assert_allclose(np.median(curvature), 1 / radius_of(energy), rtol=0.1)


def test_vtp_keeps_scalars_and_units(folder, tmp_path):
    made = export_as(folder, tmp_path / "front.vtp")
    with h5py.File(folder.solids["topography"]) as file:
        for number, path in enumerate(made):
            mesh, group = pv.read(path), file[f"surface_{number:03d}"]
            for name in ("mean_curvature", "gaussian_curvature", "vertex_area"):
                np.testing.assert_array_equal(mesh.point_data[name], group[name][()])
            np.testing.assert_array_equal(mesh.points, group["vertices"][()][:, ::-1])
            np.testing.assert_array_equal(mesh.regular_faces, group["faces"][()])
            np.testing.assert_array_equal(mesh.point_data["iso_energy"], np.float32(group.attrs["iso_energy"]))
            units = dict(line.split() for line in mesh.field_data["units"])
            assert units["x"] == "um"
            assert units["mean_curvature"] == "1/um"
            assert units["gaussian_curvature"] == "1/um^2"
            assert units["iso_energy"] == "eV"


def test_a_surface_says_which_curvature_is_counted(folder, tmp_path):
    """And a PLY, who does not read it: as found here."""
    vtp, ply = (export_as(folder, tmp_path / f"front.{kind}")[0] for kind in ("vtp", "ply"))
    told = " ".join(pv.read(vtp).field_data["description"])
    header = ply.read_bytes().partition(b"end_header")[0].decode("ascii")
    for text in (told, header):
        assert "histograms are made of mean_curvature_fixed" in text
        assert "positive where the new" in text
    assert not pv.read(ply).point_data
    assert "pyvista's PLY reader" in header
    with h5py.File(folder.solids["topography"]) as file:
        group, edges = file["surface_000"], file["curvature_edges"][()]
        clipped = np.clip(pv.read(vtp)["mean_curvature_fixed"], edges[0], edges[-1])
        counted = np.histogram(clipped, edges, weights=group["vertex_area"][()])[0]
        np.testing.assert_allclose(counted / counted.sum(), file["curvature_histogram"][0], atol=0.01)


def test_ply_keeps_scalars_and_units(folder, tmp_path):
    made = export_as(folder, tmp_path / "front.ply")
    with h5py.File(folder.solids["topography"]) as file:
        for number, path in enumerate(made):
            values, faces, units = read_ply(path)
            group = file[f"surface_{number:03d}"]
            np.testing.assert_array_equal(np.stack([values[a] for a in "zyx"], axis=1), group["vertices"][()])
            np.testing.assert_array_equal(faces, group["faces"][()])
            for name in ("mean_curvature", "gaussian_curvature", "vertex_area"):
                np.testing.assert_array_equal(values[name], group[name][()])
                assert units[name] == group[name].attrs["units"]


def test_ply_is_read_by_trimesh(folder, tmp_path):
    trimesh = pytest.importorskip("trimesh")
    path = export_as(folder, tmp_path / "front.ply")[0]
    mesh = trimesh.load(path, process=False)
    with h5py.File(folder.solids["topography"]) as file:
        group = file["surface_000"]
        np.testing.assert_array_equal(mesh.vertices, group["vertices"][()][:, ::-1])
        np.testing.assert_array_equal(mesh.faces, group["faces"][()])
        stored = mesh.metadata["_ply_raw"]["vertex"]["data"]["mean_curvature"]
        np.testing.assert_array_equal(np.ravel(stored), group["mean_curvature"][()])
    assert mesh.is_watertight
    assert mesh.volume > 0


def test_the_stack_is_what_imagej_expects(folder, tmp_path):
    (path,) = export_as(folder, tmp_path / "volume.tif")
    with tifffile.TiffFile(path) as file:
        assert file.is_imagej
        assert file.series[0].axes == "ZYX"
        assert file.asarray().dtype == np.float32
        np.testing.assert_array_equal(file.asarray(), ball())
        assert file.imagej_metadata["spacing"] == pytest.approx(VOXEL)
        assert file.imagej_metadata["unit"] == "um"
        above, below = file.pages[0].tags["XResolution"].value
        assert above / below == pytest.approx(1 / VOXEL)


def test_ome_tiff_has_all_quantities_and_the_voxel_size(folder, tmp_path):
    (path,) = export_as(folder, tmp_path / "volume.ome.tif")
    with tifffile.TiffFile(path) as file:
        assert file.is_ome
        assert file.series[0].axes == "CZYX"
        np.testing.assert_array_equal(file.asarray(), volume_of(folder))
        pixels = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
    for axis in "XYZ":
        assert pixels[f"PhysicalSize{axis}"] == pytest.approx(VOXEL)
        assert pixels[f"PhysicalSize{axis}Unit"] == "µm"
    assert [channel["Name"] for channel in pixels["Channel"]] == [
        "edge_energy (eV)",
        "edge_energy_sigma (eV)",
        "edge_jump (1)",
    ]


def test_ome_zarr_follows_the_specification(folder, tmp_path):
    (path,) = export_as(folder, tmp_path / "volume.ome.zarr")
    assert json.loads((path / ".zgroup").read_text()) == {"zarr_format": 2}
    attributes = json.loads((path / ".zattrs").read_text())
    (image,) = attributes["multiscales"]
    assert image["version"] == "0.4"
    assert [axis["name"] for axis in image["axes"]] == ["c", "z", "y", "x"]
    assert [axis["type"] for axis in image["axes"]] == ["channel", "space", "space", "space"]
    assert {axis["unit"] for axis in image["axes"][1:]} == {"micrometer"}
    assert attributes["omero"]["channels"][0]["label"] == "edge_energy (eV)"
    np.testing.assert_array_equal(zarr.open_array(path / "0", mode="r")[:], volume_of(folder))
    assert json.loads((path / "0" / ".zarray").read_text())["dimension_separator"] == "/"
    for number, dataset in enumerate(image["datasets"]):
        scale, translation = dataset["coordinateTransformations"]
        assert dataset["path"] == str(number)
        np.testing.assert_allclose(scale["scale"], [1, *[VOXEL * 2**number] * 3])
        np.testing.assert_allclose(translation["translation"], [0, *[VOXEL * (2**number - 1) / 2] * 3])


def test_a_pyramid_keeps_place_and_mean_of_a_linear_field():
    """Of a linear field the mean of a block is the value at its centre, also where the scale and shift put it."""
    shape = (70, 66, 64)
    field = sum(w * n for w, n in zip((1.0, 2.0, 3.0), np.mgrid[: shape[0], : shape[1], : shape[2]], strict=True))
    half = halve(field.astype("f4"))
    assert level_shapes(shape) == [shape, (35, 33, 32)]
    assert half.shape == (35, 33, 32)
    place = [2 * n + 0.5 for n in np.mgrid[:35, :33, :32]]
    np.testing.assert_allclose(half, place[0] + 2 * place[1] + 3 * place[2], rtol=1e-6)


def test_a_pyramid_averages_what_is_known():
    field = np.full((4, 4, 3), np.nan, dtype="f4")
    field[0, 0, 0], field[1, 1, 1] = 1.0, 3.0
    half = halve(field)
    assert half.shape == (2, 2, 2)
    assert half[0, 0, 0] == 2.0
    assert np.isnan(half).sum() == 7


def test_without_a_voxel_size_lengths_are_voxels(tmp_path):
    folder = series(tmp_path, scans=0, voxel=None)
    image = json.loads((export_as(folder, tmp_path / "v.zarr")[0] / ".zattrs").read_text())["multiscales"][0]
    assert all("unit" not in axis for axis in image["axes"])
    with tifffile.TiffFile(export_as(folder, tmp_path / "v.tif")[0]) as file:
        assert file.imagej_metadata["unit"] == "voxel"
    with tifffile.TiffFile(export_as(folder, tmp_path / "v.ome.tif")[0]) as file:
        assert "PhysicalSizeX=" not in file.ome_metadata
    assert read_ply(export_as(folder, tmp_path / "v.ply")[0])[2]["mean_curvature"] == "1/voxel"


def test_a_folder_gets_one_of_each(data, tmp_path, capsys):
    assert main(["export", "latest", str(tmp_path), "--data", str(data)]) == 0
    made = [line for line in capsys.readouterr().out.splitlines() if line]
    assert {path.name for path in tmp_path.iterdir()} == {line.rpartition("/")[2] for line in made}
    endings = ("fronts.h5", "fronts.ome.zarr", "fronts.ome.tif", "fronts-8341.0.vtp", "fronts-8341.0.ply")
    assert all((tmp_path / name).exists() for name in endings)


def test_a_folder_gets_what_there_is(tmp_path, capsys):
    series(tmp_path, solid=False)
    (tmp_path / "out").mkdir()
    assert main(["export", "latest", str(tmp_path / "out"), "--data", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["fronts.h5"]
    assert "no volume" in said.err
    assert "no topography" in said.err


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("out.stl", (".ome.zarr", ".vtp")),
        ("out", (".h5", "existing folder")),
        ("nowhere/out.vtp", ("no folder", "make it first")),
        ("file.ome.zarr", ("it is a file",)),
        ("photos.zarr", ("no Zarr store", "another name")),
    ],
)
def test_what_cannot_be_written_is_one_line(data, tmp_path, capsys, target, words):
    (tmp_path / "file.ome.zarr").write_text("mine")
    (tmp_path / "photos.zarr").mkdir()
    (tmp_path / "photos.zarr" / "cat.jpg").write_text("mine")
    assert main(["export", "latest", str(tmp_path / target), "--data", str(data)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert all(word in said for word in (target, *words))
    assert (tmp_path / "file.ome.zarr").read_text() == (tmp_path / "photos.zarr" / "cat.jpg").read_text() == "mine"


@pytest.mark.parametrize(("ending", "part"), [("vtp", "topography"), ("ply", "topography"), ("tif", "volume")])
def test_a_series_of_maps_has_no_volume_to_export(tmp_path, ending, part):
    folder = series(tmp_path, solid=False)
    with pytest.raises(UserError, match=f"has no {part}.*h5"):
        export_as(folder, tmp_path / f"out.{ending}")


@pytest.mark.parametrize("ending", ["ome.zarr", "ome.tif", "tif", "vtp", "ply"])
def test_a_full_disk_leaves_what_was_there(folder, tmp_path, monkeypatch, ending):
    target = tmp_path / f"out.{ending}"
    made = export_as(folder, target)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=0))
    with pytest.raises(UserError, match="No space left on device"):
        export_as(folder, target)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert made


def test_a_store_is_replaced_whole(folder, tmp_path, monkeypatch):
    target = tmp_path / "volume.ome.zarr"
    export_as(folder, target)
    (target / "stale").write_text("from the first export")

    def interrupt(fraction):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_as(folder, target, interrupt)
    assert (target / "stale").exists()
    assert [path.name for path in tmp_path.iterdir()] == [target.name]
    export_as(folder, target)
    assert not (target / "stale").exists()
    assert [path.name for path in tmp_path.iterdir()] == [target.name]
    assert zarr.open_array(target / "0", mode="r").shape == (3, SIZE, SIZE, SIZE)


def test_progress_ends_at_one(folder, tmp_path):
    told = []
    export_as(folder, tmp_path, told.append)
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1)


def test_energies_in_names():
    assert [energy_name(e) for e in (8340, 8340.5, 8340.25, 8340.1 + 1e-9)] == ["8340.0", "8340.5", "8340.25", "8340.1"]


def test_nothing_of_the_series_is_overwritten(folder, tmp_path):
    with pytest.raises(UserError, match="where the series is stored"):
        export_as(folder, folder.path / "topography.vtp")
    assert folder.has_topography
