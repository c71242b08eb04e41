"""Means over patches of a surface: a coarse grid of cells, of which only those that hold points are looked at.

A mean is taken over a cell and its neighbours, which count half as much in each direction; between the cells' middles
results are interpolated. Distances are in voxels, coordinates not negative.
"""

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Doubles = NDArray[np.float64]
Image = NDArray[np.float32]
Numbers = NDArray[np.int32]


def numbered_cells(points: Floats, at: Floats, size: float) -> tuple[Numbers, Numbers]:
    """Number of each cell of a grid around the places `at` (n, 3), one more on either side; -1 where no point is.

    And where the numbered ones are, (cell, 3).
    """
    number = np.full(tuple(int(n / size) + 3 for n in at.max(axis=0, initial=0)), -1, dtype=np.int32)
    return number, _number(points, size, number)


@njit(inline="always")
def cell(points: Floats, p: int, size: float) -> tuple[int, int, int]:
    """That of a point."""
    return int(points[p, 0] / size) + 1, int(points[p, 1] / size) + 1, int(points[p, 2] / size) + 1


@njit(cache=True, nogil=True)
def _number(points: Floats, size: float, number: Numbers) -> Numbers:
    """Number the cells that hold points, in `number` (-1 elsewhere); returns where they are, (cell, 3)."""
    places = np.empty((len(points), 3), dtype=np.int32)
    n = 0
    for p in range(len(points)):
        z, y, x = cell(points, p, size)
        if number[z, y, x] < 0:
            number[z, y, x] = n
            places[n, 0], places[n, 1], places[n, 2] = z, y, x
            n += 1
    return places[:n].copy()


@njit(cache=True, nogil=True)
def sums_around(middle: Numbers, number: Numbers, total: Doubles) -> Doubles:
    """Sums (k,) of a cell and its neighbours, from those of all cells (cell, k)."""
    sums = np.zeros(total.shape[1])
    for dz in range(-1, 2):
        for dy in range(-1, 2):
            for dx in range(-1, 2):
                near = number[middle[0] + dz, middle[1] + dy, middle[2] + dx]
                if near >= 0:
                    weight = 0.5 ** (abs(dz) + abs(dy) + abs(dx))
                    for k in range(sums.size):
                        sums[k] += weight * total[near, k]
    return sums


@njit(parallel=True, cache=True, nogil=True)
def between(count: Image, total: Image, at: Floats, size: float) -> Doubles:
    """(n,) means `total`/`count` of the cells around each place, the nearer the more they count; 0 without any."""
    out = np.zeros(len(at))
    for p in prange(len(at)):
        iz, iy, ix, z, y, x = place(at, p, size)
        points = values = 0.0
        for dz in range(2):
            for dy in range(2):
                for dx in range(2):
                    weight = (z if dz else 1 - z) * (y if dy else 1 - y) * (x if dx else 1 - x)
                    points += weight * count[iz + dz, iy + dy, ix + dx]
                    values += weight * total[iz + dz, iy + dy, ix + dx]
        if points > 0:
            out[p] = values / points
    return out


@njit(inline="always")
def place(at: Floats, p: int, size: float) -> tuple[int, int, int, float, float, float]:
    """The cell whose middle is before a point in each direction, and how far behind that the point is, in cells."""
    z, y, x = at[p, 0] / size + 0.5, at[p, 1] / size + 0.5, at[p, 2] / size + 0.5
    iz, iy, ix = int(z), int(y), int(x)
    return iz, iy, ix, z - iz, y - iy, x - ix
