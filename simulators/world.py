"""One state behind all simulated devices: the clock, the beam, the sample and what the camera would see."""

import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from redoxscope.simulators.detector import Detector
from redoxscope.simulators.drift import Drift
from redoxscope.simulators.elements import NICKEL, chosen
from redoxscope.simulators.furnace import Furnace
from redoxscope.simulators.microscope import Microscope
from redoxscope.simulators.sample import Particle
from redoxscope.simulators.status import Done, Later, Status
from redoxscope.simulators.truth import ray_half_jump, write_truth


@dataclass(frozen=True, kw_only=True)
class WorldConfig:
    """Everything that can be chosen about the simulated beamline."""

    volume_size: int = 128
    """Edge of the particle's cube, voxels"""
    detector_shape: tuple[int, int] = (192, 192)
    """(H, W)"""
    pixel_size_um: float = 0.09
    """Pixel and voxel size, µm, at the first of the `energies`"""
    axis_offset: float = 3.3
    """Rotation axis minus detector centre, px"""
    counts_per_second: float = 20000.0
    """Mean of the open beam"""
    dark_per_second: float = 5.0
    """Mean dark current, counts"""
    drift_per_root_hour: float = 0.6
    """rms drift of each component after an hour, px"""
    ramp: float = 10.0
    """Heater ramp, °C per minute"""
    lag: float = 90.0
    """The sample's temperature follows with this time constant, s"""
    start_time: float = 1_700_000_000.0
    """Simulated clock at the start, s since the epoch"""
    real_time: float | None = None
    """None: time is never slept for. A number: so many simulated seconds pass in one real second"""
    edges: tuple[str, ...] = ("Ni K",)
    """Edges that a XANES scan sweeps over, names from `elements.ELEMENTS`; without those of manganese and cobalt the
    particle holds none"""

    @property
    def energies(self) -> NDArray[np.float64]:
        """(n,) eV: of a XANES scan over the `edges`."""
        return np.concatenate([element.energies for element in chosen(self.edges)])

    @classmethod
    def quick(cls, *, real_time: float | None = None) -> "WorldConfig":
        """A particle of 64 voxels on 88 × 88 pixels."""
        return cls(volume_size=64, detector_shape=(88, 88), pixel_size_um=0.18, real_time=real_time)


class World:
    """The simulated beamline's state; devices read and change it, only `sleep` and `settle` move its clock.

    Parameters
    ----------
    config : default: `WorldConfig()`
    seed : of the particle, the optics, the noise and the drift, each with a stream of its own
    """

    def __init__(self, config: WorldConfig | None = None, seed: int = 0):
        self.config = config = config or WorldConfig()
        optics, drift = (np.random.default_rng([seed, stream]) for stream in (1, 2))
        self.particle = Particle(config.volume_size, seed)
        reference = float(config.energies[0])
        self.microscope = Microscope(
            self.particle,
            config.detector_shape,
            config.axis_offset,
            elements=chosen({NICKEL.edge, *config.edges}),
            reference_energy=reference,
        )
        self.energy_range = (min(8000.0, reference - 200.0), 8600.0)
        """eV that the monochromator reaches"""
        self.detector = Detector(config.detector_shape, config.counts_per_second, config.dark_per_second, optics)
        self.furnace = Furnace(config.start_time, config.ramp, config.lag)
        self._drift = Drift(config.start_time, config.drift_per_root_hour, drift)
        self._drift_origin: tuple[float, float] | None = None
        self.lock = threading.RLock()
        self.energy = reference
        """eV"""
        self.angle = 0.0
        """deg"""
        self.sample_in = True
        self.shutter_open = False
        self.exposure_time = 1.0
        """s"""
        self.flux = 1.0
        """Strength of the beam; faults lower it"""
        self.kick = (0.0, 0.0)
        """(dy, dx) px the stage is off; faults change it"""

    @property
    def time(self) -> float:
        """Simulated clock, s since the epoch."""
        return self.furnace.time

    def sleep(self, seconds: float) -> Status:
        """Let simulated seconds pass; the status is done at once, or when they have passed at real speed."""
        with self.lock:
            self.furnace.advance(seconds)
        return self._passed(seconds)

    def settle(self) -> Status:
        """Let time pass until the heater has settled at its setpoint."""
        with self.lock:
            before = self.time
            self.furnace.settle()
        return self._passed(self.time - before)

    def _passed(self, seconds: float) -> Status:
        speed = self.config.real_time
        return Done() if speed is None else Later(seconds / speed)

    def expose(self) -> tuple[NDArray[np.uint16], float]:
        """One frame, (H, W) counts, of the state as it is, and the simulated time of the exposure's middle.

        The clock stands still; the camera lets the exposure pass.
        """
        with self.lock:
            time = self.time + 0.5 * self.exposure_time
            transmission: NDArray[np.float32] | float = 1.0 if self.shutter_open else 0.0
            if self.shutter_open and self.sample_in:
                absorbance = self.microscope.absorbance(
                    self.energy, self.furnace.extent, self.angle, drift=self.sample_shift(time)
                )
                transmission = np.exp(-absorbance)
            frame = self.detector.expose(transmission, self.exposure_time, self.energy, flux=self.flux)
            return frame, time

    def sample_shift(self, time: float) -> tuple[float, float]:
        """(dy, dx) px of the sample against the first frame taken of it, without the magnification."""
        dy, dx = self._drift.at(time)
        if self._drift_origin is None:
            self._drift_origin = (dy, dx)
        return dy - self._drift_origin[0] + self.kick[0], dx - self._drift_origin[1] + self.kick[1]

    def true_volume(self, time: float) -> NDArray[np.float32]:
        """(z, y, x) edge energy in eV at a past time (s since the epoch); NaN outside the material."""
        return self.particle.edge_energy(self.furnace.at(time)[1])

    def true_map(self, time: float, edge: str = NICKEL.edge) -> NDArray[np.float32]:
        """(H, W) half-jump in eV of the noise-free ray spectra at a past time, on the first frame's pixels.

        NaN where the edge jump is below 0.02. Mixing along the beam is in it.
        """
        return ray_half_jump(self.microscope, self.furnace.at(time)[1], *chosen([edge]))

    def transformed(self, time: float) -> float:
        """Share of the material, 0..1, past midway at a past time."""
        return self.particle.transformed(self.furnace.at(time)[1])

    def save_truth(self, path: str | Path, map_times: ArrayLike, volume_time: float | None) -> None:
        """Write maps and volume at past times to HDF5; see `truth.write_truth`."""
        times = np.atleast_1d(np.asarray(map_times, dtype=np.float64))
        write_truth(self, Path(path), times, volume_time)
