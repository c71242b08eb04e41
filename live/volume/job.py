"""The analysis of a 3D scan, in a process of its own: `python -m redoxscope.live.volume.job`.

Lines of JSON on standard input say which job it is, which journals to follow, and that the scan is complete; lines of
JSON on standard output say how far it is. If its input ends before, the monitor has gone, and the process ends with all
that it has started: what it has done stays on disk and is taken up by the next one.
"""

import json
import os
import queue
import shutil
import signal
import sys
import threading
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from redoxscope.live.profile import Profile
from redoxscope.live.volume.arrivals import Arrivals
from redoxscope.live.volume.gather import Gatherer
from redoxscope.live.volume.knot_files import KnotFiles
from redoxscope.live.volume.process import VolumeJob
from redoxscope.live.volume.slabs import KNOTS, PLAN, TOMOGRAMS, make_slabs, slab_path, workers
from redoxscope.live.volume.slices import LiveSlices, final_slices
from redoxscope.live.volume.tomograms import TomogramFiles

_LOOK = 0.3
"""Seconds between two looks into the journals."""
_KEY = "inputs.json"
_FINAL = 1 << 20
"""Version of the slices that no others follow."""


class _Parent:
    """What the monitor says, as it comes."""

    def __init__(self) -> None:
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._listen, name="parent", daemon=True).start()

    def next(self, timeout: float | None = None) -> dict[str, Any]:
        """The next thing that it says; empty if there is none in time."""
        try:
            line = self._lines.get(timeout=timeout)
        except queue.Empty:
            return {}
        said: dict[str, Any] = json.loads(line)
        return said

    def _listen(self) -> None:
        for line in sys.stdin:
            self._lines.put(line)
        # Whatever is being done: a new monitor's analysis may begin in the same files at any moment.
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(1)


def run(parent: _Parent) -> None:
    """Follow the scan to its end, then write its volume and topography into the series folder."""
    job = VolumeJob(**parent.next()["job"])
    profile = Profile.model_validate(job.profile)
    folder = Path(job.folder)
    scratch = folder / ".volume"
    files = TomogramFiles(scratch / TOMOGRAMS)
    gatherer = Gatherer(profile, files, _Once().warn)
    arrivals = Arrivals(profile, files, KnotFiles(scratch / KNOTS), scratch)
    journals = _follow(parent, gatherer, arrivals, LiveSlices(profile, gatherer, folder), (scratch / PLAN).exists())
    gatherer.settle(lambda fraction: say(stage="read", fraction=fraction))
    _finish(job, profile, gatherer, arrivals, journals, scratch)
    shutil.rmtree(scratch)


def _follow(parent: _Parent, gatherer: Gatherer, arrivals: Arrivals, slices: LiveSlices, planned: bool) -> list[Path]:
    """Normalise, place and fold what comes and show slices of it, until the scan is complete; returns its journals.

    If the volume was planned already, a process that was killed had come so far: its knots stay as they are.
    """
    journals: list[Path] = []
    waiting: list[float] = []
    while True:
        said = parent.next(0 if waiting else _LOOK)
        if "journal" in said:
            journals.append(Path(said["journal"]))
            gatherer.follow(journals[-1])
        gatherer.read()
        if said.get("complete"):
            return journals
        waiting = [] if planned else arrivals.waiting() + gatherer.ready()
        for energy in waiting[:1]:
            if energy in gatherer.files.made or gatherer.gather(energy):
                still = arrivals.add(energy)
                if still is not None and slices.add(energy, still, arrivals.axis_offset):
                    say(stage="slices", energies=slices.count)


def _finish(
    job: VolumeJob, profile: Profile, gatherer: Gatherer, arrivals: Arrivals, journals: list[Path], scratch: Path
) -> None:
    from redoxscope.analysis.topography.report import topography
    from redoxscope.analysis.volume.evaluate import slab_rows
    from redoxscope.analysis.volume.plan import plan_volume
    from redoxscope.live.series_folder import SeriesFolder
    from redoxscope.live.volume.assembly import assembled
    from redoxscope.live.volume.plan_file import load_plan, save_plan

    files = gatherer.files
    energies = np.array(files.energies)
    folder = SeriesFolder(Path(job.folder))
    pixel = gatherer.pixel_size if np.isfinite(gatherer.pixel_size) else None
    uids = [path.stem for path in journals]
    with workers(job.scheduler) as executor:
        if _is_new(scratch, files, job):
            arrivals.catch_up(lambda fraction: say(stage="align", fraction=fraction))
            alignment, scales = arrivals.alignment()
            plan = plan_volume(
                files.all(),
                energies,
                files.angles,
                [table.edge() for table in profile.edges],
                scales=scales,
                recipe=profile.tomography.recipe(),
                subspace=profile.edge.subspace,
                progress=lambda stage, fraction: say(stage=stage, fraction=fraction),
                alignment=alignment,
                early=arrivals.early(),
            )
            save_plan(scratch / PLAN, replace(plan, findings=(*gatherer.missing(), *plan.findings)))
        plan = load_plan(scratch / PLAN)
        for finding in plan.findings:
            say(warning=finding, finding=True)
        shape = files.all()[0].shape
        rows = [part.stop - part.start for part in slab_rows(plan, shape)]
        slabs = [slab_path(scratch, number) for number in range(len(rows))]
        folder.set_slabs(slabs, rows, shape[2], pixel)
        say(stage="slabs", fraction=0.0)
        make_slabs(scratch, len(slabs), executor, lambda done: say(stage="reconstruct", fraction=done / len(slabs)))
    volume, *others = assembled(plan, slabs, scratch)
    folder.set_slices(final_slices(volume), int(np.isfinite(plan.alignment.drift[:, 0]).sum()), _FINAL)
    by_name = {p.edge.name: v for p, v in zip(plan.edges[1:], others, strict=True)}
    folder.set_volume(volume, pixel, uids, by_name, gatherer.time())
    say(stage="stored", fraction=1.0)
    say(stage="topography", fraction=0.0)
    levels = profile.iso_energies.values()
    folder.set_topography(topography(np.asarray(volume.edge_energy), levels, pixel or 1.0, sigma=volume.sigma))
    say(
        done=True,
        voxels=int(np.isfinite(volume.edge_energy).sum()),
        axis_offset=plan.alignment.axis_offset,
        axis_quality=plan.alignment.axis_quality,
        **gatherer.counts(),
    )


def _is_new(scratch: Path, files: TomogramFiles, job: VolumeJob) -> bool:
    """Whether a plan that is there is of other inputs; then it and its slabs go."""
    inputs = json.dumps([files.angles.tolist(), sorted((e, repr(m)) for e, m in files.made.items()), job.profile])
    key = scratch / _KEY
    same = key.exists() and key.read_text() == inputs and (scratch / PLAN).exists()
    if not same:
        for path in [scratch / PLAN, *scratch.glob("slab_*.h5")]:
            path.unlink(missing_ok=True)
        key.write_text(inputs)
    return not same


class _Once:
    """Warnings, each told once: what is read again at the end fails again."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def warn(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            say(warning=text)


def say(**facts: object) -> None:
    """A line of progress for the parent."""
    print(json.dumps(facts), flush=True)


def main() -> int:
    """Run the job that standard input names; errors are said in a line of JSON."""
    os.nice(5)
    try:
        run(_Parent())
    except Exception as error:
        traceback.print_exc()
        say(error=str(error) or type(error).__name__)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
