"""Figure 1, the operando experiment at a glance: maps, temperature, histograms over time, and where the front went."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray

from redoxscope.analysis.front import FrontWindow, front_lines
from redoxscope.live.figures import style
from redoxscope.live.stored import Array, Scans, StoredSeries

_SHOWN = 6
_SHORTEST = 6.0
"""Pixels; a shorter piece of contour is noise and left out of the pictures."""


def overview(series: StoredSeries) -> Figure:
    """Maps with the front (a), temperature and transformed fraction (b), histograms over time (c) and at the times of
    the maps (d), and the fronts on top of each other (e)."""
    scans = _need(series.scans)
    shown = successive(scans, _SHOWN)
    maps = [scans.map(i) for i in shown]
    figure = style.new_figure(125)
    upper, lower = style.divide(figure, 2, 1, height_ratios=(1, 2.7))
    draw_maps(upper, scans, shown, maps, series.front_energy)
    left, right = style.divide(lower, 1, 2, width_ratios=(1.45, 1))
    above, below = left.subplots(2, 1, sharex=True, height_ratios=(1, 1.5))
    _programme(above, scans, shown)
    _histogram_over_time(left, below, scans, series.front_energy)
    one, other = right.subplots(2, 1, height_ratios=(1, 1.5))
    _histograms(one, scans, shown, series.front_energy)
    _overlay(right, other, scans, shown, maps, series.front_energy)
    for axes, name in ((above, "b"), (below, "c"), (one, "d"), (other, "e")):
        style.letter(axes, name)
    return figure


def successive(scans: Scans, count: int) -> list[int]:
    """At most `count` scans, first and last among them, that divide the reaction into about equal steps."""
    total = len(scans.time)
    if total <= count:
        return list(range(total))
    even = np.linspace(0, 1, count)
    progress = np.linspace(0, 1, total)
    if np.isfinite(scans.fraction).all() and np.ptp(scans.fraction) > 0.05:
        done = np.maximum.accumulate(scans.fraction)
        # Half by reaction and half by time: neither a long wait nor a fast reaction takes all the maps.
        progress = 0.5 * progress + 0.5 * (done - done[0]) / (done[-1] - done[0])
    chosen = {int(np.argmin(np.abs(progress - step))) for step in even} | {0, total - 1}
    return sorted(chosen)


def box(maps: list[Array], margin: float = 0.04) -> tuple[slice, slice]:
    """The square of (y, x) that holds the material of all maps."""
    known = np.any([np.isfinite(m) for m in maps], axis=0)
    if not known.any():
        return slice(0, known.shape[0]), slice(0, known.shape[1])
    spans = [np.flatnonzero(known.any(axis=axis)) for axis in (1, 0)]
    half = (0.5 + margin) * max(int(np.ptp(span)) + 1 for span in spans)
    ends = []
    for span, size in zip(spans, known.shape, strict=True):
        middle = (span[0] + span[-1] + 1) / 2
        ends.append(slice(max(0, int(np.floor(middle - half))), min(size, int(np.ceil(middle + half)))))
    return ends[0], ends[1]


def extent(area: tuple[slice, slice], pixel: float) -> tuple[float, float, float, float]:
    """Left, right, bottom, top of `area` for imshow, pixel centres at whole multiples of the pixel."""
    rows, columns = area
    low, high = (columns.start - 0.5) * pixel, (columns.stop - 0.5) * pixel
    return low, high, (rows.stop - 0.5) * pixel, (rows.start - 0.5) * pixel


def contour(edge_energy: Array, energy: float, pixel: float) -> list[NDArray[np.float64]]:
    """Contour lines (n, 2) of (y, x) at the front's energy, in units of `pixel`, without specks."""
    lines = front_lines(edge_energy, FrontWindow(energy))
    return [line * pixel for line in lines if np.hypot(*np.diff(line, axis=0).T).sum() >= _SHORTEST]


def fronts(scans: Scans, index: int, edge_energy: Array, energy: float) -> list[NDArray[np.float64]]:
    """The front of one scan in the scans' unit, pieces (n, 2) of (y, x): as stored, else the map's contour."""
    stored = scans.front_line(index)
    if stored is None:
        return contour(edge_energy, energy, scans.pixel)
    return [np.asarray(line * scans.pixel, dtype=np.float64) for line in stored]


def draw_maps(part: SubFigure, scans: Scans, shown: list[int], maps: list[Array], energy: float) -> None:
    """A row of maps with the front, one colour bar, a scale bar, and the panel letter a."""
    low, high = style.energy_range(np.stack(maps))
    area = box(maps)
    for number, (axes, i, values) in enumerate(
        zip(np.atleast_1d(part.subplots(1, len(shown))), shown, maps, strict=True)
    ):
        image = axes.imshow(
            values[area], extent=extent(area, scans.pixel), vmin=low, vmax=high,
            cmap=style.map_colours(style.ENERGY_MAP), interpolation="nearest",
        )  # fmt: skip
        draw_front(axes, fronts(scans, i, values, energy))
        axes.set_title(when(scans, i), pad=3)
        style.picture_axes(axes)
        if number == 0:
            style.letter(axes, "a")
        if number == len(shown) - 1:
            style.scale_bar(axes, scans.unit)
    bar = part.colorbar(image, ax=part.axes, label="edge energy (eV)", shrink=0.8, aspect=18, pad=0.01, extend="both")
    bar.ax.axhline(energy, color=style.FRONT, linewidth=1.2)


