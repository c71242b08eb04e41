"""An embedded Tiled server: a child process with its catalogue below DIR/tiled, for this user on this machine only.

Run as `python -m redoxscope.live.tiled_server` it is that child. It ends when its standard input does, which is when
the parent closes it or dies, however suddenly.
"""

import contextlib
import fcntl
import logging
import os
import re
import secrets
import select
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any, Self

from redoxscope.live.errors import UserError
from redoxscope.live.tiled_text import one_line

_STARTS = 6  # SimpleTiledServer gives a start 20 s, a loaded machine needs up to 70
_GOODBYE = 5.0  # s for the requests that are being answered


class TiledError(UserError):
    """Tiled cannot be reached or refuses; the message is one line. What was to be stored is to be tried again."""


class EmbeddedTiled:
    """A Tiled server for one data folder. It is started at once; `client` waits until it answers.

    Parameters
    ----------
    data : DIR; whatever is in it can be registered
    readable : more folders with files that can be registered

    Raises
    ------
    UserError
        If another process uses DIR, or it cannot be written to.
    """

    def __init__(self, data: Path | str, *, readable: Iterable[Path | str] = ()) -> None:
        self.data = Path(data).resolve()
        self.folder = self.data / "tiled"
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.folder.chmod(0o700)
            self._lock = _locked(self.folder)
            try:
                self._key = _key(self.folder)
                self._log = self.folder / "server.log"
                self._child = self._start([self.data, *(Path(root).resolve() for root in readable)])
            except BaseException:
                os.close(self._lock)
                raise
        except OSError as error:
            raise UserError(f"{self.data}: {error.strerror or error}; give another --data") from error
        self._said = b""
        self._waiting = threading.Lock()

    def _start(self, roots: list[Path]) -> "subprocess.Popen[bytes]":
        # Locking would let a reader's request fail the writer of the file that is read.
        env = {name: value for name, value in os.environ.items() if not name.startswith("TILED_")}
        env |= {"HDF5_USE_FILE_LOCKING": "FALSE", "TILED_HDF5_SWMR_DEFAULT": "1"}
        python = [sys.executable, "-P", "-W", "ignore::UserWarning", "-m", "redoxscope.live.tiled_server"]
        command = [*python, str(self.folder), str(os.getpid()), *map(str, roots)]
        with self._log.open("wb") as log:
            return subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=env, pass_fds=[self._lock]
            )

    def wait(self, timeout: float = 180.0) -> str:
        """The address of the API, without the key, as soon as it answers. Raises TiledError if it never will."""
        with self._waiting:
            if self._lock < 0:
                raise TiledError("the Tiled server is closed")
            out = _pipe(self._child.stdout)
            deadline = time.monotonic() + timeout
            while not self._said.endswith(b"\n"):
                if not select.select([out], [], [], max(0.0, deadline - time.monotonic()))[0]:
                    raise TiledError(f"the Tiled server has not started within {timeout:.0f} s; see {self._log}")
                if not (said := os.read(out.fileno(), 1000)):
                    raise TiledError(f"the Tiled server did not start ({_reason(self._log)}); see {self._log}")
                self._said += said
        return self._said.decode().strip()

    @property
    def uri(self) -> str:
        """The address of the API, without the key."""
        return self.wait()

    def client(self, timeout: float = 180.0) -> Any:
        """A new client of the root of the catalogue; waits until the server answers."""
        from tiled.client import from_uri

        uri = self.wait(timeout)
        try:
            return from_uri(uri, api_key=self._key, trust_env=False)
        except Exception as error:
            raise TiledError(f"the Tiled server does not answer ({one_line(error)}); see {self._log}") from error

    def close(self) -> None:
        """Stop the server and wait until it is gone; harmless when done twice."""
        if self._lock < 0:
            return
        with contextlib.suppress(OSError):
            _pipe(self._child.stdin).close()
        for signum in (0, signal.SIGTERM, signal.SIGKILL):
            self._child.send_signal(signum)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(2 * _GOODBYE)
                break
        with self._waiting:
            if self._lock >= 0:
                _pipe(self._child.stdout).close()
                os.close(self._lock)
                self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream


def _locked(folder: Path) -> int:
    """A descriptor that holds the lock of the folder. Child and parent share it, so that it outlives neither."""
    fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for _ in range(100):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(fd, 20, 0).decode(errors="replace").strip()
            if pid.isdecimal() and _lives(int(pid)):
                break
            time.sleep(0.1)  # its parent is dead, so this server is about to end
        else:
            os.ftruncate(fd, 0)
            os.pwrite(fd, str(os.getpid()).encode(), 0)
            return fd
    os.close(fd)
    raise UserError(
        f"another redoxscope (process {pid}) is using {folder.parent}; choose another --data or stop that one"
    )


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _key(folder: Path) -> str:
    """The key of this store, made when there is none."""
    path = folder / "key"
    if not path.exists():
        new = folder / f"key.{os.getpid()}"
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "w") as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(fd)
        new.replace(path)
    path.chmod(0o600)
    return path.read_text("ascii").strip()


def _reason(path: Path) -> str:
    """What the log says of the end: the last line that is an exception's, with nothing drawn around it."""
    lines = path.read_text("utf-8", errors="replace").splitlines()
    found = [line for line in lines if re.match(r"[\w.]+(Error|Exception): [\w(]", line)]
    return (found or [line for line in lines if line.strip()] or ["no reason given"])[-1].strip()[:200]


def main() -> None:
    """Serve until standard input ends: arguments are the server's folder, the parent's pid and the readable roots."""
    folder, parent, *roots = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's: it still has things to store
    ready, gone = threading.Event(), threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: gone.set())
    threading.Thread(target=_watch, args=(int(parent), ready, gone), daemon=True).start()
    try:
        server = _serve(Path(folder), roots)
    except BaseException as error:
        traceback.print_exception(error)
        sys.stderr.flush()
        os._exit(1)  # its threads are no daemons
    ready.set()
    print(server.uri.split("?")[0], flush=True)
    gone.wait()
    closing = threading.Thread(target=server.close, daemon=True)
    closing.start()
    closing.join(_GOODBYE)
    os._exit(0)


def _watch(parent: int, ready: threading.Event, gone: threading.Event) -> None:
    """Notice the parent's end: the pipe closes, or, if something holds it open, another process is our parent."""
    while os.getppid() == parent:
        if select.select([0], [], [], 1.0)[0] and not os.read(0, 1000):
            break
    gone.set()
    if not ready.is_set():
        os._exit(0)


def _serve(folder: Path, roots: list[str]) -> Any:
    from tiled.server import SimpleTiledServer

    from redoxscope.live.tiled_leftovers import remove_leftovers
    from redoxscope.live.tiled_virtual import read_datasets_in_parts

    remove_leftovers(folder)
    read_datasets_in_parts()
    key = _key(folder)
    for attempt in range(_STARTS):
        try:
            server = SimpleTiledServer(folder, api_key=key, readable_storage=list(roots))
        except TimeoutError:
            if attempt == _STARTS - 1:
                raise
        else:
            logging.getLogger("uvicorn.access").handlers.clear()  # a night's requests fill a disk
            return server
    raise AssertionError


if __name__ == "__main__":
    main()
