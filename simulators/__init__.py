"""A simulated beamline: one world model behind ophyd devices, and the plans that run on it."""

from redoxscope.simulators.devices import Beamline, make_beamline
from redoxscope.simulators.faults import FAULTS
from redoxscope.simulators.plans import operando_heating, xanes_2d, xanes_3d
from redoxscope.simulators.sample import Particle
from redoxscope.simulators.session import run_session
from redoxscope.simulators.world import World, WorldConfig

__all__ = [
    "FAULTS",
    "Beamline",
    "Particle",
    "World",
    "WorldConfig",
    "make_beamline",
    "operando_heating",
    "run_session",
    "xanes_2d",
    "xanes_3d",
]
