"""The accumulator: whatever way the frames come in, the end is the batch result; and what it says of its errors."""

from dataclasses import replace

import numpy as np
import pytest

from redoxscope.analysis.edge_map import FINAL, NONE, PROVISIONAL, EdgeMap
from redoxscope.analysis.xanes import Edge, edge_energy

from .conftest import ENERGIES, phantom, spectrum

EDGE = Edge()
N = ENERGIES.size
NOISE = 0.01


def fill(frames, order=range(N), variance=NOISE**2, energies=ENERGIES):
    scan = EdgeMap(energies, frames.shape[1:], EDGE)
    for i in order:
        assert scan.update(i, frames[i], variance)
    return scan


def assert_same(one, other):
    np.testing.assert_array_equal(one.edge_energy, other.edge_energy)
    np.testing.assert_array_equal(one.jump, other.jump)
    np.testing.assert_array_equal(one.sigma, other.sigma)


@pytest.fixture(scope="module")
def frames(particle):
    return particle.noisy(NOISE)


@pytest.mark.parametrize("subspace", [True, False])
@pytest.mark.parametrize("order", ["forward", "backward", "shuffled"])
def test_any_order_ends_at_the_batch_result(frames, order, subspace):
    picks = {"forward": range(N), "backward": range(N)[::-1], "shuffled": np.random.default_rng(0).permutation(N)}
    scan = fill(frames, picks[order])
    found = scan.result(subspace=subspace)
    assert_same(found, edge_energy(frames, ENERGIES, EDGE, variance=NOISE**2, subspace=subspace))
    assert scan.complete
    assert (found.state == FINAL).all()


@pytest.mark.parametrize("later", [False, True], ids=["first scan", "next scan"])
def test_looking_in_between_changes_nothing(frames, later):
    """However little of the edge has been seen."""
    previous = fill(frames).result() if later else None
    scan = EdgeMap(ENERGIES, frames.shape[1:], EDGE)
    for i in range(N):
        scan.update(i, frames[i], NOISE**2)
        scan.result(previous=previous)
    assert_same(scan.result(), fill(frames).result())


def test_duplicates_are_ignored(frames):
    scan = fill(frames)
    assert not scan.update(5, frames[5] + 1, 1.0)
    assert_same(scan.result(), fill(frames).result())


@pytest.mark.parametrize("cuts", [(20,), (10, 45), tuple(range(1, N))])
def test_merged_parts_are_the_whole(frames, cuts):
    parts = [fill(frames, part) for part in np.split(np.random.default_rng(1).permutation(N), cuts)]
    whole = parts[0]
    for part in parts[1:]:
        whole.merge(part)
    assert whole.complete
    assert_same(whole.result(), fill(frames).result())


def test_a_frame_may_count_once(frames):
    with pytest.raises(ValueError, match=r"frames \[3\] are in both parts"):
        fill(frames, [1, 3]).merge(fill(frames, [3, 4]))


@pytest.mark.parametrize(
    "other",
    [EdgeMap(ENERGIES + 5, (24, 30), EDGE), EdgeMap(ENERGIES[:9], (24, 30), EDGE), EdgeMap(ENERGIES, (30, 24), EDGE)],
    ids=["other energies", "fewer energies", "other shape"],
)
def test_parts_of_different_scans_are_not_merged(frames, other):
    scan = fill(frames, range(20))
    seen = scan.seen
    with pytest.raises(ValueError, match="differ in energies or shape: merge parts of one scan"):
        scan.merge(other)
    np.testing.assert_array_equal(scan.seen, seen)


@pytest.mark.parametrize("index", [-1, N, 99])
def test_a_frame_of_no_energy_is_refused(frames, index):
    scan = EdgeMap(ENERGIES, frames.shape[1:], EDGE)
    with pytest.raises(IndexError, match=f"frame {index} of a scan over {N} energies: they are numbered from 0"):
        scan.update(index, frames[0], NOISE**2)
    assert not scan.seen.any()


