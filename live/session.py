"""A monitor at work: with its store, its terminal and its source of documents."""

import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from redoxscope.live import interrupts
from redoxscope.live.announced import check_announced
from redoxscope.live.errors import UserError
from redoxscope.live.keeper import Keeper
from redoxscope.live.monitor import Monitor
from redoxscope.live.profile import Profile, load_profile
from redoxscope.live.terminal import Terminal
from redoxscope.live.tiled_server import EmbeddedTiled
from redoxscope.live.tiled_store import connect
from redoxscope.live.transport import Receiver, make_key
from redoxscope.live.volume.slabs import check_scheduler
from redoxscope.live.volume.warm import start_warming

if TYPE_CHECKING:
    from redoxscope.live.replay import Source


@contextmanager
def monitoring(
    data: Path,
    profile: Profile,
    terminal: Terminal,
    server: EmbeddedTiled | str,
    *,
    source: str,
    scheduler: str | None = None,
) -> Iterator[Monitor]:
    """A monitor that keeps its results in DIR and in Tiled: our own server, or the one at a URI.

    On the way out, whatever happened, everything that is there is stored, and said.
    """
    warming = start_warming()
    keeper = Keeper(server.client if isinstance(server, EmbeddedTiled) else _connection(server), data)
    monitor = Monitor(data, profile, source=source, observer=terminal, keeper=keeper, scheduler=scheduler)
    try:
        with terminal:
            yield monitor
            terminal.note("storing in Tiled")
            keeper.close()
    finally:
        # A second Ctrl-C would cut short what saves the first one's data.
        with _deaf_to_interrupts():
            if warming is not None:
                warming.kill()
                warming.wait()
            monitor.close()
            terminal.stopped(monitor, keeper.close(timeout=20.0), keeper.error)
            if isinstance(server, EmbeddedTiled):
                server.close()


def _connection(uri: str) -> Callable[[], Any]:
    client = connect(uri)
    return lambda: client


def listen(
    data: Path,
    profile: Profile,
    address: str,
    *,
    key: Path | None = None,
    tiled: str | None = None,
    until_eof: bool = False,
    scheduler: str | None = None,
) -> int:
    """`redoxscope monitor`: take documents at a 0MQ address until Ctrl-C, or until standard input ends."""
    check_scheduler(scheduler)
    if key is not None and not key.exists():
        make_key(key)
    receiver = Receiver(address, key=key)
    try:
        server = tiled or EmbeddedTiled(data)
        with monitoring(data, profile, Terminal(), server, source=address, scheduler=scheduler) as monitor:
            ends = "the end of standard input" if until_eof else "Ctrl-C"
            monitor.observer.message(f"listening at {receiver.address}, {ends} ends it")
            monitor.resume()
            try:
                while not (until_eof and _is_at_end(sys.stdin.fileno())):
                    pump(receiver, monitor)
                while pump(receiver, monitor):
                    pass
            except OSError as error:
                monitor.observer.message(
                    f"cannot write to {data}: {error.strerror or error}; make room and start again: what the monitor "
                    "has not taken is kept by its publisher"
                )
                return 1
            monitor.wait()
    finally:
        receiver.close()
    return 0


def _is_at_end(descriptor: int) -> bool:
    """Whether nothing more can be read; what can be read is thrown away."""
    return bool(select.select([descriptor], [], [], 0)[0]) and not os.read(descriptor, 4096)


def pump(receiver: Receiver, monitor: Monitor, timeout: float = 0.2) -> int:
    """Hand what has arrived to the monitor; it is acknowledged when it is in the journal. Returns how much it was.

    Raises OSError if the disk is full: then nothing is acknowledged, and the publisher keeps it.
    """
    interrupts.check()
    arrived = receiver.poll(timeout)
    for name, doc, acknowledge in arrived:
        monitor.take(name, doc)
        acknowledge()
    monitor.poll()
    monitor.observer.tick()
    return len(arrived)


def replay(
    source: str,
    data: Path,
    *,
    profile: str | None = None,
    speed: float | None = None,
    scheduler: str | None = None,
) -> int:
    """`redoxscope replay`: recorded documents through the monitor."""
    from redoxscope.live.replay import open_source, paced, renewed

    check_scheduler(scheduler)
    chosen = load_profile(profile) if profile else None
    left_out: list[str] = []
    if source.startswith("tiled:"):
        server = EmbeddedTiled(data)
        try:
            recording = open_source(source, tiled=server.client())
            chosen = _fit(recording, source, chosen)
        except BaseException:
            server.close()
            raise
    else:
        recording = open_source(source, tell=left_out.append)
        chosen = _fit(recording, source, chosen)
        server = EmbeddedTiled(data, readable=_folders(source))
    terminal = Terminal(total=recording.frames)
    with monitoring(data, chosen, terminal, server, source=source, scheduler=scheduler) as monitor:
        for line in left_out:
            monitor.observer.message(line)
        documents = renewed(recording.documents(), monitor.has_run, chosen.documents.series)
        for name, doc in paced(documents, speed):
            interrupts.check()
            monitor.take(name, doc)
            monitor.observer.tick()
        monitor.finish()
    return 0 if monitor.touched and not monitor.failures else 1


def _fit(recording: "Source", source: str, profile: Profile | None) -> Profile:
    """The profile to read a recording with. Raises UserError if none of its scans can give an edge."""
    chosen = profile or load_profile(recording.profile or "simulated")
    refused = None
    for name, doc in recording.documents():
        if name == "start":
            try:
                check_announced(doc, chosen)
            except UserError as error:
                refused = refused or error
            else:
                return chosen
    if refused is not None:
        raise UserError(f"{source}: {refused}")
    return chosen


def _folders(source: str) -> tuple[Path, ...]:
    """Where the frames of a recording may stand, for Tiled to read."""
    path = Path(source)
    return (path.resolve() if path.is_dir() else path.resolve().parent,) if path.exists() else ()


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    held: list[tuple[signal.Signals, Callable[..., Any] | int | None]] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        held.append((number, signal.getsignal(number)))
        signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in held:
            signal.signal(number, handler)
