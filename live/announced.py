"""What a start document announces of its scan: checked before the first frame comes."""

import numpy as np
from numpy.typing import NDArray

from redoxscope.live.edge_maps import edges_left_out
from redoxscope.live.errors import UserError
from redoxscope.live.profile import Profile
from redoxscope.live.profile_tables import Documents

_UNIT = {"eV": 1.0, "keV": 1000.0}


def announced_energies(start: dict[str, object], documents: Documents) -> NDArray[np.float64]:
    """(n,) eV, in the order of the start document; empty if it does not say.

    Raises UserError, naming run, key and remedy, if what it says are no numbers.
    """
    given = start.get(documents.energies, [])
    try:
        energies = np.asarray(given, dtype=np.float64).ravel()
    except (TypeError, ValueError):
        energies = np.array([np.nan])
    if not np.isfinite(energies).all():
        raise UserError(
            f"run {start.get('uid')}: start key {documents.energies!r} is no list of numbers ({str(given)[:60]}): "
            f"give the scan's energies in {documents.energy_unit}"
        )
    return energies * _UNIT[documents.energy_unit]


def uncovered_edges(profile: Profile, energies: NDArray[np.float64], run: str) -> dict[str, str]:
    """Names of the profile's edges that a scan over these energies (eV) does not cover, and why.

    Raises UserError, naming run, key and remedy, if it covers none.
    """
    reasons = edges_left_out(profile, energies)
    if len(reasons) < len(profile.edges):
        return reasons
    key, unit, main = profile.documents.energies, profile.documents.energy_unit, profile.edge
    middle = float(np.median(energies)) if energies.size else np.nan
    other = next(
        (u for u, size in _UNIT.items() if u != unit and 0.5 < middle / _UNIT[unit] * size / main.nominal < 2), None
    )
    if other is not None:
        shown = ", ".join(f"{e / _UNIT[unit]:g}" for e in energies[:3])
        raise UserError(
            f"run {run}: start key {key!r} ({shown}, …) looks like {other}, profile {profile.name} says "
            f"energy_unit = {unit!r}: give {unit}, or set energy_unit = {other!r}"
        )
    raise UserError(f"run {run}: start key {key!r}: {reasons[main.name]}")


def check_announced(start: dict[str, object], profile: Profile) -> None:
    """Raise UserError if the run is a XANES scan whose energies cannot give an edge."""
    if str(start.get("plan_name")) in profile.documents.plans_2d:
        energies = announced_energies(start, profile.documents)
        if energies.size:
            uncovered_edges(profile, energies, str(start.get("uid")))
