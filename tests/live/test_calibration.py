import numpy as np
import pytest

from redoxscope.live.calibration import Calibration
from redoxscope.live.frames import Frame, FrameError
from redoxscope.live.profile_tables import Camera

SHAPE = (8, 9)


def frame(kind, pixels, *, energy=8340.0, exposure=1.0, transmission=False, index=0):
    def read():
        if pixels is None:
            raise FrameError("the file is gone")
        return np.broadcast_to(np.asarray(pixels), SHAPE) if np.ndim(pixels) == 0 else np.asarray(pixels)

    return Frame("run", kind, index, energy, 0.0, 0.0, 0.0, exposure, transmission, read)


def calibration(*frames, **camera):
    out = Calibration(Camera(**camera))
    for one in frames:
        out.add(one)
    return out


def test_counts_become_absorbance_with_their_noise():
    with_all = calibration(frame("dark", 100), frame("dark", 102), frame("flat", 1101), frame("flat", 1101))
    found = with_all.absorbance(frame("sample", 601))
    assert found.value == pytest.approx(np.full(SHAPE, np.log(2)), abs=1e-6)
    assert found.variance == pytest.approx(np.full(SHAPE, 1 / 500 + 1 / 1000), rel=1e-5)


def test_what_no_beam_reaches_is_told():
    beam = np.full(SHAPE, 1000.0)
    assert calibration(frame("flat", beam)).absorbance(frame("sample", 0.5 * beam)).shaded is None
    beam[:2] = 40
    held = calibration(frame("dark", 20), frame("flat", 20 + beam)).absorbance(frame("sample", 20 + 0.01 * beam))
    np.testing.assert_array_equal(held.shaded, beam < 100)
    assert np.isfinite(held.value).all(), "a map may still show it"


def test_longer_exposed_samples_are_not_taken_for_thinner_ones():
    scaled = calibration(frame("flat", 600, exposure=0.3))
    assert scaled.absorbance(frame("sample", 1000, exposure=0.5)).value == pytest.approx(np.zeros(SHAPE), abs=1e-6)


def test_the_flat_is_that_of_the_energy_else_the_nearest_that_can_be_read():
    flats = [frame("flat", 1000, energy=8340.0), frame("flat", 2000, energy=8345.0), frame("flat", None, energy=8350.0)]
    held = calibration(*flats)
    assert held.absorbance(frame("sample", 1000, energy=8340.0)).value.mean() == pytest.approx(0)
    assert held.absorbance(frame("sample", 1000, energy=8346.0)).value.mean() == pytest.approx(np.log(2))
    assert held.absorbance(frame("sample", 1000, energy=8350.0)).value.mean() == pytest.approx(np.log(2))
    assert held.incomplete


def test_blank_unreadable_and_misshapen_flats_and_darks_do_not_count():
    odd = np.ones((3, 3))
    flats = [frame("flat", odd), frame("flat", 0), frame("flat", None), frame("flat", 1100)]
    held = calibration(frame("dark", odd), frame("dark", None), frame("dark", 100), *flats)
    assert held.absorbance(frame("sample", 600)).value == pytest.approx(np.full(SHAPE, np.log(2)), abs=1e-6)


@pytest.mark.parametrize(
    ("sample", "flats"),
    [
        (frame("sample", 0), [frame("flat", 1000)]),
        (frame("sample", None), [frame("flat", 1000)]),
        (frame("sample", 500), []),
        (frame("sample", 500), [frame("flat", None), frame("flat", 0)]),
        (frame("sample", np.full((3, 4), 500)), [frame("flat", 1000)]),
        (frame("sample", np.full(SHAPE, np.nan)), [frame("flat", 1000)]),
    ],
    ids=["blank", "unreadable", "no flat", "no good flat", "other shape", "nothing but NaN"],
)
def test_a_frame_that_gives_no_absorbance_is_a_frame_error(sample, flats):
    with pytest.raises(FrameError):
        calibration(*flats).absorbance(sample)


def test_dead_hot_and_saturated_pixels_are_unknown_not_infinite():
    pixels = np.full(SHAPE, 600.0)
    pixels[0, 0], pixels[0, 1] = 100, 65535
    held = calibration(frame("dark", 100), frame("flat", 1100), saturation=60000)
    value = held.absorbance(frame("sample", pixels)).value
    assert np.isnan(value[0, :2]).all()
    assert np.isfinite(value).sum() == value.size - 2


def test_a_transmission_needs_no_flat_but_has_its_noise_from_one():
    sample = frame("sample", 0.5, transmission=True)
    bare = calibration().absorbance(sample)
    assert bare.value == pytest.approx(np.full(SHAPE, np.log(2)), abs=1e-6)
    assert bare.variance is None
    known = calibration(frame("flat", 1000)).absorbance(sample)
    assert known.variance == pytest.approx(np.full(SHAPE, 1 / 500 + 1 / 1000), rel=1e-5)


def test_what_can_be_read_later_counts_after_renew():
    late = [None]

    def read():
        if late[0] is None:
            raise FrameError("being written")
        return late[0]

    flat = Frame("run", "flat", 0, 8340.0, 0.0, 0.0, 0.0, 1.0, False, read)
    held = calibration(flat, frame("flat", 4000, energy=8345.0))
    assert held.absorbance(frame("sample", 1000)).value.mean() == pytest.approx(np.log(4))
    late[0] = np.full(SHAPE, 2000)
    held.renew()
    assert held.absorbance(frame("sample", 1000)).value.mean() == pytest.approx(np.log(2))


def test_a_flat_in_a_dimmed_beam_does_not_count_among_others():
    flats = [frame("flat", 1000), frame("flat", 50), frame("flat", 1010), frame("flat", 990)]
    found = calibration(*flats).absorbance(frame("sample", 500))
    assert found.value == pytest.approx(np.full(SHAPE, np.log(2)), abs=1e-6)


def test_a_flickering_beam_is_told_by_the_air_around_the_sample():
    rng = np.random.default_rng(0)
    sample = np.full((64, 64), 0.5)
    sample[:, 20:] = 1.0
    absorbed = []
    for flicker in (0.995, 1.0, 1.004):
        counts = rng.poisson(20000 * flicker * sample).astype(float)
        found = calibration(frame("flat", np.full((64, 64), 20000.0))).absorbance(frame("sample", counts))
        absorbed.append([np.median(found.value[:, :20]), np.median(found.value[:, 20:])])
    assert np.array(absorbed)[:, 0] == pytest.approx(np.log(2), abs=2e-3)
    assert np.array(absorbed)[:, 1] == pytest.approx(0, abs=2e-3)
