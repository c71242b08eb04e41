"""How all figures look: sizes in print, type, colours, panel letters, scale bars, and how they are written.

Widths are those of a journal's page (180 mm); type is 7 pt in print. Colour maps are perceptually uniform and can be
told apart by readers with any common colour vision (viridis, plasma; PuOr for signed curvature), single colours are
those of Okabe and Ito.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure, SubFigure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from redoxscope.live.atomic import replacing
from redoxscope.live.nexus import nice as nice

WIDTH = 180 / 25.4
"""Inches: a page of two columns."""
DPI = 300

ENERGY_MAP = "viridis"
TIME_MAP = "plasma"
CURVATURE_MAP = "PuOr_r"
FRONT = "#D55E00"
BLUE = "#0072B2"
ORANGE = "#E69F00"
GREEN = "#009E73"
GREY = "#6e6e6e"
MISSING = "#ececec"

_STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same everywhere
    "font.size": 7,
    "axes.titlesize": 7,
    "axes.labelsize": 7,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.0,
    "lines.markersize": 3.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.useoffset": False,
    "pdf.fonttype": 42,
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    "savefig.facecolor": "white",
}
logging.getLogger("fontTools").setLevel(logging.WARNING)  # it logs a hundred lines for every PDF

_HALO = [patheffects.withStroke(linewidth=1.6, foreground="white")]
_LETTER: Any = {"fontsize": 9, "fontweight": "bold"}


@contextmanager
def styled() -> Iterator[None]:
    """Within it figures are made and saved in this style; nothing outside is changed."""
    with matplotlib.rc_context(_STYLE):
        yield


def new_figure(height: float) -> Figure:
    """Of a page's width and `height` mm; its panels arrange themselves."""
    return Figure(figsize=(WIDTH, height / 25.4), layout=ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02))


def divide(figure: Figure | SubFigure, rows: int, columns: int, **ratios: Sequence[float]) -> list[SubFigure]:
    """Parts of a figure, row by row; `width_ratios` and `height_ratios` as matplotlib's."""
    wanted: Any = ratios
    found: Any = figure.subfigures(rows, columns, squeeze=False, **wanted)
    return list(found.ravel())


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write NAME.pdf, with vectors for all that is drawn as such, and NAME.png; each is there whole or not at all."""
    made = []
    for kind in ("pdf", "png"):
        target = folder / f"{name}.{kind}"
        with replacing(target) as path:
            figure.savefig(path, format=kind)
        made.append(target)
    return made


def letter(axes: Axes, text: str, *, x: float = 0.0, y: float = 1.0) -> None:
    """A panel's letter at the upper left, a little outside the axes (given as a fraction of them)."""
    axes.annotate(
        text, (x, y), xytext=(-2, 3), xycoords="axes fraction", textcoords="offset points",
        ha="right", va="bottom", annotation_clip=False, **_LETTER,
    )  # fmt: skip


def picture_axes(axes: Axes) -> None:
    """For an image: no frame and no ticks; the scale is told by a bar."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def scale_bar(axes: Axes, unit: str, *, colour: str = "black") -> None:
    """A bar at the lower right of an image whose axes count in `unit`; set their limits before."""
    left, right = axes.get_xlim()
    bottom, top = axes.get_ylim()
    length = round_length(0.3 * abs(right - left))
    end = right - 0.03 * (right - left)
    start = end - np.sign(right - left) * length
    level = bottom + 0.03 * (top - bottom)
    bar: Any = {"color": colour, "path_effects": _HALO, "clip_on": False}
    axes.plot([start, end], [level, level], linewidth=1.8, solid_capstyle="butt", **bar)
    middle = ((start + end) / 2, level)
    axes.annotate(
        f"{length:g} {nice(unit)}", middle, (0, 2), textcoords="offset points", ha="center", va="bottom", fontsize=6.5,
        color=colour, path_effects=_HALO, annotation_clip=False,
    )  # fmt: skip


def round_length(about: float) -> float:
    """The largest of 1, 2, 5 times a power of ten that is no longer than `about`."""
    power = 10.0 ** np.floor(np.log10(about))
    return float(max(step for step in (1, 2, 5) if step * power <= about * 1.0001) * power)


def colours(values: NDArray[np.floating], cmap: str = TIME_MAP) -> list[tuple[float, float, float, float]]:
    """One colour per value, from dark to light; the lightest tenth of the map is left out, white paper swallows it."""
    low, high = float(np.min(values)), float(np.max(values))
    span = high - low if high > low else 1.0
    return [matplotlib.colormaps[cmap](0.9 * (value - low) / span) for value in values]


def energy_range(values: NDArray[np.floating]) -> tuple[float, float]:
    """Colour limits, eV, that leave out the hundredth of the pixels at either end."""
    known = values[np.isfinite(values)]
    if not known.size:
        return 0.0, 1.0
    low, high = np.percentile(known, [1, 99])
    return (float(low), float(high)) if high - low > 0.2 else (float(low) - 0.1, float(high) + 0.1)


def map_colours(name: str) -> Colormap:
    """A colour map in which missing values are transparent."""
    return matplotlib.colormaps[name].with_extremes(bad=(0.0, 0.0, 0.0, 0.0))


def sequence_bar(
    part: Any, axes: Axes, values: NDArray[np.floating], label: str, cmap: str = TIME_MAP, *, above: bool = False
) -> None:
    """A colour bar for `colours`, beside the axes or above them."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    low, high = float(np.min(values)), float(np.max(values))
    shown = ListedColormap(matplotlib.colormaps[cmap](np.linspace(0, 0.9, 256)))
    scale = ScalarMappable(Normalize(low, high if high > low else low + 1.0), shown)
    narrow_bar(part, axes, scale, label, above=above)


def narrow_bar(part: Any, axes: Axes, scale: Any, label: str, *, above: bool = False, extend: str = "neither") -> Any:
    """A colour bar as long as the axes, beside them or above, with few ticks."""
    place = "top" if above else "right"
    bar = part.colorbar(scale, ax=axes, label=label, aspect=22, pad=0.02, location=place, extend=extend)
    bar.ax.locator_params(axis="x" if above else "y", nbins=4 if above else 6)
    return bar
