"""What is wrong with a XANES scan, through the monitor: told before it where it can be known, else what is wrong is set
aside and counted, and the map is right without it."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.utils import DuringTask

from redoxscope.live.cli import main
from redoxscope.live.journal import Journal
from redoxscope.live.monitor import Monitor
from redoxscope.live.profile import Profile, load_profile
from redoxscope.live.series_folder import list_series
from redoxscope.simulators import World, WorldConfig, make_beamline, operando_heating
from redoxscope.simulators.spectra import ENERGIES_53

from .experiments import Documents, Experiment, Notes, error, notes, watch

PRE, NEAR, POST = 8220.0, 8340.0, 8414.0
FULL = 65535


def altered(run: Documents, path: Path, change: Callable[[str, int, float, np.ndarray], np.ndarray]) -> Documents:
    """The run with other pixels: `change` gets stream, number in it, energy and pixels (float) of every frame."""
    (resource,) = [doc for name, doc in run if name == "resource"]
    source = Path(resource["root"]) / resource["resource_path"]
    streams = {doc["uid"]: doc["name"] for name, doc in run if name == "descriptor"}
    points = {doc["datum_id"]: doc["datum_kwargs"]["point_number"] for name, doc in run if name == "datum"}
    with h5py.File(source) as held:
        dataset = resource["resource_kwargs"].get("dataset", "/entry/data/data")
        pixels = held[dataset][()].astype(np.float32)
    for name, doc in run:
        if name == "event":
            point = points[doc["data"]["camera_image"]]
            energy = doc["data"]["mono_energy"]
            pixels[point] = change(streams[doc["descriptor"]], doc["seq_num"] - 1, energy, pixels[point])
    # As the camera gives them, unless they are not numbers.
    with h5py.File(path, "w") as out:
        out[dataset] = np.clip(pixels, 0, FULL).astype(np.uint16) if pixels.max() <= FULL else pixels
    moved = {**resource, "root": str(path.parent), "resource_path": path.name}
    return [(name, moved if name == "resource" else doc) for name, doc in run]


def at(stream: str, *energies: float, make: Callable[[np.ndarray], np.ndarray]):
    """A change of the frames of a stream at some energies."""
    return lambda s, _, e, p: make(p) if s == stream and np.min(np.abs(np.array(energies) - e)) < 0.3 else p


def only(monitor: Monitor):
    ((_, _, record, bad),) = notes(monitor).done
    return record, bad


def same_but_for_noise(found, usual, true, *, less=0.03):
    """A map of fewer frames knows as much material, and errs as usual."""
    median, covered = error(found, true)
    usually, usually_covered = error(usual, true)
    assert covered > usually_covered - less
    assert median < 1.3 * usually + 0.005


@pytest.fixture(scope="module")
def usual(short: Experiment, tmp_path_factory):
    """The map without any fault."""
    return only(watch(tmp_path_factory.mktemp("usual"), short.scans[0]))[0].edge_energy


SET_ASIDE = {
    "NaN": ("primary", lambda p: np.full_like(p, np.nan), "holds no image"),
    "all zero": ("primary", lambda p: 0 * p, "holds no image"),
    "saturated": ("primary", lambda p: np.full_like(p, FULL), "holds no image"),
    "beam at half": ("primary", lambda p: 100 + 0.5 * (p - 100), "not taken in the usual beam"),
    "flat three times as bright": ("flat", lambda p: 100 + 3 * (p - 100), "median absorbance"),
    "flat exposed twice": ("flat", lambda p: 100 + 2 * (p - 100), "median absorbance"),
}


@pytest.mark.parametrize("energy", [PRE, NEAR, POST])
@pytest.mark.parametrize("case", SET_ASIDE)
def test_a_frame_that_is_wrong_is_set_aside_and_counted(short: Experiment, usual, tmp_path, case, energy):
    stream, make, told = SET_ASIDE[case]
    run = altered(short.scans[0], tmp_path / "frames.h5", at(stream, energy, make=make))
    monitor = watch(tmp_path / "data", run)
    assert monitor.failures == []
    record, bad = only(monitor)
    assert (record.frames.expected, record.frames.used, record.frames.lost, record.frames.bad) == (53, 52, 0, 1)
    assert len(bad) == 1
    assert told in bad[0]
    same_but_for_noise(record.edge_energy, usual, short.true_maps[0])


@pytest.mark.parametrize("energy", [PRE, NEAR, POST])
def test_a_frame_beside_the_sample_is_set_aside(short: Experiment, usual, tmp_path, energy):
    """Air has the absorbance of the thinnest of the sample: what tells it is that it shows nothing."""
    flats = {}

    def beside(stream, _, at_energy, pixels):
        if stream == "flat":
            flats[round(at_energy)] = pixels
        elif round(at_energy) == energy and flats.get(energy) is not None:
            return np.random.default_rng(0).poisson(flats[energy]).astype(np.float32)
        return pixels

    altered(short.scans[0], tmp_path / "flats.h5", beside)
    run = altered(short.scans[0], tmp_path / "frames.h5", beside)
    monitor = watch(tmp_path / "data", run)
    assert monitor.failures == []
    record, bad = only(monitor)
    assert (record.frames.used, record.frames.bad, len(bad)) == (52, 1, 1)
    assert "does not show the sample" in bad[0]
    same_but_for_noise(record.edge_energy, usual, short.true_maps[0])


@pytest.mark.parametrize("apart", [0.0, 2.0])
def test_a_film_of_even_thickness_is_no_frame_beside_the_sample(short: Experiment, tmp_path, apart):
    """Nothing varies where the spectra of its phases cross, and of one phase nothing varies anywhere."""
    flats = {}

    def film(stream, _, at_energy, pixels):
        if stream == "flat":
            flats[round(at_energy)] = pixels
        elif stream == "primary" and round(at_energy) in flats:
            edge = np.where(np.arange(pixels.shape[1]) // 9 % 2, 8340.0, 8340.0 + apart)
            x = at_energy - edge
            absorbance = 0.3 + 0.5 / (1 + np.exp(-x)) + 0.3 * np.exp(-(((x - 7) / 3) ** 2))
            beam = flats[round(at_energy)] * np.exp(-absorbance)
            return np.random.default_rng(int(at_energy)).poisson(beam).astype(np.float32)
        return pixels

    altered(short.scans[0], tmp_path / "flats.h5", film)
    record, bad = only(watch(tmp_path / "data", altered(short.scans[0], tmp_path / "frames.h5", film)))
    assert (record.frames.used, bad) == (53, [])


@pytest.mark.parametrize("which", ["NaN", "zero", "saturated", "missing"])
def test_a_flat_that_knows_nothing_is_replaced_by_the_nearest(short: Experiment, usual, tmp_path, which):
    make = {"NaN": lambda p: np.full_like(p, np.nan), "zero": lambda p: 0 * p, "saturated": lambda p: 0 * p + FULL}
    run = short.scans[0]
    if which == "missing":
        flat = next(d["uid"] for n, d in run if n == "descriptor" and d["name"] == "flat")
        run = [
            (n, d)
            for n, d in run
            if not (n == "event" and d["descriptor"] == flat and abs(d["data"]["mono_energy"] - NEAR) < 0.3)
        ]
    else:
        run = altered(run, tmp_path / "frames.h5", at("flat", NEAR, make=make[which]))
    monitor = watch(tmp_path / "data", run)
    assert monitor.failures == []
    record, bad = only(monitor)
    assert (record.frames.used, record.frames.bad, bad) == (53, 0, [])
    same_but_for_noise(record.edge_energy, usual, short.true_maps[0])


def test_without_any_flat_the_scan_has_no_map_and_that_is_told(short: Experiment, tmp_path):
    flat = next(d["uid"] for n, d in short.scans[0] if n == "descriptor" and d["name"] == "flat")
    run = [(n, d) for n, d in short.scans[0] if not (n == "event" and d["descriptor"] == flat)]
    monitor = watch(tmp_path, run)
    (told,) = monitor.failures
    assert "53 bad" in told
    assert "the plan must take flats" in told
    assert any("5 frames and no flat yet" in said for said in notes(monitor).messages)
    assert list_series(tmp_path)[0].scan_count == 0


def test_a_scan_over_other_energies_goes_into_a_series_of_its_own(short: Experiment, tmp_path):
    """Its maps have no place among the others, but are not lost; and nothing is analysed again at the next start."""
    usual, key = short.scans[0], load_profile("simulated").documents.energies
    last = max(usual[0][1][key])
    fewer = [e for e in usual[0][1][key] if e != last]
    other = []
    for name, doc in usual:
        if name == "event" and abs(doc["data"]["mono_energy"] - last) < 0.3:
            continue
        change = {"uid": "another", key: fewer} if name == "start" else {"run_start": "another"}
        other.append((name, {**doc, **change} if name == "start" or "run_start" in doc else doc))
    watch(tmp_path, usual)
    monitor = watch(tmp_path, other)
    assert monitor.failures == []
    assert any("52 energies are not those of series" in said for said in notes(monitor).messages)
    assert notes(watch(tmp_path, [])).done == []
    first, second = sorted(list_series(tmp_path), key=lambda folder: folder.name)
    assert (first.scan_count, second.scan_count) == (1, 1)
    assert second.name == f"{first.name}.grid2"


def test_flats_that_are_all_too_bright_change_only_what_is_subtracted_anyway(short: Experiment, usual, tmp_path):
    """An exposure of the flats that is not what the documents say is one number in every spectrum."""
    brighter = lambda s, _, e, p: 100 + 3 * (p - 100) if s == "flat" else p  # noqa: E731
    record, bad = only(watch(tmp_path / "data", altered(short.scans[0], tmp_path / "frames.h5", brighter)))
    assert bad == []
    found, true = record.edge_energy, short.true_maps[0]
    # The air is not told by its level any more, so that the beam's flicker stays: 0.3 % rms in flat and frame shift the
    # half-jump of the simulator's spectrum by 0.042 eV rms over the edge jump.
    assert abs(np.nanmedian((found - true) * record.edge_jump)) < 3 * 0.042
    assert error(found, true)[1] > error(usual, true)[1] - 0.06


COLUMNS = [17, 18, 60]


@pytest.mark.parametrize("value", [0, np.nan, FULL], ids=["dark", "NaN", "full"])
def test_dead_columns_are_bridged_or_unknown_and_the_rest_is_right(short: Experiment, usual, tmp_path, value):
    def dead(stream, number, energy, pixels):
        out = pixels.copy()
        out[:, COLUMNS] = value
        return out

    monitor = watch(tmp_path / "data", altered(short.scans[0], tmp_path / "frames.h5", dead))
    assert monitor.failures == []
    record, bad = only(monitor)
    assert bad == []
    # The drift carries a column over its neighbours.
    near = np.zeros(usual.shape, dtype=bool)
    for column in COLUMNS:
        near[:, column - 6 : column + 7] = True
    true = short.true_maps[0]
    same_but_for_noise(np.where(near, np.nan, record.edge_energy), np.where(near, np.nan, usual), true)
    median, _ = error(np.where(near, record.edge_energy, np.nan), true)
    assert not median > 0.35


def test_saturated_pixels_are_unknown_where_they_are(short: Experiment, usual, tmp_path):
    def full(stream, number, energy, pixels):
        out = pixels.copy()
        if stream == "primary" and number % 7 == 3:
            out[20:30, 20:40] = FULL
        return out

    record, bad = only(watch(tmp_path / "data", altered(short.scans[0], tmp_path / "frames.h5", full)))
    assert bad == []
    same_but_for_noise(record.edge_energy, usual, short.true_maps[0])


def test_a_camera_that_is_full_below_the_largest_number_needs_the_profile(short: Experiment, tmp_path):
    full = altered(short.scans[0], tmp_path / "frames.h5", at("primary", NEAR, make=lambda p: np.full_like(p, 60000.0)))
    profile = load_profile("simulated").model_dump() | {"camera": {"saturation": 60000}}
    _, bad = only(watch(tmp_path / "data", full, Profile.model_validate(profile)))
    assert any("holds no image" in reason for reason in bad)


def scan_over(folder: Path, energies) -> tuple[Documents, np.ndarray]:
    """A scan over these energies, in this order, and the truth in its middle."""
    world = World(WorldConfig.quick(), seed=1)
    world.furnace.heat_to(231.0)
    world.settle()
    documents: Documents = []
    engine = RunEngine({}, context_managers=[], during_task=DuringTask())
    engine.subscribe(lambda name, doc: documents.append((name, doc)))
    programme = [(231.0, 3000.0)]
    engine(
        operando_heating(**vars(make_beamline(world, folder)), programme=programme, interval=3000.0, energies=energies)
    )
    primary = next(d["uid"] for n, d in documents if n == "descriptor" and d["name"] == "primary")
    events = [d for n, d in documents if n == "event" and d["descriptor"] == primary]
    times = [d["timestamps"]["camera_image"] for d in events]
    return documents, world.true_map(float(np.median(times)))


def in_another_order(energies):
    """The first stays: its magnification is the map's."""
    rest = np.random.default_rng(3).permutation(np.asarray(energies)[1:])
    return [float(energies[0]), *map(float, rest)]


