"""Planted drifts are found again; frames that show nothing are told apart; side by side with phase correlation."""

import h5py
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates
from skimage.registration import phase_cross_correlation

from redoxscope.analysis.absorbance import absorbance, absorbance_variance
from redoxscope.analysis.edge_map import EdgeMap
from redoxscope.analysis.registration import Registration
from redoxscope.analysis.resample import resample
from redoxscope.analysis.xanes import Edge


class Field:
    """A particle with texture, an edge jump that differs in its texture, and a front that moves through it."""

    def __init__(self, size=160, seed=0):
        rng = np.random.default_rng(seed)
        self.size = size
        self.grid = np.arange(2 * size) - (2 * size - 1) / 2
        shape = (2 * size, 2 * size)
        disc = 1 / (1 + np.exp((np.hypot(*np.meshgrid(self.grid, self.grid)) - size * 0.36) / 2))
        texture = [gaussian_filter(rng.standard_normal(shape), s) for s in (1.6, 1.6, 8)]
        self.base = disc * (0.4 + 0.15 * texture[0] / texture[0].std())
        self.jump = disc * (0.35 + 0.1 * texture[1] / texture[1].std())
        self.edge = 8341 + 1.5 * texture[2] / texture[2].std()

    def frame(self, energy, shift, scale=1.0, noise=0.0, seed=0):
        image = self.base + self.jump / (1 + np.exp(-(energy - self.edge) / 0.9))
        axis = np.arange(self.size) - (self.size - 1) / 2
        # A feature at p of the grid is seen at scale·p + shift.
        back = [(axis - s) / scale + (2 * self.size - 1) / 2 for s in shift]
        seen = map_coordinates(image, np.meshgrid(*back, indexing="ij"), order=3, mode="nearest")
        return (seen + noise * np.random.default_rng(seed).standard_normal(seen.shape)).astype(np.float32)


ENERGIES = np.concatenate([np.arange(8300, 8330, 6), np.arange(8332, 8350, 1), np.arange(8355, 8400, 8)])


@pytest.fixture(scope="module")
def field():
    return Field()


def drift(n, step, seed=0):
    walk = np.cumsum(step * np.random.default_rng(seed).standard_normal((n, 2)), axis=0)
    return walk - walk[0]


def place_all(registration, field, energies, shifts, noise=0.03, seed=0):
    scales = energies / energies[0]
    return [
        registration.place(i, field.frame(e, s, m, noise, seed + i), m)
        for i, (e, s, m) in enumerate(zip(energies, shifts, scales, strict=True))
    ]


def rms(placements, shifts):
    return np.sqrt(np.mean((np.array([p.shift for p in placements]) - shifts) ** 2))


@pytest.mark.parametrize(("step", "noise", "limit"), [(0.3, 0.03, 0.05), (1.5, 0.03, 0.05), (0.5, 0.15, 0.2)])
def test_planted_drift_across_the_edge(field, step, noise, limit):
    registration = Registration()
    shifts = drift(ENERGIES.size, step)
    found = place_all(registration, field, ENERGIES, shifts, noise)
    assert all(p.valid for p in found)
    assert rms(found, shifts) < limit
    assert np.median([p.sigma for p in found]) < limit
    registration.next_scan()
    again = shifts[-1] + drift(ENERGIES.size, step, seed=1)
    assert rms(place_all(registration, field, ENERGIES, again, noise, seed=100), again) < 1.5 * limit


def test_any_order_of_energies(field):
    shifts = drift(ENERGIES.size, 0.5)
    found = place_all(Registration(), field, ENERGIES[::-1], shifts)
    assert rms(found, shifts) < 0.06


@pytest.mark.parametrize("at", [1, 2, 14])
def test_a_jump_of_thirty_pixels(field, at):
    shifts = drift(ENERGIES.size, 0.3)
    shifts[at:] += (22.0, -21.0)
    found = place_all(Registration(), field, ENERGIES, shifts)
    assert all(p.valid for p in found)
    assert rms(found, shifts) < 0.08


@pytest.mark.parametrize("seed", [1, 2])
def test_a_jump_at_low_counts_where_the_sample_fills_the_view(seed):
    """The view ends in the material: that border is in all frames, and lies where the drift puts it."""
    field = Field(seed=seed)
    y, x = np.meshgrid(field.grid, field.grid, indexing="ij")
    thick = np.exp(-((y + 50) ** 2 + (x - 30) ** 2) / (2 * 90**2))
    field.base = thick * (0.6 + 0.35 * (field.base - field.base.mean()))
    field.jump = thick * (0.4 + 0.35 * (field.jump - field.jump.mean()))
    shifts = drift(ENERGIES.size, 0.5, seed=seed + 2)
    shifts[5:] += (3.0, -4.0)
    shifts[20:] += (-12.0, 25.0)
    found = place_all(Registration(), field, ENERGIES, shifts, 0.13, 100 * seed)
    assert all(p.valid for p in found)
    assert rms(found, shifts) < 0.2


