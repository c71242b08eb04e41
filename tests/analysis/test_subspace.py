import numpy as np
import pytest

from redoxscope.analysis.edge_map import EdgeMap
from redoxscope.analysis.subspace import identity, learn
from redoxscope.analysis.xanes import Edge, edge_energy

from .conftest import ENERGIES, phantom, spectrum

EDGE = Edge()


def oxide(energy, energies=ENERGIES):
    """An edge with its white line, about as steep and as high as those of nickel oxides; half-jump near `energy`."""
    x = energies - energy
    return spectrum(energy, 1.8, energies=energies) + 0.5 * np.exp(-(((x - 6.5) / 3) ** 2))


def two_phases(shape=(60, 80), seed=0, matrix=True):
    """Mixtures of two phases, as across a front: edge energies 8339.3 and 8342.8 eV, and the fraction reacted.

    With a `matrix` other matter lies in the beam as well, and its absorbance does not go with the jump.
    """
    rng = np.random.default_rng(seed)
    part = np.clip(np.add.outer(np.linspace(-0.6, 1.6, shape[0]), 0.2 * rng.standard_normal(shape[1])), 0, 1)
    jump = rng.uniform(0.25, 0.5, shape)
    x = (ENERGIES - 8341)[:, None, None]
    old, new = (oxide(e)[:, None, None] for e in (8342.8, 8339.3))
    clean = jump * (part * new + (1 - part) * old) + 0.9 * jump * (1 - 3.5e-4 * x)
    if matrix:
        clean = clean + rng.uniform(0, 0.3, shape)
    return clean, jump, part


def noisy(clean, sigma, seed=1):
    return (clean + sigma * np.random.default_rng(seed).standard_normal(clean.shape)).astype(np.float32)


def half_jump(part, low=8339.3, high=8342.8):
    """Where the noise-free mixture crosses half its jump, on energies 1 meV apart."""
    dense = np.arange(8338, 8344, 1e-3)
    old, new = (oxide(e, dense) for e in (high, low))
    parts = np.linspace(0, 1, 201)
    crossings = [dense[np.flatnonzero(p * new + (1 - p) * old >= 0.5)[0]] for p in parts]
    return np.interp(part, parts, crossings)


def folded(stack, sigma):
    scan = EdgeMap(ENERGIES, stack.shape[1:], EDGE)
    for i, frame in enumerate(stack):
        scan.update(i, frame, sigma**2)
    return scan.result()


@pytest.mark.parametrize("sigma", [0.01, 0.02, 0.03])
@pytest.mark.parametrize(("matrix", "gain"), [(False, 3.0), (True, 2.5)])
def test_three_times_more_exact(sigma, matrix, gain):
    clean, _, part = two_phases(matrix=matrix)
    truth = half_jump(part)
    stack = noisy(clean, sigma)
    plain = edge_energy(stack, ENERGIES, EDGE, variance=sigma**2, subspace=False).edge_energy
    known = np.isfinite(plain)
    error = [np.median(np.abs(m - truth)[known]) for m in (plain, folded(stack, sigma).edge_energy)]
    assert error[1] < error[0] / gain


@pytest.mark.parametrize("sigma", [0.01, 0.02])
@pytest.mark.parametrize("part", [0.05, 0.01, 0.001])
@pytest.mark.parametrize("energy", [8346.0, 8336.5])
def test_a_foreign_phase_is_not_pulled_to_the_known_ones(part, sigma, energy):
    clean, jump, _ = two_phases((80, 100))
    rng = np.random.default_rng(5)
    strange = np.zeros(jump.size, dtype=bool)
    strange[rng.choice(jump.size, int(part * jump.size), replace=False)] = True
    strange = strange.reshape(jump.shape)
    foreign = jump * spectrum(np.full(jump.shape, energy), 1.4) + 0.3
    clean[:, strange] = foreign[:, strange]
    stack = noisy(clean, sigma)
    error = (folded(stack, sigma).edge_energy - energy)[strange]
    # A handful of pixels can only be told from noise one by one: not pulled further than the plain estimate scatters.
    plain = edge_energy(stack, ENERGIES, EDGE, variance=sigma**2, subspace=False).sigma
    assert abs(np.nanmedian(error)) < (0.1 if part > 0.002 else 2 * np.nanmedian(plain[strange]))


