"""Figure 4, the front's topography: isosurfaces coloured by mean curvature, and how often there is which curvature."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator

from redoxscope.live.figures import particle, style
from redoxscope.live.figures.rendering import Layer, Picture, View, render, triad
from redoxscope.live.stored import Array, Solid, StoredSeries, StoredTopography

_SHOWN = 5
_PIXELS = 500
_SPECK = 1 / 30
"""Of the largest surface's area; see `topography_figure`."""
_SHARES = 0.98
"""Share of the area whose curvatures the axes hold."""
_BINS = 32
"""About as many are drawn: the 100 stored ones are finer than what the area of one front can fill evenly."""


def topography_figure(series: StoredSeries, *, in_3d: bool = True) -> Figure:
    """Isosurfaces at successive energies (a); area and Euler characteristic (b); pieces of front and, where stored, the
    domains of either phase, of which the parent's matrix is one (c); distributions of mean curvature (d), their change
    from energy to energy (e, a row from the one to the other), the shares of positive and negative curvature (f) and
    their change (g); where stored, the distributions of the principal curvatures at the front's energy (h) and of
    Gaussian curvature (i, colours as in d).

    Surfaces with less than a thirtieth of the largest's area are left out of a, d, e, g and i: their statistics are
    those of a few specks. Without `in_3d` a is left out, the other letters stay.
    """
    topography = series.topography
    if topography is None:
        raise ValueError("the series has no topography")
    figure = style.new_figure(162 if in_3d else 112)
    *upper, lower = style.divide(figure, 2, 1, height_ratios=(1, 2.6)) if in_3d else style.divide(figure, 1, 1)
    for part in upper:
        _surfaces(part, series, topography)
    with_shapes, with_gaussian = (
        bool(topography.drawable) and {f"{name}_edges", values} <= set(topography.more)
        for name, values in (("shape", "shape_distribution"), ("gaussian", "gaussian_histogram"))
    )
    panels: Any = lower.subplots(2, 4 if with_shapes or with_gaussian else 3)
    for axes in panels.ravel():
        axes.set_visible(False)
    places = iter(zip(panels.ravel(), "bcdefghi", strict=False))
    for count in (_area, _counts):
        count(_next(places), topography)
    for draw in (_distributions, _changes):
        draw(lower, _next(places), topography)
    for share in (_shares, _share_changes):
        share(_next(places), topography)
    if with_shapes:
        _shapes(lower, _next(places), topography, series.front_energy)
    if with_gaussian:
        _gaussian(_next(places), topography)
    return figure


def _next(places: Iterator[tuple[Axes, str]]) -> Axes:
    axes, name = next(places)
    axes.set_visible(True)
    style.letter(axes, name)
    return axes


def curvature_limit(topography: StoredTopography, share: float = 0.95) -> float:
    """The |H| below which `share` of all the surfaces' area lies, in 1/unit."""
    shown = topography.drawable
    weights = (topography.area[shown, None] * topography.histogram[shown]).sum(axis=0)
    edges = topography.histogram_edges
    size = np.maximum(np.abs(edges[:-1]), np.abs(edges[1:]))
    order = np.argsort(size)
    part = np.cumsum(weights[order])
    if not part.size or not part[-1] > 0:
        return float(np.abs(edges).max())
    return float(size[order][min(int(np.searchsorted(part, share * part[-1])), len(order) - 1)])


def shown_energies(topography: StoredTopography, count: int = _SHOWN) -> list[int]:
    """At most `count` of the energies that have a surface worth showing, first and last among them."""
    large = large_ones(topography)
    chosen = np.linspace(0, len(large) - 1, min(count, len(large))).round().astype(int)
    return [large[i] for i in chosen]


def large_ones(topography: StoredTopography) -> list[int]:
    """The energies whose surface is no mere speck."""
    return [i for i in topography.drawable if topography.area[i] > _SPECK * topography.area.max()]


def energy_colours(topography: StoredTopography) -> list[tuple[float, float, float, float]]:
    """One per energy."""
    return style.colours(topography.iso_energy, style.ENERGY_MAP)


def shadow(solid: Solid | None, view: View, pixels: int) -> Picture | None:
    """The particle's outline, if there is a volume."""
    if solid is None:
        return None
    return render([Layer(*particle.outline(particle.coarse(solid)))], view, pixels)


def curvature_bar(part: SubFigure, axes: Any, limit: float, unit: str, *, aspect: float = 18) -> None:
    """The colour bar of mean curvature, `aspect` times as long as wide."""
    scale = ScalarMappable(Normalize(-limit, limit), style.map_colours(style.CURVATURE_MAP))
    label = f"mean curvature (1/{style.nice(unit)})"
    part.colorbar(scale, ax=axes, label=label, shrink=0.85, aspect=aspect, pad=0.01, extend="both")


