"""Keys' cubic convolution (IEEE Trans. Acoust. Speech Signal Process. 29, 1153 (1981)), a = -1/2.

What every interpolation of frames, projections and filtered lines goes by: exact for polynomials up to second order.
"""

from typing import Any

from numba.extending import register_jitable


@register_jitable(inline="always")
def cubic_weights(t: Any) -> tuple[Any, Any, Any, Any]:
    """Weights of the four samples around a place, 0 ≤ t < 1 beyond the second; of numbers or of arrays of them."""
    return (
        ((-0.5 * t + 1.0) * t - 0.5) * t,
        (1.5 * t - 2.5) * t * t + 1.0,
        ((-1.5 * t + 2.0) * t + 0.5) * t,
        (0.5 * t - 0.5) * t * t,
    )
