"""Pictures of an exported series: the map with its front and the edge energy over time; the front in 3D.

They are drawn in a process of their own (`python -m redoxscope.live.figures FILE.h5 FOLDER`): a machine without the
libraries that VTK needs off-screen would take the whole program down.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

_TIMEOUT = 120.0
_RENDERERS = "libegl1 libgl1-mesa-dri"
"""Debian packages with which VTK draws without a display."""


def draw(exported: Path, folder: Path, say: Callable[[str], None]) -> list[Path]:
    """Draw what the file holds into `folder`; returns the pictures. What cannot be drawn is said in a line."""
    made = []
    for kind, target in (("maps", folder / "maps.png"), ("surface", folder / "front-3d.png")):
        target.unlink(missing_ok=True)
        environment = os.environ | {"MPLBACKEND": "Agg"}
        command = [sys.executable, "-m", "redoxscope.live.figures", kind, str(exported), str(target)]
        try:
            done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT, env=environment, check=False)
            failed = done.returncode != 0
        except subprocess.TimeoutExpired:
            failed = True
        if target.exists():
            made.append(target)
        elif failed and kind == "surface":
            say(f"no picture in 3D: VTK cannot draw here; on Debian install {_RENDERERS}")
        elif failed:
            say(f"no picture of the maps: {done.stderr.decode(errors='replace').strip().splitlines()[-1:]}")
    return made


def draw_maps(exported: Path, target: Path) -> None:
    """Maps with the front's contour, and below them the edge energy against time beside the temperature."""
    import matplotlib.pyplot as plt

    with h5py.File(exported, "r") as file:
        if "entry/scan" not in file:
            return
        scan = file["entry/scan"]
        maps, times = scan["edge_energy"][()], scan["time"][()]
        histogram, edges = scan["histogram"][()], scan["histogram_edges"][()]
        temperature, fraction = scan["temperature"][()], scan["transformed_fraction"][()]
        front = _front_energy(file)
    if not np.isfinite(maps).any():
        return
    hours = (times - times[0]) / 3600
    shown = np.unique(np.linspace(0, len(maps) - 1, min(5, len(maps))).round().astype(int))
    figure = plt.figure(figsize=(2.4 * max(len(shown), 3), 5.6), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=(1, 1.1))
    upper, lower = parts
    low, high = np.nanpercentile(maps, [1, 99])
    for axes, i in zip(np.atleast_1d(upper.subplots(1, len(shown))), shown, strict=True):
        image = axes.imshow(maps[i], vmin=low, vmax=high, cmap="viridis")
        if (maps[i] < front).any() and (maps[i] > front).any():
            axes.contour(maps[i], [front], colors="red", linewidths=0.8)
        axes.set(xticks=[], yticks=[], title=f"{hours[i]:.1f} h, {100 * fraction[i]:.0f} %")
    upper.colorbar(image, ax=upper.axes, label="edge energy / eV", shrink=0.9)
    axes = lower.subplots()
    width = 0.9 * np.diff(hours).min() if len(hours) > 1 else 1.0
    share = histogram / np.maximum(histogram.max(axis=1, keepdims=True), 1)
    for hour, column in zip(hours, share, strict=True):
        axes.pcolormesh([hour - width / 2, hour + width / 2], edges, column[:, None], vmin=0, vmax=1, cmap="inferno")
    axes.axhline(front, color="red", linewidth=0.8)
    axes.set(xlabel="time / h", ylabel="edge energy / eV", ylim=(low - 1, high + 1), facecolor="black")
    if np.isfinite(temperature).any():
        beside = axes.twinx()
        beside.plot(hours, temperature, "o", color="deepskyblue", markersize=4)
        beside.set_ylabel("temperature / °C", color="deepskyblue")
    figure.savefig(target, dpi=150)


def _front_energy(file: h5py.File) -> float:
    """eV, from the profile that the series was analysed with."""
    return float(json.loads(file["entry/provenance/profile"].asstr()[()])["front"]["energy"])


def draw_surface(exported: Path, target: Path) -> None:
    """The front at its energy, coloured by mean curvature, inside the particle's outline."""
    import pyvista as pv

    with h5py.File(exported, "r") as file:
        if "entry/topography" not in file:
            return
        topography = file["entry/topography"]
        energies = topography["iso_energy"][()]
        areas = topography["area"][()]
        if not areas.max() > 0:
            return
        chosen = int(np.argmin(np.abs(energies - _front_energy(file))))
        chosen = chosen if areas[chosen] > 0 else int(np.argmax(areas))
        group = topography[f"surface_{chosen:03d}"]
        points, faces = group["vertices"][()][:, ::-1], group["faces"][()]
        curvature = group["mean_curvature"][()]
        inside = np.isfinite(file["entry/volume/edge_energy"][()])
        voxel = float(file["entry/volume/voxel_size"][()])
    front = pv.PolyData.from_regular_faces(points, faces)
    front["mean curvature / (1/µm)"] = curvature
    grid = pv.ImageData(dimensions=inside.shape[::-1], spacing=(voxel,) * 3)
    grid["inside"] = inside.astype(np.float32).ravel()
    outline = grid.contour([0.5], scalars="inside").smooth(n_iter=50)
    limit = float(np.percentile(np.abs(curvature), 95))
    plotter: Any = pv.Plotter(off_screen=True, window_size=[1000, 900])
    plotter.set_background("white")
    plotter.add_mesh(outline, color="lightgrey", opacity=0.15)
    bar = {"color": "black", "title_font_size": 18, "label_font_size": 16, "position_y": 0.02, "height": 0.09}
    plotter.enable_lightkit()
    plotter.add_mesh(
        front, cmap="coolwarm", clim=(-limit, limit), smooth_shading=True, ambient=0.35, scalar_bar_args=bar
    )
    plotter.add_text(f"reaction front at {energies[chosen]:.1f} eV", color="black", font_size=12)
    plotter.camera_position = "iso"
    plotter.camera.zoom(1.4)
    plotter.screenshot(str(target))


def main(arguments: list[str]) -> int:
    """Draw one picture: maps or surface."""
    kind, exported, target = arguments
    (draw_maps if kind == "maps" else draw_surface)(Path(exported), Path(target))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
