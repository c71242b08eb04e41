"""FXI files as the runs they were exported from.

A 2D file becomes a run with the streams `dark`, `primary` and `flat`, where a flat follows each energy (as in
`xanes_scan2`). A 3D file becomes a `fly_scan` with one event per projection, where the beamline packs them all
into one. The runs of a series share the start key `series`.
"""

import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from redoxscope.live.replay.fxi_file import FxiFile
from redoxscope.live.replay.run import Run, Stream

ANGLE = "zps_pi_r"
ENERGY = "XEng"


class FxiSource:
    """FXI files in the order they were taken, 2D before 3D."""

    profile = "nsls2_fxi"

    def __init__(self, files: Sequence[FxiFile]) -> None:
        self.files = sorted(files, key=lambda file: file.order)
        kinds = dict.fromkeys("FXI 3D" if file.is_3d else "FXI 2D" for file in self.files)
        self.format = " and ".join(kinds)
        self.frames = sum(file.frames for file in self.files)

    def documents(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the documents of all runs; each call makes new runs, with uids of their own."""
        replay = uuid.uuid4().hex[:8]
        for file, group in _series(self.files):
            yield from _documents(file, f"{_label(group[0])}-{replay}", group)


def _series(files: Sequence[FxiFile]) -> list[tuple[FxiFile, list[FxiFile]]]:
    """Pair each file with its series: the repeats of one position, or the energies of one sweep of tomograms."""
    groups: dict[Any, list[FxiFile]] = {}
    pairs = []
    sweep = 0
    seen: set[float] = set()
    last: tuple[Any, ...] = ()
    for file in files:
        if file.is_3d:
            same = (file.note, file.sample.height, file.sample.width, len(file.angles))
            if same != last or file.energies[0] in seen:  # another sample, or the next sweep
                sweep, seen, last = sweep + 1, set(), same
            seen.add(file.energies[0])
            key: Any = ("3D", sweep)
        else:
            key = ("2D", file.scan_id if file.scan_id is not None else file.path, file.position)
        group = groups.setdefault(key, [])
        group.append(file)
        pairs.append((file, group))
    return pairs


def _label(file: FxiFile) -> str:
    parts = [file.plan_name, str(file.scan_id if file.scan_id is not None else file.path.stem)]
    if file.position is not None:
        parts.append(f"pos{file.position:02d}")
    return "-".join(parts)


def _documents(file: FxiFile, series: str, group: Sequence[FxiFile]) -> Iterator[tuple[str, dict[str, Any]]]:
    run = Run(file.path, file.time, "KinetixU_image")
    yield run.start(_metadata(file, series, group))
    unit = "keV" if max(file.energies) < 1000 else "eV"
    keys = {ENERGY: unit}
    dark = Stream("dark", file.dark, keys, "counts") if file.dark else None
    flat = Stream("flat", file.flat, keys, "counts") if file.flat else None
    primary = Stream("primary", file.sample, keys | ({ANGLE: "deg"} if file.is_3d else {}), file.units)
    if dark:
        yield from run.declare(dark)
        for _ in range(dark.images.count):
            yield from run.event(dark, {ENERGY: file.energies[0]})
    yield from run.declare(primary)
    if flat:
        yield from run.declare(flat)
    if file.is_3d:
        for angle in file.angles:
            yield from run.event(primary, {ENERGY: file.energies[0], ANGLE: angle})
        if flat:
            for _ in range(flat.images.count):
                yield from run.event(flat, {ENERGY: file.energies[0]})
    else:
        for index, energy in enumerate(file.energies):
            yield from run.event(primary, {ENERGY: energy})
            if flat and index < flat.images.count:
                yield from run.event(flat, {ENERGY: energy})
    yield run.stop()


def _metadata(file: FxiFile, series: str, group: Sequence[FxiFile]) -> dict[str, Any]:
    energies = [other.energies[0] for other in group] if file.is_3d else list(file.energies)
    known = {"scan_id": file.scan_id, "pixel_size_nm": file.pixel_size_nm, "position": file.position}
    return {
        "plan_name": file.plan_name,
        "detectors": ["KinetixU"],
        "note": file.note,
        "eng_list": energies,
        "num_eng": len(energies),
        ENERGY: file.energies[0],
        "chunk_size": 1,
        "num_dark_images": file.dark.count if file.dark else 0,
        "num_bkg_images": file.flat.count if file.flat else 0,
        "series": series,
        "repeat": file.repeat,
        "source_file": str(file.path),
        "source_uid": file.uid,
        **({"num_angles": len(file.angles)} if file.is_3d else {}),
        **{key: value for key, value in known.items() if value is not None},
    }
