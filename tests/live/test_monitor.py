"""The monitor as a RunEngine's callback, and what survives when it is killed."""

import itertools
import os
import resource
import signal
import subprocess
import sys

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.utils import DuringTask

from redoxscope.live import journal
from redoxscope.live.errors import UserError
from redoxscope.live.monitor import Monitor
from redoxscope.live.profile import load_profile
from redoxscope.live.series_folder import list_series

from .experiments import Experiment, Notes, maps, notes, same, watch


def renamed(run, **changes):
    """A run with changes to its start document."""
    return [(name, {**doc, **changes} if name == "start" else doc) for name, doc in run]


def test_two_runs_at_once(short: Experiment, tmp_path):
    first, second = renamed(short.scans[0], series="one"), renamed(short.scans[1], series="two")
    together = [item for pair in itertools.zip_longest(first, second) for item in pair if item]
    monitor = watch(tmp_path / "together", together)
    assert monitor.failures == []
    watch(tmp_path / "apart", [*first, *second])
    apart, found = maps(tmp_path / "apart"), maps(tmp_path / "together")
    assert apart.keys() == found.keys()
    assert all(same(apart[uid], found[uid]) for uid in apart)


def test_resources_that_do_not_say_whose_they_are(short: Experiment, tmp_path):
    def bare(run):
        for name, doc in run:
            yield name, {k: v for k, v in doc.items() if k != "run_start"} if name == "resource" else doc

    first, second = renamed(short.scans[0], series="one"), renamed(short.scans[1], series="two")
    pairs = itertools.zip_longest(bare(first), bare(second))
    monitor = watch(tmp_path, [item for pair in pairs for item in pair if item])
    assert monitor.failures == []
    assert [folder.facts.frames.used for folder in list_series(tmp_path)] == [53, 53]


def test_a_run_of_another_plan_is_kept_and_no_more(short: Experiment, tmp_path):
    run = renamed(short.scans[0], plan_name="count")
    monitor = watch(tmp_path, run)
    assert monitor.failures == []
    assert list_series(tmp_path) == []
    (path,) = (tmp_path / "raw").glob("*.journal")
    assert [name for _, name, _ in journal.read(path)] == [name for name, _ in run]
    assert any("count" in text for text in notes(monitor).messages)


def test_a_run_that_does_not_announce_its_energies(short: Experiment, tmp_path):
    silent = [(n, {k: v for k, v in d.items() if k != "energies"} if n == "start" else d) for n, d in short.scans[0]]
    monitor = watch(tmp_path / "silent", silent)
    assert monitor.failures == []
    watch(tmp_path / "told", short.scans[0])
    uid = short.scans[0][0][1]["uid"]
    assert same(maps(tmp_path / "silent")[uid], maps(tmp_path / "told")[uid])


def test_energies_that_cannot_give_an_edge_are_told_at_the_start(short: Experiment, tmp_path):
    monitor = watch(tmp_path, renamed(short.scans[0], energies=[8200.0, 8300.0, 8340.0]))
    assert any("search window" in text or "post window" in text for text in monitor.failures)
    assert maps(tmp_path) == {}


def test_a_series_of_any_name_is_finished(short: Experiment, tmp_path):
    monitor = watch(tmp_path, renamed(short.scans[0], series="in situ / 231 °C"))
    assert monitor.failures == []
    (folder,) = list_series(tmp_path)
    assert folder.facts.finished
    assert folder.facts.series == "in situ / 231 °C"


def test_documents_are_on_disk_before_they_are_analysed(short: Experiment, tmp_path):
    run = short.scans[0]
    monitor = Monitor(tmp_path, load_profile("simulated"))
    for number, (name, doc) in enumerate(run[:60], start=1):
        monitor(name, doc)
        (path,) = (tmp_path / "raw").glob("*.journal")
        assert sum(1 for _ in journal.read(path)) == number
    monitor.close()


def test_an_observer_or_a_subscriber_that_fails_disturbs_nobody(short: Experiment, tmp_path):
    class Broken(Notes):
        """Every line it writes fails."""

        def _fail(self, *_):
            raise OSError("the terminal is gone")

        scan_started = frame = scan_done = message = tick = _fail

    seen = []
    monitor = Monitor(tmp_path, load_profile("simulated"), observer=Broken())
    monitor.subscribe(lambda name, doc: 1 / 0)
    monitor.subscribe(lambda name, doc: seen.append(name))
    for name, doc in short.documents:
        monitor(name, doc)
    monitor.finish()
    assert len(maps(tmp_path)) == 2
    assert (seen[0], seen[-1], seen.count("event")) == ("start", "stop", 2)


# --- another beamline ---------------------------------------------------------------------------------------------