@pytest.mark.parametrize("upto", [0, 30, N])
def test_a_previous_map_of_another_shape_is_refused(frames, upto):
    previous = fill(frames[:, :20, :20]).result()
    with pytest.raises(ValueError, match=r"previous map has shape \(20, 20\), this one \(24, 30\)"):
        fill(frames, range(upto)).result(previous=previous)


@pytest.mark.parametrize("subspace", [True, False])
@pytest.mark.parametrize("lost", [[7], [20, 21, 22], [0, 30, 50]])
@pytest.mark.parametrize("how", ["never came", "all NaN"])
def test_lost_frames_leave_the_batch_result_of_the_rest(frames, lost, how, subspace):
    """Of the scan as it was planned: where the baselines lack none, that is all that is known of the lost ones."""
    kept = np.setdiff1d(np.arange(N), lost)
    scan = fill(frames, kept)
    if how == "all NaN":
        for i in lost:
            scan.update(i, np.full(frames.shape[1:], np.nan), NOISE**2)
        assert scan.complete
        assert scan.seen.all()
    else:
        assert not scan.complete
        assert not scan.seen[lost].any()
    found = scan.result(closed=True, subspace=subspace)
    holed = frames.copy()
    holed[lost] = np.nan
    assert_same(found, edge_energy(holed, ENERGIES, EDGE, variance=NOISE**2, subspace=subspace))
    if lost != [0, 30, 50]:
        assert_same(found, edge_energy(frames[kept], ENERGIES[kept], EDGE, variance=NOISE**2, subspace=subspace))
    assert (found.state == FINAL).all()


def test_unsorted_and_repeated_energies(frames, particle):
    repeated = np.concatenate([ENERGIES, ENERGIES[22:32]])
    more = np.concatenate([frames, particle.noisy(NOISE, seed=9)[22:32]])
    pick = np.random.default_rng(2).permutation(repeated.size)
    sorted_result = fill(more, range(63), energies=repeated).result(subspace=False)
    shuffled = fill(more[pick], range(63), energies=repeated[pick]).result(subspace=False)
    np.testing.assert_allclose(shuffled.edge_energy, sorted_result.edge_energy, atol=2e-3)
    once = fill(frames).result(subspace=False)
    errors = [np.std(r.edge_energy - particle.edge_energy) for r in (sorted_result, once)]
    assert errors[0] < errors[1]
    pull = (sorted_result.edge_energy - particle.edge_energy) / sorted_result.sigma
    assert np.median(np.abs(pull)) / 0.6745 == pytest.approx(1, abs=0.2)


def test_repeated_frames_that_share_a_flat_or_are_the_same_add_no_component():
    """What the noise of two frames has in common is no spectrum."""
    sample = phantom((60, 80))
    clean = sample.clean
    rng = np.random.default_rng(6)
    flats = 0.007 * rng.standard_normal(clean.shape)
    frames, again = (clean + flats + 0.007 * rng.standard_normal(clean.shape) for _ in range(2))
    variance = 2 * 0.007**2

    def pulls(frames, energies):
        found = fill(frames.astype(np.float32), range(energies.size), variance, energies).result()
        error = found.edge_energy - sample.edge_energy
        return np.nanmedian(np.abs(error)), np.nanmedian(np.abs(error / found.sigma)) / 0.6745, found

    once, width, whole = pulls(frames, ENERGIES)
    shared, shared_width, _ = pulls(np.concatenate([frames, again[20:30]]), np.concatenate([ENERGIES, ENERGIES[20:30]]))
    assert shared < once
    assert shared_width == pytest.approx(width, rel=0.08)
    _, _, twice = pulls(np.concatenate([frames, frames[24:25]]), np.concatenate([ENERGIES, ENERGIES[24:25]]))
    np.testing.assert_allclose(twice.edge_energy, whole.edge_energy, atol=2e-3)


