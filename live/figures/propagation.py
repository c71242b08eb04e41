"""Figure 2, how the front propagates: maps and front at successive times, and the numbers that follow it."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from redoxscope.analysis.front import FrontWindow, front_length, front_lines
from redoxscope.live.figures import style
from redoxscope.live.figures.overview import box, draw_front, draw_maps, extent, fronts, successive, time_axis
from redoxscope.live.stored import Array, Scans, StoredSeries

_SHOWN = 6
_NEW, _PARENT = "#9ecae1", "#f2e6c9"


def propagation(series: StoredSeries) -> Figure:
    """Edge-energy maps with the front (a), the two phases with the front now and before (b), transformed fraction (c)
    and length of the front (d) against time; speed of the front (e) where it is stored."""
    scans = series.scans
    if scans is None:
        raise ValueError("the series has no completed scan: this figure shows maps")
    shown = successive(scans, _SHOWN)
    maps = [scans.map(i) for i in shown]
    figure = style.new_figure(122)
    upper, middle, lower = style.divide(figure, 3, 1, height_ratios=(1, 1, 1.25))
    draw_maps(upper, scans, shown, maps, series.front_energy)
    _phases(middle, scans, shown, maps, series.front_energy)
    curves = [_fraction, _length] + ([_speed] if "front_speed" in scans.metrics else [])
    panels = np.atleast_1d(lower.subplots(1, len(curves)))
    for axes, draw, name in zip(panels, curves, "cde", strict=False):
        draw(axes, scans, series.front_energy)
        axes.set_xlabel(time_axis(scans)[1])
        style.letter(axes, name)
    return figure


def front_lengths(scans: Scans, energy: float) -> Array:
    """(time,) in the scans' unit: as stored, else of the contours of each map."""
    if "front_length" in scans.metrics and scans.metric_units["front_length"] == scans.unit:
        return scans.metrics["front_length"]
    window = FrontWindow(energy)
    return np.array([front_length(front_lines(scans.map(i), window), scans.pixel) for i in range(len(scans.time))])


def _phases(part: SubFigure, scans: Scans, shown: list[int], maps: list[Array], energy: float) -> None:
    area = box(maps)
    two = ListedColormap([_NEW, _PARENT])
    panels = np.atleast_1d(part.subplots(1, len(shown)))
    before: list[NDArray[np.float64]] = []
    for axes, i, values in zip(panels, shown, maps, strict=True):
        phase = np.where(np.isfinite(values), values >= energy, np.nan)[area]
        axes.imshow(phase, extent=extent(area, scans.pixel), vmin=0, vmax=1, cmap=two, interpolation="nearest")
        for line in before:
            axes.plot(line[:, 1], line[:, 0], color="black", linewidth=0.6, linestyle=(0, (2, 1.2)))
        before = fronts(scans, i, values, energy)
        draw_front(axes, before)
        axes.set_title(f"{100 * scans.fraction[i]:.0f} % transformed", pad=3)
        style.picture_axes(axes)
    style.letter(panels[0], "b")
    style.scale_bar(panels[-1], scans.unit)
    part.legend(
        handles=[
            Patch(color=_NEW, label=f"new phase (< {energy:g} eV)"),
            Patch(color=_PARENT, label="parent phase"),
            Line2D([], [], color=style.FRONT, label="front"),
            Line2D([], [], color="black", linewidth=0.6, linestyle=(0, (2, 1.2)), label="front of the panel before"),
        ],
        loc="outside lower center",
        ncols=4,
    )


def _fraction(axes: Axes, scans: Scans, energy: float) -> None:
    times, _ = time_axis(scans)
    axes.plot(times, scans.fraction, "o-", color=style.BLUE)
    axes.set(ylabel="transformed fraction", ylim=(-0.04, 1.04))


def _length(axes: Axes, scans: Scans, energy: float) -> None:
    times, _ = time_axis(scans)
    axes.plot(times, front_lengths(scans, energy), "s-", color=style.FRONT)
    axes.set(ylabel=f"length of the front ({style.nice(scans.unit)})")
    axes.set_ylim(bottom=0)


def _speed(axes: Axes, scans: Scans, energy: float) -> None:
    times, _ = time_axis(scans)
    unit = scans.metric_units["front_speed"]
    # A front of hours: micrometres per second would be all noughts.
    hourly = unit.endswith("/s")
    speed = scans.metrics["front_speed"] * (3600 if hourly else 1)
    sigma = scans.metrics.get("front_speed_sigma")
    error = None if sigma is None else sigma * (3600 if hourly else 1)
    axes.errorbar(times, speed, error, fmt="^-", color=style.GREEN, elinewidth=0.7, capsize=1.5)
    axes.axhline(0, color=style.GREY, linewidth=0.5)
    axes.set(ylabel=f"speed of the front ({style.nice(unit[:-1] + 'h' if hourly else unit)})")