ORDERS = {
    "sorted": list(map(float, ENERGIES_53)),
    "unsorted": in_another_order(ENERGIES_53),
    "descending": [float(e) for e in ENERGIES_53[::-1]],
    "repeated": [float(e) for e in ENERGIES_53 for _ in range(1 + (8338 <= e <= 8344))],
    "swept twice": [*map(float, ENERGIES_53), *map(float, ENERGIES_53)],
}


@pytest.mark.parametrize("order", [name for name in ORDERS if name != "sorted"])
def test_energies_in_any_order_and_number(usual, tmp_path, order):
    documents, true = scan_over(tmp_path / "frames", ORDERS[order])
    monitor = watch(tmp_path / "data", documents)
    assert monitor.failures == []
    record, bad = only(monitor)
    assert bad == []
    assert record.frames.used == len(ORDERS[order])
    assert record.energy == pytest.approx(ORDERS[order])
    median, covered = error(record.edge_energy, true)
    if order == "descending":
        # On the grid of the first frame, which is 3 % larger.
        assert np.isfinite(record.edge_energy).sum() > np.isfinite(usual).sum()
    else:
        assert median < 0.1
        assert covered > 0.85


def test_the_same_frames_in_another_order_of_energy_give_the_same_map(short: Experiment, usual, tmp_path):
    run = short.scans[0]
    flat, primary = (
        next(d["uid"] for n, d in run if n == "descriptor" and d["name"] == name) for name in ("flat", "primary")
    )
    energies = run[0][1]["energies"]
    order = [energies.index(e) for e in in_another_order(energies)]
    place = {old + 1: new + 1 for new, old in enumerate(order)}
    events = {d["seq_num"]: (n, d) for n, d in run if n == "event" and d["descriptor"] == primary}
    moved = [("event", {**events[old + 1][1], "seq_num": place[old + 1]}) for old in order]
    rest = [
        (n, {**d, "energies": [energies[i] for i in order]} if n == "start" else d)
        for n, d in run[:-1]
        if not (n == "event" and d["descriptor"] == primary)
    ]
    monitor = watch(tmp_path, [*rest, *moved, run[-1]])
    record, bad = only(monitor)
    assert (record.frames.used, bad) == (53, [])
    assert flat != primary
    off = np.abs(record.edge_energy - usual)
    assert np.nanmedian(off) < 0.03
    assert np.mean(np.isfinite(record.edge_energy) == np.isfinite(usual)) > 0.97


