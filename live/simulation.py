"""`redoxscope simulate`: the simulated beamline in a process of its own, publishing documents like a real one."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from redoxscope.live.errors import UserError
from redoxscope.live.transport import Publisher


def simulate(
    address: str,
    data: Path,
    *,
    key: Path | None = None,
    quick: bool,
    seed: int,
    inline: bool = False,
    faults: Sequence[str] = (),
    edges: Sequence[str] = (),
    real_time: float | None = None,
    truth: Path | None = None,
) -> int:
    """Run the experiment and publish it to the monitor at `address`; frames go to DIR/frames.

    `edges` are elements whose K edges the XANES scans sweep over; nickel if none is given.
    """
    from redoxscope.simulators import run_session
    from redoxscope.simulators.elements import chosen
    from redoxscope.simulators.faults import check_faults

    names = [element if " " in element else f"{element} K" for element in edges] or ["Ni K"]
    try:
        check_faults(faults)
        chosen(names)
    except ValueError as error:
        raise UserError(str(error)) from error
    if inline and "dead_file" in faults:
        raise UserError("the fault dead_file needs frames in files: leave out --inline")
    if real_time is not None and not real_time > 0:
        raise UserError(f"--real-time {real_time:g}: give simulated seconds per real second, more than 0")
    console = Console(stderr=True)
    publisher = Publisher(address, key=key)
    patience = 3.0
    try:
        console.print(f"simulated beamline: publishing to {address}, frames in {data / 'frames'}", soft_wrap=True)
        uids = run_session(
            [publisher],
            frames_dir=data / "frames",
            quick=quick,
            seed=seed,
            inline=inline,
            faults=faults,
            edges=names,
            real_time=real_time,
            truth_path=truth,
        )
        patience = 60.0
    finally:
        delivered = publisher.close(patience)
    console.print(f"simulated beamline: {len(uids)} runs done")
    if not delivered:
        console.print("no monitor took all documents; they are kept, `redoxscope replay` reads them", soft_wrap=True)
        return 1
    return 0
