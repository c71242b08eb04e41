"""Three orthogonal slices of the edge energy while a 3D scan goes on."""

from pathlib import Path

from redoxscope.live.profile import Profile
from redoxscope.live.volume.gather import Gatherer


class LiveSlices:
    """None yet."""

    def __init__(self, profile: Profile, gatherer: Gatherer, folder: Path) -> None:
        self.count = 0

    def add(self, energy: float) -> bool:
        """None yet."""
        return False