TOML = """
name = "other"
[documents]
image = "zyla"
energy = "dcm"
energy_unit = "keV"
energies = "energy_list"
temperature = "oven"
sample_streams = ["images"]
flat_streams = ["references"]
dark_streams = ["background"]
plans_2d = ["my_scan"]
series = ["proposal"]
[registration]
magnification = "fixed"
"""
KEV = np.concatenate([np.linspace(8.2, 8.31, 9), np.arange(8.325, 8.3605, 0.001), np.linspace(8.38, 8.45, 8)])


class Value:
    """A motor or a temperature reading, of the protocols that bluesky asks for and nothing else."""

    parent = None

    def __init__(self, name, value=0.0):
        self.name, self.value = name, value

    def read(self):
        return {self.name: {"value": self.value, "timestamp": 5.0}}

    def describe(self):
        return {self.name: {"source": "own", "dtype": "number", "shape": []}}

    def read_configuration(self):
        return {}

    def describe_configuration(self):
        return {}


class Zyla(Value):
    """A camera that puts its pixels into the events. The sample's edge lies between 8339 and 8342 eV."""

    shape = (48, 50)

    def __init__(self, energy):
        super().__init__("zyla")
        self.energy, self.light, self.inside = energy, 1.0, True
        rng = np.random.default_rng(3)
        self.rng = rng
        y, x = np.mgrid[: self.shape[0], : self.shape[1]]
        self.truth = 8340.5 + 1.5 * np.sin(x / 8.0) * np.cos(y / 11.0)
        self.thickness = 0.6 + 0.3 * rng.random(self.shape)
        self.beam = 30000 * (1 + 0.1 * rng.random(self.shape))

    def read(self):
        edge = 0.5 * (1 + np.tanh((1000 * self.energy.value - self.truth) / 1.5))
        absorbed = self.thickness * (0.3 + edge) if self.inside else 0.0
        counts = self.rng.poisson(self.light * self.beam * np.exp(-absorbed)) + 50
        return {"zyla": {"value": counts.astype("u2"), "timestamp": 7.0}}

    def describe(self):
        return {"zyla": {"source": "own", "dtype": "array", "shape": list(self.shape), "dtype_numpy": "<u2"}}


def my_scan(energy, oven, zyla):
    def shot(stream):
        yield from bps.create(stream)
        for device in (zyla, energy, oven):
            yield from bps.read(device)
        yield from bps.save()

    @bpp.run_decorator(md={"plan_name": "my_scan", "energy_list": KEV.tolist(), "proposal": "GU-1"})
    def run():
        zyla.light = 0.0
        yield from shot("background")
        zyla.light = 1.0
        for zyla.inside, stream in ((True, "images"), (False, "references")):
            for energy.value in KEV.tolist():
                yield from shot(stream)

    yield from run()


def test_as_the_callback_of_any_run_engine_with_any_devices(tmp_path):
    profile = tmp_path / "other.toml"
    profile.write_text(TOML)
    monitor = Monitor(tmp_path / "data", load_profile(profile))
    engine = RunEngine({}, context_managers=[], during_task=DuringTask())
    engine.subscribe(monitor)
    energy, oven = Value("dcm"), Value("oven", 120.0)
    zyla = Zyla(energy)
    engine(my_scan(energy, oven, zyla))
    engine(my_scan(energy, oven, zyla))
    monitor.finish()
    assert monitor.failures == []
    (folder,) = list_series(tmp_path / "data")
    assert (folder.facts.series, folder.scan_count) == ("GU-1", 2)
    record = folder.scan(1)
    assert record.temperature == 120.0
    off = np.abs(record.edge_energy - zyla.truth)
    assert np.isfinite(off).mean() > 0.9
    assert np.nanmedian(off) < 0.05


def test_a_full_disk_is_told_to_the_sender_and_never_to_the_run_engine(short: Experiment, tmp_path):
    """What could not be written down is not taken, and taken when it is sent again."""
    run = short.scans[0]
    monitor = Monitor(tmp_path, load_profile("simulated"), observer=Notes())
    for name, doc in run[:40]:
        monitor.take(name, doc)
    (path,) = (tmp_path / "raw").glob("*.journal")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    held = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, limits[1]))
        with pytest.raises(OSError, match="large"):
            monitor.take(*run[40])
        monitor(*run[40])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, held)
    assert "cannot be written down" in monitor.failures[-1]
    for name, doc in run[40:]:
        monitor.take(name, doc)
    monitor.finish()
    assert [(name, doc.get("uid")) for _, name, doc in journal.read(path)] == [(n, d.get("uid")) for n, d in run]
    assert list_series(tmp_path)[0].facts.frames.used == 53