def draw_front(axes: Axes, lines: list[NDArray[np.float64]], colour: Any = style.FRONT, width: float = 0.8) -> None:
    """Front lines on a map."""
    for line in lines:
        axes.plot(line[:, 1], line[:, 0], color="white", linewidth=width + 0.8, alpha=0.7)
        axes.plot(line[:, 1], line[:, 0], color=colour, linewidth=width)


def when(scans: Scans, index: int) -> str:
    """Time since the first scan and, where recorded, the temperature."""
    hours, temperature = scans.hours[index], scans.temperature[index]
    time = f"{hours:.1f} h" if scans.hours[-1] >= 1 else f"{60 * hours:.1f} min"
    return f"{time}, {temperature:.0f} °C" if np.isfinite(temperature) else time


def time_axis(scans: Scans) -> tuple[Array, str]:
    """Times since the first scan in a unit that suits them, with the label of their axis."""
    if scans.hours[-1] >= 1:
        return scans.hours, "time (h)"
    return scans.hours * 60, "time (min)"


def _need(scans: Scans | None) -> Scans:
    if scans is None:
        raise ValueError("the series has no completed scan: this figure shows maps")
    return scans


def _programme(axes: Axes, scans: Scans, shown: list[int]) -> None:
    times, _ = time_axis(scans)
    beside = axes
    if np.isfinite(scans.temperature).any():
        axes.plot(times, scans.temperature, "-", color=style.GREY, linewidth=0.6, zorder=1)
        axes.plot(times, scans.temperature, "s", color=style.GREY, markersize=3)
        axes.set_ylabel("temperature (°C)", color=style.GREY)
        axes.margins(y=0.12)
        beside = axes.twinx()
        beside.spines["right"].set_visible(True)
    beside.plot(times, scans.fraction, "o-", color=style.BLUE)
    beside.plot(times[shown], scans.fraction[shown], "o", color=style.BLUE, markersize=6, markerfacecolor="none")
    beside.set(ylabel="transformed fraction", ylim=(-0.05, 1.08))
    beside.yaxis.label.set_color(style.BLUE)
    axes.tick_params(labelbottom=False)


def _histogram_over_time(part: SubFigure, axes: Axes, scans: Scans, energy: float) -> None:
    times, label = time_axis(scans)
    edges = scans.histogram_edges
    share = scans.histogram / np.maximum(scans.histogram.sum(axis=1, keepdims=True), 1) / np.diff(edges)
    gaps = np.diff(times)
    width = 0.92 * gaps.min() if len(gaps) and gaps.min() > 0 else 1.0
    top = float(np.percentile(share.max(axis=1), 50)) or 1.0
    for time, column in zip(times, share, strict=True):
        drawn = axes.pcolormesh(
            [time - width / 2, time + width / 2], edges, np.ma.masked_equal(column, 0)[:, None],
            norm=PowerNorm(0.6, 0, top), cmap="magma_r", rasterized=True,
        )  # fmt: skip
    axes.axhline(energy, color=style.FRONT, linewidth=0.8)
    axes.set(xlabel=label, ylabel="edge energy (eV)", ylim=_used(scans))
    part.colorbar(
        drawn, ax=axes, label="share of pixels (1/eV)", orientation="vertical", aspect=22, pad=0.01, extend="max"
    )


def _histograms(axes: Axes, scans: Scans, shown: list[int], energy: float) -> None:
    edges = scans.histogram_edges
    counts = scans.histogram[shown]
    share = 1.5 * counts / np.maximum(counts.max(axis=1, keepdims=True), 1)
    for number, (i, column, colour) in enumerate(zip(shown, share, style.colours(scans.hours[shown]), strict=True)):
        base, top = -number, column - number
        axes.stairs(top, edges, baseline=base, fill=True, color=colour, alpha=0.85, linewidth=0)
        axes.stairs(top, edges, baseline=base, color="black", linewidth=0.4)
        axes.annotate(
            when(scans, i).partition(",")[0], (1, base),
            xycoords=("axes fraction", "data"), xytext=(2, 1), textcoords="offset points", fontsize=6, va="bottom",
            annotation_clip=False,
        )  # fmt: skip
    axes.axvline(energy, color=style.FRONT, linewidth=0.8)
    axes.set(xlabel="edge energy (eV)", ylabel="pixels (each scaled)", yticks=[], xlim=_used(scans))


def _used(scans: Scans) -> tuple[float, float]:
    """The energies, eV, between which all but a few pixels of every scan lie."""
    edges, total = scans.histogram_edges, scans.histogram.sum(axis=1, keepdims=True)
    part = np.cumsum(scans.histogram, axis=1) / np.maximum(total, 1)
    inside = np.flatnonzero(((part > 0.002) & (part < 0.998)).any(axis=0))
    if not inside.size:
        return float(edges[0]), float(edges[-1])
    return float(edges[inside[0]] - 0.5), float(edges[min(inside[-1] + 2, len(edges) - 1)] + 0.5)


def _overlay(part: SubFigure, axes: Axes, scans: Scans, shown: list[int], maps: list[Array], energy: float) -> None:
    area = box(maps)
    known = np.any([np.isfinite(m) for m in maps], axis=0)
    shade = np.where(known, 1.0, np.nan)[area]
    axes.imshow(shade, extent=extent(area, scans.pixel), cmap="Greys", vmin=0, vmax=10)
    times, label = time_axis(scans)
    for i, values, colour in zip(shown, maps, style.colours(times[shown]), strict=True):
        draw_front(axes, fronts(scans, i, values, energy), colour, 1.0)
    axes.set_title(f"front at {energy:g} eV", pad=3)
    style.picture_axes(axes)
    style.scale_bar(axes, scans.unit)
    style.sequence_bar(part, axes, times[shown], label)