def test_provisional_as_soon_as_the_edge_has_been_seen(particle):
    previous = fill(particle.noisy(NOISE, seed=1)).result()
    frames = particle.noisy(NOISE, seed=2)
    half_way = int(np.flatnonzero(ENERGIES == 8348)[0]) + 1
    scan = fill(frames, range(half_way))
    assert (scan.result().state == NONE).all(), "nothing is known of the post-edge"
    early = scan.result(previous=previous)
    assert (early.state == PROVISIONAL).mean() > 0.98
    known = early.state == PROVISIONAL
    error = (early.edge_energy - particle.edge_energy)[known]
    assert np.median(np.abs(error)) < 0.1
    assert np.std(error / early.sigma[known]) == pytest.approx(1, abs=0.1)
    final = fill(frames).result(previous=previous)
    assert (final.state == FINAL).all()
    assert np.median(final.sigma) <= np.median(early.sigma[known])
    assert_same(final, fill(frames).result())  # the previous scan has no say in it


def test_a_jump_that_drifts_from_scan_to_scan_is_in_the_provisional_sigma():
    before = phantom((40, 50), seed=3)
    drift = 0.01 * np.random.default_rng(8).standard_normal((40, 50))
    half_way = np.flatnonzero(ENERGIES <= 8348)
    noise = 0.003
    previous = fill(before.noisy(noise, seed=1), variance=noise**2).result()
    line = before.clean[:7].mean(axis=0)
    now = line + (before.clean - line) * (1 + drift)
    frames = (now + noise * np.random.default_rng(2).standard_normal(now.shape)).astype(np.float32)
    early = fill(frames, half_way, variance=noise**2).result(previous=previous)
    pull = (early.edge_energy - before.edge_energy) / early.sigma
    assert np.nanmedian(np.abs(pull - np.nanmedian(pull))) / 0.6745 == pytest.approx(1, abs=0.1)


def width(found, truth, known):
    """Robust width of the pulls, bias included."""
    return np.nanmedian(np.abs((found.edge_energy - truth) / found.sigma)[known]) / 0.6745


def reacted(truth, trend, seed=3):
    """A phantom whose jump depends on the phase, by a part `trend` per eV."""
    scan = phantom((60, 80), seed=seed)
    x = ENERGIES.reshape(-1, 1, 1) - 8341
    scan.jump = scan.jump * (1 + trend * (truth - 8341))
    scan.edge_energy = truth
    scan.clean = scan.jump * spectrum(truth) + 0.3 - 4e-4 * x
    return scan


def test_after_a_large_reaction_the_provisional_sigma_is_honest_and_then_the_trend_is_known():
    """The jump falls by 3 % per eV; the first reaction finds it within its prior, the second one knows it."""
    rng = np.random.default_rng(4)
    noise = 0.004
    first = reacted(rng.uniform(8341.5, 8342.9, (60, 80)), -0.03)
    then = reacted(first.edge_energy - rng.uniform(0, 3, (60, 80)), -0.03)
    half_way = np.flatnonzero(ENERGIES <= 8348)
    before = fill(first.noisy(noise, 1), variance=noise**2).result()
    early = fill(then.noisy(noise, 2), half_way, variance=noise**2).result(previous=before)
    known = early.state == PROVISIONAL
    assert known.mean() > 0.98
    assert 0.8 < width(early, then.edge_energy, known) < 1.2
    flat = fill(then.noisy(noise, 2), half_way, variance=noise**2).result(previous=replace(before, jump_trend=0.0))
    assert np.median(np.abs(early.edge_energy - then.edge_energy)[known]) < 0.6 * np.median(
        np.abs(flat.edge_energy - then.edge_energy)[known]
    )
    after = fill(then.noisy(noise, 2), variance=noise**2).result(previous=before)
    assert after.jump_trend == pytest.approx(-0.03, abs=0.004)
    assert after.jump_trend_sigma < 0.5 * EDGE.jump_trend_scatter
    last = reacted(then.edge_energy + rng.uniform(-0.5, 0.5, (60, 80)), -0.03)
    again = fill(last.noisy(noise, 5), half_way, variance=noise**2).result(previous=after)
    known = again.state == PROVISIONAL
    assert 0.8 < width(again, last.edge_energy, known) < 1.2


