"""A whole operando experiment on the simulated beamline: heating series, tomogram half-way, truth."""

from collections.abc import Collection, Generator, Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from bluesky import RunEngine
from bluesky.utils import DuringTask, Msg
from numpy.typing import NDArray

from redoxscope.simulators.devices import Beamline, make_beamline
from redoxscope.simulators.elements import NICKEL, chosen
from redoxscope.simulators.faults import Callback, check_faults, faulty
from redoxscope.simulators.plans import operando_heating
from redoxscope.simulators.sample import reaction_rate
from redoxscope.simulators.spectra import ENERGIES_53
from redoxscope.simulators.world import World, WorldConfig

HOT = 231.0
FIRST, HALF_WAY, LAST = 0.05, 0.5, 0.95
"""Share of the material that is transformed at the first map at 231 °C, at the 3D scan, and at the last map."""

_POST = ENERGIES_53[ENERGIES_53 > 8380]
ENERGIES_3D_QUICK: NDArray[np.float64] = np.concatenate(
    [[8200, 8240, 8280, 8300], [8320, 8330], np.arange(8335.0, 8348), [8350, 8354, 8360], _POST]
)
"""30 energies: those of the post-edge line are the XANES scan's own, which keeps its oscillation's bias."""
ENERGIES_3D: NDArray[np.float64] = np.concatenate(
    [np.arange(8200.0, 8301, 20), [8320, 8325], np.arange(8330.0, 8352), [8356, 8360], _POST]
)
"""40 energies."""


@dataclass(frozen=True)
class Schedule:
    """What is measured when."""

    before: int
    """XANES scans between `FIRST` and `HALF_WAY`; one at 100 °C and one at `FIRST` come before"""
    after: int
    """XANES scans between `HALF_WAY` and `LAST`"""
    energies_3d: NDArray[np.float64]
    angles: NDArray[np.float64]

    @classmethod
    def of(cls, quick: bool) -> "Schedule":
        """Quick: 5 scans, 30 energies × 45 angles. Full: 12 scans, 40 energies × 91 angles."""
        if quick:
            return cls(1, 2, ENERGIES_3D_QUICK, np.linspace(0.0, 176.0, 45))
        return cls(5, 5, ENERGIES_3D, np.linspace(0.0, 180.0, 91))

    @property
    def frames(self) -> int:
        """Frames of the sample that it takes."""
        return (2 + self.before + self.after) * ENERGIES_53.size + self.energies_3d.size * self.angles.size

    def plan(self, world: World, beamline: Beamline, md: dict[str, Any]) -> Generator[Msg, Any, list[str]]:
        """100 °C, 231 °C to half-way, cool down for the 3D scan, and 231 °C again to the end: one series.

        A tomogram takes an hour, so the reaction is frozen for it; quenching half-way is what shows fronts,
        nuclei and necks in it, and heating again what shows the reaction to its end in the maps.
        """
        rate = reaction_rate(HOT)
        first, middle, last = (world.particle.extent_at(share) / rate for share in (FIRST, HALF_WAY, LAST))
        roles = {field.name: getattr(beamline, field.name) for field in fields(beamline)}
        common: dict[str, Any] = {**roles, "energies": world.config.energies, "series": str(uuid4()), "md": md}
        tomogram: dict[str, Any] = {"final_3d": self.angles, "energies_3d": self.energies_3d}
        legs: tuple[tuple[list[tuple[float, float]], int, dict[str, Any]], ...] = (
            ([(100.0, 5400.0), (HOT, first)], 1, {}),
            ([(HOT, middle - first)], self.before, tomogram),
            ([(HOT, last - middle)], self.after, {}),
        )
        uids: list[str] = []
        for programme, scans, extra in legs:
            interval = programme[-1][1] / scans
            uids += yield from operando_heating(programme=programme, interval=interval, **common, **extra)
        return uids


class _Times:
    """Collects the runs, and the simulated times at which they looked at the edge, `offset` eV from nickel's."""

    def __init__(self, offset: float) -> None:
        self._near = (8325 + offset, 8360 + offset)
        self.maps: list[float] = []
        self.volume: float | None = None
        self.uids: list[str] = []
        self._plan = ""
        self._primary = ""
        self._seen: list[float] = []

    def __call__(self, name: str, doc: dict[str, Any]) -> None:
        if name == "start":
            self._plan, self._seen = doc["plan_name"], []
            self.uids.append(doc["uid"])
        elif name == "descriptor" and doc["name"] == "primary":
            self._primary = doc["uid"]
        elif name == "event" and doc["descriptor"] == self._primary:
            if self._plan == "xanes_3d" or self._near[0] <= doc["data"]["mono_energy"] <= self._near[1]:
                self._seen.append(doc["timestamps"]["camera_image"])
        elif name == "stop" and self._seen:
            middle = 0.5 * (self._seen[0] + self._seen[-1])
            if self._plan == "xanes_3d":
                self.volume = middle
            else:
                self.maps.append(middle)


def _wider(config: WorldConfig) -> WorldConfig:
    """The particle in view at its last edge too, where it is larger; no pixel full at the first, where the beam is."""
    growth = ENERGIES_53[0] / config.energies[0]
    height, width = (int(np.ceil(growth * n)) for n in config.detector_shape)
    return replace(config, detector_shape=(height, width), counts_per_second=config.counts_per_second / growth**3)


def run_session(
    callbacks: Iterable[Callback],
    *,
    frames_dir: str | Path,
    quick: bool,
    seed: int = 0,
    inline: bool = False,
    faults: Collection[str] = (),
    edges: Collection[str] = (NICKEL.edge,),
    real_time: float | None = None,
    truth_path: str | Path | None = None,
) -> list[str]:
    """Run the experiment on a RunEngine of its own.

    Parameters
    ----------
    callbacks : each is given every document, (name, document)
    frames_dir : where the frames' HDF5 files go
    quick : the small sample and few scans, or the full ones; see `WorldConfig` and `Schedule`
    seed : of the world
    inline : frames in the events instead of in files
    faults : names from `faults.FAULTS`
    edges : what the XANES scans sweep over, names from `elements.ELEMENTS`; the 3D scan is of nickel's
    real_time : None: as fast as it goes; a number: so many simulated seconds per real second
    truth_path : HDF5 file for the truth at the time of every scan; see `truth.write_truth`. There is none of the volume
        where the scans begin at another edge: its voxels would be those of another magnification

    Returns
    -------
    uids of the runs, in order

    Raises
    ------
    ValueError
        If a fault or an edge is unknown.
    """
    check_faults(faults)
    config = WorldConfig.quick(real_time=real_time) if quick else WorldConfig(real_time=real_time)
    if tuple(edges) != (NICKEL.edge,):
        config = _wider(replace(config, edges=tuple(edges)))
    world = World(config, seed)
    beamline = make_beamline(world, frames_dir, inline, faults)
    engine = RunEngine({}, context_managers=[], during_task=DuringTask())
    times = _Times(chosen(edges)[-1].offset)
    for callback in (times, *(faulty(callback, faults) for callback in callbacks)):
        engine.subscribe(callback)
    md = {"sample": "simulated nickel-rich oxide particle", "pixel_size_um": config.pixel_size_um, "seed": seed}
    engine(Schedule.of(quick).plan(world, beamline, md))
    if truth_path is not None:
        same = world.microscope.reference_energy == ENERGIES_53[0]
        world.save_truth(truth_path, times.maps, times.volume if same else None)
    return times.uids