CANNOT_GIVE_AN_EDGE = {
    "no pre-edge": ([e for e in ENERGIES_53 if e > 8320], ["pre window 8200-8310 eV", "extend the scan"]),
    "no post-edge": ([e for e in ENERGIES_53 if e < 8370], ["post window 8380-8460 eV", "extend the scan"]),
    "no edge": ([e for e in ENERGIES_53 if not 8320 < e < 8365], ["search window 8325-8360 eV", "extend the scan"]),
    "one pre-edge energy, repeated": (
        [8200.0] * 3 + [e for e in ENERGIES_53 if e > 8320],
        ["pre window", "1 different"],
    ),
    "keV": ([e / 1000 for e in ENERGIES_53], ["looks like keV", "energy_unit = 'keV'"]),
    "another edge": ([e - 632 for e in ENERGIES_53], ["pre window", "edit the profile"]),
    "no numbers": (["low", "high"], ["no list of numbers", "give the scan's energies in eV"]),
    "not finite": ([8200.0, float("nan"), 8400.0], ["no list of numbers", "give the scan's energies in eV"]),
}


@pytest.mark.parametrize("case", CANNOT_GIVE_AN_EDGE)
def test_energies_that_cannot_give_an_edge_are_told_before_the_first_frame(short: Experiment, tmp_path, case):
    energies, wanted = CANNOT_GIVE_AN_EDGE[case]
    start = {**short.scans[0][0][1], "energies": energies}
    monitor = Monitor(tmp_path, load_profile("simulated"), observer=Notes())
    monitor("start", start)
    (told,) = monitor.failures
    assert "\n" not in told
    for word in (start["uid"], "'energies'", *wanted):
        assert word in told
    for name, doc in short.scans[0][1:]:
        monitor(name, doc)
    monitor.finish()
    assert len(monitor.failures) == 1
    assert list_series(tmp_path) == []
    # Nothing is lost: the documents are there for another profile.
    assert len(list((tmp_path / "raw").glob("*.journal"))) == 1


