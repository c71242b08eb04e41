"""What may be wrong with a 3D scan, from documents to the stored volume: each outcome as the README states it."""

import h5py
import numpy as np
import pytest

from redoxscope.live.profile import Profile, load_profile
from redoxscope.live.series_folder import list_series

from .balls import ANGLES, CORE, ENERGIES, SHAPE, SHELL, Ball, frames_of, scan_documents
from .experiments import notes, watch

pytestmark = pytest.mark.timeout(300)


def fixed(**tables) -> Profile:
    """The simulated beamline's, without magnification, and with these tables."""
    simple = load_profile("simulated").model_dump()
    simple["registration"]["magnification"] = "fixed"
    return Profile.model_validate(simple | tables)


class Outcome:
    def __init__(self, data, documents, profile=None):
        self.monitor = watch(data, documents, profile or fixed())
        assert self.monitor.failures == []
        (self.folder,) = list_series(data)
        with h5py.File(self.folder.path / "volume.h5") as file:
            self.energy, self.sigma = file["edge_energy"][()], file["edge_energy_sigma"][()]
            self.findings = [text.decode() for text in file["findings"][()]]
            self.attributes = dict(file.attrs)
            self.drift, self.axis = file["shift"][()], float(file["axis_offset"][()])
        self.told = notes(self.monitor).warnings

    def errors(self, ball):
        """Medians of |error| in core and shell, eV, and the part that is covered."""
        core, shell = ball.inside()
        off = [np.abs(self.energy[where] - true) for where, true in ((core, CORE), (shell, SHELL))]
        return [float(np.nanmedian(o)) for o in off], float(np.isfinite(np.concatenate(off)).mean())

    def is_right(self, ball, limit=0.1):
        errors, covered = self.errors(ball)
        assert max(errors) < limit
        assert covered > 0.98
        assert np.isnan(self.energy[:, 2, 2]).all()

    def says(self, *words):
        return any(all(word in text for word in words) for text in self.findings)


def test_angles_in_any_order_repeated_missing_or_absent_energies_missing_or_cut_short_and_odd_flats(tmp_path):
    ball = Ball()
    rng = np.random.default_rng(1)
    by_energy = {}
    for energy, angle, picture in frames_of(ball):
        by_energy.setdefault(energy, []).append((energy, angle, picture))
    frames = []
    for some in by_energy.values():
        order = rng.permutation(len(some))
        frames += [some[i] for i in order]
        frames += [some[3], some[4]]  # taken twice
    frames = [f for f in frames if f[0] != 8336.0]  # an energy that was announced never came
    frames = [f for f in frames if not (f[0] == 8345.0 and f[1] > 60)]  # one was cut short
    frames = [f for f in frames if not (f[0] == 8341.0 and f[1] in (20.0, 95.0))]
    frames = [(e, None if (e, a) == (8343.0, 50.0) else a, p) for e, a, p in frames]  # a frame without its angle
    outcome = Outcome(tmp_path, scan_documents(frames, flats={8338.0: (20, 20), 8339.0: (20, 20)}))
    outcome.is_right(ball)
    assert outcome.axis == pytest.approx(1.6, abs=0.1)
    assert outcome.says("8336 eV", "no projection")
    assert outcome.says("8345", "missing or unlike")
    assert len(outcome.findings) == 2
    assert all(text in outcome.told for text in outcome.findings)
    assert any("1 projections have no angle" in text for text in outcome.told)
    assert any("flats at 8338 eV" in text and "(20, 20), not (36, 48)" in text for text in outcome.told)
    frames_count = outcome.folder.facts.frames
    assert (frames_count.expected, frames_count.lost, frames_count.bad) == (len(frames), 0, 1)


def test_a_whole_turn(tmp_path):
    ball = Ball(angles=np.arange(0.0, 360, 10))
    outcome = Outcome(tmp_path, scan_documents(frames_of(ball)))
    outcome.is_right(ball)
    assert outcome.findings == []
    assert outcome.axis == pytest.approx(1.6, abs=0.1)
    for name, value in {"filter_name": "hann", "method": "fbp", "stripes": "none", "backend": "gridding"}.items():
        assert outcome.attributes[name] == value
    assert not outcome.attributes["truncated"]


def test_a_missing_wedge_is_told_and_total_variation_may_be_chosen(tmp_path):
    ball = Ball(angles=np.arange(-60.0, 61, 4))
    outcome = Outcome(tmp_path, scan_documents(frames_of(ball)), fixed(tomography={"method": "tv", "stripes": "none"}))
    assert outcome.says("56° of 180° are missing", "SIRT or TV")
    assert outcome.attributes["method"] == "tv"
    errors, covered = outcome.errors(ball)
    assert max(errors) < 0.3
    assert covered > 0.9


def test_an_object_wider_than_the_view(tmp_path):
    ball = Ball(radius=30.0, core=9.0, place=(0.0, 3.0, -2.0), density=0.015)
    outcome = Outcome(tmp_path, scan_documents(frames_of(ball)))
    assert outcome.says("reaches beyond the sides of the view in 36 of 36")
    assert outcome.attributes["truncated"]
    z, y, x = np.mgrid[: SHAPE[0], : SHAPE[1], : SHAPE[1]] - (np.array([*SHAPE, SHAPE[1]]) - 1).reshape(3, 1, 1, 1) / 2
    middle = (np.hypot(y, x) < 0.6 * SHAPE[1] / 2) & (abs(z) < 12)
    core, shell = ball.inside(3.0)
    for where, true in ((core, CORE), (shell, SHELL)):
        off = np.abs(outcome.energy[where & middle] - true)
        assert np.nanmedian(off) < 0.35
        assert np.isfinite(off).mean() > 0.9


@pytest.mark.parametrize("where", ["between two energies", "in the rotation of one"])
def test_a_sample_that_moves_by_30_px(tmp_path, where):
    """In a view that it does not leave."""
    ball = Ball(radius=10.0, core=5.0, place=(-10.0, 2.0, -1.0), shape=(56, 84))
    shifts = np.zeros((ENERGIES.size, ANGLES.size, 2))
    at = int(np.flatnonzero(ENERGIES == 8342.0)[0])
    if where == "between two energies":
        shifts[at:] = (18.0, -24.0)
    else:
        shifts[at, ANGLES > 80] = (18.0, -24.0)
        shifts[at + 1 :] = (18.0, -24.0)
    outcome = Outcome(tmp_path, scan_documents(frames_of(ball, shifts=shifts), shape=ball.shape))
    outcome.is_right(ball, 0.15)
    assert outcome.says("moved by 30 px between 8341 and 8342 eV" if where == "between two energies" else "at 8342 eV")
    assert outcome.drift[-1] == pytest.approx((18.0, -24.0), abs=0.5)


def test_a_stage_that_turns_too_far_is_told(tmp_path):
    frames = [(e, a * 180 / 186, p) for e, a, p in frames_of(Ball(angles=np.arange(0.0, 187, 4)))]
    outcome = Outcome(tmp_path, scan_documents(frames))
    assert outcome.says("the stage turned 1.03")


def test_frames_of_an_energy_of_another_size_are_left_out_and_told(tmp_path):
    ball = Ball()
    frames = [(e, a, p[:20, :30] if e == 8335.0 else p) for e, a, p in frames_of(ball)]
    outcome = Outcome(tmp_path, scan_documents(frames))
    outcome.is_right(ball)
    assert outcome.says("8335 eV", "no projection")
