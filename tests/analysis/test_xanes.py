"""Edge definition and batch function, against analytic edges and a fit per pixel with numpy."""

import numpy as np
import pytest
from scipy.special import erf

from redoxscope.analysis.xanes import Edge, edge_energy

from .conftest import ENERGIES, phantom, spectrum

EDGE = Edge()


def by_polyfit(stack, energies, edge=EDGE):
    """Half-jump of each pixel as a user would write it: lines by np.polyfit, first upward crossing of 0.5."""
    order = np.argsort(energies, kind="stable")
    e, a = energies[order], stack[order].astype(float)
    pre, post, near = ((e >= low) & (e <= high) for low, high in (edge.pre, edge.post, edge.search))
    out = np.full(stack.shape[1:], np.nan)
    for p in np.ndindex(out.shape):
        low = np.polyval(np.polyfit(e[pre] - 8341, a[pre][:, *p], 1), e - 8341)
        high = np.polyval(np.polyfit(e[post] - 8341, a[post][:, *p], 1), e - 8341)
        x, y = e[near], ((a[:, *p] - low) / (high - low))[near] - 0.5
        same = np.unique(x)
        y = np.array([y[x == s].mean() for s in same])
        up = np.flatnonzero((y[:-1] < 0) & (y[1:] >= 0))
        if up.size:
            i = up[0]
            out[p] = same[i] - y[i] * (same[i + 1] - same[i]) / (y[i + 1] - y[i])
    return out


def assert_same_energy(found, expected):
    """Equal on the float32 grid, whose spacing at 8341 eV is 0.001 eV: at most one step apart."""
    np.testing.assert_array_max_ulp(found, expected.astype(np.float32), maxulp=1)


@pytest.mark.parametrize("order", ["as scanned", "shuffled", "repeated"])
def test_plain_edge_energy_equals_a_fit_per_pixel(order):
    e = ENERGIES
    if order == "repeated":
        e = np.concatenate([e, e[20:30], e[:2]])
    truth = np.random.default_rng(0).uniform(8338.5, 8343, (9, 11))
    stack = 0.4 * spectrum(truth, energies=e) + 0.3 - 3e-4 * (e - 8341)[:, None, None]
    stack = (stack + 0.003 * np.random.default_rng(1).standard_normal(stack.shape)).astype(np.float32)
    if order == "shuffled":
        pick = np.random.default_rng(2).permutation(e.size)
        e, stack = e[pick], stack[pick]
    found = edge_energy(stack, e, EDGE, variance=0.003**2, subspace=False)
    assert_same_energy(found.edge_energy, by_polyfit(stack, e))
    assert np.nanmedian(np.abs(found.edge_energy - truth)) < 0.1
    assert np.isfinite(found.sigma).all()
    assert (found.sigma > 0.01).all()


@pytest.mark.parametrize("kind", ["logistic", "arctan"])
def test_known_edges(kind):
    truth = np.linspace(8338.5, 8343.0, 200).reshape(10, 20)
    # Lines far from an arctan's tails would be biased by them: flat edges are compared with themselves.
    edge = EDGE if kind == "logistic" else Edge(pre=(8200, 8260), post=(8420, 8460))
    stack = (0.5 * spectrum(truth, kind=kind) + 0.2).astype(np.float32)
    plain = edge_energy(stack, ENERGIES, edge, subspace=False)
    assert np.abs(plain.edge_energy - truth).max() < (0.06 if kind == "logistic" else 0.1)
    folded = edge_energy(stack, ENERGIES, edge)
    assert np.abs(folded.edge_energy - truth).max() < (0.03 if kind == "logistic" else 0.1)
    np.testing.assert_allclose(plain.jump, 0.5, rtol=0.03)
    assert np.isnan(plain.sigma).all(), "no noise was given"


def test_the_folded_crossing_is_not_biased_between_samples():
    """On a curved edge a straight line between samples 1 eV apart is off by some hundredths of an eV."""

    def curved(x):
        return 1 / (1 + np.exp(-x / 0.7)) + 0.4 * np.exp(-(((x - 2.5) / 1.5) ** 2)) + 0.1 * np.exp(-((x + 4) ** 2))

    dense = np.arange(-2, 2, 1e-4)
    at_half = dense[np.flatnonzero(curved(dense) >= 0.5)[0]]
    truth = np.tile(np.linspace(8340.0, 8341.0, 21)[:-1], (200, 1))
    stack = curved(ENERGIES[:, None, None] - truth)
    stack = (stack + 0.003 * np.random.default_rng(0).standard_normal(stack.shape)).astype(np.float32)
    folded, plain = (
        (edge_energy(stack, ENERGIES, EDGE, variance=0.003**2, subspace=s).edge_energy - truth - at_half).mean(axis=0)
        for s in (True, False)
    )
    assert np.sqrt((folded**2).mean()) < 0.6 * np.sqrt((plain**2).mean())


