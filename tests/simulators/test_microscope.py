import numpy as np
import pytest

from redoxscope.simulators import Particle
from redoxscope.simulators.microscope import Microscope
from redoxscope.simulators.projection import StripProjector
from redoxscope.simulators.spectra import ENERGIES_53, absorption, background


@pytest.fixture(scope="module")
def microscope(particle: Particle) -> Microscope:
    return Microscope(particle, (72, 76))


@pytest.mark.parametrize("angle", [0, 17.3, 45, 90, 131, 180])
def test_projection_keeps_the_mass_of_every_slice(particle: Particle, microscope: Microscope, angle: float):
    solid = microscope.components(0.5, angle)[-1]
    np.testing.assert_allclose(solid.sum(axis=1), particle.solid.sum(axis=(1, 2)), rtol=1e-5)


def test_the_beam_runs_along_y_at_zero_and_along_x_at_ninety(particle: Particle, microscope: Microscope):
    n, columns = 48, microscope.components(0.5, 0)[-1].shape[1]
    inner = slice((columns - n) // 2, (columns + n) // 2)
    np.testing.assert_allclose(microscope.components(0.5, 0)[-1][:, inner], particle.solid.sum(axis=1), atol=1e-3)
    np.testing.assert_allclose(microscope.components(0.5, 90)[-1][:, inner], particle.solid.sum(axis=2), atol=1e-3)


def test_a_point_goes_where_the_formula_says():
    footprint = np.zeros((31, 31), dtype=bool)
    footprint[20, 27] = True  # y = 5, x = 12
    projector = StripProjector(footprint)
    for angle in (0, 30, 77, 150):
        weights = projector.matrix(angle).toarray()[:, 0]
        u = weights @ (np.arange(projector.columns) - (projector.columns - 1) / 2)
        assert weights.sum() == pytest.approx(1)
        assert u == pytest.approx(12 * np.cos(np.radians(angle)) + 5 * np.sin(np.radians(angle)), abs=0.05)


def test_components_equal_the_voxel_sum(particle: Particle):
    microscope = Microscope(particle, (48, 48))
    energy = np.nan_to_num(particle.edge_energy(0.4), nan=8340.0)
    for e in (8200.0, 8338.0, 8347.0, 8404.0):
        mu = absorption(e, energy)
        nickel = (particle.density * mu).sum(axis=1)
        matrix = particle.solid.sum(axis=1) * background(e)
        image = microscope.absorbance(e, 0.4, magnification=1.0)
        fit, *_ = np.linalg.lstsq(np.stack([nickel.ravel(), matrix.ravel()], axis=1), image.ravel(), rcond=None)
        np.testing.assert_allclose(image, fit[0] * nickel + fit[1] * matrix, atol=2e-4)


def test_interpolation_between_extents_is_exact_enough(microscope: Microscope, particle: Particle):
    between = microscope.components(0.4011, 0)
    exact = absorption(8341.0, np.nan_to_num(particle.edge_energy(0.4011), nan=8340.0)) * particle.density
    image = np.einsum("k,kzu->zu", microscope.weights(np.array([8341.0]))[0], between[:-1])
    np.testing.assert_allclose(image[:, 11:-11].sum(), exact.sum(), rtol=1e-4)


def test_absorbance_is_that_of_the_brief(microscope: Microscope):
    pre, post = (microscope.absorbance(e, 0.0)[30:42, 32:44].mean() for e in (8300.0, 8420.0))
    assert 0.25 < pre < 0.45
    assert 0.4 < post - pre < 0.65


def test_magnification_and_drift_move_the_centre_of_mass(microscope: Microscope):
    def centre(image: np.ndarray) -> np.ndarray:
        h, w = image.shape
        y, x = np.arange(h) - (h - 1) / 2, np.arange(w) - (w - 1) / 2
        return np.array([image.sum(1) @ y, image.sum(0) @ x]) / image.sum()

    at_rest = centre(microscope.absorbance(8200.0, 0.0))
    moved = centre(microscope.absorbance(8450.0, 0.0, drift=(2.3, -1.7)))
    np.testing.assert_allclose(moved, 8450 / 8200 * (at_rest + np.array([2.3, -1.7])), atol=0.05)
    shifted = Microscope(microscope.particle, (72, 76), axis_offset=3.3).absorbance(8200.0, 0.0)
    np.testing.assert_allclose(centre(shifted) - at_rest, [0, 3.3], atol=0.01)


def test_the_whole_object_stays_in_view(microscope: Microscope):
    image = microscope.absorbance(8450.0, 0.0, drift=(4.0, -4.0))
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    assert np.abs(border).max() == 0
    assert len(ENERGIES_53) == 53
