"""How the regions below a level of a field are born and join as the level rises: the join tree, with persistence.

The region {f ≤ E} gains a component at each minimum of f and loses one where two of them meet, at a saddle; of two
that meet, the one with the higher minimum ends (the elder rule), and its persistence is the saddle's value minus its
minimum's (Edelsbrunner, Letscher & Zomorodian, Discrete Comput. Geom. 28, 511 (2002)). Noise makes pairs of low
persistence, structure those of high.

The usual way is to sort all voxels. Here each voxel is first led downhill to its minimum: within such a basin nothing
joins, so that only pairs of neighbours across basins have to be sorted, and the tree is the same. Voxels are
neighbours if they share a face; missing voxels (NaN) belong to nothing. The tree of the regions above a level is that
of the negated field.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from redoxscope.analysis.threads import in_threads

Floats = NDArray[np.floating]
Indices = NDArray[np.intp]
Numbers = NDArray[np.int32]


@dataclass(frozen=True)
class LevelTree:
    """Basins of a field's minima and where they join."""

    basin: Numbers
    """(z, y, x) number of the basin a voxel belongs to, -1 where the field is missing."""
    value: Floats
    """(basin,) the field's minimum in it."""
    place: Indices
    """(basin, 3) voxel of the minimum."""
    younger: Indices
    """(join,) the basin whose minimum is the higher one; joins ascend in value."""
    elder: Indices
    """(join,) the lowest basin of the component that it joins."""
    join_value: Floats
    """(join,) value of the saddle."""
    join_place: Indices
    """(join, 3) voxel of the saddle: the higher one of the two neighbours that meet."""

    @property
    def persistence(self) -> Floats:
        """(basin,) value at which it joins an elder one minus its minimum; inf if it never does."""
        out = np.full(self.value.size, np.inf, dtype=self.value.dtype)
        out[self.younger] = self.join_value - self.value[self.younger]
        return out

    def components(self, level: float) -> Indices:
        """(basin,) the lowest basin of the component of {f ≤ level} that it is part of, -1 if it lies higher."""
        root = np.where(self.value <= level, np.arange(self.value.size), -1)
        count = int(np.searchsorted(self.join_value, level, side="right"))
        _replay(root, self.younger[:count], self.elder[:count])
        return root

    def sizes(self, values: Floats, level: float) -> Indices:
        """(basin,) voxels of the component of {f ≤ level} whose lowest basin it is, else 0; `values` is the field."""
        root = self.components(level)
        out = np.zeros(root.size, dtype=np.intp)
        _count(values, self.basin, root, level, out)
        return out

    def grown(self, values: Floats) -> Indices:
        """(basin,) voxels of the region that grew from it, when it joins an elder one; `values` is the field."""
        parent, until = np.full(self.value.size, -1), np.full(self.value.size, np.inf, dtype=self.value.dtype)
        parent[self.younger], until[self.younger] = self.elder, self.join_value
        out = np.zeros(self.value.size, dtype=np.intp)
        _count_grown(values, self.basin, parent, until, out)
        _sum_up(self.younger, self.elder, out)
        return out


def level_tree(values: Floats) -> LevelTree:
    """Join tree of a field on a grid.

    Parameters
    ----------
    values : (z, y, x), NaN where missing; of equal values the first in memory counts as the lower one

    Raises
    ------
    ValueError
        If the field is not three-dimensional. A field without any value has a tree without basins.
    """
    if values.ndim != 3:
        raise ValueError(f"the field has {values.ndim} dimensions: (z, y, x) is needed")
    field = np.ascontiguousarray(values)
    downhill = np.empty(field.shape, dtype=np.int32 if field.size < 2**31 else np.int64)
    in_threads(len(field), lambda first, last: _point_downhill(first, last, field, downhill))
    flat = downhill.reshape(-1)
    lowest = np.flatnonzero(flat == np.arange(flat.size, dtype=flat.dtype))
    _follow(flat)
    number = np.full(flat.size + 1, -1, dtype=np.int32)  # the last place is that of voxels that lead nowhere, -1
    number[lowest] = np.arange(lowest.size)
    basin = number[flat].reshape(field.shape)
    first, second, weight, voxel = _contacts(field, basin)
    order = np.argsort(weight, kind="stable")
    value = field.reshape(-1)[lowest]
    younger, elder, at = _join(value, first, second, order)
    shape = field.shape
    return LevelTree(
        basin,
        value,
        np.stack(np.unravel_index(lowest, shape), axis=1).astype(np.intp),
        younger,
        elder,
        weight[at],
        np.stack(np.unravel_index(voxel[at], shape), axis=1).astype(np.intp),
    )


