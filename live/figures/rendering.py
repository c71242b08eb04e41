"""Pictures of surfaces in 3D, made off-screen with VTK, for matplotlib to put into a figure.

All are parallel projections from one fixed direction, so that a scale bar holds all over the picture and pictures of
one object can be compared. z, the detector's row, points down, as in the maps.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import Affine2D, ScaledTranslation
from numpy.typing import NDArray

from redoxscope.live.figures import style
from redoxscope.live.stored import Array

_FROM = np.array([0.5, 1.0, -0.45])
"""Where the camera stands, seen from the middle, (x, y, z)."""
_UP = np.array([0.0, 0.0, -1.0])
_FINER = 2
"""Rendered this much finer than shown, then averaged: smooth edges whatever the driver can do."""


@dataclass(frozen=True)
class Layer:
    """A mesh in a picture: of one colour, or coloured by a scalar."""

    points: Array
    """(n, 3) in (x, y, z)."""
    faces: NDArray[np.integer]
    """(m, 3)"""
    scalar: Array | None = None
    """(n,)"""
    limits: tuple[float, float] = (0.0, 1.0)
    cmap: str = style.CURVATURE_MAP
    colour: str = "lightgrey"
    back: str | None = None
    """Colour of the side that the faces' normals point away from, if it differs."""
    lit: bool = True
    """Whether light falls on it; a cut face is not lit, its colours are those of the colour bar."""
    lines: NDArray[np.integer] = field(default_factory=lambda: np.empty((0, 2), dtype=np.int64))
    """(k, 2) vertex numbers of lines, drawn without faces."""
    width: float = 1.4
    """Of the lines, in pixels."""


@dataclass(frozen=True)
class Picture:
    """A rendered view."""

    image: NDArray[np.uint8]
    """(row, column, 4)"""
    extent: tuple[float, float, float, float]
    """Left, right, bottom, top in the object's unit, zero in the middle."""

    def show(self, axes: Axes, unit: str | None = None, *, behind: "Picture | None" = None) -> None:
        """Into axes, before the shadow of `behind`, with a scale bar in `unit`."""
        if behind is not None:
            shadow = behind.image[..., 3] / 255.0
            grey = np.zeros((*shadow.shape, 4))
            grey[..., 3] = 0.07 * shadow
            axes.imshow(grey, extent=behind.extent)
            axes.contour(shadow[::-1], [0.5], extent=behind.extent, colors="#a8a8a8", linewidths=0.5)
        axes.imshow(self.image, extent=self.extent)
        style.picture_axes(axes)
        if unit is not None:
            style.scale_bar(axes, unit)


@dataclass(frozen=True)
class View:
    """What a picture shows, whatever is in it."""

    centre: Array
    """(3,) (x, y, z)."""
    width: float
    height: float

    @classmethod
    def of(cls, points: Array, margin: float = 1.04) -> "View":
        """The view that holds all points (n, 3)."""
        axes = np.stack(frame())
        flat = points @ axes.T
        low, high = flat.min(axis=0), flat.max(axis=0)
        width, height, _ = np.maximum(margin * (high - low), 1e-6)
        return cls((low + high) / 2 @ axes, float(width), float(height))

    def project(self, points: Array) -> Array:
        """(n, 2) where points (x, y, z) lie in the picture's extent."""
        right, up, _ = frame()
        return np.asarray((points - self.centre) @ np.stack([right, up], axis=1))


def frame() -> tuple[Array, Array, Array]:
    """The camera's right, up and backward directions in (x, y, z)."""
    back = _FROM / np.linalg.norm(_FROM)
    right = np.cross(_UP, back)
    right /= np.linalg.norm(right)
    return right, np.cross(back, right), back


def render(layers: Sequence[Layer], view: View, pixels: int) -> Picture:
    """Draw layers; `pixels` is the longer side of the picture."""
    import pyvista as pv

    pv.vtk_verbosity("off")  # it would tell stderr that there is no X server
    right, up, back = frame()
    longer = max(view.width, view.height)
    size = [max(16, round(_FINER * pixels * side / longer)) for side in (view.width, view.height)]
    plotter: Any = pv.Plotter(off_screen=True, window_size=size, lighting="none")
    try:
        plotter.set_background("white")
        for layer in layers:
            _add(plotter, layer)
        _lights(plotter, right, up, back)
        plotter.camera_position = [tuple(view.centre + 10 * longer * back), tuple(view.centre), tuple(_UP)]
        plotter.enable_parallel_projection()
        plotter.camera.parallel_scale = view.height / 2
        plotter.reset_camera_clipping_range()
        image = np.asarray(plotter.screenshot(return_img=True, transparent_background=True))
    finally:
        plotter.close()
    return Picture(_coarser(image), (-view.width / 2, view.width / 2, -view.height / 2, view.height / 2))


