"""Sixteen floats at a time: LLVM vectors for what numba does not vectorise by itself.

A step is written once, in LLVM's own vector type; LLVM splits the vectors where the processor's registers are shorter.
Four complex images are worked on together: a *cell* is one complex number of each, (part, image) float32, part 0 real,
1 imaginary. Sixteen lines that are transformed together stand in *lane form*, (sample, part, line) float32: four lines
of four images.
"""

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

LANES = 16
IMAGES = 4
CELL = 2 * IMAGES
LINE = 2 * LANES
"""Floats per sample in lane form."""
FUSED = ("contract",)
"""A product and a sum may be one instruction."""

_INT = ir.IntType(64)


def vector_step(function: Callable[..., Any]) -> Any:
    """The decorated function takes types; compiled code calls it with values and without `typing`."""
    return intrinsic(function)


def const(value: int) -> Any:
    """An index."""
    return ir.Constant(_INT, value)


def constants(value: float, lanes: int = LANES) -> Any:
    """A vector of one number."""
    return ir.Constant(ir.VectorType(ir.FloatType(), lanes), [value] * lanes)


def pick(builder: Any, vector: Any, lanes: Sequence[int], other: Any = None) -> Any:
    """The vector of these lanes of one, or of two that stand behind each other."""
    chosen = ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), list(lanes))
    return builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined) if other is None else other, chosen)


def splat(builder: Any, scalar: Any, lanes: int = LANES) -> Any:
    """A vector of one value."""
    empty = ir.Constant(ir.VectorType(ir.FloatType(), 1), ir.Undefined)
    return pick(builder, builder.insert_element(empty, scalar, const(0)), [0] * lanes)


def load(builder: Any, base: Any, at: Any, lanes: int = LANES) -> Any:
    """The vector at base[at]."""
    kind = ir.VectorType(ir.FloatType(), lanes).as_pointer()
    value = builder.load(builder.bitcast(builder.gep(base, [at]), kind))
    value.align = 4
    return value


def store(builder: Any, value: Any, base: Any, at: Any) -> None:
    """Put a vector to base[at]."""
    builder.store(value, builder.bitcast(builder.gep(base, [at]), value.type.as_pointer())).align = 4


def load_scalar(builder: Any, base: Any, at: Any) -> Any:
    """base[at]"""
    return builder.load(builder.gep(base, [at]))