def test_electronvolts_where_the_profile_says_kiloelectronvolts(short: Experiment, tmp_path):
    values = load_profile("simulated").model_dump()
    profile = Profile.model_validate(values | {"documents": values["documents"] | {"energy_unit": "keV"}})
    (told,) = watch(tmp_path, short.scans[0], profile).failures
    assert "looks like eV" in told
    assert "energy_unit = 'eV'" in told


@pytest.mark.parametrize("case", ["keV", "no post-edge"])
def test_replaying_a_scan_that_cannot_give_an_edge_is_bad_usage(short: Experiment, tmp_path, capfd, case):
    energies, wanted = CANNOT_GIVE_AN_EDGE[case]
    with Journal(tmp_path / "scan.journal") as journal:
        for name, doc in short.scans[0]:
            journal.append(name, {**doc, "energies": energies} if name == "start" else doc)
    status = main(["replay", str(tmp_path / "scan.journal"), "--data", str(tmp_path / "data"), "--no-view"])
    told = capfd.readouterr().err
    assert status == 2
    assert told.count("\n") == 1
    for word in ("scan.journal", *wanted):
        assert word in told
    assert not (tmp_path / "data" / "results").exists()


def test_a_nominal_edge_in_kev_is_bad_usage(short: Experiment, tmp_path, capfd):
    """It would be a jump of lines extrapolated over thousands of eV, and a front where none is."""
    with Journal(tmp_path / "scan.journal") as journal:
        for name, doc in short.scans[0]:
            journal.append(name, doc)
    (tmp_path / "mine.toml").write_text(
        'name = "mine"\n[documents]\nimage = "camera_image"\nenergy = "mono_energy"\nenergies = "energies"\n'
        f"plans_2d = ['{short.scans[0][0][1]['plan_name']}']\n[edge]\nnominal = 8.341\n"
    )
    command = ["replay", str(tmp_path / "scan.journal"), "--data", str(tmp_path / "data")]
    assert main([*command, "--profile", str(tmp_path / "mine.toml")]) == 2
    line = capfd.readouterr().err
    assert line.count("\n") == 1
    for word in ("mine.toml", "edge: nominal = 8.341", "8325-8360", "in eV"):
        assert word in line
    assert not (tmp_path / "data").exists()


