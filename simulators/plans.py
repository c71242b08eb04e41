"""Plans of operando XANES microscopy, for any RunEngine and any devices of the same roles.

Roles (keyword arguments): `mono` (set in eV), `rotation` (set in degrees), `sample` (set "in" or "out"), `shutter`
(set "open" or "closed"), `heater` (set in °C, done when settled), `camera` (stage, trigger, read), and optionally
`timer` (set in seconds, `now()`). A real beamline leaves `timer` out and waits by `bps.sleep`.

Every event holds one frame; the streams say what is on it: `dark`, `primary`, `flat`.
"""

import time
import uuid
from collections.abc import Generator, Iterable, Sequence
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky.utils import Msg

Plan = Generator[Msg, Any, Any]
Metadata = dict[str, Any]

DEFAULT_PROGRAMME = ((100.0, 1.5 * 3600), (231.0, 19 * 3600))
ROOM_TEMPERATURE = 30.0


def xanes_2d(
    *,
    mono: Any,
    rotation: Any,
    sample: Any,
    shutter: Any,
    heater: Any,
    camera: Any,
    energies: Iterable[float],
    angle: float = 0.0,
    flats_per_energy: int = 1,
    darks: int = 5,
    md: Metadata | None = None,
) -> Plan:
    """One XANES scan of one field of view: darks, then a frame and its flats at every energy.

    Parameters
    ----------
    mono, rotation, sample, shutter, heater, camera : the roles; see the module
    energies : eV, in the order to be taken
    angle : of the sample, degrees
    flats_per_energy : frames without the sample after each frame
    darks : frames with the shutter closed, first of all
    md : goes into the start document

    Returns
    -------
    uid of the run
    """
    energies = [float(e) for e in energies]
    readables = (mono, rotation, heater, sample)
    start = _start("xanes_2d", energies, flats_per_energy, darks, camera, md)

    def scan() -> Plan:
        yield from bps.mv(rotation, angle)
        yield from _darks(shutter, camera, readables, darks)
        for energy in energies:
            yield from bps.mv(mono, energy, sample, "in")
            yield from _frame(camera, readables, "primary")
            if flats_per_energy:
                yield from bps.mv(sample, "out")
                for _ in range(flats_per_energy):
                    yield from _frame(camera, readables, "flat")

    return (yield from _run(scan(), start, camera, sample, shutter))


def xanes_3d(
    *,
    mono: Any,
    rotation: Any,
    sample: Any,
    shutter: Any,
    heater: Any,
    camera: Any,
    energies: Iterable[float],
    angles: Iterable[float],
    flats_per_energy: int = 3,
    darks: int = 5,
    md: Metadata | None = None,
) -> Plan:
    """A tomogram at every energy, in one run: darks, then per energy all angles and the flats.

    Parameters
    ----------
    mono, rotation, sample, shutter, heater, camera : the roles; see the module
    energies : eV, in the order to be taken
    angles : degrees; one event per projection
    flats_per_energy, darks : how many frames of each
    md : goes into the start document

    Returns
    -------
    uid of the run
    """
    energies = [float(e) for e in energies]
    angles = [float(a) for a in angles]
    readables = (mono, rotation, heater, sample)
    start = _start("xanes_3d", energies, flats_per_energy, darks, camera, md) | {"angles": angles}

    def scan() -> Plan:
        yield from _darks(shutter, camera, readables, darks)
        for energy in energies:
            yield from bps.mv(mono, energy, sample, "in")
            for angle in angles:
                yield from bps.mv(rotation, angle)
                yield from _frame(camera, readables, "primary")
            yield from bps.mv(sample, "out")
            for _ in range(flats_per_energy):
                yield from _frame(camera, readables, "flat")

    return (yield from _run(scan(), start, camera, sample, shutter))