@pytest.mark.parametrize("jump", [(0.0, 0.0), (22.0, -21.0)])
def test_a_sweep_over_several_edges_magnifies_by_a_third(field, jump):
    """Three edges as in Mu et al., 6390 to 8600 eV; the field shows its own edge at the last one only."""
    energies = np.concatenate([ENERGIES - 1900, ENERGIES - 700, ENERGIES + 200])
    shifts = drift(energies.size, 0.15)
    shifts[70:] += jump
    scales = energies / energies[0]
    assert scales[-1] > 1.3
    registration = Registration()
    found = [
        registration.place(i, field.frame(max(e - 200, 8000.0), s, m, 0.03, i), m)
        for i, (e, s, m) in enumerate(zip(energies, shifts, scales, strict=True))
    ]
    assert all(p.valid for p in found)
    assert rms(found, shifts) < 0.15


def test_a_lattice_is_not_placed_a_period_off():
    """Squares of 6 px that are nearly alike, all over the view, and steps of up to that from frame to frame."""
    field = Field()
    y, x = np.meshgrid(field.grid, field.grid, indexing="ij")
    field.base = 0.4 + 0.15 * np.sin(2 * np.pi * x / 12) * np.sin(2 * np.pi * y / 12) + 0.1 * field.base
    shifts = drift(ENERGIES.size, 2.0, seed=3)
    found = place_all(Registration(), field, ENERGIES, shifts)
    assert all(p.valid for p in found)
    assert rms(found, shifts) < 0.05


def test_a_dead_part_of_the_sensor_does_not_hold_on_to_the_sample(field):
    """It stays where it is, whatever the sample does; single dead pixels besides."""
    shifts = drift(ENERGIES.size, 1.0, seed=4)
    shifts[9:] += (14.0, -8.0)
    dead = np.random.default_rng(0).random((field.size, field.size)) < 0.01
    dead[-45:] = dead[:, :20] = True
    registration, found = Registration(), []
    for i, (energy, shift) in enumerate(zip(ENERGIES, shifts, strict=True)):
        scale = energy / ENERGIES[0]
        frame = field.frame(energy, shift, scale, 0.1, i)
        frame[dead] = np.nan
        found.append(registration.place(i, frame, scale))
    assert all(p.valid for p in found)
    assert rms(found, shifts) < 0.15


@pytest.mark.parametrize("noise", [0.1, 0.2])
def test_the_standard_error_is_that_of_the_shifts(field, noise):
    shifts = drift(ENERGIES.size, 0.5, seed=5)
    pulls = []
    for seed in (0, 1000):
        found = place_all(Registration(), field, ENERGIES, shifts, noise, seed)
        error = np.array([p.shift for p in found]) - shifts
        # Where the first frame lies is the grid's matter, and common to all.
        pulls.append((error - np.median(error, axis=0))[1:] / np.array([[p.sigma] for p in found[1:]]))
    assert 0.7 < np.sqrt(np.mean(np.square(pulls))) < 1.4


def test_the_standard_error_holds_that_of_the_frames_compared_to(field):
    """Before the edge, against the grid of the first frame: its noise and that of the next few are in all shifts."""
    pulls = []
    for seed in range(8):
        shifts = drift(8, 0.5, seed)
        found = place_all(Registration(), field, np.linspace(8250, 8320, 8), shifts, 0.25, 1000 * seed)
        pulls.append(((np.array([p.shift for p in found]) - shifts) / np.array([[p.sigma or 1] for p in found]))[1:])
    assert 0.8 < np.sqrt(np.mean(np.square(pulls))) < 1.25


@pytest.mark.parametrize("where", [0, 3, 15])
@pytest.mark.parametrize("kind", ["blank", "all NaN", "noise"])
def test_a_frame_that_shows_nothing_is_told_apart(field, kind, where):
    if kind == "noise" and where == 0:
        pytest.skip("with nothing to compare it to, noise is a frame like any other")
    shifts = drift(ENERGIES.size, 0.3)
    registration = Registration()
    found = []
    for i, (e, s) in enumerate(zip(ENERGIES, shifts, strict=True)):
        scale = e / ENERGIES[0]
        frame = field.frame(e, s, scale, 0.03, i)
        if i == where:
            frame[:] = {"blank": 0.7, "all NaN": np.nan, "noise": 0}[kind]
            if kind == "noise":
                frame += np.random.default_rng(999).standard_normal(frame.shape).astype(np.float32)
        found.append(registration.place(i, frame, scale))
    assert not found[where].valid
    assert np.isfinite(found[where].shift).all()
    if where:
        assert found[where].shift == found[where - 1].shift, "the nearest one's"
    others = [i for i in range(ENERGIES.size) if i != where]
    assert all(found[i].valid for i in others)
    offset = shifts[1] if where == 0 else 0  # then the second frame is the series' grid
    assert rms([found[i] for i in others], shifts[others] - offset) < 0.08