def test_a_scan_that_announces_nothing_and_gives_no_edge_is_told_at_its_end(short: Experiment, tmp_path):
    run = [(n, {k: v for k, v in d.items() if k != "energies"} if n == "start" else d) for n, d in short.scans[0]]
    primary = next(d["uid"] for n, d in run if n == "descriptor" and d["name"] == "primary")
    cut = [
        (n, d) for n, d in run if not (n == "event" and d["descriptor"] == primary and d["data"]["mono_energy"] > 8365)
    ]
    (told,) = watch(tmp_path, cut).failures
    assert "post window" in told
    assert list_series(tmp_path)[0].scan_count == 0


def test_a_scan_that_is_cut_before_the_post_edge_is_stored_and_told(short: Experiment, tmp_path):
    run = short.scans[0]
    primary = next(d["uid"] for n, d in run if n == "descriptor" and d["name"] == "primary")
    cut = [
        (n, d) for n, d in run if not (n == "event" and d["descriptor"] == primary and d["data"]["mono_energy"] > 8365)
    ]
    monitor = watch(tmp_path, cut)
    record, _ = only(monitor)
    assert record.frames.lost == 53 - record.frames.used > 0
    assert any("has an empty map" in text and "post window" in text for text in notes(monitor).messages)


def test_readings_in_another_unit_than_the_list_are_told(short: Experiment, tmp_path):
    def in_kev(doc):
        return {**doc, "data": {**doc["data"], "mono_energy": doc["data"]["mono_energy"] / 1000}}

    run = [(n, in_kev(d) if n == "event" else d) for n, d in short.scans[0]]
    (told,) = watch(tmp_path, run).failures
    assert "53 bad" in told
    assert "8.2 eV is not among the scan's energies" in told