@pytest.mark.parametrize("energy", [8346.0, 8336.5])
def test_eight_foreign_pixels_in_eight_thousand_are_not_pulled_either(energy):
    """Over draws: one draw of eight pixels scatters by 0.1 eV even if their spectra are added up."""
    errors = []
    for seed in range(12):
        clean, jump, _ = two_phases((80, 100))
        strange = np.zeros(jump.size, dtype=bool)
        strange[np.random.default_rng(seed).choice(jump.size, 8, replace=False)] = True
        strange = strange.reshape(jump.shape)
        clean[:, strange] = (jump * spectrum(np.full(jump.shape, energy), 1.4) + 0.3)[:, strange]
        errors.append(np.nanmedian((folded(noisy(clean, 0.02, seed), 0.02).edge_energy - energy)[strange]))
    assert abs(np.mean(errors)) < 0.1


def test_the_number_of_components_follows_the_noise():
    clean, *_ = two_phases()
    counts = [folded(noisy(clean, s), s).components for s in (0.001, 0.02)]
    assert 3 <= counts[1] <= counts[0] <= 6
    wide = phantom((60, 80))
    assert folded(wide.noisy(0.003), 0.003).components > counts[1]


def test_few_pixels_are_evaluated_without():
    clean, *_ = two_phases((5, 6))
    found = folded(noisy(clean, 0.01), 0.01)
    assert found.components == 0
    assert np.isfinite(found.edge_energy).all()


def test_a_basis_is_a_projection():
    clean, *_ = two_phases()
    spectra = noisy(clean, 0.02).reshape(53, -1)
    noise = np.linspace(0.8, 1.2, 53)
    basis = learn(spectra, noise)
    np.testing.assert_allclose(basis.fold @ basis.vectors, np.eye(len(basis.fold)), atol=1e-9)
    np.testing.assert_allclose(basis.projection @ basis.projection, basis.projection, atol=1e-9)
    flat = clean.reshape(53, -1)
    assert np.sqrt(((basis.projection @ flat - flat) ** 2).mean()) < 0.004, "leaves the signal as it is"
    np.testing.assert_array_equal(identity(4).projection, np.eye(4))


def test_too_few_spectra():
    with pytest.raises(ValueError, match="20 spectra of 53 energies"):
        learn(np.zeros((53, 20), dtype=np.float32), np.ones(53))


@pytest.mark.parametrize(("share", "height"), [(1e-4, -3.0), (1e-3, 8.0)])
def test_samples_that_cosmic_rays_hit_spoil_no_other_pixel(share, height):
    clean, _, _ = two_phases()
    frames = noisy(clean, 0.01)
    hit = np.random.default_rng(3).random(frames.shape) < share
    once, other = (edge_energy(f, ENERGIES, EDGE, variance=1e-4) for f in (frames, frames + np.float32(height) * hit))
    spared = ~hit.any(axis=0)
    changed = (other.edge_energy - once.edge_energy)[spared] / once.sigma[spared]
    assert np.median(np.abs(changed)) < 0.1
    assert np.median(other.sigma[spared]) < 1.1 * np.median(once.sigma[spared])


def test_a_pixel_that_is_no_absorbance_spoils_no_other():
    clean, _, _ = two_phases()
    frames = noisy(clean, 0.01)
    once = edge_energy(frames, ENERGIES, EDGE, variance=1e-4)
    frames[:, 7, 9] = 1e30
    other = edge_energy(frames, ENERGIES, EDGE, variance=1e-4)
    rest = np.arange(60 * 80) != 7 * 80 + 9
    off = (other.edge_energy - once.edge_energy).reshape(-1)[rest]
    assert np.nanmedian(np.abs(off)) < 0.1 * np.nanmedian(once.sigma)
