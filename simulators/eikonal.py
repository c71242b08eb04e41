"""When a growing front arrives: the eikonal equation |∇t| = slowness, by fast sweeping.

First-order Godunov upwind scheme in eight sweep orders (Zhao, Math. Comp. 74, 603 (2005)). Unlike a shortest
path over a voxel graph it grows spheres round a nucleus, not polyhedra.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray


def first_arrival(
    slowness: NDArray[np.float32], nuclei: NDArray[np.intp], starts: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Earliest arrival of the fronts that start at the nuclei.

    Parameters
    ----------
    slowness : (z, y, x) time to cross one voxel, > 0
    nuclei : (n, 3) voxel indices (z, y, x)
    starts : (n,) when each nucleus appears

    Returns
    -------
    (z, y, x) float32 arrival time, in the units of `starts`
    """
    time = np.full(slowness.shape, np.inf, dtype=np.float32)
    for (z, y, x), start in zip(nuclei, starts, strict=True):
        seed_ball(time, slowness, (z, y, x), start)
    for _ in range(50):
        if _sweep_all(time, slowness) < 1e-3:
            break
    return time


def seed_ball(
    time: NDArray[np.float32], slowness: NDArray[np.float32], centre: tuple[int, int, int], start: float, r: int = 4
) -> None:
    """Set the exact distance times within `r` voxels of a nucleus: the scheme is least accurate there."""
    box = tuple(slice(max(0, c - r), c + r + 1) for c in centre)
    grids = np.ogrid[tuple(slice(s.start, min(s.stop, n)) for s, n in zip(box, time.shape, strict=True))]
    distance = np.sqrt(sum((g - c) ** 2 for g, c in zip(grids, centre, strict=True)))
    ball = np.where(distance <= r, start + distance * slowness[centre], np.inf)
    np.minimum(time[box], ball, out=time[box], casting="same_kind")


@njit(cache=True)
def _sweep_all(time: NDArray[np.float32], slowness: NDArray[np.float32]) -> float:
    """Sweep once in each of the eight orders, in place; the largest improvement of a finite value, or inf."""
    nz, ny, nx = time.shape
    largest = 0.0
    for order in range(8):
        for i in range(nz):
            z = i if order & 1 else nz - 1 - i
            for j in range(ny):
                y = j if order & 2 else ny - 1 - j
                for k in range(nx):
                    x = k if order & 4 else nx - 1 - k
                    a = min(time[max(z - 1, 0), y, x], time[min(z + 1, nz - 1), y, x])
                    b = min(time[z, max(y - 1, 0), x], time[z, min(y + 1, ny - 1), x])
                    c = min(time[z, y, max(x - 1, 0)], time[z, y, min(x + 1, nx - 1)])
                    if a > b:
                        a, b = b, a
                    if b > c:
                        b, c = c, b
                    if a > b:
                        a, b = b, a
                    if a >= time[z, y, x]:
                        continue
                    s = slowness[z, y, x]
                    t = a + s
                    if t > b:
                        t = 0.5 * (a + b + np.sqrt(max(2 * s * s - (a - b) ** 2, 0.0)))
                        if t > c:
                            total = a + b + c
                            squares = a * a + b * b + c * c
                            t = (total + np.sqrt(max(total * total - 3 * (squares - s * s), 0.0))) / 3
                    if t < time[z, y, x]:
                        largest = max(largest, time[z, y, x] - t)
                        time[z, y, x] = t
    return largest