def operando_heating(
    *,
    mono: Any,
    rotation: Any,
    sample: Any,
    shutter: Any,
    heater: Any,
    camera: Any,
    timer: Any = None,
    programme: Sequence[tuple[float, float]] = DEFAULT_PROGRAMME,
    interval: float = 3600.0,
    energies: Iterable[float],
    final_3d: Iterable[float] | None = None,
    energies_3d: Iterable[float] | None = None,
    series: str | None = None,
    md: Metadata | None = None,
) -> Plan:
    """A heating programme with a XANES scan at intervals, and a 3D scan after cooling down.

    A hold of h seconds is divided into round(h / interval) equal parts, at least one; each part ends with a XANES
    scan, which therefore starts on time however long the scans take. The 3D scan waits until the heater has
    settled at 30 °C, where the reaction stands still.

    Parameters
    ----------
    mono, rotation, sample, shutter, heater, camera, timer : the roles; see the module
    programme : (temperature in °C, hold in s) one after the other
    interval : about so many seconds from one scan to the next within a hold
    energies : of the XANES scans, eV
    final_3d : angles of the 3D scan in degrees; None: no 3D scan, and the heater stays where it is
    energies_3d : of the 3D scan, eV; default: `energies`
    series : shared by all runs of the experiment; default: a new uid
    md : goes into every start document

    Returns
    -------
    list of the runs' uids
    """
    roles = {"mono": mono, "rotation": rotation, "sample": sample, "shutter": shutter, "heater": heater}
    energies = list(energies)
    common = {**(md or {}), "series": series or str(uuid.uuid4())}
    uids = []
    for temperature, hold in programme:
        yield from bps.mv(heater, temperature)
        began = _now(timer)
        parts = max(1, round(hold / interval))
        for part in range(1, parts + 1):
            yield from _wait_until(began + hold * part / parts, timer)
            extra = {**common, "programme_temperature": float(temperature)}
            uids.append((yield from xanes_2d(**roles, camera=camera, energies=energies, md=extra)))
    if final_3d is not None:
        yield from bps.mv(heater, ROOM_TEMPERATURE)
        extra = {**common, "programme_temperature": ROOM_TEMPERATURE}
        chosen = energies if energies_3d is None else energies_3d
        uids.append((yield from xanes_3d(**roles, camera=camera, energies=chosen, angles=final_3d, md=extra)))
    return uids


def _start(plan: str, energies: list[float], flats: int, darks: int, camera: Any, md: Metadata | None) -> Metadata:
    """The start document's contents; `md` wins."""
    return {
        "plan_name": plan,
        "energies": energies,
        "energy_unit": "eV",
        "num_darks": darks,
        "num_flats_per_energy": flats,
        "detectors": [camera.name],
        "sample": "",
        **(md or {}),
    }


def _run(scan: Plan, start: Metadata, camera: Any, sample: Any, shutter: Any) -> Plan:
    """The scan as one run with the camera staged; however it ends, the shutter is closed and the sample back."""

    def leave() -> Plan:
        yield from bps.mv(shutter, "closed", sample, "in")

    run = bpp.stage_wrapper(bpp.run_wrapper(scan, md=start), [camera])
    return (yield from bpp.finalize_wrapper(run, leave))


def _darks(shutter: Any, camera: Any, readables: tuple[Any, ...], count: int) -> Plan:
    """Frames with the shutter closed, which is open afterwards."""
    yield from bps.mv(shutter, "closed")
    for _ in range(count):
        yield from _frame(camera, readables, "dark")
    yield from bps.mv(shutter, "open")


def _frame(camera: Any, readables: tuple[Any, ...], stream: str) -> Plan:
    """One event with one frame. `bps.trigger_and_read` would trigger all and cost twice the messages."""
    yield from bps.trigger(camera, wait=True)
    yield from bps.create(stream)
    yield from bps.read(camera)
    for device in readables:
        yield from bps.read(device)
    yield from bps.save()


def _now(timer: Any) -> float:
    """The timer's clock, or the computer's, s."""
    return float(time.time() if timer is None else timer.now())


def _wait_until(moment: float, timer: Any) -> Plan:
    """Wait; not at all if the moment has passed."""
    seconds = moment - _now(timer)
    if seconds > 0:
        yield from bps.sleep(seconds) if timer is None else bps.mv(timer, seconds)