@njit(cache=True, nogil=True)
def _point_downhill(first: int, last: int, field: Floats, out: Indices) -> None:
    """Flat index of each voxel's lowest neighbour, its own if none is lower, -1 if missing."""
    nz, ny, nx = field.shape
    for z in range(first, last):
        for y in range(ny):
            for x in range(nx):
                low = field[z, y, x]
                at = (z * ny + y) * nx + x
                if not np.isfinite(low):
                    out[z, y, x] = -1
                    continue
                # In the order of memory, so that a plateau leads to its first voxel; NaN compares as false.
                if z > 0 and field[z - 1, y, x] <= low:
                    low, at = field[z - 1, y, x], ((z - 1) * ny + y) * nx + x
                if y > 0 and (field[z, y - 1, x] < low or (field[z, y - 1, x] == low and at == (z * ny + y) * nx + x)):
                    low, at = field[z, y - 1, x], (z * ny + y - 1) * nx + x
                if x > 0 and (field[z, y, x - 1] < low or (field[z, y, x - 1] == low and at == (z * ny + y) * nx + x)):
                    low, at = field[z, y, x - 1], (z * ny + y) * nx + x - 1
                if x + 1 < nx and field[z, y, x + 1] < low:
                    low, at = field[z, y, x + 1], (z * ny + y) * nx + x + 1
                if y + 1 < ny and field[z, y + 1, x] < low:
                    low, at = field[z, y + 1, x], (z * ny + y + 1) * nx + x
                if z + 1 < nz and field[z + 1, y, x] < low:
                    low, at = field[z + 1, y, x], ((z + 1) * ny + y) * nx + x
                out[z, y, x] = at


@njit(cache=True, nogil=True)
def _follow(downhill: Indices) -> None:
    """Lead each voxel to the end of its way, in place."""
    for start in range(downhill.size):
        end = downhill[start]
        if end < 0:
            continue
        while downhill[end] != end:
            end = downhill[end]
        at = start
        while downhill[at] != end:
            following = downhill[at]
            downhill[at] = end
            at = following


@njit(cache=True, nogil=True)
def _contacts(field: Floats, basin: Numbers) -> tuple[Indices, Indices, Floats, Indices]:
    """Pairs of basins that touch: their numbers, the higher one of the two voxels, and its flat index."""
    nz, ny, nx = field.shape
    first, second, weight, voxel = (
        np.empty(0, dtype=np.int64),
        np.empty(0, dtype=np.int64),
        np.empty(0, dtype=field.dtype),
        np.empty(0, dtype=np.int64),
    )
    for fill in (False, True):
        n = 0
        for z in range(nz):
            for y in range(ny):
                for x in range(nx):
                    a = basin[z, y, x]
                    if a < 0:
                        continue
                    for axis in range(3):
                        p, q, r = z + (axis == 0), y + (axis == 1), x + (axis == 2)
                        if p >= nz or q >= ny or r >= nx:
                            continue
                        b = basin[p, q, r]
                        if b < 0 or b == a:
                            continue
                        if fill:
                            u, v = field[z, y, x], field[p, q, r]
                            first[n], second[n] = a, b
                            weight[n] = max(u, v)
                            voxel[n] = (z * ny + y) * nx + x if u >= v else (p * ny + q) * nx + r
                        n += 1
        if not fill:
            first, second = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
            weight, voxel = np.empty(n, dtype=field.dtype), np.empty(n, dtype=np.int64)
    return first, second, weight, voxel


@njit(cache=True, nogil=True)
def _root(parent: Indices, i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@njit(cache=True, nogil=True)
def _join(value: Floats, first: Indices, second: Indices, order: Indices) -> tuple[Indices, Indices, Indices]:
    """Joins (younger, elder, number of the contact), Kruskal's way: contacts from the lowest to the highest."""
    parent = np.arange(value.size)
    younger, elder, at = np.empty_like(parent), np.empty_like(parent), np.empty_like(parent)
    n = 0
    for k in order:
        a, b = _root(parent, first[k]), _root(parent, second[k])
        if a == b:
            continue
        if value[a] > value[b] or (value[a] == value[b] and a > b):
            a, b = b, a
        parent[b] = a
        younger[n], elder[n], at[n] = b, a, k
        n += 1
    return younger[:n].copy(), elder[:n].copy(), at[:n].copy()


@njit(cache=True, nogil=True)
def _replay(root: Indices, younger: Indices, elder: Indices) -> None:
    """Point each basin (not -1) to the lowest of its component, in place."""
    for k in range(younger.size):
        root[younger[k]] = elder[k]
    for i in range(root.size):
        if root[i] >= 0:
            root[i] = _root(root, i)


@njit(cache=True, nogil=True)
def _count(values: Floats, basin: Numbers, root: Indices, level: float, out: Indices) -> None:
    field, number = values.ravel(), basin.ravel()
    for i in range(field.size):
        if number[i] >= 0 and field[i] <= level:
            out[root[number[i]]] += 1


@njit(cache=True, nogil=True)
def _count_grown(values: Floats, basin: Numbers, parent: Indices, until: Floats, out: Indices) -> None:
    """Count each voxel at the first region on its way up that has not joined another one before its value."""
    field, number = values.ravel(), basin.ravel()
    for i in range(field.size):
        at = number[i]
        if at >= 0:
            while until[at] < field[i]:
                at = parent[at]
            out[at] += 1


@njit(cache=True, nogil=True)
def _sum_up(younger: Indices, elder: Indices, out: Indices) -> None:
    """Regions contain those that joined them, in place; of joins that ascend."""
    for k in range(younger.size):
        out[elder[k]] += out[younger[k]]
