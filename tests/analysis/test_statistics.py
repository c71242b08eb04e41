import numpy as np

from redoxscope.analysis.statistics import histogram, transformed_fraction

MAP = np.array([[8339.0, 8339.5, 8341.0], [8342.0, 8343.0, np.nan]])


def test_histogram_counts_the_pixels_with_an_edge_energy():
    np.testing.assert_array_equal(histogram(MAP, np.array([8339, 8340, 8341, 8342.5])), [2, 0, 2])
    np.testing.assert_array_equal(histogram(np.full((2, 2), np.nan), np.array([0.0, 1.0])), [0])


def test_transformed_fraction_is_of_the_material():
    assert transformed_fraction(MAP, 8341.0) == 0.4
    assert transformed_fraction(MAP, 8300.0) == 0
    assert transformed_fraction(MAP, 8400.0) == 1
    assert np.isnan(transformed_fraction(np.full((2, 2), np.nan), 8341.0))
