"""Figure 5, one region at successive energies: how its piece of the front changes shape."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from redoxscope.live.figures import particle, style
from redoxscope.live.figures.region import Region, check_region, choose_region, clip, region_curvature
from redoxscope.live.figures.rendering import Layer, View, box_lines, render, triad
from redoxscope.live.figures.topography import curvature_bar, curvature_limit
from redoxscope.live.stored import StoredSeries, StoredTopography

_ROW, _ROWS = 3, 3
_PIXELS = 560


def region_figure(series: StoredSeries, region: Region | None = None) -> Figure:
    """Where the region is (a), its surfaces coloured by mean curvature at successive energies under one camera (b),
    and mean and sign of its curvature against energy (c).

    b shows the energies whose area in the region is more than a twentieth of the largest; of more than nine as many,
    evenly chosen, first and last among them, which is written below.
    Raises UserError if the region holds no surface.
    """
    topography = series.topography
    if topography is None or not topography.drawable:
        raise ValueError("the series has no surfaces")
    if region is None:
        region = choose_region(topography)
    else:
        check_region(region, topography)
    figure = style.new_figure(102)
    left, right = style.divide(figure, 1, 2, width_ratios=(1, 2.25))
    where, mean, negative = left.subplots(3, 1, height_ratios=(2.2, 1, 1))
    _where(where, series, topography, region)
    _curves(mean, negative, topography, region)
    style.letter(where, "a", x=-0.06)
    style.letter(mean, "c")
    corners, edges = box_lines(region.low, region.high)
    view = View.of(corners, 1.06)
    area, _, _ = region_curvature(topography, region)
    large = [i for i in topography.drawable if area[i] > 0.05 * area.max()]
    shown = _spread(large, _ROW * _ROWS)
    clipped = [clip(topography.surface(i), region) for i in shown]
    seen = np.abs(np.concatenate([curvature for _, _, curvature in clipped]))
    limit = min(curvature_limit(topography), float(np.nanpercentile(seen, 95)) if seen.size else 1.0)
    panels = right.subplots(-(-len(shown) // _ROW), min(_ROW, len(shown)), squeeze=False)
    for axes in panels.ravel():
        axes.set_axis_off()
    frame = Layer(corners, np.empty((0, 3), dtype=np.int64), colour="#8c8c8c", lines=edges)
    for axes, i, (points, faces, curvature) in zip(panels.ravel(), shown, clipped, strict=False):
        axes.set_axis_on()
        render([frame, Layer(points, faces, curvature, (-limit, limit))], view, _PIXELS).show(axes)
        axes.set_title(f"{topography.iso_energy[i]:g} eV", pad=2)
    style.letter(panels[0, 0], "b")
    if len(shown) < len(large):
        right.supxlabel(f"{len(shown)} of {len(large)} energies, evenly chosen", fontsize=6.5)
    last = panels.ravel()[len(shown) - 1]
    style.scale_bar(last, topography.unit)
    curvature_bar(right, right.axes, limit, topography.unit, aspect=36)
    return figure


def _where(axes: Axes, series: StoredSeries, topography: StoredTopography, region: Region) -> None:
    chosen = min(topography.drawable, key=lambda i: abs(topography.iso_energy[i] - series.front_energy))
    surface = topography.surface(chosen)
    corners, edges = box_lines(region.low, region.high)
    outline = particle.outline(particle.coarse(series.solid)) if series.solid is not None else None
    points = surface.points if outline is None or not len(outline[0]) else outline[0]
    view = View.of(np.concatenate([points, corners]))
    shadow = render([Layer(*outline)], view, _PIXELS) if outline is not None else None
    front = Layer(surface.points, surface.faces, colour="#d9d9d9", back="#c3cdd6")
    render([front], view, _PIXELS).show(axes, topography.unit, behind=shadow)
    flat = view.project(corners)
    for a, b in edges:
        axes.plot(*flat[[a, b]].T, color=style.FRONT, linewidth=0.9)
    axes.set_title(f"front at {surface.energy:g} eV", pad=3)
    triad(axes)


def _curves(above: Axes, below: Axes, topography: StoredTopography, region: Region) -> None:
    """Mean of H, and below it the share with H < 0, over one axis of energy."""
    _, mean, negative = region_curvature(topography, region)
    below.sharex(above)
    above.plot(topography.iso_energy, mean, "o-", color=style.BLUE)
    above.axhline(0, color=style.GREY, linewidth=0.5, linestyle=":")
    above.tick_params(labelbottom=False)
    above.set_ylabel(f"mean of H\n(1/{style.nice(topography.unit)})")
    below.plot(topography.iso_energy, negative, "s-", color="#542788")
    below.axhline(0.5, color=style.GREY, linewidth=0.5, linestyle=":")
    below.set(xlabel="edge energy (eV)", ylabel="share with\nH < 0", ylim=(-0.05, 1.05))
    below.locator_params(axis="x", nbins=4)


def _spread(numbers: list[int], count: int) -> list[int]:
    chosen = np.linspace(0, len(numbers) - 1, min(count, len(numbers))).round().astype(int)
    return [numbers[i] for i in chosen]