def test_a_folder_that_cannot_be_written_is_a_user_error(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(UserError, match="--data"):
        Monitor(blocked / "data", load_profile("simulated"))


# --- killed -------------------------------------------------------------------------------------------------------

CHILD = """
import os, signal, sys
from pathlib import Path
from redoxscope.live import journal
from redoxscope.live.monitor import Monitor
from redoxscope.live.profile import load_profile
from redoxscope.live.series import Series
from redoxscope.live.series_folder import SeriesFolder

source, data, moment = sys.argv[1:]

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def then_die(kind, name, count):
    do, calls = getattr(kind, name), [0]
    def deadly(*arguments):
        done = do(*arguments)
        calls[0] += 1
        if calls[0] == count:
            die()
        return done
    setattr(kind, name, deadly)

if moment == "opened":
    made = journal.Journal.__init__
    def opened(self, path):
        made(self, path)
        if len(list(Path(path).parent.glob("*.journal"))) == 2:
            die()
    journal.Journal.__init__ = opened
elif moment == "saved":
    then_die(Series, "save", 2)
elif moment == "added":
    then_die(SeriesFolder, "add_scan", 2)
monitor = Monitor(Path(data), load_profile("simulated"))
for number, (_, name, doc) in enumerate(journal.read(source)):
    if moment == str(number):
        die()
    monitor(name, doc)
"""


@pytest.fixture(scope="module")
def uninterrupted(heating: Experiment, tmp_path_factory):
    """Three scans of one series, as a file, and their maps."""
    documents = list(itertools.chain.from_iterable(heating.scans[:3]))
    three = Experiment(documents, heating.frames)
    data = tmp_path_factory.mktemp("uninterrupted")
    watch(data, documents)
    return three, three.write(data / "documents.journal"), maps(data)


@pytest.mark.parametrize("moment", ["opened", "150", "saved", "added", "400", "640"])
def test_killed_and_started_again_the_maps_are_the_same(uninterrupted, tmp_path, moment):
    three, source, wanted = uninterrupted
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(source), str(tmp_path), moment], capture_output=True, text=True, check=False
    )
    assert child.returncode == -signal.SIGKILL, child.stderr
    complete = len(maps(tmp_path))
    written = sum(sum(1 for _ in journal.read(path)) for path in (tmp_path / "raw").glob("*.journal"))
    assert complete >= (written - 1) // (len(three.documents) // 3) - 1
    monitor = Monitor(tmp_path, load_profile("simulated"))
    monitor.resume()
    for name, doc in three.documents[max(0, written - 30) :]:
        monitor(name, doc)
    monitor.finish()
    assert monitor.failures == []
    found = maps(tmp_path)
    assert list(found) == list(wanted)
    assert all(same(found[uid], wanted[uid]) for uid in wanted)
    facts = list_series(tmp_path)[0].facts
    assert sorted(facts.raw_uids) == sorted(wanted)
    assert (facts.frames.expected, facts.frames.used) == (159, 159)


def test_resumed_without_being_asked_when_the_run_is_sent_again(short: Experiment, tmp_path):
    """A plain callback that nobody told to resume goes on where its predecessor was."""
    run = short.scans[0]
    first = Monitor(tmp_path, load_profile("simulated"))
    for name, doc in run[:100]:
        first(name, doc)
    first.close()
    monitor = watch(tmp_path, [run[0], *run[90:]])
    assert monitor.failures == []
    assert list_series(tmp_path)[0].facts.frames.used == 53
    again = watch(tmp_path, run)
    assert again.failures == []
    assert list_series(tmp_path)[0].scan_count == 1


def test_resuming_skips_what_is_no_journal_or_damaged(short: Experiment, tmp_path):
    watch(tmp_path, short.scans[0])
    raw = tmp_path / "raw"
    (raw / "text.journal").write_text("not a journal at all")
    (raw / "empty.journal").write_bytes(b"")
    whole = next(raw.glob("*-*.journal")).read_bytes()
    (raw / "torn.journal").write_bytes(whole[:1200])
    (raw / "folder.journal").mkdir()
    monitor = Monitor(tmp_path, load_profile("simulated"))
    monitor.resume()
    for name, doc in short.scans[1]:
        monitor(name, doc)
    monitor.finish()
    assert len(maps(tmp_path)) == 2


def test_a_second_monitor_on_the_same_folder_takes_no_document_of_the_first(short: Experiment, tmp_path):
    first = Monitor(tmp_path, load_profile("simulated"))
    for name, doc in short.scans[0][:50]:
        first(name, doc)
    other = Monitor(tmp_path, load_profile("simulated"), observer=Notes())
    with pytest.raises(UserError, match="another process"):
        other.take(*short.scans[0][0])
    for name, doc in short.scans[0][50:]:
        first(name, doc)
    first.finish()
    assert os.listdir(tmp_path / "raw") == [f"{short.scans[0][0][1]['uid']}.journal"]
    assert list_series(tmp_path)[0].facts.frames.used == 53
