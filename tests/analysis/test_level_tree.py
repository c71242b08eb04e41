"""Join trees against scipy's labelling of every level."""

import numpy as np
import pytest
from scipy import ndimage

from redoxscope.analysis.topography.level_tree import level_tree


def rough(shape=(26, 30, 34), seed=0):
    field = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 1.5).astype("f4")
    field[:, :6] = np.nan
    field[12:14, :, 5:20] = np.nan
    return field


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("seed", [0, 1])
def test_components_and_their_sizes_at_every_level(seed, sign):
    field = sign * rough(seed=seed)
    tree = level_tree(field)
    for level in np.nanquantile(field, [0, 0.02, 0.2, 0.5, 0.8, 0.99, 1]):
        label, count = ndimage.label(field <= level)
        root, sizes = tree.components(level), tree.sizes(field, level)
        assert np.count_nonzero(sizes) == np.unique(root[root >= 0]).size == count
        for number in np.flatnonzero(sizes):
            piece = label == label[tuple(tree.place[number])]
            assert sizes[number] == piece.sum()
            assert field[piece].min() == tree.value[number]


def test_saddles_are_where_components_join():
    field = rough()
    tree = level_tree(field)
    assert (np.diff(tree.join_value) >= 0).all()
    np.testing.assert_array_equal(tree.join_value, field[tuple(tree.join_place.T)])
    grown = tree.grown(field)
    for k in range(0, tree.younger.size, 7):
        young, old, saddle = tree.place[tree.younger[k]], tree.place[tree.elder[k]], tree.join_value[k]
        before, after = (ndimage.label(under)[0] for under in (field < saddle, field <= saddle))
        assert before[tuple(young)] != before[tuple(old)]
        assert after[tuple(young)] == after[tuple(old)]
        assert field[tuple(young)] >= field[tuple(old)]
        # The region's voxels before it joins, and the saddle itself where it counts as one of its own.
        assert 0 <= grown[tree.younger[k]] - (before == before[tuple(young)]).sum() <= 1


def test_persistence_of_a_known_profile():
    line = np.array([3.0, 0, 4, 1, 2, 1.5, 6, np.nan, 5, 2, 7]).reshape(1, 1, -1)
    tree = level_tree(line)
    found = dict(zip(tree.value.tolist(), tree.persistence.tolist(), strict=True))
    assert found == {0: np.inf, 1: 3, 1.5: 0.5, 2: np.inf}
    assert tree.place[:, 2].tolist() == [1, 3, 5, 9]


def test_plateaus_are_one_basin_and_missing_fields_have_none():
    flat = level_tree(np.zeros((4, 5, 6)))
    assert (flat.basin == 0).all()
    assert flat.persistence.tolist() == [np.inf]
    nothing = level_tree(np.full((3, 4, 5), np.nan, dtype="f4"))
    assert nothing.value.size == nothing.younger.size == nothing.components(1.0).size == 0
    assert (nothing.basin == -1).all()
    with pytest.raises(ValueError, match="2 dimensions"):
        level_tree(np.zeros((3, 3)))
