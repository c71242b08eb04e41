"""What Tiled is told, and what it says, as plain values and short lines."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


def one_line(error: BaseException) -> str:
    """What an exception says, in one short line and without the query of an address, where a key may stand."""
    text = " ".join(str(error).split()) or type(error).__name__
    words = [word.split("?")[0] if "://" in word else word for word in text.split()]
    return " ".join(words)[:300]


def file_uri(path: Path) -> str:
    """The address of a file for Tiled 0.2, which takes it as it is: a quoted space would be sought as `%20`."""
    return f"file://localhost{path}"


def plain(value: Any) -> Any:
    """A document's contents as JSON knows them: numbers that are none become None."""
    match value:
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case np.ndarray() | np.generic():
            return plain(value.tolist())
        case list() | tuple():
            return [plain(item) for item in value]
        case float():
            return value if np.isfinite(value) else None
        case bool() | int() | str() | None:
            return value
    return str(value)