def _surfaces(part: SubFigure, series: StoredSeries, topography: StoredTopography) -> None:
    shown = shown_energies(topography)
    panels = np.atleast_1d(part.subplots(1, max(1, len(shown))))
    if not shown:
        panels[0].text(0.5, 0.5, "no surface at any energy", ha="center", transform=panels[0].transAxes)
        style.picture_axes(panels[0])
        return
    limit = curvature_limit(topography)
    everything = _everything(series.solid, topography, shown)
    view = View.of(everything)
    behind = shadow(series.solid, view, _PIXELS)
    for axes, i in zip(panels, shown, strict=True):
        surface = topography.surface(i)
        layer = Layer(surface.points, surface.faces, surface.values["mean_curvature"], (-limit, limit))
        render([layer], view, _PIXELS).show(axes, behind=behind)
        axes.set_title(f"{surface.energy:g} eV", pad=3)
    style.scale_bar(panels[-1], topography.unit)
    triad(panels[0])
    style.letter(panels[0], "a")
    curvature_bar(part, part.axes, limit, topography.unit)


def _everything(solid: Solid | None, topography: StoredTopography, shown: list[int]) -> Array:
    """Points that the view must hold."""
    outlines = [particle.outline(particle.coarse(solid))[0]] if solid is not None else []
    return np.concatenate([*outlines, *(topography.surface(i).points for i in shown)])


def _area(axes: Axes, topography: StoredTopography) -> None:
    axes.plot(topography.iso_energy, topography.area, "o-", color=style.BLUE)
    axes.set(xlabel="edge energy (eV)", ylim=(0, None))
    axes.locator_params(axis="x", nbins=4)
    axes.set_ylabel(f"area of the front ({style.nice(topography.unit)}²)", color=style.BLUE)
    beside = axes.twinx()
    beside.spines["right"].set_visible(True)
    beside.plot(topography.iso_energy, topography.euler, "s--", color=style.FRONT, label="Euler characteristic")
    beside.set_ylabel("Euler characteristic", color=style.FRONT)


_DOMAINS = (
    ("nuclei", "new-phase domains", "^--", style.BLUE),
    # The matrix counts before any island has parted from it.
    ("islands", "parent domains", "v:", style.ORANGE),
)


def _counts(axes: Axes, topography: StoredTopography) -> None:
    axes.plot(topography.iso_energy, topography.components, "o-", color=style.GREEN, label="pieces of front")
    for name, label, mark, colour in _DOMAINS:
        if name in topography.more:
            axes.plot(topography.iso_energy, topography.more[name], mark, color=colour, label=label)
    axes.set(xlabel="edge energy (eV)", ylabel="number", ylim=(0, None))
    axes.set_ylim(top=1.5 * axes.get_ylim()[1])
    axes.locator_params(axis="x", nbins=4)
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.legend(loc="upper left", borderaxespad=0.1, labelspacing=0.2, handlelength=1.6)


def _shapes(part: SubFigure, axes: Axes, topography: StoredTopography, energy: float) -> None:
    """Principal curvatures at the front's energy."""
    chosen = min(topography.drawable, key=lambda i: abs(topography.iso_energy[i] - energy))
    edges = topography.more["shape_edges"]
    shares = topography.more["shape_distribution"][chosen]
    density = np.ma.masked_less_equal(shares / np.outer(np.diff(edges), np.diff(edges)), 0)
    unit = style.nice(topography.unit)
    image = axes.pcolormesh(edges, edges, density.T, cmap="magma_r", norm=PowerNorm(0.5, 0), rasterized=True)
    for slope, pattern in ((1, "-"), (-1, ":")):
        axes.axline((0, 0), slope=slope, color=style.GREY, linewidth=0.5, linestyle=pattern)
    # The outermost bins hold all that lies beyond them.
    limit = min(2 * curvature_limit(topography), float(edges[-2]))
    axes.set(xlabel=f"κ₁ (1/{unit})", ylabel=f"κ₂ (1/{unit})", aspect="equal", xlim=(-limit, limit))
    axes.set(ylim=(-limit, limit))
    # κ₁ is the larger: nothing lies in this corner.
    axes.text(
        0.05, 0.95, f"front at\n{topography.iso_energy[chosen]:g} eV", va="top", transform=axes.transAxes,
        bbox={"color": "white", "pad": 1},
    )  # fmt: skip
    bar = style.narrow_bar(part, axes, image, f"share of area ({unit}²)", above=True)
    bar.set_ticks([0.0, float(f"{density.max():.1g}")])


def merged(shares: Array, edges: Array) -> tuple[Array, Array]:
    """Shares of the area (iso, bin) as densities over fewer bins, and the edges of these.

    Zero stays an edge, so that the signs are kept apart. The outermost bins, which hold all that lies beyond them, and
    what fills no bin next to them are left out.
    """
    count = max(1, round((len(edges) - 1) / _BINS))
    zero = int(np.argmin(np.abs(edges)))
    ends = np.arange(1 + (zero - 1) % count, len(edges) - 1, count)
    below = np.insert(np.cumsum(shares, axis=1), 0, 0.0, axis=1)[:, ends]
    return np.diff(below) / np.diff(edges[ends]), edges[ends]


