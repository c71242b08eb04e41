"""`redoxscope runs` and `redoxscope export`: what is stored, from the files alone."""

import sys
import time
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from redoxscope.live.errors import UserError
from redoxscope.live.export import export_as
from redoxscope.live.series_folder import find_series, list_series


def runs(data: Path) -> int:
    """Print a line per series."""
    if not data.is_dir():
        raise UserError(f"{data}: there is no such data folder; give --data DIR or set REDOXSCOPE_DATA")
    table = Table("series", "begun", "scans", "3D", "frames used/expected", "bad", "source", box=None)
    for folder in list_series(data):
        facts = folder.facts
        solids = "topography" if folder.has_topography else "volume" if folder.has_volume else "-"
        begun = time.strftime("%Y-%m-%d %H:%M", time.localtime(facts.created))
        frames = f"{facts.frames.used}/{facts.frames.expected}"
        table.add_row(folder.name, begun, str(folder.scan_count), solids, frames, str(facts.frames.bad), facts.source)
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    if table.row_count:
        console.print(table)
    else:
        console.print(f"no series in {data}")
    return 0


def export_series(data: Path, name: str, target: Path) -> int:
    """Write a series in the format of the target's ending; prints what has been written."""
    if not data.is_dir():
        raise UserError(f"{data}: there is no such data folder; give --data DIR or set REDOXSCOPE_DATA")
    folder = find_series(data, name)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(f"exporting {folder.name}", total=1.0)
        made = export_as(folder, target, lambda fraction: progress.update(task, completed=fraction), _left_out)
    for path in made:
        print(path)
    return 0


def _left_out(line: str) -> None:
    print(f"redoxscope: {line}", file=sys.stderr)
