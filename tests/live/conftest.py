from pathlib import Path
from typing import Any

import pytest

from redoxscope.live.monitor import Monitor
from redoxscope.live.profile import load_profile

from .experiments import Experiment, Notes, quick_experiment, short_experiment


@pytest.fixture(scope="session")
def heating(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """The simulated quick experiment: five XANES scans, and a 3D scan after the third."""
    return quick_experiment(tmp_path_factory.mktemp("heating"))


@pytest.fixture(scope="session")
def short(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """Two XANES scans."""
    return short_experiment(tmp_path_factory.mktemp("short"), scans=2)


@pytest.fixture(scope="session")
def heated(
    heating: Experiment, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Monitor, list[tuple[str, dict[str, Any]]]]:
    """DIR after the whole heating experiment, its monitor, and the documents of the results."""
    data = tmp_path_factory.mktemp("heated")
    monitor = Monitor(data, load_profile("simulated"), observer=Notes())
    results: list[tuple[str, dict[str, Any]]] = []
    monitor.subscribe(lambda name, doc: results.append((name, doc)))
    for name, doc in heating.documents:
        monitor(name, doc)
    monitor.finish()
    return data, monitor, results