def box_lines(low: Array, high: Array) -> tuple[Array, NDArray[np.int64]]:
    """Corners and edges of a box, for a layer's points and lines."""
    corners = np.array([[(low, high)[(n >> axis) & 1][axis] for axis in range(3)] for n in range(8)])
    edges = [(n, n | 1 << axis) for n in range(8) for axis in range(3) if not n >> axis & 1]
    return corners, np.array(edges, dtype=np.int64)


def _add(plotter: Any, layer: Layer) -> None:
    import pyvista as pv

    if len(layer.lines):
        cells = np.insert(layer.lines, 0, 2, axis=1)
        plotter.add_mesh(
            pv.PolyData(layer.points, lines=cells.ravel()), color=layer.colour, line_width=layer.width * _FINER
        )
        return
    if not len(layer.faces):
        return
    mesh: Any = pv.PolyData.from_regular_faces(layer.points.astype(np.float64), np.asarray(layer.faces))
    options: dict[str, Any] = {"color": layer.colour}
    if layer.back is not None:
        options["backface_params"] = {"color": layer.back, "ambient": 0.4, "diffuse": 0.65}
    if layer.scalar is not None:
        mesh["scalar"] = layer.scalar
        options = {
            "scalars": "scalar", "cmap": layer.cmap, "clim": layer.limits, "nan_color": style.MISSING, "n_colors": 256,
        }  # fmt: skip
    plotter.add_mesh(
        mesh, **options, smooth_shading=True, split_sharp_edges=False, show_scalar_bar=False,
        ambient=0.4, diffuse=0.65, specular=0.12, specular_power=12, interpolate_before_map=True, lighting=layer.lit,
    )  # fmt: skip


def _lights(plotter: Any, right: Array, up: Array, back: Array) -> None:
    """A key light from the upper left, a weak fill from the right."""
    import pyvista as pv

    for direction, strength in ((back - 0.6 * right + 0.7 * up, 0.85), (back + 0.9 * right - 0.2 * up, 0.3)):
        light = pv.Light(light_type="scene light", intensity=strength)
        light.positional = False
        light.position = tuple(direction)
        light.focal_point = (0.0, 0.0, 0.0)
        plotter.add_light(light)


def _coarser(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Average blocks of pixels, weighted by opacity."""
    rows, columns = (size // _FINER for size in image.shape[:2])
    blocks = image[: rows * _FINER, : columns * _FINER].astype(np.float32)
    blocks = blocks.reshape(rows, _FINER, columns, _FINER, 4)
    opacity = blocks[..., 3:].sum(axis=(1, 3))
    colour = (blocks[..., :3] * blocks[..., 3:]).sum(axis=(1, 3)) / np.maximum(opacity, 1)
    return np.concatenate([colour, opacity / _FINER**2], axis=2).round().astype(np.uint8)


def triad(axes: Axes) -> None:
    """Small arrows at the lower left that say where x, y and z point; of one size in print, whatever the picture's."""
    right, up, _ = frame()
    corner: Any = axes.transAxes
    inches: Any = axes.figure.dpi_scale_trans
    place = Affine2D().scale(1 / 72) + inches + ScaledTranslation(0, 0, corner)
    origin = np.array([8.0, 12.0])
    arrow = {"arrowstyle": "-|>", "linewidth": 0.6, "color": "black", "shrinkA": 0, "shrinkB": 0, "mutation_scale": 5}
    for name, unit in zip("xyz", np.eye(3), strict=True):
        reach = np.array([unit @ right, unit @ up])
        tip, away = origin + 9 * reach, origin + 9 * reach + 5 * reach / np.linalg.norm(reach)
        axes.annotate(
            "", tuple(tip), tuple(origin), xycoords=place, textcoords=place, arrowprops=arrow, annotation_clip=False
        )
        axes.annotate(name, tuple(away), xycoords=place, ha="center", va="center", fontsize=6, annotation_clip=False)
