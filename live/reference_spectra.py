"""Reference spectra that a profile names: text files of two columns."""

from functools import lru_cache
from pathlib import Path

import numpy as np

from redoxscope.analysis.expected import Spectrum, line
from redoxscope.live.errors import UserError
from redoxscope.live.profile import Profile
from redoxscope.live.profile_tables import EdgeTable

_SLACK = 1.0
"""eV that a reference may lack at either end of the windows."""
_COMMENTS = ("#", "%", ";", "//")


def check_references(profile: Profile) -> None:
    """Read all references that the profile names; raises UserError naming the file, the line and the remedy."""
    for table in profile.edges:
        references(table)


def references(table: EdgeTable) -> list[Spectrum]:
    """The reference spectra of an edge, as `EdgeMap` takes them; errors as of `check_references`."""
    return [_read(path, table.nominal, table.pre, table.post) for path in table.references]


@lru_cache(maxsize=32)
def _read(path: str, nominal: float, pre: tuple[float, float], post: tuple[float, float]) -> Spectrum:
    try:
        text = Path(path).read_text("utf-8", errors="replace")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}; correct 'references' in the profile") from error
    rows = []
    for number, written in enumerate(text.splitlines(), 1):
        # Beamlines write columns with blanks, tabs, commas or semicolons between.
        if not written.strip() or written.strip().startswith(_COMMENTS):
            continue
        try:
            values = [float(word) for word in written.replace(",", " ").replace(";", " ").split()[:2]]
        except ValueError:
            values = []
        if len(values) < 2 or not np.all(np.isfinite(values)):
            raise UserError(
                f"{path}, line {number}: {written.strip()[:40]!r} is not an energy (eV) and an absorption; "
                "put # before what is none"
            )
        rows.append(values)
    if len(rows) < 2:
        raise UserError(f"{path}: no spectrum in it; give two columns, energy (eV) and absorption")
    energies, absorption = np.array(rows).T
    if energies.max() < nominal / 100:
        raise UserError(f"{path}: energies up to {energies.max():g} look like keV; give eV")
    if energies.min() > pre[0] + _SLACK or energies.max() < post[1] - _SLACK:
        raise UserError(
            f"{path}: {energies.min():g}-{energies.max():g} eV does not cover the windows of the edge, "
            f"{pre[0]:g}-{post[1]:g} eV; give a longer spectrum, or narrower windows"
        )
    at, where = np.unique(energies, return_inverse=True)
    mean = np.bincount(where, absorption) / np.bincount(where)
    before, behind = (line(at - nominal, np.flatnonzero((at >= low) & (at <= high))) for low, high in (pre, post))
    if before is None or behind is None or not (behind[0] - before[0]) @ mean > 0:
        raise UserError(
            f"{path}: the absorption does not rise at {nominal:g} eV; give the spectrum of this edge, as absorption"
        )
    return at, mean
