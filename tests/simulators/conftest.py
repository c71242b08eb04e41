import os
from pathlib import Path

import pytest

from redoxscope.simulators import Particle, World, WorldConfig

SMALL = WorldConfig(
    volume_size=32, detector_shape=(48, 52), pixel_size_um=0.36, axis_offset=1.3, drift_per_root_hour=0.3
)


@pytest.fixture(scope="session")
def particle() -> Particle:
    return Particle(48, seed=3)


@pytest.fixture
def world() -> World:
    return World(SMALL, seed=5)


@pytest.fixture(scope="session")
def measured() -> Path:
    """The folder of measured spectra, which is no part of the project."""
    root = Path(os.environ.get("REDOXSCOPE_TEST_DATA") or Path(__file__).parents[2] / "../shared/data")
    folder = root / "ni_k_edge"
    if not folder.is_dir():
        pytest.skip(f"no measured spectra in {folder}: set REDOXSCOPE_TEST_DATA")
    return folder
