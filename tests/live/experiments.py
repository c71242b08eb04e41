"""Simulated experiments with their truth, and what a monitor makes of them."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from bluesky import RunEngine
from bluesky.utils import DuringTask

from redoxscope.live.journal import Journal
from redoxscope.live.monitor import Monitor
from redoxscope.live.observer import Observer
from redoxscope.live.profile import Profile, load_profile
from redoxscope.live.series_folder import list_series
from redoxscope.simulators import World, WorldConfig, make_beamline, operando_heating, run_session
from redoxscope.simulators.elements import ELEMENTS
from redoxscope.simulators.faults import faulty
from redoxscope.simulators.spectra import ENERGIES_53

Documents = list[tuple[str, dict[str, Any]]]


@dataclass
class Experiment:
    documents: Documents
    frames: Path
    truth: Path | None = None
    true_maps: list[np.ndarray] = field(default_factory=list)

    @property
    def runs(self) -> list[Documents]:
        out: list[Documents] = []
        for name, doc in self.documents:
            if name == "start":
                out.append([])
            out[-1].append((name, doc))
        return out

    @property
    def scans(self) -> list[Documents]:
        return [run for run in self.runs if run[0][1]["plan_name"] == "xanes_2d"]

    def write(self, path: Path) -> Path:
        with Journal(path) as journal:
            for name, doc in self.documents:
                journal.append(name, doc)
        return path


def quick_experiment(folder: Path) -> Experiment:
    """Five XANES scans and a 3D scan."""
    documents: Documents = []
    truth = folder / "truth.h5"
    run_session(
        [lambda name, doc: documents.append((name, doc))], frames_dir=folder / "frames", quick=True, truth_path=truth
    )
    with h5py.File(truth) as file:
        return Experiment(documents, folder / "frames", truth, list(file["map_edge_energy"][()]))


def short_experiment(folder: Path, scans: int = 3, faults: Iterable[str] = (), inline: bool = False) -> Experiment:
    """XANES scans at 231 °C only."""
    kinds = list(faults)
    world = World(WorldConfig.quick(), seed=1)
    beamline = make_beamline(world, folder / "frames", inline, kinds)
    engine = RunEngine({}, context_managers=[], during_task=DuringTask())
    times: dict[str, list[float]] = {}
    documents: Documents = []

    def watch(name: str, doc: dict[str, Any]) -> None:
        if name == "start":
            times[doc["uid"]] = []
        elif name == "event" and 8325 <= doc["data"]["mono_energy"] <= 8360:
            list(times.values())[-1].append(doc["timestamps"]["camera_image"])

    engine.subscribe(watch)
    engine.subscribe(faulty(lambda name, doc: documents.append((name, doc)), kinds))
    engine(
        operando_heating(**vars(beamline), programme=[(231.0, 3000.0 * scans)], interval=3000.0, energies=ENERGIES_53)
    )
    maps = [world.true_map(float(np.median(t))) for t in times.values()]
    return Experiment(documents, folder / "frames", None, maps)


class Notes(Observer):
    """What the monitor told."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.done: list[tuple[str, int, Any, list[str]]] = []
        self.states: list[set[int]] = []
        self.outcomes: list[dict[str, Any]] = []
        self.warnings: list[str] = []

    def frame(self, scan: Any, record: Any) -> None:
        if record is not None:
            self.states.append(set(np.unique(record.state).tolist()))

    def scan_done(self, series: str, index: int, record: Any, bad: list[str]) -> None:
        self.done.append((series, index, record, bad))

    def volume_done(self, scan: Any, outcome: dict[str, Any]) -> None:
        self.outcomes.append(outcome)

    def volume_progress(self, scan: Any, fact: dict[str, Any]) -> None:
        if "warning" in fact:
            self.warnings.append(str(fact["warning"]))

    def message(self, text: str) -> None:
        self.messages.append(text)


def watch(data: Path, documents: Iterable[tuple[str, dict[str, Any]]], profile: Any = "simulated") -> Monitor:
    """A monitor that has seen the documents to their end; its observer is a `Notes`."""
    chosen = profile if isinstance(profile, Profile) else load_profile(profile)
    monitor = Monitor(data, chosen, observer=Notes())
    for name, doc in documents:
        monitor(name, doc)
    monitor.finish()
    return monitor


def notes(monitor: Monitor) -> Notes:
    assert isinstance(monitor.observer, Notes)
    return monitor.observer


def maps(data: Path) -> dict[str, np.ndarray]:
    """Stored edge-energy maps by uid of the raw run."""
    found = {}
    for folder in list_series(data):
        for index, part in enumerate(folder.scans):
            found[part.raw_uid] = folder.scan(index).edge_energy
    return found


def same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two maps know the same pixels and agree to 1e-4 eV."""
    return np.array_equal(np.isfinite(one), np.isfinite(other)) and bool(np.nanmax(np.abs(one - other)) < 1e-4)


def error(found: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    """Median |error| in eV, and the part of the true material that is covered."""
    inside = np.isfinite(true)
    off = np.abs(found - true)[inside]
    return float(np.nanmedian(off)), float(np.isfinite(off).mean())


EDGES = ("Mn K", "Co K", "Ni K")


def profile_of_edges(main: str = "Ni K", others: Iterable[str] = ("Mn K", "Co K")) -> Any:
    """The simulated beamline's, with windows at these edges as its own has them at nickel's."""
    simulated = load_profile("simulated")

    def table(name: str) -> dict[str, Any]:
        moved = ELEMENTS[name].offset
        windows = {key: [e + moved for e in getattr(simulated.edge, key)] for key in ("pre", "post", "search")}
        return {"name": name, "nominal": simulated.edge.nominal + moved, **windows}

    main_table = simulated.edge.model_dump() if main == "Ni K" else table(main)
    return Profile.model_validate(
        {**simulated.model_dump(), "edge": main_table, "other_edges": [table(name) for name in others]}
    )


def edges_experiment(
    folder: Path,
    edges: Iterable[str] = EDGES,
    scans: int = 2,
    *,
    hold: float = 9000.0,
    before: float = 0.0,
    size: float | None = 0.18,
) -> tuple[Documents, World]:
    """XANES scans over several edges at 231 °C, each after a `hold` (s) and all after so many seconds `before`."""
    config = replace(WorldConfig.quick(), edges=tuple(edges), counts_per_second=12000.0)
    world = World(config, seed=1)
    world.furnace.heat_to(231.0)
    world.settle()
    world.sleep(before)
    engine = RunEngine({}, context_managers=[], during_task=DuringTask())
    documents: Documents = []
    engine.subscribe(lambda name, doc: documents.append((name, doc)))
    engine(
        operando_heating(
            **vars(make_beamline(world, folder / "frames")),
            programme=[(231.0, hold * scans)],
            interval=hold,
            energies=config.energies,
            md={} if size is None else {"pixel_size_um": size},
        )
    )
    return documents, world