def test_sigma_knows_of_flats_that_were_averaged_and_of_the_air_around_a_particle():
    """Photon statistics of one flat were given, twenty were taken; and air, half the field, has the least noise."""
    rng = np.random.default_rng(11)
    scan = phantom((60, 80), jump=(0.5, 0.7))
    air = np.zeros((60, 80), dtype=bool)
    air[:, :40] = True
    clean = np.where(air, 0, scan.clean)
    energies, sigmas = [], []
    for _ in range(10):
        noise = np.sqrt((0.05 + np.exp(clean)) / 4000)
        scale = (1 + np.exp(clean)) / 4000
        frames = (clean + noise * rng.standard_normal(clean.shape)).astype(np.float32)
        accumulator = EdgeMap(ENERGIES, air.shape, EDGE)
        for i, frame in enumerate(frames):
            accumulator.update(i, frame, scale[i])
        found = accumulator.result()
        energies.append(found.edge_energy[~air])
        sigmas.append(found.sigma[~air])
    spread = np.array(energies) - np.mean(energies, axis=0)
    pulls = spread / np.array(sigmas) * np.sqrt(10 / 9)
    assert 0.9 < np.median(np.abs(pulls)) / 0.6745 < 1.1


def test_provisional_in_a_first_scan_from_what_is_known_of_the_edge():
    """Nothing but the pre-edge and the white line has been seen: the jump is a guess, and sigma says how good a one."""
    rng = np.random.default_rng(6)
    scan = phantom((40, 50), low=8338.6, high=8341.5)
    ratio = 1.0 * (1 + 0.05 * rng.standard_normal(scan.jump.shape))  # of this sample, here and there
    x = (ENERGIES - 8341)[:, None, None]
    clean = scan.jump * (spectrum(scan.edge_energy) * np.where(x > 4, ratio, 1)) - 4e-4 * x + 0.3
    frames = (clean + 0.005 * rng.standard_normal(clean.shape)).astype(np.float32)
    edge = Edge(plateau=(8346, 8352), plateau_ratio=1.0, plateau_scatter=0.05)

    def upto(energy, closed=False):
        accumulator = EdgeMap(ENERGIES, frames.shape[1:], edge)
        for i in np.flatnonzero(energy >= ENERGIES):
            accumulator.update(i, frames[i], 0.005**2)
        return accumulator.result(closed=closed)

    assert (upto(8351).state == NONE).all(), "its top has not been passed"
    assert (upto(8352, closed=True).state == NONE).all(), "a guess is never final"
    early = upto(8352)
    assert (early.state == PROVISIONAL).mean() > 0.98
    known = early.state == PROVISIONAL
    error = (early.edge_energy - scan.edge_energy)[known]
    assert np.median(np.abs(error)) < 0.12
    pull = error / early.sigma[known]
    assert np.std(pull) == pytest.approx(1, abs=0.1)
    assert np.median(early.sigma[known]) > 1.3 * np.nanmedian(upto(8450).sigma), "the guess makes it less certain"


def test_before_its_crossing_a_pixel_has_no_state(particle):
    frames = particle.noisy(0.003)
    previous = fill(frames, variance=0.003**2).result()
    upto = int(np.flatnonzero(ENERGIES == 8341)[0]) + 1
    early = fill(frames, range(upto), variance=0.003**2).result(previous=previous)
    known = early.state == PROVISIONAL
    assert known[particle.edge_energy < 8340.8].mean() > 0.98
    assert not known[particle.edge_energy > 8341.3].any()
    np.testing.assert_array_equal(np.isfinite(early.edge_energy), known)


def test_nothing_seen_is_nothing_known(frames):
    empty = EdgeMap(ENERGIES, frames.shape[1:], EDGE).result()
    assert np.isnan(empty.edge_energy).all()
    assert (empty.state == NONE).all()
    assert np.isnan(fill(frames, range(12)).result(closed=True).edge_energy).all()


