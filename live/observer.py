"""Who wants to know what the monitor is doing: the terminal, a test, one day the page."""

from typing import TYPE_CHECKING, Any

from redoxscope.live.frames import Frame

if TYPE_CHECKING:
    from redoxscope.live.map_scan import MapScan
    from redoxscope.live.series_parts import ScanRecord
    from redoxscope.live.volume.scan import VolumeScan


class Observer:
    """Is told what happens and does nothing; override what is of interest. Must return soon."""

    def scan_started(self, series: str, index: int, scan: "MapScan") -> None:
        """A XANES scan, number `index` of its series, begins."""

    def frame(self, scan: "MapScan", record: "ScanRecord | None") -> None:
        """A frame is in the map; `record` is the map if it has been brought up to date."""

    def scan_done(self, series: str, index: int, record: "ScanRecord", bad: list[str]) -> None:
        """A scan is complete and stored; `bad` says of each frame set aside why."""

    def projection(self, scan: "VolumeScan", frame: Frame) -> None:
        """A frame of a 3D scan has come."""

    def volume_started(self, scan: "VolumeScan") -> None:
        """The 3D analysis begins."""

    def volume_progress(self, scan: "VolumeScan", fact: dict[str, Any]) -> None:
        """The 3D analysis is at stage `fact["stage"]`, `fact["fraction"]` of it done. Comes from another thread."""

    def volume_done(self, scan: "VolumeScan", outcome: dict[str, Any]) -> None:
        """Volume and topography are stored."""

    def message(self, text: str) -> None:
        """Something that a person should know."""

    def tick(self) -> None:
        """Nothing has happened for a while."""
