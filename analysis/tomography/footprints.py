"""The inner steps of gridding: the kernel's values, and points' cells put onto the grid or taken from it.

A cell holds four complex images (see `lanes`): a point is spread for all of them at once. Two neighbours on a line,
whose footprints of WIDTH × WIDTH cells lie in one block of ROWS × COLUMNS, are spread together: cells are read and
written once for both, in twos, which share a cache line.
"""

from typing import Any

import numpy as np
from numba import types
from numpy.polynomial import Chebyshev, Polynomial
from numpy.typing import NDArray

from redoxscope.analysis.tomography.lanes import (
    CELL,
    FUSED,
    IMAGES,
    LANES,
    const,
    constants,
    data,
    fused,
    load,
    load_scalar,
    pick,
    splat,
    store,
    vector_step,
)

WIDTH = 6
"""Cells across the footprint of a point."""
ROWS = WIDTH + 1
COLUMNS = WIDTH + 2
"""Of a block, which begins at an even column."""
POINTS = 2
"""That share a block."""
DEGREE = 5
"""Of the polynomials that give the kernel's values."""
WEIGHTS = LANES
"""Floats that `weigh` fills."""
_HALF = LANES // 2
_PLACES = _HALF - WIDTH + 1


def kernel_pieces(kernel) -> NDArray[np.float32]:  # type: ignore[no-untyped-def]
    """(place, DEGREE + 1, 8) coefficients of the kernel at a block's cells, the highest power first.

    Place is the footprint's first cell in the block, variable the distance, 0 to 1, of that cell from the footprint's
    border.
    """
    z = (1 + np.cos(np.pi * (np.arange(64) + 0.5) / 64)) / 2
    fits = [Chebyshev.fit(z, kernel(z - WIDTH / 2 + i), DEGREE, domain=[0, 1]) for i in range(WIDTH)]
    out = np.zeros((_PLACES, DEGREE + 1, _HALF), dtype=np.float32)
    for place in range(_PLACES):
        out[place, :, place : place + WIDTH] = np.array([f.convert(kind=Polynomial).coef[::-1] for f in fits]).T
    return out


@vector_step
def weigh(typing: Any, pieces: Any, low: Any, right: Any, down: Any, across: Any, out: Any, at: Any) -> Any:
    """Fill out[at : at + WEIGHTS] with the kernel at the block's 8 rows and at its 8 columns.

    low, right : the footprint's place; down, across : the kernel's variable
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        powers, target = (data(context, builder, signature.args[i], args[i]) for i in (0, 5))
        first = [builder.mul(place, const(_HALF * (DEGREE + 1))) for place in args[1:3]]
        halves = [splat(builder, z, _HALF) for z in args[3:5]]
        position, value = pick(builder, halves[0], range(LANES), halves[1]), None
        for d in range(DEGREE + 1):
            halves = [load(builder, powers, builder.add(place, const(_HALF * d)), _HALF) for place in first]
            power = pick(builder, halves[0], range(LANES), halves[1])
            value = power if value is None else fused(builder, value, position, power)
        store(builder, value, target, args[6])
        return context.get_dummy_value()

    return types.void(pieces, low, right, down, across, out, at), generate


def _unpacked(builder: Any, pair: Any) -> list[Any]:
    return [builder.extract_value(pair, i) for i in range(POINTS)]


def _times(builder: Any, cell: Any, real: Any, imag: Any) -> Any:
    """A cell times a complex number."""
    swapped = pick(builder, cell, [(i + IMAGES) % CELL for i in range(CELL)])
    turned = pick(builder, splat(builder, builder.fneg(imag), IMAGES), range(CELL), splat(builder, imag, IMAGES))
    return fused(builder, cell, splat(builder, real, CELL), builder.fmul(swapped, turned, flags=FUSED))


def _weights(builder: Any, factors: Any, point: int) -> tuple[list[Any], list[Any]]:
    """Of a point: each down the rows, and those across the columns in twos, each as often as a cell has floats."""
    first = WEIGHTS * point
    down = [splat(builder, load_scalar(builder, factors, const(first + i))) for i in range(ROWS)]
    row = load(builder, factors, const(first))
    across = [pick(builder, row, [_HALF + j + i // CELL for i in range(LANES)]) for j in range(0, COLUMNS, 2)]
    return down, across


@vector_step
def spread(
    typing: Any, grid: Any, at: Any, stride: Any, weights: Any, cells: Any, source: Any, factor: Any, f: Any
) -> Any:
    """Add points to the block at grid[at], its rows `stride` floats apart.

    weights : (POINTS, WEIGHTS) flat, see `weigh`; point i is cells[source[i]] times factor[f + 2 i], [f + 2 i + 1]
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        base, factors, numbers, turns = (data(context, builder, signature.args[i], args[i]) for i in (0, 3, 4, 6))
        points = []
        for i, place in enumerate(_unpacked(builder, args[5])):
            re, im = (load_scalar(builder, turns, builder.add(args[7], const(2 * i + part))) for part in (0, 1))
            value = _times(builder, load(builder, numbers, place, CELL), re, im)
            points.append(
                (pick(builder, value, [lane % CELL for lane in range(LANES)]), *_weights(builder, factors, i))
            )
        row = args[1]
        for i in range(ROWS):
            values = [builder.fmul(value, down[i], flags=FUSED) for value, down, _ in points]
            for j in range(COLUMNS // 2):
                place = builder.add(row, const(LANES * j))
                cell = load(builder, base, place)
                for value, (_, _, across) in zip(values, points, strict=True):
                    cell = fused(builder, value, across[j], cell)
                store(builder, cell, base, place)
            row = builder.add(row, args[2])
        return context.get_dummy_value()

    return types.void(grid, at, stride, weights, cells, source, factor, f), generate


@vector_step
def gather(
    typing: Any, grid: Any, at: Any, stride: Any, weights: Any, cells: Any, target: Any, factor: Any, f: Any
) -> Any:
    """The transpose of `spread`: weighed sums of the block's cells, times conjugate factors, become cells[target]."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        base, factors, numbers, turns = (data(context, builder, signature.args[i], args[i]) for i in (0, 3, 4, 6))
        points = [_weights(builder, factors, i) for i in range(POINTS)]
        totals, row = [constants(0.0)] * POINTS, args[1]
        for i in range(ROWS):
            inner = [constants(0.0)] * POINTS
            for j in range(COLUMNS // 2):
                cell = load(builder, base, builder.add(row, const(LANES * j)))
                inner = [fused(builder, cell, across[j], v) for v, (_, across) in zip(inner, points, strict=True)]
            totals = [fused(builder, v, down[i], t) for v, t, (down, _) in zip(inner, totals, points, strict=True)]
            row = builder.add(row, args[2])
        # The second first: where there is none, it stands for the first.
        for i, place in reversed(list(enumerate(_unpacked(builder, args[5])))):
            halves = [pick(builder, totals[i], range(start, start + CELL)) for start in (0, CELL)]
            re, im = (load_scalar(builder, turns, builder.add(args[7], const(2 * i + part))) for part in (0, 1))
            value = _times(builder, builder.fadd(*halves), re, builder.fneg(im))
            store(builder, value, numbers, place)
        return context.get_dummy_value()

    return types.void(grid, at, stride, weights, cells, target, factor, f), generate
