"""Classic ophyd devices of a transmission X-ray microscope, all of them views of one `World`.

Every reading carries the simulated time. Moves take simulated time; their statuses are done at once, or after
the same time at real speed.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ophyd import Component, Device, Kind, Signal

from redoxscope.simulators.camera import Camera
from redoxscope.simulators.faults import FaultyCamera
from redoxscope.simulators.status import Status
from redoxscope.simulators.world import World


class WorldSignal(Signal):  # type: ignore[misc]
    """One field of the world, as a signal: it reads it, and writes it without taking time."""

    def __init__(
        self,
        *,
        of: Callable[[World], float],
        to: Callable[[World, float], None] | None = None,
        units: str = "",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self._of, self._to, self._units = of, to, units

    @property
    def _world(self) -> World:
        world: World = self.parent.world
        return world

    def get(self, **kwargs: Any) -> float:
        """The field's value now."""
        return self._of(self._world)

    def put(self, value: float, **kwargs: Any) -> None:
        """Write the field.

        Raises
        ------
        TypeError
            If the signal only reads.
        """
        if self._to is None:
            raise TypeError(f"{self.name} is a readback and cannot be written")
        self._to(self._world, float(value))

    def read(self) -> dict[str, dict[str, Any]]:
        """Value and simulated time stamp."""
        return {self.name: {"value": self.get(), "timestamp": self._world.time}}

    def describe(self) -> dict[str, dict[str, Any]]:
        """A number with its unit."""
        kind = "integer" if isinstance(self.get(), int) else "number"
        numpy_kind = {"integer": "<i8", "number": "<f8"}[kind]
        return {
            self.name: {
                "source": f"SIM:{self.name}", "dtype": kind, "dtype_numpy": numpy_kind, "shape": [],
                "units": self._units,
            }
        }  # fmt: skip


class WorldDevice(Device):  # type: ignore[misc]
    """A device that is a view of the world."""

    def __init__(self, world: World, *, name: str):
        self.world = world
        super().__init__("", name=name)

    def trigger(self) -> Status:
        """Nothing to wait for."""
        return self.world.sleep(0.0)


class Monochromator(WorldDevice):
    """Photon energy in eV, key `mono_energy`; a move takes 2 s."""

    energy = Component(WorldSignal, of=lambda world: world.energy, units="eV", kind=Kind.hinted)

    def set(self, energy: float) -> Status:
        """Go to an energy in eV.

        Raises
        ------
        ValueError
            Outside 8000-8600 eV, or more where other edges are scanned: the spectra are not defined there.
        """
        low, high = self.world.energy_range
        if not low <= energy <= high:
            raise ValueError(f"{energy:g} is not within the simulated monochromator's {low:g}-{high:g} eV")
        status = self.world.sleep(2.0)
        self.world.energy = float(energy)
        return status


class Rotation(WorldDevice):
    """Rotation about the vertical axis in degrees, key `rotation_angle`; a move takes 0.3 s."""

    angle = Component(WorldSignal, of=lambda world: world.angle, units="deg", kind=Kind.hinted)

    def set(self, angle: float) -> Status:
        """Go to an angle in degrees."""
        status = self.world.sleep(0.3)
        self.world.angle = float(angle)
        return status


class SampleStage(WorldDevice):
    """The sample in the beam (1) or out of it (0) for flat fields, key `sample_in`; a move takes 1.5 s."""

    inside = Component(WorldSignal, of=lambda world: int(world.sample_in), kind=Kind.normal)

    def __init__(self, world: World, *, name: str = "sample"):
        super().__init__(world, name=name)
        self.inside.name = f"{name}_in"

    def set(self, where: str | int | bool) -> Status:
        """Move to "in" (or 1) or "out" (or 0).

        Raises
        ------
        ValueError
            For anything else.
        """
        if where not in ("in", "out", 0, 1):
            raise ValueError(f"the sample stage knows 'in' (1) and 'out' (0), not {where!r}")
        status = self.world.sleep(1.5)
        self.world.sample_in = where in ("in", 1)
        return status


class Shutter(WorldDevice):
    """Beam shutter, key `shutter_open`, 1 or 0; it takes 0.2 s."""

    open = Component(WorldSignal, of=lambda world: int(world.shutter_open), kind=Kind.normal)

    def set(self, opened: str | int | bool) -> Status:
        """Go to "open" (or 1) or "closed" (or 0).

        Raises
        ------
        ValueError
            For anything else.
        """
        if opened not in ("open", "closed", 0, 1):
            raise ValueError(f"the shutter knows 'open' (1) and 'closed' (0), not {opened!r}")
        status = self.world.sleep(0.2)
        self.world.shutter_open = opened in ("open", 1)
        return status


class Heater(WorldDevice):
    """Sample heater: `heater_temperature` follows a ramp to `heater_setpoint`, °C.

    `set` takes as long as ramp and settling do. Writing `setpoint` starts the ramp and does not wait.
    """

    temperature = Component(WorldSignal, of=lambda world: world.furnace.temperature, units="degC", kind=Kind.hinted)
    setpoint = Component(
        WorldSignal,
        of=lambda world: world.furnace.setpoint,
        to=lambda world, value: world.furnace.heat_to(value),
        units="degC",
        kind=Kind.config,
    )

    def set(self, temperature: float) -> Status:
        """Ramp to a temperature in °C; done when the sample has settled there."""
        self.setpoint.put(temperature)
        return self.world.settle()


class Timer(WorldDevice):
    """Waiting, as a device: `set(seconds)` lets simulated time pass. The plans' `timer` role."""

    def set(self, seconds: float) -> Status:
        """Let so many simulated seconds pass."""
        return self.world.sleep(seconds)

    def now(self) -> float:
        """The simulated clock, s since the epoch."""
        return self.world.time


@dataclass(frozen=True)
class Beamline:
    """The roles that the plans ask for."""

    mono: Monochromator
    rotation: Rotation
    sample: SampleStage
    shutter: Shutter
    heater: Heater
    camera: Camera
    timer: Timer


def make_beamline(world: World, frames_dir: str | Path, inline: bool = False, faults: Collection[str] = ()) -> Beamline:
    """All devices of a world.

    Parameters
    ----------
    world : the state behind them
    frames_dir : where the camera writes its HDF5 files; made if it is not there
    inline : put the frames into the events instead, and write no file
    faults : names from `faults.FAULTS`; the camera's are built in
    """
    folder = None if inline else Path(frames_dir)
    camera = FaultyCamera(world, folder, faults, name="camera") if faults else Camera(world, folder, name="camera")
    return Beamline(
        mono=Monochromator(world, name="mono"),
        rotation=Rotation(world, name="rotation"),
        sample=SampleStage(world, name="sample"),
        shutter=Shutter(world, name="shutter"),
        heater=Heater(world, name="heater"),
        camera=camera,
        timer=Timer(world, name="timer"),
    )