def fused(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """a · b + c"""
    return builder.fadd(builder.fmul(a, b, flags=FUSED), c, flags=FUSED)


def data(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    """Pointer to an array's first element."""
    return context.make_array(kind)(context, builder, array).data


def _joined(builder: Any, parts: list[Any]) -> Any:
    """Vectors behind each other."""
    while len(parts) > 1:
        length = 2 * parts[0].type.count
        parts = [pick(builder, a, range(length), b) for a, b in zip(parts[0::2], parts[1::2], strict=True)]
    return parts[0]


def _transposed(builder: Any, rows: list[Any]) -> list[Any]:
    """16 vectors of 16 → the same as columns, by interleaving halves four times."""
    low = [i // 2 + LANES * (i % 2) for i in range(LANES)]
    high = [i + LANES // 2 for i in low]
    for _ in range(4):
        pairs = list(zip(rows[: LANES // 2], rows[LANES // 2 :], strict=True))
        rows = [pick(builder, a, half, b) for a, b in pairs for half in (low, high)]
    return rows


@vector_step
def lines_in(typing: Any, source: Any, at: Any, pitch: Any, target: Any, to: Any) -> Any:
    """16 samples of each of 16 lines at source[at + pitch · line] → target[to + LINE · sample + line]."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        base, out = (data(context, builder, signature.args[i], args[i]) for i in (0, 3))
        begin = [builder.add(args[1], builder.mul(args[2], const(i))) for i in range(LANES)]
        for i, row in enumerate(_transposed(builder, [load(builder, base, at) for at in begin])):
            store(builder, row, out, builder.add(args[4], const(LINE * i)))
        return context.get_dummy_value()

    return types.void(source, at, pitch, target, to), generate


@vector_step
def lines_out(typing: Any, source: Any, at: Any, target: Any, to: Any, pitch: Any) -> Any:
    """The way back: source[at + LINE · sample + line] → 16 samples each at target[to + pitch · line]."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        base, out = (data(context, builder, signature.args[i], args[i]) for i in (0, 2))
        rows = [load(builder, base, builder.add(args[1], const(LINE * i))) for i in range(LANES)]
        for i, row in enumerate(_transposed(builder, rows)):
            store(builder, row, out, builder.add(args[3], builder.mul(args[4], const(i))))
        return context.get_dummy_value()

    return types.void(source, at, target, to, pitch), generate


@vector_step
def cells_in(typing: Any, source: Any, a: Any, b: Any, c: Any, d: Any, target: Any, to: Any) -> Any:
    """The cells at source[a], [b], [c] and [d] → a sample in lane form at target[to]."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        base, out = (data(context, builder, signature.args[i], args[i]) for i in (0, 5))
        both = _joined(builder, [load(builder, base, at, CELL) for at in args[1:5]])
        for part in (0, IMAGES):
            row = pick(builder, both, [CELL * (i // IMAGES) + i % IMAGES + part for i in range(LANES)])
            store(builder, row, out, builder.add(args[6], const(part * LANES // IMAGES)))
        return context.get_dummy_value()

    return types.void(source, a, b, c, d, target, to), generate


@vector_step
def cells_out(typing: Any, source: Any, at: Any, target: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """The way back: a sample in lane form at source[at] → the cells at target[a], [b], [c] and [d]."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        base, out = (data(context, builder, signature.args[i], args[i]) for i in (0, 2))
        real, imag = (load(builder, base, builder.add(args[1], const(i))) for i in (0, LANES))
        for i, to in enumerate(args[3:7]):
            lanes = [IMAGES * i + k + part for part in (0, LANES) for k in range(IMAGES)]
            store(builder, pick(builder, real, lanes, imag), out, to)
        return context.get_dummy_value()

    return types.void(source, at, target, a, b, c, d), generate


_QUADS = [IMAGES * (i % IMAGES) + i // IMAGES for i in range(LANES)]
"""Lane 4·line + image ↔ 4·image + line."""


@vector_step
def voxels_in(
    typing: Any, source: Any, at: Any, pitch: Any, scale: Any, x: Any, factor: Any, target: Any, to: Any
) -> Any:
    """Four voxels times scale[x:] · factor of each of 8 images, `pitch` apart → a sample in lane form."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        base, weights, out = (data(context, builder, signature.args[i], args[i]) for i in (0, 3, 6))
        weight = builder.fmul(load(builder, weights, args[4], IMAGES), splat(builder, args[5], IMAGES))
        for part in (0, 1):
            quads = []
            for image in range(IMAGES):
                place = builder.add(args[1], builder.mul(args[2], const(2 * image + part)))
                quads.append(builder.fmul(load(builder, base, place, IMAGES), weight))
            row = pick(builder, _joined(builder, quads), _QUADS)
            store(builder, row, out, builder.add(args[7], const(part * LANES)))
        return context.get_dummy_value()

    return types.void(source, at, pitch, scale, x, factor, target, to), generate


@vector_step
def voxels_out(
    typing: Any, source: Any, at: Any, scale: Any, x: Any, factor: Any, target: Any, to: Any, pitch: Any
) -> Any:
    """The transpose of `voxels_in`."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        base, weights, out = (data(context, builder, signature.args[i], args[i]) for i in (0, 2, 5))
        weight = builder.fmul(load(builder, weights, args[3], IMAGES), splat(builder, args[4], IMAGES))
        for part in (0, 1):
            row = load(builder, base, builder.add(args[1], const(part * LANES)))
            for image in range(IMAGES):
                quad = builder.fmul(pick(builder, row, _QUADS[IMAGES * image : IMAGES * (image + 1)]), weight)
                place = builder.add(args[6], builder.mul(args[7], const(2 * image + part)))
                store(builder, quad, out, place)
        return context.get_dummy_value()

    return types.void(source, at, scale, x, factor, target, to, pitch), generate
