"""From a path to a source of documents: recognition, folders, and what to say when nothing can be read."""

import errno
import logging
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from redoxscope.live.errors import UserError
from redoxscope.live.journal import MAGIC
from redoxscope.live.replay.fxi import FxiSource
from redoxscope.live.replay.fxi_file import FxiFile, read_header
from redoxscope.live.replay.journal_file import JournalSource

log = logging.getLogger(__name__)

Document = tuple[str, dict[str, Any]]

_HDF5 = b"\x89HDF\r\n\x1a\n"
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_KNOWN = "FXI files (img_xanes or img_tomo) or a redoxscope journal"
_FOREIGN = "neither HDF5 nor a journal"
_TOLD = 10


class Source(Protocol):
    """A recorded experiment."""

    @property
    def format(self) -> str:
        """What it was recognised as."""

    @property
    def profile(self) -> str | None:
        """The profile to read it with, if the recording tells."""

    @property
    def frames(self) -> int:
        """How many frames its documents refer to or contain."""

    def documents(self) -> Iterator[Document]:
        """Its documents in order; pixels stay in the files."""


class _Several:
    """Sources of different formats, one after the other."""

    def __init__(self, parts: Sequence[Source]) -> None:
        self._parts = parts
        self.format = " and ".join(dict.fromkeys(part.format for part in parts))
        self.profile = next((part.profile for part in parts if part.profile), None)

    @property
    def frames(self) -> int:
        return sum(part.frames for part in self._parts)

    def documents(self) -> Iterator[Document]:
        for part in self._parts:
            yield from part.documents()


def open_source(
    path: Path | str,
    *,
    tiled: Any = None,
    data: Path | None = None,
    tell: Callable[[str], object] = log.warning,
) -> Source:
    """Return the recording at `path`: a file, a folder with all that is readable directly in it, or `tiled:` and a run.

    Raises UserError, in one line with the remedy, when there is nothing to replay. In a folder, what cannot be
    read is left out; `tell` is called with a line for each such file that looks like a recording. A run in Tiled is
    named by its URI, or by its uid in the store that `tiled` is a client of, or in the embedded store of DIR, `data`,
    which is then started.
    """
    if str(path).startswith("tiled:"):
        from redoxscope.live.replay.tiled_run import open_tiled

        return open_tiled(str(path), client=tiled, data=data)
    path = Path(path)
    try:
        if not path.is_dir():
            return _combine([_recognise(path)])
        visible = (entry for entry in path.iterdir() if not entry.name.startswith("."))
        entries = sorted(entry for entry in visible if entry.is_file())
    except OSError as error:
        raise UserError(_explain(path, error)) from error
    found, skipped = [], []
    for entry in entries:
        try:
            found.append(_recognise(entry))
        except (OSError, UserError) as error:
            skipped.append(_explain(entry, error) if isinstance(error, OSError) else str(error))
    if not found:
        telling = next((f" ({reason})" for reason in skipped if _FOREIGN not in reason), "")
        count = f"none of the {len(entries)} files in this folder can be replayed{telling}"
        raise UserError(f"{path}: {count if entries else 'an empty folder'}; give a folder with {_KNOWN}")
    damaged = [reason for reason in skipped if _FOREIGN not in reason]
    for reason in damaged[:_TOLD]:
        tell(f"skipped {reason}")
    if len(damaged) > _TOLD:
        tell(f"skipped {len(damaged) - _TOLD} more files in {path}")
    return _combine(found)


def _recognise(path: Path) -> FxiFile | JournalSource:
    if not stat.S_ISREG(path.stat().st_mode):
        raise UserError(f"{path}: neither a file nor a folder; give {_KNOWN}")
    with path.open("rb") as file:
        head = file.read(8)
    match head:
        case b"":
            raise UserError(f"{path}: the file is empty; give {_KNOWN}")
        case _ if head == _HDF5:
            return read_header(path)
        case _ if head == MAGIC:
            return JournalSource(path)
        case _ if head == _OLE:
            raise UserError(f"{path}: Xradia .xrm files cannot be read yet; convert it to HDF5 in FXI layout")
    raise UserError(f"{path}: {_FOREIGN}; give {_KNOWN}")


def _combine(found: Sequence[FxiFile | JournalSource]) -> Source:
    files = [item for item in found if isinstance(item, FxiFile)]
    journals = [item for item in found if isinstance(item, JournalSource)]
    journals.sort(key=lambda journal: journal.time)
    parts: list[Source] = [FxiSource(files)] if files else []
    parts += journals
    return parts[0] if len(parts) == 1 else _Several(parts)


def _explain(path: Path, error: OSError) -> str:
    match error.errno:
        case errno.ENOENT | errno.ENOTDIR:
            return f"{path}: there is no such file or folder; check the spelling"
        case errno.EACCES | errno.EPERM:
            return f"{path}: permission denied; ask its owner for the right to read it"
    return f"{path}: {error.strerror or error}; check that it can be read"
