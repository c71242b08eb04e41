"""One scan after the other through the monitor: the map is that of the frames, however they came."""

import itertools
import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy import ndimage

from redoxscope.analysis.neighbours import with_neighbours
from redoxscope.analysis.xanes import edge_energy
from redoxscope.live.calibration import Calibration
from redoxscope.live.documents import RunReader
from redoxscope.live.frames import FrameFiles
from redoxscope.live.monitor import Monitor
from redoxscope.live.profile import load_profile
from redoxscope.live.series_folder import list_series

from .experiments import Experiment, Notes, error, maps, notes, same, short_experiment, watch


@pytest.fixture(scope="module")
def in_order(short: Experiment, tmp_path_factory):
    """What the monitor makes of two scans in the order they were taken."""
    data = tmp_path_factory.mktemp("in-order")
    return data, watch(data, short.documents)


def stream(run, name):
    uids = [doc["uid"] for kind, doc in run if kind == "descriptor" and doc["name"] == name]
    return [doc for kind, doc in run if kind == "event" and doc["descriptor"] in uids]


def shuffled(run, seed):
    """The events and their datums in any order after the descriptors and resources."""
    fixed = [item for item in run if item[0] in ("start", "descriptor", "resource")]
    loose = [item for item in run if item[0] in ("event", "datum")]
    np.random.default_rng(seed).shuffle(loose)
    return [*fixed, *loose, run[-1]]


def doubled(run):
    for item in run[:-1]:
        yield item
        yield item
    yield from run[20:60]
    yield run[-1]
    yield run[-1]


def flats_last(run):
    uids = [doc["uid"] for kind, doc in run if kind == "descriptor" and doc["name"] == "flat"]
    late = [item for item in run if item[0] == "event" and item[1]["descriptor"] in uids]
    return [*(item for item in run[:-1] if item not in late), *late, run[-1]]


@pytest.mark.parametrize(
    "arranged",
    [lambda run: shuffled(run, 1), lambda run: shuffled(run, 2), doubled, flats_last],
    ids=["shuffled", "shuffled otherwise", "doubled", "flats last"],
)
def test_the_final_map_does_not_depend_on_how_the_frames_came(short: Experiment, in_order, tmp_path, arranged):
    wanted = maps(in_order[0])
    monitor = watch(tmp_path, itertools.chain.from_iterable(arranged(run) for run in short.scans))
    assert monitor.failures == []
    found = maps(tmp_path)
    assert list(found) == list(wanted)
    for uid, energy in wanted.items():
        assert same(found[uid], energy)
    counted = list_series(tmp_path)[0].facts.frames
    assert counted == list_series(in_order[0])[0].facts.frames
    assert (counted.expected, counted.used, counted.lost, counted.bad) == (106, 106, 0, 0)


def test_the_maps_are_near_the_truth(short: Experiment, in_order):
    for found, true in zip(maps(in_order[0]).values(), short.true_maps, strict=True):
        median, covered = error(found, true)
        assert median < 0.25
        assert covered > 0.85


def test_the_map_is_that_of_a_batch_computation(tmp_path, in_order, short: Experiment):
    """All frames at once through the analysis alone, placed as the scan says it placed them."""
    from redoxscope.analysis.resample import resample

    folder = list_series(in_order[0])[0]
    run, record = short.scans[0], folder.scan(0)
    profile = load_profile("simulated")
    reader, calibration = RunReader(run[0][1], profile, FrameFiles()), Calibration(profile.camera)
    frames = [frame for name, doc in run for frame in reader.read(name, doc)]
    for frame in frames:
        if frame.kind != "sample":
            calibration.add(frame)
    stack, variance = [], []
    for frame in (f for f in frames if f.kind == "sample"):
        one = calibration.absorbance(frame)
        shift = (float(record.shift[frame.index, 0]), float(record.shift[frame.index, 1]))
        moved, noise_y, noise_x = resample(one.value, float(record.magnification[frame.index]), shift)
        stack.append(moved)
        variance.append(one.variance * noise_y[:, None] * noise_x)
    batch = edge_energy(np.stack(stack), reader.energies, profile.xanes_edge(), variance=np.stack(variance))
    joined = with_neighbours(batch.edge_energy, batch.sigma, batch.noise_sigma)
    assert same(record.edge_energy, joined.edge_energy)
    assert same(record.edge_energy_sigma, joined.sigma)


