"""Files that are there whole or not at all, whatever kills their writer."""

import errno
import fcntl
import logging
import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

log = logging.getLogger(__name__)

_SUFFIX = ".part"
_HOST = socket.gethostname().replace("-", "_")
_STALE = 86400.0
"""Seconds after which a temporary file of another machine is taken for left over."""
_RESERVE = 1 << 20
"""Bytes."""
_serial = count()


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield the path of a new hidden file beside `target`; at the end it is synced to disk and takes its place.

    If the block raises, the file is removed and the target stays as it was.
    """
    temporary = target.with_name(f".{target.name[:100]}.{_HOST}-{os.getpid()}-{next(_serial)}{_SUFFIX}")
    try:
        yield temporary
        _sync(temporary)
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync(target.parent)


@contextmanager
def replacing_folder(target: Path) -> Iterator[Path]:
    """The same for a folder with all that is in it; between the old and the new there is for a moment none."""
    temporary = target.with_name(f".{target.name[:100]}.{_HOST}-{os.getpid()}-{next(_serial)}{_SUFFIX}")
    try:
        temporary.mkdir()
        yield temporary
        for path in temporary.rglob("*"):
            _sync(path)
        if target.exists():
            away = temporary.with_name(f"{temporary.name.removesuffix(_SUFFIX)}-old{_SUFFIX}")
            os.replace(target, away)
            os.replace(temporary, target)
            shutil.rmtree(away)
        else:
            os.replace(temporary, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _sync(target.parent)


def need_room(path: Path, size: int) -> None:
    """Raise OSError if there are less than `size` bytes free where a file is written.

    HDF5 often ends the process when a write fails: so it is asked before.
    """
    if shutil.disk_usage(path.parent).free < size + _RESERVE:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def leftovers(folder: Path) -> list[Path]:
    """Temporary files in `folder` whose writer is gone."""
    return [path for path in folder.glob(f".*{_SUFFIX}") if _abandoned(path)]


@contextmanager
def locked(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock of a folder, made if need be; without `wait`, raises BlockingIOError if it is held already.

    It is advisory, goes with the process that holds it, and is done without on file systems that know no locks.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise
        except OSError as error:
            log.debug("%s cannot be locked: %s", folder, error)
        yield


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _abandoned(path: Path) -> bool:
    host, _, rest = path.name.removesuffix(_SUFFIX).rpartition(".")[2].partition("-")
    pid = rest.partition("-")[0]
    if host == _HOST and pid.isdigit():
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
    try:
        return time.time() - path.stat().st_mtime > _STALE
    except FileNotFoundError:
        return False
