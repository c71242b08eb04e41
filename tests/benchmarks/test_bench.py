"""All of `redoxscope bench` on small sizes: what it writes, and that fast is right. Times are not tested."""

import json
import sys

import numpy as np
import pytest

from redoxscope.live.bench.command import bench
from redoxscope.live.bench.inputs import EDGE, ENERGIES, Field, Sizes, spectrum
from redoxscope.live.bench.measure import Peer, Stage, measure
from redoxscope.live.bench.peers import HOW_TO_GET, half_jump, imported, missing
from redoxscope.live.cli import main

SMALL = Sizes(
    repetitions=2,
    frame=96,
    map=160,
    spectra=256,
    slice=96,
    angles=60,
    slices=3,
    volume=64,
    wide_slice=128,
    wide_angles=90,
)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    target = tmp_path_factory.mktemp("bench") / "bench.json"
    status = bench(target, SMALL)
    return status, json.loads(target.read_text())


def test_every_stage_has_its_rates_and_ratios(written):
    _, found = written
    names = [stage["name"] for stage in found["stages"]]
    assert names == [
        "absorbance of a frame",
        "resample a frame",
        "registration of a frame",
        "update of a 96² frame",
        "batch map, plain",
        "batch map, subspace",
        "noisy pixels and neighbours",
        "tomography, 96² × 60 angles",
        "tomography, 128² × 90 angles",
        "isosurface and curvature, 64³",
        "isosurface, 64³",
        "curvature at the vertices, 64³",
        "end to end, 160² frames",
    ]
    for stage in found["stages"]:
        assert len(stage["seconds"]) == SMALL.repetitions * max(1, len(stage["peers"]))
        assert stage["rate"] == pytest.approx(stage["amount"] / np.median(stage["seconds"]))
        memory = stage["memory_pass"]
        assert memory["ratio"] == pytest.approx(np.median(stage["seconds"]) / np.median(memory["seconds"]))
        assert memory["bytes_per_second"] > 1e6
        for peer in stage["peers"]:
            assert len(peer["seconds"]) == SMALL.repetitions
            assert peer["times_faster"] == pytest.approx(stage["rate"] / peer["rate"])


def test_every_result_agrees_with_the_peers(written):
    status, found = written
    peers = {(stage["name"], peer["name"]): peer for stage in found["stages"] for peer in stage["peers"]}
    assert len(peers) >= 15
    far = {name: (p["difference"], p["tolerance"]) for name, p in peers.items() if not p["agrees"]}
    assert not far
    assert status == 0


def test_machine_and_versions_are_told(written):
    _, found = written
    assert found["machine"]["cores"] >= 1
    assert found["machine"]["processor"]
    assert {"redoxscope", "numpy", "numba", "python"} <= found["versions"].keys()
    assert found["sizes"]["map"] == SMALL.map


def test_a_package_that_is_not_there_is_named_and_stood_in_for(written):
    _, found = written
    assert found["not_installed"].keys() <= HOW_TO_GET.keys()
    maps = next(stage for stage in found["stages"] if stage["name"] == "batch map, plain")
    stood_in = {peer["name"].split(", as ")[1].removesuffix(" does") for peer in maps["peers"] if peer["stand_in"]}
    assert stood_in == found["not_installed"].keys() - {"algotom"}


def test_a_result_that_differs_is_not_called_agreement():
    wrong = Peer("wrong", lambda: 1.5, 1, lambda a, b: abs(a - b), 0.1)
    outcome = measure(Stage("stage", "thing", 1, 1e4, lambda: 1.0, (wrong,), "value"), 1)
    assert not outcome.peers[0].agrees
    nothing = Peer("nothing", lambda: np.nan, 1, lambda a, b: abs(a - b), 0.1)
    assert not measure(Stage("stage", "thing", 1, 1e4, lambda: 1.0, (nothing,), "value"), 1).peers[0].agrees


def test_a_peer_that_fails_is_told_and_left_out():
    def fail():
        raise RuntimeError("too new a scipy")

    peers = (Peer("broken", fail, 1, lambda a, b: 0.0, 0.1), Peer("sound", lambda: 1.0, 1, lambda a, b: 0.0, 0.1))
    outcome = measure(Stage("stage", "thing", 1, 1e4, lambda: 1.0, peers, "value"), 3)
    assert outcome.failed == {"broken": "RuntimeError: too new a scipy"}
    assert [peer.peer.name for peer in outcome.peers] == ["sound"]
    assert len(outcome.peers[0].timing.seconds) == 3


@pytest.mark.parametrize(
    "line", ["raise OSError('no libGL')", "import sys; sys.exit(3)", "1 / 0", "import no_such_thing"]
)
def test_a_peer_that_cannot_be_imported_is_one_that_is_not_there(tmp_path, monkeypatch, line):
    (tmp_path / "pyxas").mkdir()
    (tmp_path / "pyxas" / "__init__.py").write_text(line + "\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.split(".")[0] == "pyxas"]:
        monkeypatch.delitem(sys.modules, name)
    assert imported("pyxas.lsq_fit") is None
    assert missing()["pyxas"] == HOW_TO_GET["pyxas"]


def test_a_peer_that_ends_the_program_does_not_end_the_bench():
    def leave():
        raise SystemExit("no licence")

    peer = Peer("broken", leave, 1, lambda a, b: 0.0, 0.1)
    outcome = measure(Stage("stage", "thing", 1, 1e4, lambda: 1.0, (peer,), "value"), 1)
    assert outcome.failed == {"broken": "SystemExit: no licence"}
    assert outcome.peers == ()


def test_the_input_has_the_edge_energy_that_it_claims():
    field = Field(64, disc=False)
    stack = field.stack(0.0)
    found = half_jump(stack.reshape(len(stack), -1).astype(float))
    apart = found - field.edge_energy.ravel()
    assert np.abs(apart - np.median(apart)).max() < 0.1
    assert field.edge_energy.std() > 0.3
    assert spectrum(ENERGIES, np.array(EDGE.nominal))[-1] == pytest.approx(1)


def test_a_file_that_cannot_be_written_is_refused_at_once(tmp_path, capsys):
    assert main(["bench", "--json", str(tmp_path / "nowhere" / "bench.json")]) == 2
    assert "make it, or give another file" in capsys.readouterr().err
    assert main(["bench", "--json", str(tmp_path)]) == 2
