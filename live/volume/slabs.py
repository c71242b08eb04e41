"""The volume, slab by slab: on this machine's cores, or on a Dask cluster.

A slab is made from files by a function that takes only their places: data reach the workers over the file system, which
all of them must see. A slab that is there is not made again, whoever made it: a crash, of a worker or of all, costs no
more than the slabs that were under way.

Dask's own protocol uses pickle between scheduler and workers: give the address of a scheduler that you trust.
"""

import os
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from redoxscope.live.errors import UserError

PLAN = "plan.npz"
TOMOGRAMS = "tomograms"
KNOTS = "knots"
_SCHEMES = ("tcp", "tls", "ucx", "ws", "wss")
_CONNECT = 20.0
"""Seconds."""
_RETRIES = 5
"""Workers that may be lost under a slab."""


def slab_path(folder: Path, number: int) -> Path:
    """The file of a slab."""
    return folder / f"slab_{number:04d}.h5"


def make_slab(folder: str, number: int) -> int:
    """Make slab `number` of the scan whose plan and tomograms are in `folder`; runs in a worker."""
    import numba

    from redoxscope.analysis.volume.evaluate import evaluate_rows, slab_rows
    from redoxscope.live.volume.knot_files import KnotFiles
    from redoxscope.live.volume.plan_file import load_plan
    from redoxscope.live.volume.slab_file import write_slab
    from redoxscope.live.volume.tomograms import TomogramFiles

    numba.set_num_threads(1)
    place = Path(folder)
    target = slab_path(place, number)
    if not target.exists():
        plan = load_plan(place / PLAN)
        tomograms = TomogramFiles(place / TOMOGRAMS).all()
        shape = tomograms[0].shape
        rows = slab_rows(plan, shape)[number]
        slabs = []
        for i, edge in enumerate(plan.edges):
            knots = KnotFiles(place / KNOTS).of(edge.edge.name, shape) if edge.unmixing else None
            slabs.append(evaluate_rows(tomograms, plan, rows, number=i, knots=knots))
        write_slab(target, slabs)
    return number


def check_scheduler(address: str | None) -> None:
    """Raises UserError, naming the remedy, if a Dask scheduler is asked for and nothing answers there."""
    if address is None:
        return
    if find_spec("distributed") is None:
        raise UserError("--scheduler needs Dask: pip install 'redoxscope[cluster]'")
    try:
        parts = urlparse(address)
        if parts.scheme not in _SCHEMES or not parts.hostname or not parts.port:
            raise ValueError
        socket.create_connection((parts.hostname, parts.port), _CONNECT).close()
    except ValueError as error:
        raise UserError(f"{address}: not the address of a Dask scheduler; give one such as tcp://host:8786") from error
    except OSError as error:
        raise UserError(
            f"{address}: no Dask scheduler answers ({error.strerror or error}); check the address"
        ) from error


@contextmanager
def workers(scheduler: str | None) -> Iterator[Executor]:
    """What slabs are made by: the workers of a Dask scheduler, or processes of our own, one for each core.

    Raises UserError if the scheduler does not answer.
    """
    if scheduler is None:
        cores = len(os.sched_getaffinity(0))
        with ProcessPoolExecutor(cores, mp_context=get_context("spawn")) as executor:
            yield executor
    else:
        with _client(scheduler) as client:
            yield client.get_executor(retries=_RETRIES, pure=False)


def make_slabs(folder: Path, count: int, executor: Executor, done: Callable[[int], None]) -> None:
    """Make all slabs that are not there; `done` is told how many there are, as they come.

    Raises UserError if the workers die under it.
    """
    missing = [number for number in range(count) if not slab_path(folder, number).exists()]
    there = count - len(missing)
    done(there)
    tasks = [executor.submit(make_slab, str(folder), number) for number in missing]
    try:
        for task in as_completed(tasks):
            task.result()
            there += 1
            done(there)
    except BrokenProcessPool as error:
        raise UserError(
            "a process that made the volume was killed, perhaps for memory; what is made is kept: start again"
        ) from error


def _client(address: str) -> Any:
    check_scheduler(address)
    from distributed import Client

    try:
        return Client(address, timeout=_CONNECT, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise UserError(f"{address}: what answers is no Dask scheduler ({error}); check the address") from error