def test_the_offset_is_added():
    stack = (0.5 * spectrum(np.full((8, 8), 8341.0)) + 0.2).astype(np.float32)
    shifted = edge_energy(stack, ENERGIES, Edge(energy_offset=-1.7), subspace=False).edge_energy
    np.testing.assert_allclose(shifted, 8339.3, atol=0.01)


@pytest.mark.parametrize("how", ["descending", "float64", "strided", "read-only"])
def test_a_stack_is_used_where_it_lies_or_copied_with_the_same_result(how):
    truth = np.random.default_rng(0).uniform(8338.5, 8343, (40, 60))
    stack = (0.4 * spectrum(truth) + 0.3).astype(np.float32)
    stack += 0.003 * np.random.default_rng(1).standard_normal(stack.shape, dtype=np.float32)
    kept = stack.copy()
    e, other = ENERGIES, stack
    if how == "descending":
        e, other = ENERGIES[::-1], stack[::-1].copy()
    elif how == "float64":
        other = stack.astype(float)
    elif how == "strided":
        other = np.repeat(stack, 2, axis=2)[:, :, ::2]
    else:
        other = stack.copy()
        other.flags.writeable = False
    found, copied = (edge_energy(a, at, EDGE, variance=9e-6) for a, at in ((stack, ENERGIES), (other, e)))
    np.testing.assert_array_equal(found.edge_energy, copied.edge_energy)
    np.testing.assert_array_equal(found.sigma, copied.sigma)
    np.testing.assert_array_equal(stack, kept, "the caller's frames are left alone")
    assert np.nanmedian(np.abs(found.edge_energy - truth)) < 0.03


def test_any_pixel_shape():
    scan = phantom((6, 10))
    stack = scan.clean.astype(np.float32)
    flat = edge_energy(stack.reshape(53, 60), scan.energies, EDGE)
    box = edge_energy(stack.reshape(53, 3, 4, 5), scan.energies, EDGE)
    np.testing.assert_array_equal(flat.edge_energy.reshape(3, 4, 5), box.edge_energy)
    one = edge_energy(stack[:, 0, 0], scan.energies, EDGE)
    assert one.edge_energy.shape == ()
    assert_same_energy(one.edge_energy, by_polyfit(stack[:, 0, :1], scan.energies)[0])


@pytest.mark.parametrize(
    ("energies", "message"),
    [
        (ENERGIES / 1000, "keV"),
        (ENERGIES[ENERGIES > 8322], "pre window"),
        (ENERGIES[ENERGIES < 8365], "post window"),
        (ENERGIES[(ENERGIES < 8322) | (ENERGIES > 8362)], "search window"),
        (np.concatenate([[8200, 8200], ENERGIES[7:]]), "1 different energies"),
        (np.where(ENERGIES == 8340, np.nan, ENERGIES), "not all numbers"),
        (ENERGIES[:0], "there is no energy: give one per image"),
    ],
)
def test_energies_that_cannot_give_an_edge(energies, message):
    with pytest.raises(ValueError, match=message):
        edge_energy(np.ones((energies.size, 4)), energies, EDGE)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"definition": "foo"}, "definition = 'foo' is none of half_jump, white_line, derivative"),
        (
            {"nominal": 8.341},
            r"nominal = 8\.341 is not within the Ni K edge's search window, 8325-8360: give both in eV",
        ),
        ({"nominal": 8361.0}, "search window"),
        ({"search": (8342.0, 8360.0)}, "nominal = 8341 is not within"),
        ({"nominal": float("nan")}, "nominal = nan"),
    ],
)
def test_what_cannot_be_an_edge_is_refused_when_it_is_made(values, message):
    with pytest.raises(ValueError, match=message):
        Edge(**values)


def test_one_image_per_energy():
    with pytest.raises(ValueError, match="52 images for 53 energies"):
        edge_energy(np.ones((52, 4)), ENERGIES, EDGE)


@pytest.mark.parametrize("noise", [0.004, 0.04])
@pytest.mark.parametrize("width", [1.1, 1.6, 2.5])
def test_plain_sigma_is_the_scatter_of_repetitions_however_sharp_the_edge(width, noise):
    rng = np.random.default_rng(0)
    truth = rng.uniform(8340.3, 8341.7, (50, 60))
    step = 0.5 * (1 + erf((ENERGIES[:, None, None] - truth) / (np.sqrt(2) * width)))
    clean = 0.5 * step + 0.4 - 3e-4 * (ENERGIES - 8341)[:, None, None]
    found = []
    for _ in range(8):
        frames = (clean + noise * rng.standard_normal(clean.shape)).astype(np.float32)
        found.append(edge_energy(frames, ENERGIES, EDGE, variance=noise**2, subspace=False))
    energies, sigmas = np.array([f.edge_energy for f in found]), np.array([f.sigma for f in found])
    pulls = (energies - np.nanmean(energies, axis=0)) / sigmas * np.sqrt(8 / 7)
    assert 0.93 < np.nanmedian(np.abs(pulls)) / 0.6745 < 1.07
