"""Sixteen floats at a time: the three inner steps of gridding, as LLVM vectors.

numba vectorises loops, but not the short unrolled ones over a kernel's footprint of 8 × 8 complex cells: written out in
LLVM's own vector type they are four times as fast. A row of the footprint is 8 complex numbers, one vector;
LLVM splits it where the processor's registers are shorter.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

WIDTH = 8
"""Cells across the footprint of a point."""
DEGREE = 7
"""Of the polynomials that give the kernel's values."""

_LANES = 2 * WIDTH
_INT = ir.IntType(32)
_VECTOR = ir.VectorType(ir.FloatType(), _LANES)
_UNDEFINED = ir.Constant(_VECTOR, ir.Undefined)
_FUSED = ("contract",)


def _intrinsic(function: Callable[..., Any]) -> Any:
    """The decorated function takes types; compiled code calls it with values and without `typing`."""
    return intrinsic(function)


def _const(value: int) -> Any:
    return ir.Constant(_INT, value)


def _pick(builder: Any, vector: Any, lanes: list[int]) -> Any:
    return builder.shuffle_vector(vector, _UNDEFINED, ir.Constant(ir.VectorType(_INT, len(lanes)), lanes))


def _splat(builder: Any, scalar: Any) -> Any:
    return _pick(builder, builder.insert_element(_UNDEFINED, scalar, _const(0)), [0] * _LANES)


def _load(builder: Any, pointer: Any) -> Any:
    value = builder.load(builder.bitcast(pointer, _VECTOR.as_pointer()))
    value.align = 4
    return value


def _store(builder: Any, value: Any, pointer: Any) -> None:
    builder.store(value, builder.bitcast(pointer, _VECTOR.as_pointer())).align = 4


def _data(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    return context.make_array(kind)(context, builder, array).data


@_intrinsic
def kernel_values(typing: Any, pieces: Any, across: Any, down: Any, out: Any) -> Any:
    """Fill `out` (32,) with the kernel along x and along y, each value twice (for real and imaginary part).

    pieces : (DEGREE + 1, 16) flat, polynomial coefficients of the kernel at the 8 cells, the highest power first
    across, down : 0 to 1, distance of the first cell from the footprint's border
    """
    signature = types.void(pieces, across, down, out)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        powers = _data(context, builder, signature.args[0], args[0])
        target = _data(context, builder, signature.args[3], args[3])
        rows = [_load(builder, builder.gep(powers, [_const(_LANES * d)])) for d in range(DEGREE + 1)]
        for axis, position in enumerate(args[1:3]):
            z, value = _splat(builder, position), rows[0]
            for row in rows[1:]:
                value = builder.fadd(builder.fmul(value, z, flags=_FUSED), row, flags=_FUSED)
            _store(builder, value, builder.gep(target, [_const(_LANES * axis)]))
        return context.get_dummy_value()

    return signature, generate


@_intrinsic
def spread(typing: Any, grid: Any, at: Any, stride: Any, values: Any, real: Any, imag: Any) -> Any:
    """Add a complex number times `kernel_values` to the footprint at grid[at], its rows `stride` floats apart."""
    signature = types.void(grid, at, stride, values, real, imag)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        base, here, stride = _data(context, builder, signature.args[0], args[0]), args[1], args[2]
        weights = _data(context, builder, signature.args[3], args[3])
        number = builder.insert_element(_UNDEFINED, args[4], _const(0))
        number = _pick(builder, builder.insert_element(number, args[5], _const(1)), [0, 1] * WIDTH)
        across = builder.fmul(number, _load(builder, weights))
        for row in range(WIDTH):
            pointer = builder.gep(base, [here])
            down = _splat(builder, builder.load(builder.gep(weights, [_const(_LANES + 2 * row)])))
            added = builder.fadd(_load(builder, pointer), builder.fmul(across, down, flags=_FUSED), flags=_FUSED)
            _store(builder, added, pointer)
            here = builder.add(here, stride)
        return context.get_dummy_value()

    return signature, generate


@_intrinsic
def gather(typing: Any, grid: Any, at: Any, stride: Any, values: Any) -> Any:
    """The transpose of `spread`: (real, imaginary) sum of the footprint's cells times `kernel_values`."""
    pair: Any = types.UniTuple(types.float32, 2)  # type: ignore[no-untyped-call]
    signature = pair(grid, at, stride, values)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        base, here, stride = _data(context, builder, signature.args[0], args[0]), args[1], args[2]
        weights = _data(context, builder, signature.args[3], args[3])
        total = ir.Constant(_VECTOR, [0.0] * _LANES)
        for row in range(WIDTH):
            down = _splat(builder, builder.load(builder.gep(weights, [_const(_LANES + 2 * row)])))
            cells = _load(builder, builder.gep(base, [here]))
            total = builder.fadd(total, builder.fmul(cells, down, flags=_FUSED), flags=_FUSED)
            here = builder.add(here, stride)
        total = builder.fmul(total, _load(builder, weights))
        for half in (8, 4, 2):
            lanes = list(range(half, 2 * half)) + [0] * (_LANES - half)
            total = builder.fadd(total, _pick(builder, total, lanes))
        parts = [builder.extract_element(total, _const(part)) for part in (0, 1)]
        return context.make_tuple(builder, signature.return_type, parts)

    return signature, generate
