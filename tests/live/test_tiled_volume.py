"""What a Tiled client sees of a 3D scan: slices while it goes on, slabs while they are made, then the volume."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from redoxscope.analysis.volume.evaluate import EdgeSlab
from redoxscope.live.series_folder import SeriesFolder
from redoxscope.live.slice_file import Slice
from redoxscope.live.tiled_server import EmbeddedTiled
from redoxscope.live.tiled_store import register_series
from redoxscope.live.volume.slab_file import write_slab

from .series_of_scans import FACTS, volume

ROWS = (16, 16, 12)
WIDE = 320
"""So large that a client fetches it in more than one part."""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("tiled volume") / "data"


@pytest.fixture(scope="module")
def client(data):
    data.mkdir()
    with EmbeddedTiled(data) as server:
        yield server.client()


def registered(client, folder):
    register_series(client, folder.path, folder.name, asdict(folder.facts))
    return client["results"][folder.name]


def planes(value, state):
    shapes = ((12, 12), (11, 12), (11, 12))
    return [Slice(1.0, *(np.full(s, value, np.float32) for _ in range(3)), np.full(s, state, np.uint8)) for s in shapes]


def test_slices_are_replaced_under_the_client_that_looks_at_them(data, client):
    folder = SeriesFolder.create(data / "results", "slices", replace(FACTS, series="slices"))
    folder.set_slices(planes(8340.0, 1), 20, 1)
    run = registered(client, folder)
    held = run["slices"]["z"]["edge_energy"]
    assert (held.read() == 8340.0).all()
    folder.set_slices(planes(8341.0, 2), 32, 2)
    assert (held.read() == 8341.0).all()
    run = registered(client, folder)
    assert (run["slices"]["y"]["state"].read() == 2).all()
    assert run["slices"].metadata["energies"] == 32


def test_slabs_grow_into_the_volume_under_the_client_that_looks_at_them(data, client):
    final = volume((sum(ROWS), WIDE, WIDE))
    folder = SeriesFolder.create(data / "results", "growing", replace(FACTS, series="growing"))
    places = [folder.path / ".volume" / f"slab_{i}.h5" for i in range(len(ROWS))]
    places[0].parent.mkdir()

    def make(number):
        rows = slice(sum(ROWS[:number]), sum(ROWS[: number + 1]))
        slab = EdgeSlab(final.edge_energy[rows], final.sigma[rows], final.jump[rows], False)
        write_slab(places[number], [[slab]])

    make(1)
    folder.set_slabs(places, ROWS, WIDE, 0.1)
    run = registered(client, folder)
    assert run["volume"].metadata["unfinished"]
    held = run["volume"]["edge_energy"]
    assert len(held.chunks[0]) > 1
    assert held.shape == final.edge_energy.shape
    seen = held.read()
    np.testing.assert_array_equal(seen[16:32], final.edge_energy[16:32])
    assert np.isnan(seen[:16]).all()
    assert np.isnan(seen[32:]).all()
    make(0)
    for node in (held, client["results"]["growing"]["volume"]["edge_energy"]):
        np.testing.assert_array_equal(node.read()[:32], final.edge_energy[:32])
    make(2)
    folder.set_volume(final, 0.1, ["uid"])
    for place in places:
        place.unlink()
    np.testing.assert_array_equal(held.read(), final.edge_energy)
    np.testing.assert_array_equal(held[5], final.edge_energy[5])
    run = registered(client, folder)
    np.testing.assert_array_equal(held.read(), final.edge_energy)
    np.testing.assert_array_equal(run["volume"]["edge_energy"].read(), final.edge_energy)
    np.testing.assert_array_equal(run["volume"]["edge_energy_sigma"].read(), final.sigma)
    assert not run["volume"].metadata.get("unfinished")
    assert run["volume"].metadata["method"] == "fbp"
