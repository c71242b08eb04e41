"""Whether VTK can draw here: `python -m redoxscope.live.figures.probe` ends with 0 if it can.

Asked in a process of its own: on a machine without the libraries that VTK needs off-screen, the first picture takes the
whole program down.
"""

import subprocess
import sys

REMEDY = "on Debian install libegl1 libgl1-mesa-dri"
_TIMEOUT = 120.0
"""Seconds; a first picture takes ten on a loaded machine."""


def can_render() -> bool:
    """Draw a triangle in a process of its own."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "redoxscope.live.figures.probe"],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def main() -> int:
    """Draw a triangle; 0 if it can be seen."""
    import numpy as np

    from redoxscope.live.figures.rendering import Layer, View, render

    points = np.array([[0.0, 0, 0], [0, 0, 1], [1, 1, 0]])
    picture = render([Layer(points, np.array([[0, 1, 2]]), colour="red")], View.of(points), 32)
    return 0 if picture.image[..., 3].any() else 1


if __name__ == "__main__":
    sys.exit(main())
