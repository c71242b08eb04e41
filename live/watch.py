"""A monitor as a plain callback: `RE.subscribe(watch("/data/tonight"))`.

The analysis runs in a process of its own all the same: the RunEngine's scan must not wait for a map.
"""

import atexit
import logging
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from redoxscope.live.profile import load_profile
from redoxscope.live.transport import Publisher

log = logging.getLogger(__name__)


class Watch:
    """Hands documents to a monitor that was started for it; never blocks, never raises.

    Call `close` at the end, or leave it to the interpreter's end.
    """

    def __init__(self, data: Path, profile: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="redoxscope-")
        address = f"ipc://{self._folder.name}/documents"
        command = [sys.executable, "-m", "redoxscope", "monitor", "--listen", address, "--until-eof", "--no-view"]
        command += ["--data", str(data), "--profile", profile]
        data.mkdir(parents=True, exist_ok=True)
        with (data / "monitor.log").open("ab") as output:
            self._monitor = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=output)
        self._publisher = Publisher(address)
        atexit.register(self.close)

    def __call__(self, name: str, doc: dict[str, Any]) -> None:
        """Take a document."""
        self._publisher(name, doc)

    @property
    def monitor_has_ended(self) -> bool:
        """Whether its process is gone."""
        return self._monitor.poll() is not None

    def close(self, timeout: float = 60.0) -> bool:
        """Wait until the monitor has everything, and end it; whether it has. What it has not stays in the spool."""
        atexit.unregister(self.close)
        delivered = self._publisher.close(timeout)
        assert self._monitor.stdin is not None
        self._monitor.stdin.close()
        try:
            self._monitor.wait(timeout)
        except subprocess.TimeoutExpired:
            log.warning("the monitor (process %d) is still at work; it ends by itself", self._monitor.pid)
        else:
            self._folder.cleanup()
        return delivered


def watch(data: Path | str, profile: str | Path = "simulated") -> Watch:
    """A callback for `RE.subscribe` that has the runs analysed and stored in DIR, `data`.

    What the monitor has to say goes to DIR/monitor.log. Raises UserError if there is no such profile.
    """
    load_profile(profile)
    return Watch(Path(data).absolute(), str(profile))