def test_the_numbers_of_a_scan_are_those_of_its_events(short: Experiment, in_order):
    folder = list_series(in_order[0])[0]
    for index, run in enumerate(short.scans):
        record = folder.scan(index)
        events = stream(run, "primary")
        near = [e["timestamps"]["camera_image"] for e in events if 8325 <= e["data"]["mono_energy"] <= 8360]
        assert min(near) < record.time < max(near)
        assert record.temperature == pytest.approx(231, abs=1)
        assert record.energy == pytest.approx([e["data"]["mono_energy"] for e in events])
        assert np.nansum(record.histogram) <= np.isfinite(record.edge_energy).sum()
        front = np.abs(record.edge_energy - 8341.0) <= 0.1
        assert np.array_equal(record.front.astype(bool), front)


def test_a_map_is_provisional_before_the_end_with_the_baselines_of_the_scan_before(short: Experiment, tmp_path):
    """Half-way, before any post-edge, both scans show a map; the first one, without an earlier jump, is less sure."""
    shown = []
    for run, later in ((short.scans[0], short.scans[1]), (short.scans[1], None)):
        data = tmp_path / str(len(shown))
        monitor = Monitor(data, load_profile("simulated"), observer=Notes())
        for name, doc in short.scans[0] if later is None else []:
            monitor(name, doc)
        turning = next(e["uid"] for e in stream(run, "primary") if e["data"]["mono_energy"] > 8352)
        half = next(i for i, (_, doc) in enumerate(run) if doc.get("uid") == turning)
        for name, doc in run[: half + 1]:
            monitor(name, doc)
        open_run = monitor.runs.get(run[0][1]["uid"])
        result = open_run.scan.result().main
        shown.append(result)
        for name, doc in run[half + 1 :]:
            monitor(name, doc)
        monitor.finish()
        stored = list_series(data)[0].scan(-1)
        assert set(np.unique(stored.state)) <= {0, 2}
        assert 0.8 < stored.sigma_noise_share <= 1
    first, second = shown
    for found, true, most in ((first, short.true_maps[0], 0.5), (second, short.true_maps[1], 0.35)):
        assert set(np.unique(found.state)) == {0, 1}
        median, covered = error(found.edge_energy, true)
        assert median < most
        assert covered > 0.6
    # The first scan's jump is a guess from what is known of the edge, and its map says so.
    assert np.nanmedian(first.sigma) > 1.5 * np.nanmedian(second.sigma)
    assert np.nanmedian(first.noise_sigma / first.sigma) < 0.8 * np.nanmedian(second.noise_sigma / second.sigma) <= 0.8


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("blank_frame", "holds no image"),
        ("beam_drop", "median absorbance"),
        ("stage_jump", None),
        ("lost_frame", None),
        ("duplicate", None),
        ("dead_file", "8336 eV"),
    ],
)
def test_faults_are_counted_and_told_and_the_scan_goes_on(fault, told, tmp_path):
    experiment = short_experiment(tmp_path / "beamline", scans=3, faults=[fault])
    monitor = watch(tmp_path / "data", experiment.documents)
    assert monitor.failures == []
    done = notes(monitor).done
    assert len(done) == 3
    for (_, _, record, bad), true, run in zip(done, experiment.true_maps, experiment.scans, strict=True):
        count = record.frames
        assert count.expected == 53
        assert count.used + count.lost + count.bad == 53
        assert len(bad) == count.bad
        if fault == "lost_frame":
            assert count.lost == 53 - len(stream(run, "primary"))
        else:
            assert count.lost == 0
        if told is None:
            assert bad == []
        assert fault == "dead_file" or all(told in reason for reason in bad if told), bad
        median, covered = error(record.edge_energy, true)
        assert median < 0.25
        assert covered > (0.6 if fault == "stage_jump" else 0.8)
    total_bad = sum(record.frames.bad for _, _, record, _ in done)
    if fault == "dead_file":
        assert [record.frames.bad for _, _, record, _ in done] == [0, 1, 1]
        assert "_41.h5" in done[2][3][0]
    elif told:
        assert total_bad > 0
    elif fault == "lost_frame":
        assert sum(record.frames.lost for _, _, record, _ in done) > 0


@pytest.mark.parametrize("blur", [6, 12])
def test_a_frame_that_may_lie_before_or_behind_a_jump_is_set_aside(tmp_path, blur):
    """The second scan's first frame after the jump is so blurred that it cannot be placed; those that follow can."""
    experiment = short_experiment(tmp_path / "beamline", scans=2, faults=["stage_jump"], inline=True)
    usual = notes(watch(tmp_path / "usual", experiment.documents)).done[1][2]
    jump = int(np.abs(np.diff(usual.shift, axis=0)).max(axis=1).argmax()) + 1
    assert np.abs(usual.shift[jump] - usual.shift[jump - 1]).max() > 15
    image = stream(experiment.scans[1], "primary")[jump]["data"]["camera_image"]
    noise = 1 + 0.05 * np.random.default_rng(0).standard_normal(image.shape)
    image[:] = ndimage.gaussian_filter(image.astype(float), blur) * noise
    _, _, record, bad = notes(watch(tmp_path / "data", experiment.documents)).done[1]
    assert len(bad) == record.frames.bad == 1
    assert "jumped" in bad[0]
    median, covered = error(record.edge_energy, experiment.true_maps[1])
    assert median < 0.1
    assert covered > 0.7


