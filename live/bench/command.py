"""The command: all stages, one after the other."""

import json
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from redoxscope.live.bench.front import front_stages
from redoxscope.live.bench.inputs import Sizes
from redoxscope.live.bench.measure import Outcome, Stage, measure
from redoxscope.live.bench.peers import missing
from redoxscope.live.bench.report import document, machine, table
from redoxscope.live.bench.solid import tomography_stages, topography_stage
from redoxscope.live.bench.spectral import (
    absorbance_stage,
    end_to_end_stage,
    map_stages,
    neighbours_stage,
    registration_stage,
    resample_stage,
    update_stage,
)
from redoxscope.live.errors import UserError

_WEIGHTS = (1, 1, 1, 12, 40, 40, 2, 4, 40, 30, 1, 3, 90)
"""About how long the stages take, for the time left."""


def bench(target: Path | None, sizes: Sizes | None = None) -> int:
    """Measure, print, and write to the JSON file `target`; 1 if a result differs from a peer's, else 0."""
    sizes = sizes or Sizes()
    if target is not None:
        _check(target)
    console = Console()
    absent, facts = missing(), machine()
    outcomes = _measured(sizes)
    console.print(table(outcomes))
    console.print(
        f"{facts['processor']}, {facts['threads']} threads, load at the start {facts['load'] or 0:.1f}; "
        f"medians of up to {sizes.repetitions} repetitions, ours before each peer's",
        soft_wrap=True,
    )
    for name, error in {name: error for outcome in outcomes for name, error in outcome.failed.items()}.items():
        console.print(f"{name} failed: {error}", soft_wrap=True, markup=False)
    for name, how in absent.items():
        console.print(f"{name} is not installed ({how})", soft_wrap=True, markup=False)
    if target is not None:
        target.write_text(json.dumps(document(outcomes, sizes, absent, facts), indent=1) + "\n")
        console.print(f"all numbers: {target}", soft_wrap=True)
    return 0 if all(peer.agrees for outcome in outcomes for peer in outcome.peers) else 1


def _measured(sizes: Sizes) -> list[Outcome]:
    outcomes = []
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("making input", total=sum(_WEIGHTS))
        for stage, weight in zip(_stages(sizes), _WEIGHTS, strict=True):
            progress.update(task, description=stage.name)

            def tick(step: float = weight / (sizes.repetitions + 1)) -> None:
                progress.advance(task, step)

            outcomes.append(measure(stage, sizes.repetitions, tick))
            progress.update(task, description="making input")
    return outcomes


def _stages(sizes: Sizes) -> Iterator[Stage]:
    """Each is made when it is its turn: the inputs are large."""
    yield absorbance_stage(sizes)
    yield resample_stage(sizes)
    yield registration_stage(sizes)
    yield update_stage(sizes)
    yield from map_stages(sizes)
    yield neighbours_stage(sizes)
    yield from tomography_stages(sizes)
    yield topography_stage(sizes)
    yield from front_stages(sizes)
    yield end_to_end_stage(sizes)


def _check(target: Path) -> None:
    """Better now than after minutes."""
    if not target.parent.is_dir():
        raise UserError(f"no folder {target.parent} to write {target.name} into: make it, or give another file")
    if target.is_dir():
        raise UserError(f"{target} is a folder: give the name of a file")
