import numpy as np
import pytest

from redoxscope.simulators.detector import OFFSET, READOUT, Detector


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector((64, 72), 12000, 5, np.random.default_rng(0))


def test_counts_have_photon_noise(detector: Detector):
    frames = np.array([detector.expose(1.0, 1.0, 8200.0) for _ in range(60)], dtype=float)
    assert detector.expose(1.0, 1.0, 8200.0).dtype == np.uint16
    good = ~(detector.dead | detector.hot)
    mean = (frames.mean(axis=0) - OFFSET)[good]
    assert mean.mean() == pytest.approx(12000, rel=0.01)
    relative = frames[:, good] / frames[:, good].mean(axis=1, keepdims=True)  # the flicker taken out
    variance = (relative.std(axis=0, ddof=1) * frames[:, good].mean(axis=0)) ** 2
    assert np.median(variance / mean) == pytest.approx(1.0, abs=0.08)


def test_dark_frames(detector: Detector):
    frames = np.array([detector.expose(0.0, 2.0, 8200.0) for _ in range(40)], dtype=float)
    good = ~(detector.dead | detector.hot)
    assert (frames.mean(axis=0)[good]).mean() == pytest.approx(OFFSET + 10, abs=0.5)
    assert frames.std(axis=0)[good].mean() == pytest.approx(np.hypot(READOUT, np.sqrt(10)), rel=0.1)


def test_flat_field_is_structured(detector: Detector):
    beam = detector.beam
    assert beam.mean() == pytest.approx(12000)
    assert beam.min() > 1500
    assert 0.1 < beam.std() / beam.mean() < 0.6
    rows = beam.mean(axis=1)
    assert np.abs(np.diff(rows)).mean() / rows.mean() > 0.01  # stripes


def test_dead_and_hot_pixels(detector: Detector):
    frame = detector.expose(1.0, 1.0, 8200.0)
    assert detector.dead.sum() >= 2
    assert detector.hot.sum() >= 2
    assert np.all(frame[detector.dead] == 0)
    assert np.all(frame[detector.hot] > 55000)
