"""FFT of sixteen lines at a time, which stand side by side in the processor's vectors (lane form, see `lanes`).

Stockham's self-sorting algorithm (Van Loan, "Computational Frameworks for the Fast Fourier Transform", SIAM 1992,
§ 1.7) with radices 3 to 10, each as straight-line code: three to four times as fast as scipy's FFT, whose wheels are
built for vectors of four.
"""

from typing import Any

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from redoxscope.analysis.tomography.lanes import (
    FUSED,
    LANES,
    LINE,
    const,
    constants,
    data,
    fused,
    load,
    load_scalar,
    splat,
    store,
    vector_step,
)

Plan = tuple[NDArray[np.int64], NDArray[np.float32]]
"""Radices, and the twiddle factors of all stages (real, imaginary) one behind the other."""

_RADICES = (10, 8, 5, 4, 3)


def good_length(least: int) -> int:
    """The smallest length ≥ `least` that is a multiple of 4 and has no prime factor above 5."""
    n = -(-max(least, LANES) // 4) * 4
    while _factors(n) is None:
        n += 4
    return n


def fourier_plan(length: int) -> Plan:
    """For `transform` of lines of a `good_length`."""
    radices = _factors(length)
    if radices is None:
        raise ValueError(f"no transform of lines of {length} samples: see good_length")
    twiddles, left = [], length
    for r in radices:
        angle = -2 * np.pi * np.outer(np.arange(left // r), np.arange(1, r)) / left
        twiddles.append(np.stack([np.cos(angle), np.sin(angle)], axis=-1).ravel())
        left //= r
    return np.array(radices), np.concatenate(twiddles).astype(np.float32)


def _factors(n: int) -> list[int] | None:
    """As few radices as possible, the larger last; None if there are none."""
    best: dict[int, list[int]] = {1: []}
    for value in range(2, n + 1):
        if n % value == 0:
            found = [[*best[value // r], r] for r in _RADICES if value % r == 0 and value // r in best]
            if found:
                best[value] = min(found, key=lambda f: (len(f), max(f)))
    return sorted(best[n]) if n in best else None


def _dft(builder: Any, x: list[Any]) -> list[Any]:
    """Discrete Fourier transform of a few complex numbers (real, imaginary)."""
    n = len(x)
    if n == 1:
        return x
    if n % 2 == 0:
        even, odd = _dft(builder, x[0::2]), _dft(builder, x[1::2])
        odd = [_turned(builder, value, -2 * np.pi * k / n) for k, value in enumerate(odd)]
        return [_sum(builder, a, b) for a, b in zip(even, odd, strict=True)] + [
            _difference(builder, a, b) for a, b in zip(even, odd, strict=True)
        ]
    half = range(1, (n + 1) // 2)
    plus = {j: _sum(builder, x[j], x[n - j]) for j in half}
    minus = {j: _difference(builder, x[j], x[n - j]) for j in half}
    out = [x[0]] * n
    for j in half:
        out[0] = _sum(builder, out[0], plus[j])
    for k in half:
        along, across = x[0], (constants(0.0), constants(0.0))
        for j in half:
            c, s = (constants(float(f(2 * np.pi * j * k / n))) for f in (np.cos, np.sin))
            along = tuple(fused(builder, v, c, t) for v, t in zip(plus[j], along, strict=True))
            across = tuple(fused(builder, v, s, t) for v, t in zip(minus[j], across, strict=True))
        turned = across[1], builder.fneg(across[0])
        out[k], out[n - k] = _sum(builder, along, turned), _difference(builder, along, turned)
    return out


def _sum(builder: Any, a: Any, b: Any) -> Any:
    return tuple(builder.fadd(u, v, flags=FUSED) for u, v in zip(a, b, strict=True))


def _difference(builder: Any, a: Any, b: Any) -> Any:
    return tuple(builder.fsub(u, v, flags=FUSED) for u, v in zip(a, b, strict=True))


def _product(builder: Any, a: Any, b: Any) -> Any:
    real = builder.fsub(builder.fmul(a[0], b[0], flags=FUSED), builder.fmul(a[1], b[1], flags=FUSED), flags=FUSED)
    return real, fused(builder, a[0], b[1], builder.fmul(a[1], b[0], flags=FUSED))


def _turned(builder: Any, value: Any, angle: float) -> Any:
    if angle == 0:
        return value
    if angle == -np.pi / 2:
        return value[1], builder.fneg(value[0])
    return _product(builder, value, tuple(constants(float(f(angle))) for f in (np.cos, np.sin)))


def _butterfly(radix: int) -> Any:
    @vector_step
    def butterfly(
        typing: Any, source: Any, at: Any, step: Any, target: Any, to: Any, out: Any, twiddles: Any, w: Any
    ) -> Any:
        """DFT of `radix` samples at source[at + k·step], times twiddles[w:], to target[to + k·out]."""

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            base, goal, turns = (data(context, builder, signature.args[i], args[i]) for i in (0, 3, 6))
            x, place = [], args[1]
            for _ in range(radix):
                x.append(tuple(load(builder, base, builder.add(place, const(part * LANES))) for part in (0, 1)))
                place = builder.add(place, args[2])
            place = args[4]
            for k, value in enumerate(_dft(builder, x)):
                if k:
                    turn = tuple(
                        splat(builder, load_scalar(builder, turns, builder.add(args[7], const(2 * k - 2 + part))))
                        for part in (0, 1)
                    )
                    value = _product(builder, value, turn)
                for part in (0, 1):
                    store(builder, value[part], goal, builder.add(place, const(part * LANES)))
                place = builder.add(place, args[5])
            return context.get_dummy_value()

        return types.void(source, at, step, target, to, out, twiddles, w), generate

    return butterfly


_three, _four, _five, _eight, _ten = (_butterfly(r) for r in (3, 4, 5, 8, 10))


@njit(cache=True, nogil=True, error_model="numpy")
def transform(
    lines: NDArray[np.float32], spare: NDArray[np.float32], radices: NDArray[np.int64], twiddles: NDArray[np.float32]
) -> NDArray[np.float32]:
    """FFT of 16 lines in lane form (flat); the result stands in `lines` or in `spare`, whichever is returned."""
    left, done, w = lines.size // LINE, 1, 0
    for r in radices:
        left //= r
        step, out = LINE * done * left, LINE * done
        for p in range(left):
            turn = w + 2 * (r - 1) * p
            for q in range(done):
                at, to = LINE * (q + done * p), LINE * (q + done * r * p)
                if r == 8:
                    _eight(lines, at, step, spare, to, out, twiddles, turn)
                elif r == 10:
                    _ten(lines, at, step, spare, to, out, twiddles, turn)
                elif r == 4:
                    _four(lines, at, step, spare, to, out, twiddles, turn)
                elif r == 5:
                    _five(lines, at, step, spare, to, out, twiddles, turn)
                else:
                    _three(lines, at, step, spare, to, out, twiddles, turn)
        w += 2 * (r - 1) * left
        done *= r
        lines, spare = spare, lines
    return lines
