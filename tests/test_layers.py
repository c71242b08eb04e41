"""Which room may know of which, and what has no business in any."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = [path for room in ("analysis", "live", "simulators", "profiles") for path in (ROOT / room).rglob("*.py")]
MAY_IMPORT = {
    "analysis": {"analysis"},
    "simulators": {"simulators"},
    "live": {"live", "analysis", "simulators", "profiles"},
}


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=module, level=0) if module:
                yield module
                yield from (f"{module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_what_it_may(room):
    found = set()
    for path in (ROOT / room).rglob("*.py"):
        found |= {name.split(".")[1] for name in imported(path) if name.startswith("redoxscope.")}
    assert found <= MAY_IMPORT[room]


def test_live_takes_from_the_simulators_only_what_starts_them():
    """The monitor knows no simulator: only the commands that run one do."""
    users = {p.name for p in (ROOT / "live").rglob("*.py") if any("simulators" in name for name in imported(p))}
    assert users <= {"simulation.py", "demo.py"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_that_arrives_can_be_executed(path):
    names = set(imported(path))
    forbidden = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "msgpack_numpy", "joblib"}
    assert not {name.split(".")[0] for name in names} & forbidden
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            assert not (isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec")), ast.unparse(node)
            for word in node.keywords:
                executes = word.arg in ("shell", "allow_pickle") and getattr(word.value, "value", True) is True
                assert not executes, ast.unparse(node)


def test_all_threads_open_hdf5_files_with_the_same_locking():
    """HDF5 refuses a file that another thread of the process holds open with other flags."""
    for path in (ROOT / "live").rglob("*.py"):
        assert "locking=False" not in path.read_text(encoding="utf-8"), path
