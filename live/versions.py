"""Which software made a result."""

import platform
from importlib.metadata import version

_PACKAGES = (
    "redoxscope",
    "bluesky",
    "event-model",
    "numpy",
    "scipy",
    "numba",
    "scikit-image",
    "finufft",
    "h5py",
    "tiled",
)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on."""
    return {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}}
