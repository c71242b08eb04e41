"""Frames in, spectra out: whatever the order, the tiles and the holes."""

import numpy as np
import pytest

from redoxscope.analysis.frame_stack import TILE, FrameStack

ROWS, PIXELS = 9, 2 * TILE + 37  # the last tile is not full


def frames(seed=0, holes=0.0):
    rng = np.random.default_rng(seed)
    out = rng.standard_normal((ROWS, PIXELS)).astype(np.float32)
    out[rng.random(out.shape) < holes] = np.nan
    return out, rng.uniform(1e-5, 1e-3, out.shape).astype(np.float32)


def filed(samples, variance, order=range(ROWS)):
    stack = FrameStack(ROWS, PIXELS)
    for row in order:
        assert stack.file(row, samples[row], None if variance is None else variance[row])
    return stack


@pytest.mark.parametrize("holes", [0.0, 0.05, 0.6])
def test_missing_samples_are_bridged(holes):
    samples, _ = frames(holes=holes)
    pick = np.array([0, 5, TILE - 1, TILE, 2 * TILE, PIXELS - 1])
    found = filed(samples, None).spectra(np.arange(ROWS), pick)
    for spectrum, p in zip(found.T, pick, strict=True):
        known = np.flatnonzero(np.isfinite(samples[:, p]))
        expected = np.interp(np.arange(ROWS), known, samples[known, p]) if known.size else np.zeros(ROWS)
        np.testing.assert_allclose(spectrum, expected, atol=1e-6)


def test_the_noise_does_not_depend_on_the_order_at_all():
    samples, variance = frames()
    variance[3, :50] = np.nan
    whole = filed(samples, variance)
    other = filed(samples, variance, np.random.default_rng(1).permutation(ROWS))
    np.testing.assert_array_equal(whole.sample_sigma(), other.sample_sigma())
    expected = np.sqrt(np.where(np.isfinite(variance), variance, np.nanmedian(variance[3])).mean(axis=0))
    np.testing.assert_allclose(whole.sample_sigma(), expected, rtol=1e-5)


def test_parts_make_the_whole():
    samples, variance = frames(holes=0.01)
    one, other = FrameStack(ROWS, PIXELS), FrameStack(ROWS, PIXELS)
    theirs = np.arange(ROWS) % 3 == 1
    for row in range(ROWS):
        (other if theirs[row] else one).file(row, samples[row], variance[row])
    one.merge(other, theirs)
    whole = filed(samples, variance)
    np.testing.assert_array_equal(one.frames, whole.frames)
    np.testing.assert_array_equal(one.holes, whole.holes)
    np.testing.assert_array_equal(one.sample_sigma(), whole.sample_sigma())


def test_infinite_samples_are_missing_and_a_blank_frame_is_told():
    samples, _ = frames()
    samples[2, 7] = np.inf
    stack = filed(samples, None)
    assert stack.holes.tolist() == [1, 0, 0]
    windows = np.ones((1, ROWS), dtype=bool)
    assert stack.usable(np.arange(ROWS), windows, np.array([1])).all()
    assert np.flatnonzero(~stack.usable(np.arange(ROWS), windows, np.array([0]))).tolist() == [7]
    assert not FrameStack(ROWS, PIXELS).file(0, np.full(PIXELS, np.nan), 1.0)
    assert np.isnan(stack.sample_sigma()).all(), "no noise was given"


def test_one_number_for_the_noise_of_all_pixels():
    samples, _ = frames()
    stack = FrameStack(ROWS, PIXELS)
    for row in range(ROWS):
        stack.file(row, samples[row], 1e-4)
    np.testing.assert_allclose(stack.sample_sigma(), [0.01], rtol=1e-6)
