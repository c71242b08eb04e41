"""What came out, as a table and as JSON."""

import os
import platform
import time
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numba
from rich.table import Table

from redoxscope.live.bench.inputs import Sizes
from redoxscope.live.bench.measure import Outcome, PeerOutcome
from redoxscope.live.versions import versions

_PEER_PACKAGES = ("xraylarch", "pyxas", "txm_sandbox", "algotom", "pyvista", "vtk")


def table(outcomes: list[Outcome]) -> Table:
    """Stage by stage: our rate, times the memory pass, and each peer with how many times faster we are."""
    out = Table(
        "stage", "redoxscope", "× memory pass", "peer", "its rate", "we are", "processor time", "difference", box=None
    )
    for outcome in outcomes:
        unit = f"{outcome.stage.unit}/s"
        first = (outcome.stage.name, f"{outcome.ours.rate:.4g} {unit}", f"{outcome.over_memory:.3g}")
        for row, peer in enumerate(outcome.peers):
            out.add_row(*(first if row == 0 else ("", "", "")), *_cells(outcome, peer, unit))
        if not outcome.peers:
            out.add_row(*first, "", "", "", "", "")
    return out


def _cells(outcome: Outcome, peer: PeerOutcome, unit: str) -> tuple[str, ...]:
    name = f"{peer.peer.name} (stand-in)" if peer.peer.stand_in else peer.peer.name
    faster = outcome.ours.rate / peer.timing.rate
    cost = f"1/{peer.timing.cost / outcome.ours.cost:.3g}"
    verdict = "" if peer.agrees else f" [red]more than {peer.peer.tolerance:g}[/red]"
    return name, f"{peer.timing.rate:.3g} {unit}", f"{faster:.3g} × as fast", cost, f"{peer.difference:.2g}{verdict}"


def document(outcomes: list[Outcome], sizes: Sizes, absent: dict[str, str], facts: dict[str, Any]) -> dict[str, Any]:
    """All numbers, and what they were measured with: what `--json` writes.

    Returns
    -------
    time : when, ISO 8601
    machine : processor, cores (usable), threads (ours), system, load (of the last minute, at the start)
    versions : by package, of ours, of what we use and of the peers that are installed
    sizes : see `Sizes`
    not_installed : peers that cannot be imported, and how to get them; their algorithms stand in
    stages : a list, each with

        name, unit : of the stage, and what it does per second, as "Mpixel/s"
        amount : units that one run does
        rate : units per second, amount over the median of `seconds`
        seconds, processor_seconds : of each run, of which there is one before each run of each peer; the latter of all
            threads of the process together
        memory_pass : of a copy of the bytes that the stage must touch, as often: bytes, seconds (of each
            run), bytes_per_second, and ratio, the stage's median time over the pass's
        compared : what `difference` is of, with its unit
        failed : peers that raised an error, and what they said; by name
        peers : a list, each with name, stand_in (its published algorithm instead of the package), amount, rate,
            seconds and processor_seconds as above (a peer's child processes are not in the latter), times_faster
            (rate over the peer's), times_cheaper (the peer's processor time per unit over ours), difference (of the two
            results), tolerance, and agrees (difference ≤ tolerance)
    """
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "machine": facts,
        "versions": versions() | _peer_versions(),
        "sizes": asdict(sizes),
        "not_installed": absent,
        "stages": [_stage(outcome) for outcome in outcomes],
    }


def _stage(outcome: Outcome) -> dict[str, Any]:
    stage = outcome.stage
    return {
        "name": stage.name,
        "unit": f"{stage.unit}/s",
        "amount": stage.amount,
        "rate": outcome.ours.rate,
        "seconds": outcome.ours.seconds,
        "processor_seconds": outcome.ours.processor_seconds,
        "memory_pass": {
            "bytes": outcome.memory.amount,
            "seconds": outcome.memory.seconds,
            "bytes_per_second": outcome.memory.rate,
            "ratio": outcome.over_memory,
        },
        "compared": stage.compared,
        "failed": outcome.failed,
        "peers": [
            {
                "name": peer.peer.name,
                "stand_in": peer.peer.stand_in,
                "amount": peer.timing.amount,
                "rate": peer.timing.rate,
                "seconds": peer.timing.seconds,
                "processor_seconds": peer.timing.processor_seconds,
                "times_faster": outcome.ours.rate / peer.timing.rate,
                "times_cheaper": peer.timing.cost / outcome.ours.cost,
                "difference": peer.difference,
                "tolerance": peer.peer.tolerance,
                "agrees": peer.agrees,
            }
            for peer in outcome.peers
        ],
    }


def machine() -> dict[str, Any]:
    """What the numbers depend on besides the software; the load is that of now."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": numba.get_num_threads(),
        "system": platform.platform(),
        "load": load,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _peer_versions() -> dict[str, str]:
    out = {}
    for name in _PEER_PACKAGES:
        try:
            out[name] = version(name)
        except PackageNotFoundError:
            continue
    return out