def _densities(axes: Axes, topography: StoredTopography, shares: Array, edges: Array) -> float:
    """A line per energy; returns the highest density."""
    colours = energy_colours(topography)
    density, ends = merged(shares, edges)
    for i in large_ones(topography):
        axes.plot((ends[:-1] + ends[1:]) / 2, density[i], color=colours[i])
    return float(density[large_ones(topography)].max(initial=0.0))


def _gaussian(axes: Axes, topography: StoredTopography) -> None:
    edges = topography.more["gaussian_edges"]
    peak = _densities(axes, topography, topography.more["gaussian_histogram"], edges)
    # A sphere's is H²: it has to be within.
    limit = min(1.2 * curvature_limit(topography) ** 2, float(edges[-1]))
    unit = style.nice(topography.unit)
    axes.axvline(0, color=style.GREY, linewidth=0.5)
    axes.set(xlabel=f"Gauss. curvature (1/{unit}²)", ylabel=f"share of area ({unit}²)", xlim=(-limit, limit))
    # Most of a front is nearly flat in one direction: what differs between energies is far below the peak.
    if peak > 0:
        axes.set(yscale="log", ylim=(peak / 100, 1.5 * peak))


def _distributions(part: SubFigure, axes: Axes, topography: StoredTopography) -> None:
    _densities(axes, topography, topography.histogram, topography.histogram_edges)
    _curvature_axis(axes, topography)
    style.sequence_bar(part, axes, topography.iso_energy, "edge energy (eV)", style.ENERGY_MAP, above=True)
    axes.set(ylabel=f"share of area ({style.nice(topography.unit)})", ylim=(0, None))


def _changes(part: SubFigure, axes: Axes, topography: StoredTopography) -> None:
    """Each energy's distribution minus that of the energy before, in a row between the two."""
    shown = large_ones(topography)
    density, ends = merged(topography.histogram, topography.histogram_edges)
    change = np.diff(density[shown], axis=0)
    _curvature_axis(axes, topography)
    axes.set(ylabel="edge energy (eV)")
    if not change.size:
        axes.text(0.5, 0.5, "too few surfaces", ha="center", transform=axes.transAxes)
        return
    # A few cells go beyond: the first domains' growth would pale all that follows.
    limit = float(np.percentile(np.abs(change), 97)) or 1.0
    image = axes.pcolormesh(
        ends, topography.iso_energy[shown], change, cmap="RdBu_r", vmin=-limit, vmax=limit, rasterized=True
    )
    axes.locator_params(axis="y", nbins=4)
    label = f"change of share ({style.nice(topography.unit)})"
    style.narrow_bar(part, axes, image, label, above=True, extend="both")


def _curvature_axis(axes: Axes, topography: StoredTopography) -> None:
    limit = 1.1 * curvature_limit(topography, _SHARES)
    axes.axvline(0, color=style.GREY, linewidth=0.5)
    axes.set(xlim=(-limit, limit), xlabel=f"mean curvature (1/{style.nice(topography.unit)})")


_SIGNS = (("positive", "H > 0", "o", "#B35806"), ("negative", "H < 0", "s", "#542788"))


def _shares(axes: Axes, topography: StoredTopography) -> None:
    for name, label, mark, colour in _SIGNS:
        values = getattr(topography, name)
        axes.plot(topography.iso_energy, values, f"{mark}-", color=colour, label=label)
        interval = topography.more.get(f"{name}_interval")
        if interval is not None:
            axes.fill_between(
                topography.iso_energy, interval[:, 0], interval[:, 1], color=colour, alpha=0.2, linewidth=0
            )
    axes.axhline(0.5, color=style.GREY, linewidth=0.5, linestyle=":")
    axes.set(xlabel="edge energy (eV)", ylabel="P(H), share of area", ylim=(0, 1.16), yticks=np.linspace(0, 1, 6))
    axes.locator_params(axis="x", nbins=4)
    axes.legend(ncols=2, loc="upper center", bbox_to_anchor=(0.5, 1.04), handlelength=1.4, columnspacing=1)


def _share_changes(axes: Axes, topography: StoredTopography) -> None:
    """How both shares change from energy to energy, as bars at the later of the two."""
    shown = large_ones(topography)
    energies = topography.iso_energy[shown]
    step = float(np.diff(energies).min()) if len(energies) > 1 else 1.0
    for offset, (name, label, _, colour) in zip((-0.2, 0.2), _SIGNS, strict=True):
        change = np.diff(getattr(topography, name)[shown])
        axes.bar(energies[1:] + offset * step, change, width=0.38 * step, color=colour, label=label)
    axes.axhline(0, color="black", linewidth=0.5)
    axes.set(xlabel="edge energy (eV)", ylabel="change of P(H)")
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.2 * (high - low))
    axes.locator_params(axis="x", nbins=4)
    axes.legend(ncols=2, loc="upper center", handlelength=1, columnspacing=1)
