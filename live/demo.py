"""`redoxscope demo`: the main job with nothing but this machine.

The simulated beamline runs in a process of its own, exactly as `redoxscope simulate` does, and publishes to a monitor
that does exactly what `redoxscope monitor` does. Only the end differs: the truth is known, so the errors are told.
"""

import subprocess
import sys
import time
from pathlib import Path
from typing import IO

from rich.console import Console
from rich.table import Table

from redoxscope.live.errors import UserError
from redoxscope.live.export import export
from redoxscope.live.figures import FIGURES, draw_series
from redoxscope.live.monitor import Monitor
from redoxscope.live.profile import load_profile
from redoxscope.live.series_folder import SeriesFolder
from redoxscope.live.session import monitoring, pump
from redoxscope.live.terminal import Terminal
from redoxscope.live.tiled_server import EmbeddedTiled
from redoxscope.live.transport import Receiver
from redoxscope.live.truth import Errors, compare
from redoxscope.simulators.session import Schedule


def demo(data: Path, *, quick: bool, seed: int) -> int:
    """Simulate, watch, analyse, store, and say how far off it was; returns the exit status."""
    begun = time.monotonic()
    receiver = Receiver("tcp://127.0.0.1:0")
    truth = data / "truth" / f"{time.strftime('%Y%m%d-%H%M%S')}-seed{seed}.h5"
    terminal = Terminal(total=Schedule.of(quick).frames)
    profile = load_profile("simulated")
    try:
        with monitoring(data, profile, terminal, EmbeddedTiled(data), source=f"demo, seed {seed}") as monitor:
            truth.parent.mkdir(parents=True, exist_ok=True)
            with (data / "truth" / "simulate.log").open("w") as log:
                beamline = _start_beamline(receiver.address, data, truth, quick, seed, log)
                try:
                    _watch(beamline, receiver, monitor)
                finally:
                    _end(beamline)
            if beamline.returncode != 0:
                raise UserError(f"the simulated beamline ended with {beamline.returncode}; see {log.name}")
            monitor.finish()
            terminal.note("drawing")
            folders = list(monitor.touched.values())
            exported = [_export(folder, data / "exported") for folder in folders]
            drawn = [path for folder in folders for path in _draw(folder, data / "exported", terminal, quick)]
    finally:
        receiver.close()
    errors = compare(exported[-1], truth) if exported else None
    _report(Console(), folders[-1] if folders else None, [*exported, *drawn], errors, monitor, time.monotonic() - begun)
    return 0 if errors is not None and not monitor.failures else 1


def _start_beamline(
    address: str, data: Path, truth: Path, quick: bool, seed: int, log: IO[str]
) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "redoxscope", "simulate", "--publish", address, "--data", str(data)]
    command += ["--seed", str(seed), "--truth", str(truth), *(["--quick"] if quick else [])]
    # A session of its own: Ctrl-C is ours, and we end it.
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)


def _watch(beamline: "subprocess.Popen[bytes]", receiver: Receiver, monitor: Monitor) -> None:
    """Until the beamline has ended and all that it published is taken."""
    while beamline.poll() is None:
        pump(receiver, monitor)
    while pump(receiver, monitor):
        pass


def _end(beamline: "subprocess.Popen[bytes]") -> None:
    """It has ended by now, unless we were interrupted."""
    beamline.terminate()
    try:
        beamline.wait(10.0)
    except subprocess.TimeoutExpired:
        beamline.kill()


def _export(folder: SeriesFolder, where: Path) -> Path:
    target = where / folder.name / "series.h5"
    target.parent.mkdir(parents=True, exist_ok=True)
    export(folder, target)
    return target


def _draw(folder: SeriesFolder, where: Path, terminal: Terminal, quick: bool) -> list[Path]:
    """The figures as PNG and PDF, two of them if it has to be quick; the report lists the first kind."""
    try:
        made = draw_series(folder, where / folder.name, terminal.note, only=("fig1", "fig4") if quick else FIGURES)
    except UserError as error:
        terminal.note(f"no figures: {error}")
        return []
    return [path for path in made if path.suffix == ".png"]


def _report(
    console: Console,
    folder: SeriesFolder | None,
    files: list[Path],
    errors: Errors | None,
    monitor: Monitor,
    seconds: float,
) -> None:
    if folder is None or errors is None:
        console.print("nothing came out; see the messages above")
        return
    table = Table("against the truth", "median |error|", "95th percentile", "covered", box=None)
    for name, row in errors.rows.items():
        table.add_row(name, f"{row.median:.3f} eV", f"{row.p95:.3f} eV", f"{100 * row.covered:.0f} %")
    console.print(table)
    for path in files:
        console.print(f"  {path}", soft_wrap=True)
    console.print(
        f"series {folder.name}: {folder.scan_count} maps{' and a 3D result' if folder.has_topography else ''} "
        f"in {seconds:.0f} s; `redoxscope runs --data {monitor.data}` lists it",
        soft_wrap=True,
    )
