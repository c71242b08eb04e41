"""Draw all the figures that a series allows, each written whole, and say what is left out and why."""

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from redoxscope.live import journal
from redoxscope.live.documents import RunReader
from redoxscope.live.errors import UserError
from redoxscope.live.figures import style
from redoxscope.live.figures.overview import overview
from redoxscope.live.figures.probe import REMEDY, can_render
from redoxscope.live.figures.propagation import propagation
from redoxscope.live.figures.region import Region, check_region
from redoxscope.live.figures.region_view import region_figure
from redoxscope.live.figures.solid import slice_numbers, solid_figure
from redoxscope.live.figures.topography import topography_figure
from redoxscope.live.frames import FrameFiles
from redoxscope.live.profile import Profile
from redoxscope.live.series_folder import SeriesFolder
from redoxscope.live.stored import StoredSeries, read_series

Say = Callable[[str], None]

FIGURES = ("fig1", "fig2", "fig3", "fig4", "fig5")


def draw_series(
    folder: SeriesFolder,
    out: Path,
    say: Say,
    *,
    depths: Sequence[float] | None = None,
    region: Region | None = None,
    only: Collection[str] = FIGURES,
) -> list[Path]:
    """Draw fig1 … fig5, or some of them, as PDF and PNG, into `out`, made if need be; returns the files.

    fig1 and fig2 need completed scans, fig3 a volume, fig4 and fig5 a topography; `say` is called with a line for what
    is left out. Raises UserError if there is nothing to draw, if `out` cannot be written to, or if depths or region
    lie outside the particle.
    """
    series = read_series(folder.index_path, recorded_pixel_size(folder))
    if series.scans is None and series.solid is None and series.topography is None:
        raise UserError(f"series {folder.name} has neither a completed scan nor a volume yet: nothing to draw")
    _check(series, depths, region)
    _make_folder(out)
    made: list[Path] = []
    for name, draw in _figures(series, say, depths, region):
        if name not in only:
            continue
        try:
            with style.styled():
                made += style.save(draw(), out, name)
        except OSError as error:
            raise UserError(f"cannot write {name} into {out}: {error.strerror or error}") from error
    return made


def recorded_pixel_size(folder: SeriesFolder) -> float | None:
    """µm, from the recorded start of one of the series' runs; None if it does not say or is gone."""
    raw = folder.path.parent.parent / "raw"
    for scan in folder.scans[:1]:
        try:
            profile = Profile.model_validate(folder.facts.profile)
            start = next(doc for _, name, doc in journal.read(raw / f"{scan.raw_uid}.journal") if name == "start")
            size = RunReader(start, profile, FrameFiles()).pixel_size
        except (OSError, UserError, StopIteration, KeyError, TypeError, ValueError):
            return None
        return size if 0 < size < float("inf") else None
    return None


def _figures(
    series: StoredSeries, say: Say, depths: Sequence[float] | None, region: Region | None
) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """Names, and what draws them."""
    if series.scans is not None:
        yield "fig1", lambda: overview(series)
        yield "fig2", lambda: propagation(series)
    else:
        say("no completed XANES scan: fig1 and fig2 are left out")
    if series.solid is None:
        say("no edge-energy volume, as no 3D scan has been analysed: fig3, fig4 and fig5 are left out")
        return
    in_3d = can_render()
    if not in_3d:
        say(f"VTK cannot draw here: fig5 and the renderings of fig3 and fig4 are left out; {REMEDY}")
    yield "fig3", lambda: solid_figure(series, depths, in_3d=in_3d)
    if series.topography is None:
        say("no topography of the front: fig4 and fig5 are left out")
        return
    yield "fig4", lambda: topography_figure(series, in_3d=in_3d)
    if not series.topography.drawable:
        say("no front at any energy in the volume: fig5 is left out")
    elif in_3d:
        yield "fig5", lambda: region_figure(series, region)


def _check(series: StoredSeries, depths: Sequence[float] | None, region: Region | None) -> None:
    """What was asked for is refused before anything is drawn."""
    if depths is not None and series.solid is not None:
        slice_numbers(series.solid, depths)
    if region is not None and series.topography is not None and series.topography.drawable:
        check_region(region, series.topography)


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise UserError(f"cannot draw into {out}: it is a file; give a folder") from None
    except OSError as error:
        raise UserError(f"cannot draw into {out}: {error.strerror}; choose another --out") from error
    if not os.access(out, os.W_OK):
        raise UserError(f"cannot draw into {out}: the folder is not writable; choose another --out")
