"""What the monitor is doing, on a terminal: progress with the time left, and the map as it grows."""

from types import TracebackType
from typing import Any, Self

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from redoxscope.live.frames import Frame
from redoxscope.live.map_scan import MapScan
from redoxscope.live.monitor import Monitor
from redoxscope.live.observer import Observer
from redoxscope.live.series_parts import ScanRecord
from redoxscope.live.volume.scan import VolumeScan

_WIDTH = 64
"""Characters of the map."""
_FRONT = (255, 80, 80)


class Terminal(Observer):
    """Shows progress; a line stays for everything that is complete.

    Parameters
    ----------
    total : frames that are to come in all, if it is known
    """

    def __init__(self, total: int | None = None) -> None:
        self.console = Console(stderr=True)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[facts]}"),
            console=self.console,
        )
        self._all = self._progress.add_task("frames", total=total, facts="") if total else None
        self._scan = self._progress.add_task("scan", visible=False, facts="")
        self._tomograms = self._progress.add_task("projections", visible=False, total=None, facts="")
        self._solid = self._progress.add_task("3D analysis", visible=False, total=100, facts="")
        self._map: NDArray[np.floating] | None = None
        self._live = Live(get_renderable=self._render, console=self.console, refresh_per_second=4, transient=True)
        self._limits = (8338.0, 8343.5)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def scan_started(self, series: str, index: int, scan: MapScan) -> None:
        total = scan.energies.size or None
        self._progress.update(self._scan, description=f"scan {index}", total=total, completed=0, visible=True, facts="")

    def frame(self, scan: MapScan, record: ScanRecord | None) -> None:
        facts: dict[str, Any] = {}
        if record is not None:
            self._map = np.where(record.front > 0, np.inf, record.edge_energy)
            facts["facts"] = _facts(record)
        self._progress.update(self._scan, completed=scan.used, **facts)
        if self._all is not None:
            self._progress.advance(self._all)

    def scan_done(self, series: str, index: int, record: ScanRecord, bad: list[str]) -> None:
        self._map = np.where(record.front > 0, np.inf, record.edge_energy)
        self._progress.update(self._scan, visible=False)
        state = {0: "none", 1: "provisional", 2: "final"}[int(record.state.max(initial=0))]
        self.note(
            f"scan {index}: {record.frames.used} of {record.frames.expected} frames, {record.frames.lost} lost, "
            f"{record.frames.bad} bad; {_facts(record)}; {state}"
        )
        for edge in record.edges.values():
            known = edge.edge_energy[np.isfinite(edge.edge_energy)]
            found = f"median {np.median(known):.2f} eV" if known.size else "no edge energy"
            self.note(f"  {edge.edge}: {found}")
        for reason in bad[:3]:
            self.note(f"  set aside: {reason}")

    def projection(self, scan: VolumeScan, frame: Frame) -> None:
        self._progress.update(self._tomograms, visible=True, completed=scan.frames)
        if self._all is not None and frame.kind == "sample":
            self._progress.advance(self._all)

    def volume_started(self, scan: VolumeScan) -> None:
        self._progress.update(self._tomograms, visible=False)
        self._progress.update(self._solid, visible=True, completed=0)
        self.note(f"3D scan complete: {scan.frames} projections at {scan.energies_done} energies; analysis begins")

    def volume_progress(self, scan: VolumeScan, fact: dict[str, Any]) -> None:
        if "warning" in fact:
            self.note(f"  {'look at this' if fact.get('finding') else 'set aside'}: {fact['warning']}")
            return
        stage = str(fact.get("stage", ""))
        self._progress.update(
            self._solid, completed=100 * _part_done(stage, float(fact.get("fraction", 0))), facts=stage
        )

    def volume_done(self, scan: VolumeScan, outcome: dict[str, Any]) -> None:
        self._progress.update(self._solid, visible=False)
        self.note(
            f"3D: {outcome['voxels']} voxels with an edge energy; rotation axis {outcome['axis_offset']:+.2f} px "
            f"from the centre (quality {outcome['axis_quality']:.2f})"
        )

    def message(self, text: str) -> None:
        self.note(text)

    def note(self, text: str) -> None:
        """A line that stays."""
        self.console.print(Text(text), soft_wrap=True)

    def stopped(self, monitor: Monitor, kept: bool, error: str | None) -> None:
        """Say what is stored where."""
        for folder in monitor.touched.values():
            there = [name for name in folder.solids if name != "slices"]
            solids = " and ".join(there) or "no 3D result"
            state = f"{folder.scan_count} scans, {solids}"
            if folder.current() is not None:
                state += ", and the provisional map of the scan in progress"
            self.note(f"series {folder.name}: {state}, in {folder.path}")
        if not kept:
            self.note(f"Tiled does not have all of it yet ({error}); the next start of a command registers the rest")

    def _render(self) -> RenderableType:
        parts: list[RenderableType] = [self._progress.get_renderable()]
        if self._map is not None and self.console.is_terminal:
            parts.append(_Picture(self._map, self._limits))
        return Group(*parts)


