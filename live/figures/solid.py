"""Figure 3, the edge-energy volume: rendered, cut by virtual slices, and counted."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Patch

from redoxscope.live.errors import UserError
from redoxscope.live.figures import particle, style
from redoxscope.live.figures.overview import box, contour, draw_front, extent
from redoxscope.live.figures.rendering import Layer, View, render, triad
from redoxscope.live.stored import Array, Solid, StoredSeries

_SLICES = 5
_PIXELS = 720
_NEW_SIDE, _PARENT_SIDE = "#56B4E9", "#E9B76A"


def solid_figure(series: StoredSeries, depths: Sequence[float] | None = None, *, in_3d: bool = True) -> Figure:
    """The particle with a corner cut out (a), the front in its outline (b), the edge energies of all voxels (c), and
    virtual slices at `depths` below the particle's top (d).

    Without `in_3d` a and b are left out. Raises UserError if a depth is outside the particle.
    """
    solid = series.solid
    if solid is None:
        raise ValueError("the series has no edge-energy volume")
    limits = style.energy_range(solid.edge_energy)
    figure = style.new_figure(118 if in_3d else 52)
    *upper, lower = style.divide(figure, 2, 1, height_ratios=(1.35, 1)) if in_3d else style.divide(figure, 1, 1)
    for part in upper:
        _renderings(part, series, solid, limits)
    _slices(lower, solid, slice_numbers(solid, depths), series.front_energy, limits, "d" if in_3d else "a")
    return figure


def top(solid: Solid) -> int:
    """Number of the first slice that holds material."""
    known = np.isfinite(solid.edge_energy).any(axis=(1, 2))
    return int(np.argmax(known))


def slice_numbers(solid: Solid, depths: Sequence[float] | None) -> list[int]:
    """The slices nearest to depths below the particle's top; by default a few that divide it evenly.

    Raises UserError if a depth is outside.
    """
    inside = np.flatnonzero(np.isfinite(solid.edge_energy).any(axis=(1, 2)))
    first, last = (int(inside[0]), int(inside[-1])) if inside.size else (0, len(solid.edge_energy) - 1)
    if depths is None:
        count = min(_SLICES, last - first + 1)
        return [round(first + (last - first) * (i + 1) / (count + 1)) for i in range(count)]
    thick = (last - first) * solid.voxel
    for depth in depths:
        if not 0 <= depth <= thick + solid.voxel / 2:
            thickness = f"{thick:.4g} {style.nice(solid.unit)}"
            raise UserError(f"depth {depth:g} is outside the particle: give --depths between 0 and {thickness}")
    return [first + min(round(depth / solid.voxel), last - first) for depth in depths]


def _renderings(part: SubFigure, series: StoredSeries, solid: Solid, limits: tuple[float, float]) -> None:
    cut, front, counts = part.subplots(1, 3, width_ratios=(1, 1, 0.75))
    drawn = particle.coarse(solid)
    points, faces = particle.outline(drawn)
    view = View.of(points if len(points) else particle.bounds(solid))
    render(particle.cutaway(drawn, limits), view, _PIXELS).show(cut, solid.unit)
    triad(cut)
    layers = []
    title = "no surface stored"
    topography = series.topography
    if topography is not None and topography.drawable:
        chosen = min(topography.drawable, key=lambda i: abs(topography.iso_energy[i] - series.front_energy))
        surface = topography.surface(chosen)
        layers = [Layer(surface.points, surface.faces, colour=_PARENT_SIDE, back=_NEW_SIDE)]
        title = f"front at {surface.energy:g} eV"
    shadow = render([Layer(points, faces)], view, _PIXELS)
    render(layers, view, _PIXELS).show(front, solid.unit, behind=shadow)
    front.set_title(title, pad=3)
    front.legend(
        handles=[
            Patch(color=_NEW_SIDE, label="side of the new phase"),
            Patch(color=_PARENT_SIDE, label="of the parent"),
        ],
        loc="upper center",
        bbox_to_anchor=(0.5, 0.0),
        ncols=2,
        handlelength=1,
        columnspacing=1,
    )
    _voxels(counts, solid, series.front_energy)
    for axes, name in ((cut, "a"), (front, "b"), (counts, "c")):
        style.letter(axes, name)


def _voxels(axes: Axes, solid: Solid, energy: float) -> None:
    known = solid.edge_energy[np.isfinite(solid.edge_energy)]
    if known.size:
        low, high = np.percentile(known, [0.2, 99.8])
        shares, edges = np.histogram(known, bins=np.arange(low - 0.1, high + 0.2, 0.1), density=True)
        axes.stairs(shares, edges, fill=True, color="#b9cfe4")
        axes.stairs(shares, edges, color=style.BLUE, linewidth=0.7)
        below = float((known < energy).mean())
        axes.set_title(f"{100 * below:.0f} % of the volume < {energy:g} eV", pad=3)
    axes.axvline(energy, color=style.FRONT, linewidth=0.8)
    axes.set(xlabel="edge energy (eV)", ylabel="share of voxels (1/eV)")
    axes.locator_params(axis="x", nbins=4)


def _slices(
    part: SubFigure, solid: Solid, numbers: list[int], energy: float, limits: tuple[float, float], name: str
) -> None:
    slices: list[Array] = [solid.edge_energy[n] for n in numbers]
    area = box([np.where(np.isfinite(solid.edge_energy).any(axis=0), 0.0, np.nan)])
    panels = np.atleast_1d(part.subplots(1, len(slices)))
    for axes, number, values in zip(panels, numbers, slices, strict=True):
        image = axes.imshow(
            values[area], extent=extent(area, solid.voxel), vmin=limits[0], vmax=limits[1],
            cmap=style.map_colours(style.ENERGY_MAP), interpolation="nearest",
        )  # fmt: skip
        draw_front(axes, contour(values, energy, solid.voxel))
        axes.set_title(f"depth {(number - top(solid)) * solid.voxel:.3g} {style.nice(solid.unit)}", pad=3)
        style.picture_axes(axes)
    style.letter(panels[0], name)
    style.scale_bar(panels[-1], solid.unit)
    bar = part.colorbar(
        image, ax=part.axes, label="edge energy (eV)", location="bottom", shrink=0.4, aspect=35, pad=0.03, extend="both"
    )
    bar.ax.locator_params(axis="x", nbins=6)
    bar.ax.axvline(energy, color=style.FRONT, linewidth=1.2)
