"""`redoxscope figures`."""

import sys
from collections.abc import Sequence
from pathlib import Path

from redoxscope.live.errors import UserError
from redoxscope.live.figures.draw import draw_series
from redoxscope.live.figures.region import parse_region
from redoxscope.live.series_folder import find_series


def figures(data: Path, name: str, out: Path, *, depths: Sequence[float] | None, region: str | None) -> int:
    """Draw a stored series; prints the files, and on stderr what is left out. Returns the exit status."""
    if not data.is_dir():
        raise UserError(f"{data}: there is no such data folder; give --data DIR or set REDOXSCOPE_DATA")
    box = parse_region(region) if region is not None else None
    made = draw_series(find_series(data, name), out, _say, depths=depths, region=box)
    for path in made:
        print(path)
    return 0


def _say(line: str) -> None:
    print(f"redoxscope: {line}", file=sys.stderr)