def test_dead_pixels_do_not_hold_the_frame(field):
    shifts = drift(ENERGIES.size, 1.0)
    dead = np.random.default_rng(0).random((field.size, field.size)) < 0.005
    dead[:, 60] = True
    registration = Registration()
    found = []
    for i, (e, s) in enumerate(zip(ENERGIES, shifts, strict=True)):
        frame = field.frame(e, s, e / ENERGIES[0], 0.03, i)
        frame[dead] = np.nan
        found.append(registration.place(i, frame, e / ENERGIES[0]))
    assert rms(found, shifts) < 0.15


def test_saturated_blotches_that_stay_while_the_sample_moves_do_not_hold_the_frame(field):
    """As where the beam is brightest: a fifteenth of the frame, in pieces of a dozen pixels."""
    shifts = drift(ENERGIES.size, 0.5, seed=2)
    smooth = gaussian_filter(np.random.default_rng(1).standard_normal((field.size, field.size)), 4)
    saturated = smooth > np.quantile(smooth, 0.93)
    registration, found = Registration(), []
    for i, (e, s) in enumerate(zip(ENERGIES, shifts, strict=True)):
        frame = field.frame(e, s, e / ENERGIES[0], 0.03, i)
        frame[saturated] = np.nan
        found.append(registration.place(i, frame, e / ENERGIES[0]))
    assert all(p.valid for p in found)
    assert rms(found, shifts) < 0.04


def test_large_frames_are_binned_and_placed_to_a_fraction_of_a_pixel():
    field = Field(1030)
    shifts = np.array([[0, 0], [1.3, -2.2], [-12.4, 7.7]])
    found = place_all(Registration(), field, np.array([8300.0, 8301.0, 8303.0]), shifts)
    assert all(p.valid for p in found)
    assert rms(found, shifts) < 0.2


def test_frames_of_another_shape_are_refused(field):
    registration = Registration()
    frame = field.frame(8300, (0, 0))
    registration.place(0, frame, 1.0)
    with pytest.raises(ValueError, match=r"frame of \(150, 160\)"):
        registration.place(1, frame[:150], 1.0)


def series(folder):
    with np.load(folder / "truth.npz") as archive:
        truth = dict(archive)
    scans = []
    for path in sorted(folder.glob("*.h5")):
        with h5py.File(path) as file:
            scans.append((file["img_xanes"][()], file["img_bkg"][()]))
    return truth, scans


@pytest.mark.parametrize(
    ("name", "shift_limit", "median", "p95"), [("fxi_2d", 0.1, 0.12, 0.42), ("fxi_2d_dim", 0.22, 0.23, 0.9)]
)
def test_recorded_series_with_known_drift(shared_data, name, shift_limit, median, p95):
    """Own registration, then the map: each repeat within its limits, and all of the material covered."""
    if not (shared_data / name).is_dir():
        pytest.skip(f"no {shared_data / name}")
    truth, scans = series(shared_data / name)
    energies = truth["energy"]
    registration = Registration()
    inside = truth["inside"]
    for repeat, (frames, flats) in enumerate(scans):
        scan = EdgeMap(energies, inside.shape, Edge())
        shifts = truth["shifts"][repeat, :, :2]
        found = []
        for i, (frame, flat) in enumerate(zip(frames, flats, strict=True)):
            image, scale = absorbance(frame), energies[i] / energies[0]
            found.append(registration.place(i, image, scale))
            variance = absorbance_variance(image, flat)
            placed, noise_y, noise_x = resample(image, scale, found[-1].shift)
            scan.update(i, placed, variance * np.outer(noise_y, noise_x))
        registration.next_scan()
        assert all(p.valid for p in found)
        assert rms(found, shifts) < shift_limit
        told = np.array([[p.sigma] for p in found[1:]])
        assert 0.5 < np.sqrt(np.mean(((np.array([p.shift for p in found[1:]]) - shifts[1:]) / told) ** 2)) < 1.5
        if repeat == 0:
            peer = by_phase_correlation(frames, energies)
            assert rms(found, shifts) < 0.5 * np.sqrt(np.mean((peer - shifts) ** 2))
        result = scan.result()
        error = np.abs(result.edge_energy - truth["edge_energy"][repeat])[inside]
        known = np.isfinite(error)
        assert known.mean() > 0.9
        assert np.median(error[known]) < median
        assert np.percentile(error[known], 95) < p95


def by_phase_correlation(frames, energies):
    """Shifts as scikit-image finds them, frame by frame against the one before, magnification corrected."""
    shifts = np.zeros((len(frames), 2))
    before = None
    for i, frame in enumerate(frames):
        placed = np.nan_to_num(resample(absorbance(frame), energies[i] / energies[0], (0.0, 0.0))[0])
        if before is not None:
            shifts[i] = shifts[i - 1] - phase_cross_correlation(before, placed, upsample_factor=20)[0]
        before = placed
    return shifts
