"""Where an export goes: checked before, replaced by a whole file or folder at the end, told in one line if it fails."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redoxscope.live.errors import UserError
from redoxscope.live.series_folder import SeriesFolder


def check_target(folder: SeriesFolder, target: Path, *, is_folder: bool = False) -> None:
    """Raise UserError if a file, or with `is_folder` a folder, cannot be made at `target`."""
    parent = target.absolute().parent
    if not os.path.isdir(parent):
        raise UserError(f"cannot export to {target}: there is no folder {parent}; make it first")
    if not is_folder and os.path.isdir(target):
        raise UserError(f"cannot export to {target}: it is a folder; give the name of a file")
    if not os.access(parent, os.W_OK):
        raise UserError(f"cannot export to {target}: the folder {parent} is not writable; choose another")
    if parent.resolve() == folder.path.resolve():
        raise UserError(f"cannot export to {target}: this is where the series is stored; choose another folder")


@contextmanager
def told(target: Path) -> Iterator[None]:
    """What fails while a target is written becomes a UserError of one line."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else " ".join(str(error).split())
        raise UserError(f"cannot export to {target}: {why}") from error