class _Picture:
    """A map in half-block characters, two pixels each; the front in red."""

    def __init__(self, energy: NDArray[np.floating], limits: tuple[float, float]) -> None:
        step = max(1, -(-energy.shape[1] // _WIDTH))
        small = energy[::step, ::step]
        colours = (255 * colormaps["viridis"]((small - limits[0]) / (limits[1] - limits[0]))[..., :3]).astype(int)
        colours[np.isnan(small)] = 20
        colours[np.isposinf(small)] = _FRONT
        self._rows = colours[: len(colours) // 2 * 2]

    def __rich_console__(self, console: Console, options: Any) -> Any:
        for upper, lower in zip(self._rows[::2], self._rows[1::2], strict=True):
            for a, b in zip(upper, lower, strict=True):
                yield Segment("▀", Style(color=_hex(a), bgcolor=_hex(b)))
            yield Segment.line()


def _hex(colour: NDArray[np.integer]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _facts(record: ScanRecord) -> str:
    known = record.edge_energy[np.isfinite(record.edge_energy)]
    if known.size == 0:
        return "no edge energy yet"
    warm = f"{record.temperature:.0f} °C, " if np.isfinite(record.temperature) else ""
    return (
        f"{warm}median {np.median(known):.2f} eV{_doubt(record)}, "
        f"{100 * record.transformed_fraction:.0f} % transformed, front {int(np.sum(record.front))} px{_line(record)}"
    )


def _doubt(record: ScanRecord) -> str:
    """A pixel's sigma, and of a provisional one how much of it is noise."""
    sigma = record.edge_energy_sigma[np.isfinite(record.edge_energy_sigma)]
    if sigma.size == 0:
        return ""
    share = record.sigma_noise_share
    text = f" ± {np.median(sigma):.2f} a pixel"
    return text + (f" ({100 * share:.0f} % of it noise)" if share < 0.995 else "")


def _line(record: ScanRecord) -> str:
    """Length, pieces and speed of the front line, as far as they are known."""
    if not np.isfinite(record.front_length):
        return ""
    count = record.front_components
    text = f", {record.front_length:.1f} {record.length_unit} long in {count} piece{'' if count == 1 else 's'}"
    if np.isfinite(record.front_speed):
        text += f", {3600 * record.front_speed:+.2f}"
        if np.isfinite(record.front_speed_sigma):
            text += f" ± {3600 * record.front_speed_sigma:.2f}"
        text += f" {record.length_unit}/h"
    return text


def _part_done(stage: str, fraction: float) -> float:
    """Overall progress: rough shares of the stages."""
    shares = {"read": (0.0, 0.3), "align": (0.3, 0.1), "fold": (0.4, 0.1), "axis": (0.5, 0.0)}
    low, share = (shares | {"reconstruct": (0.5, 0.3), "topography": (0.8, 0.2)}).get(stage, (0.0, 0.0))
    return low + share * fraction