@pytest.mark.parametrize("subspace", [True, False])
@pytest.mark.parametrize("rows", [[0], [20, 21], [N - 1], list(range(1, N - 1)), "all of one"])
def test_a_stack_that_lacks_samples_gives_what_its_frames_give(frames, rows, subspace):
    holed = frames.copy()
    if rows == "all of one":
        holed[25] = np.nan
    else:
        for lost, column in ((np.nan, 4), (np.inf, 5), (-np.inf, 6)):
            holed[rows, 3, column] = lost
    batch = edge_energy(holed, ENERGIES, EDGE, variance=NOISE**2, subspace=subspace)
    assert_same(fill(holed).result(subspace=subspace), batch)


@pytest.mark.parametrize("subspace", [True, False])
def test_missing_samples_and_dead_pixels(frames, particle, subspace):
    holed = frames.copy()
    holed[:, 3, 4] = np.nan  # dead
    holed[::10, 5, 6] = np.nan  # a sample here and there
    holed[44:, 7, 8] = np.nan  # drifted out of the view before the post-edge
    holed[:6, 9, 10] = np.nan  # came into the view after the pre-edge
    found = fill(holed).result(subspace=subspace)
    for dead in ((3, 4), (7, 8), (9, 10)):
        assert np.isnan(found.edge_energy[dead])
        assert np.isnan(found.jump[dead])
        assert found.state[dead] == NONE
    assert abs(found.edge_energy[5, 6] - particle.edge_energy[5, 6]) < 0.5
    whole = fill(frames).result(subspace=subspace)
    others = np.isfinite(found.edge_energy)
    assert others.sum() == frames[0].size - 3
    assert np.median(np.abs(found.edge_energy - whole.edge_energy)[others]) < (0.02 if subspace else 1e-9)


@pytest.mark.parametrize(("subspace", "noise"), [(False, 0.003), (False, 0.015), (True, 0.003), (True, 0.015)])
def test_sigma_is_the_scatter_of_repetitions(subspace, noise):
    scan = phantom((30, 40), jump=(0.3, 0.6))
    pulls = []
    spread = []
    for seed in range(8):
        found = fill(scan.noisy(noise, seed), variance=noise**2).result(subspace=subspace)
        spread.append((found.edge_energy, found.sigma))
    energies, sigmas = (np.array(a) for a in zip(*spread, strict=True))
    pulls = (energies - energies.mean(axis=0)) / sigmas * np.sqrt(8 / 7)
    assert 0.85 < np.nanstd(pulls) < 1.15
    errors = (energies - scan.edge_energy) / sigmas
    assert 0.8 < np.nanmedian(np.abs(errors)) / 0.6745 < (1.3 if noise > 0.01 else 8), "bias of the definition included"


@pytest.mark.parametrize("subspace", [True, False])
def test_empty_pixels_have_no_edge_energy(subspace):
    scan = phantom((24, 30))
    frames = scan.noisy(0.02)
    empty = np.zeros((24, 30), dtype=bool)
    empty[:, :10] = True
    frames[:, empty] = (0.02 * np.random.default_rng(3).standard_normal((N, empty.sum()))).astype(np.float32)
    found = fill(frames, variance=0.02**2).result(subspace=subspace)
    assert np.isfinite(found.edge_energy[empty]).mean() < 0.01
    assert np.isfinite(found.edge_energy[~empty]).mean() > 0.95
    assert np.abs(np.median(found.jump[empty])) < 0.02


def test_noise_per_pixel(frames, particle):
    """The bright half of the field is less certain, and says so."""
    noise = np.where(np.arange(30) < 15, 0.004, 0.02) * np.ones((24, 1))
    frames = (particle.clean + noise * np.random.default_rng(4).standard_normal(particle.clean.shape)).astype(
        np.float32
    )
    found = fill(frames, variance=noise**2).result()
    error = np.abs(found.edge_energy - particle.edge_energy)
    for half in (slice(0, 15), slice(15, 30)):
        assert np.nanmedian(error[:, half] / found.sigma[:, half]) / 0.6745 == pytest.approx(1, abs=0.35)