@pytest.mark.parametrize("energies", [(8387,), (8450,), (8396, 8441)], ids=str)
def test_a_scan_without_energies_of_its_post_edge_is_as_good_as_its_neighbours_know(
    short: Experiment, in_order, tmp_path, energies
):
    """Lost in the second scan, they are what the first one shows; in the first one, sigma says what they might be."""
    whole = [list_series(in_order[0])[0].scan(index) for index in (0, 1)]

    def without(run):
        gone = [e["uid"] for e in stream(run, "primary") if np.isclose(e["data"]["mono_energy"], energies).any()]
        return [(name, doc) for name, doc in run if doc.get("uid") not in gone]

    for index in (0, 1):
        data = tmp_path / str(index)
        monitor = watch(
            data, itertools.chain(*(without(run) if i == index else run for i, run in enumerate(short.scans[:2])))
        )
        _, _, record, _ = notes(monitor).done[index]
        assert record.frames.lost == len(energies)
        (told,) = (text for text in notes(monitor).messages if "baselines" in text)
        assert all(f"{energy:g}" in told for energy in energies)
        off = float(np.nanmedian(record.edge_energy - whole[index].edge_energy))
        doubt = float(re.search(r"by ([0-9.]+) eV", told)[1])
        assert abs(off) < (0.02 if index else 2 * doubt)
        assert np.nanmedian(record.edge_energy_sigma) > doubt - 0.005  # it is told with two decimals


WRITER = """
import sys, h5py, numpy
file = h5py.File(sys.argv[1], "w")
file["/entry/data/data"] = numpy.load(sys.argv[2])
print("written", flush=True)
sys.stdin.readline()
file.close()
"""


def rewritten(run, path: Path):
    """The run's documents with all frames in another file; and what writes this file."""
    resources = [doc for name, doc in run if name == "resource"]
    assert len(resources) == 1
    source = Path(resources[0]["root"]) / resources[0]["resource_path"]
    moved = {**resources[0], "root": str(path.parent), "resource_path": path.name}
    return source, [(name, moved if name == "resource" else doc) for name, doc in run]


@pytest.mark.parametrize("late", [False, True], ids=["before the stop", "after the stop"])
@pytest.mark.parametrize("state", ["absent", "locked", "half"])
def test_a_file_that_is_readable_only_when_it_is_closed(short: Experiment, in_order, tmp_path, state, late):
    """Not in SWMR mode: absent, locked by its writer, or half there while the events come; closed around the stop.

    Plans stage the detector around the run: its file is closed when the stop document has been sent already.
    """
    path = tmp_path / "frames.h5"
    source, run = rewritten(short.scans[0], path)
    with h5py.File(source) as held:
        pixels = held["/entry/data/data"][()]
    writer = None
    if state == "locked":
        np.save(tmp_path / "pixels.npy", pixels)
        command = [sys.executable, "-c", WRITER, str(path), str(tmp_path / "pixels.npy")]
        writer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert writer.stdout.readline() == b"written\n"
    elif state == "half":
        with h5py.File(path, "w") as out:
            out["/entry/data/data"] = pixels[:40]
    monitor = Monitor(tmp_path / "data", load_profile("simulated"), observer=Notes())
    for name, doc in run if late else run[:-1]:
        monitor(name, doc)
    assert maps(tmp_path / "data") == {}
    if writer is not None:
        writer.communicate(b"close\n")
        assert writer.returncode == 0
    else:
        with h5py.File(path, "w") as out:
            out["/entry/data/data"] = pixels
    monitor(*run[-1])
    monitor.poll()
    assert len(maps(tmp_path / "data")) == 1
    monitor.finish()
    assert monitor.failures == []
    uid = run[0][1]["uid"]
    assert same(maps(tmp_path / "data")[uid], maps(in_order[0])[uid])


def test_inline_frames_give_the_map_of_those_in_files(tmp_path):
    """The same seed makes the same particle, drift and noise."""
    found = []
    for inline in (False, True):
        experiment = short_experiment(tmp_path / f"frames-{inline}", scans=1, inline=inline)
        watch(tmp_path / f"data-{inline}", experiment.documents)
        found += maps(tmp_path / f"data-{inline}").values()
    assert same(*found)
