"""Temperature and reaction extent over simulated time: a ramped setpoint, first-order lag, Arrhenius rate."""

from dataclasses import dataclass, field

import numpy as np

from redoxscope.simulators.sample import reaction_rate

STEP = 10.0
"""Longest step while the temperature moves, s."""
SETTLED = 0.5
"""The heater has settled when the ramp is over and the sample is this close to the setpoint, °C."""


@dataclass
class Furnace:
    """A heater with its sample; `advance` moves both through time and remembers the way."""

    time: float
    """s since the epoch, simulated"""
    ramp: float
    """°C per minute at which the setpoint moves"""
    lag: float
    """Time constant of the sample behind the ramp, s"""
    temperature: float = 25.0
    """°C, of the sample"""
    setpoint: float = 25.0
    """°C, where the ramp is going"""
    extent: float = 0.0
    """Reaction extent θ = ∫k(T)dt"""
    history: list[tuple[float, float, float]] = field(default_factory=list)
    """(time, temperature, extent) from the start on"""

    def __post_init__(self) -> None:
        self._ramped = self.temperature
        self._remember()

    @property
    def settled(self) -> bool:
        """Whether the ramp is over and the sample has followed."""
        return self._ramped == self.setpoint and abs(self.temperature - self.setpoint) <= SETTLED

    def heat_to(self, setpoint: float) -> None:
        """Start ramping to a setpoint in °C.

        Raises
        ------
        ValueError
            Outside 0-800 °C.
        """
        if not 0 <= setpoint <= 800:
            raise ValueError(f"{setpoint:g} °C is not within the simulated heater's 0-800 °C")
        self.setpoint = setpoint

    def advance(self, seconds: float) -> None:
        """Move on by simulated seconds, in short steps while the temperature changes."""
        while seconds > 0:
            still = self._ramped == self.setpoint and abs(self.temperature - self.setpoint) < 0.01
            step = seconds if still else min(seconds, STEP)
            self._step(step)
            seconds -= step

    def settle(self) -> None:
        """Move on until the heater has settled."""
        while not self.settled:
            self._step(STEP)

    def at(self, time: float) -> tuple[float, float]:
        """Temperature (°C) and extent at a time (s since the epoch) that has passed.

        Raises
        ------
        ValueError
            If the time is before the start or has not come yet.
        """
        first, last = self.history[0][0], self.history[-1][0]
        if not first <= time <= last + 1e-6:
            raise ValueError(f"time {time:.3f} s is not in the simulated past, {first:.3f} to {last:.3f} s")
        times, temperatures, extents = np.array(self.history).T
        return float(np.interp(time, times, temperatures)), float(np.interp(time, times, extents))

    def _step(self, seconds: float) -> None:
        reach = self.ramp / 60 * seconds
        self._ramped += float(np.clip(self.setpoint - self._ramped, -reach, reach))
        before = reaction_rate(self.temperature)
        self.temperature += (self._ramped - self.temperature) * -float(np.expm1(-seconds / self.lag))
        self.extent += 0.5 * (before + reaction_rate(self.temperature)) * seconds
        self.time += seconds
        self._remember()

    def _remember(self) -> None:
        self.history.append((self.time, self.temperature, self.extent))
