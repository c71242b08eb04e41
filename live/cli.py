"""The command line: `redoxscope COMMAND`, with the exit statuses of the contract."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from redoxscope.live import interrupts
from redoxscope.live.errors import UserError

INTERRUPTED = 130


class _Parser(argparse.ArgumentParser):
    """Bad usage is one line on stderr and status 2."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see `{self.prog} --help`")


def main(arguments: Sequence[str]) -> int:
    """Run a command; returns the exit status: 0 done, 2 bad usage or unreadable input, 130 Ctrl-C, 1 anything else."""
    debug = "--debug" in arguments
    try:
        options = _parser().parse_args(arguments)
        logging.basicConfig(level=logging.INFO if debug else logging.ERROR, format="%(name)s: %(message)s")
        interrupts.catch()
        return int(options.run(options) or 0)
    except UserError as error:
        if debug:
            raise
        print(f"redoxscope: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output (head, say) has gone.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if debug:
            raise
        print(f"redoxscope: {type(error).__name__}: {error} (--debug shows where)", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="redoxscope", description="Live chemical imaging for X-ray microscopes.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)

    demo = _command(commands, "demo", _demo, "the main job on the simulated beamline, with nothing but this machine")
    demo.add_argument("--quick", action="store_true", help="a small particle: done within 90 s on 2 cores")
    demo.add_argument("--seed", type=_seed, default=0, help="another particle")
    _no_view(demo)

    monitor = _command(commands, "monitor", _monitor, "watch a beamline")
    _profile(monitor, "simulated")
    monitor.add_argument("--listen", metavar="ADDR", default=None, help="0MQ address to take documents at")
    monitor.add_argument("--key", metavar="FILE", type=Path, help="secret key for ADDR, made if it is not there")
    monitor.add_argument("--tiled", metavar="URI", help="a Tiled server that is there, instead of our own")
    _scheduler(monitor)
    monitor.add_argument("--until-eof", action="store_true", help="end when standard input does")
    _no_view(monitor)

    simulate = _command(commands, "simulate", _simulate, "the simulated beamline alone, publishing documents")
    simulate.add_argument("--publish", metavar="ADDR", default=None, help="0MQ address of the monitor")
    simulate.add_argument("--key", metavar="FILE", type=Path, help="public key of the monitor")
    simulate.add_argument("--fault", metavar="KIND", action="append", default=[], nargs="+", help="what goes wrong")
    simulate.add_argument("--edges", metavar="ELEMENT", default=[], nargs="+", help="K edges in one scan: Mn, Co, Ni")
    simulate.add_argument("--quick", action="store_true", help="a small particle and few scans")
    simulate.add_argument("--inline", action="store_true", help="frames in the documents instead of in HDF5 files")
    simulate.add_argument("--seed", type=_seed, default=0, help="another particle")
    simulate.add_argument("--real-time", type=float, metavar="X", help="simulated seconds per real second")
    simulate.add_argument("--truth", type=Path, metavar="FILE.h5", help="write the truth at the time of every scan")

    replay = _command(commands, "replay", _replay, "recorded scans through the same monitor")
    replay.add_argument("source", metavar="SOURCE", help="a file or folder, or tiled:URI of a recorded run")
    _profile(replay, None)
    replay.add_argument("--speed", type=_speed, default=None, metavar="X|max", help="times real time; max by default")
    _scheduler(replay)
    _no_view(replay)

    _command(commands, "runs", _runs, "list what is stored")
    export = _command(commands, "export", _export, "write one series for other programs")
    export.description = (
        "The ending of OUT says what is written: all of the series to an HDF5 (NeXus) file (.h5, .hdf5, .nxs); the "
        "volume as OME-Zarr (.ome.zarr, .zarr), as OME-TIFF (.ome.tif) or, edge energies only, as an ImageJ stack "
        "(.tif); the isosurfaces with their curvatures, one file per energy such as NAME-8340.0.vtp, as VTK PolyData "
        "(.vtp) or PLY (.ply). Into an existing folder goes one of each."
    )
    export.add_argument("series", metavar="SERIES", help="its name, the beginning of it, or latest")
    export.add_argument("file", metavar="OUT", type=Path)

    speed = _command(commands, "speed", _front_speed, "how fast the front moved between the 3D scans of two series")
    speed.description = (
        "Each point of BEFORE's front looks along its normal for the front of AFTER; where that has left the particle "
        "there is no speed. AFTER's volume is moved onto BEFORE's by their edge jumps, to a tenth of a voxel; a sample "
        "that was turned or deformed is not turned back, and one that reaches out of the view is placed badly."
    )
    speed.add_argument("before", metavar="BEFORE", help="series of the first 3D scan: its name or the beginning of it")
    speed.add_argument("after", metavar="AFTER", help="series of the second")
    speed.add_argument("--energy", metavar="EV", type=float, help="of the front; by default that of BEFORE's profile")
    speed.add_argument("--out", metavar="FILE.vtp", type=Path, help="write BEFORE's front with its speed")

    figures = _command(commands, "figures", _figures, "draw a series: fig1 … fig5, as PDF and PNG")
    figures.add_argument("series", metavar="SERIES", help="its name, the beginning of it, or latest")
    figures.add_argument("--out", metavar="FOLDER", type=Path, required=True, help="made if it is not there")
    figures.add_argument(
        "--depths", type=_depths, metavar="D,D,…", help="of fig3's slices, µm below the particle's top"
    )
    figures.add_argument("--region", metavar="Z0:Z1,Y0:Y1,X0:X1", help="fig5's box, µm from the volume's first voxel")

    bench = _command(commands, "bench", _bench, "speed of every stage, beside its peers and the memory's")
    bench.add_argument("--json", metavar="FILE", type=Path, help="write all numbers")
    return parser


def _command(commands: Any, name: str, run: Any, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    parser.add_argument("--data", type=Path, metavar="DIR", default=None, help="where everything is kept")
    parser.add_argument("--debug", action="store_true", help="tracebacks and a log on stderr")
    parser.set_defaults(run=run)
    return parser


def _profile(parser: argparse.ArgumentParser, default: str | None) -> None:
    parser.add_argument("--profile", metavar="NAME|FILE", default=default, help="what is peculiar to the beamline")


def _no_view(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--no-view", action="store_true", help="without the page in the browser")


def _scheduler(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--scheduler", metavar="tcp://HOST:PORT", help="a Dask scheduler whose workers see DIR makes the volumes"
    )


def _seed(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError("a seed is 0 or more")
    return value


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("a speed is larger than 0, or max")
    return value


def _depths(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text}: write numbers with commas between, as 1,2.5,4") from None


def data_folder(given: Path | None) -> Path:
    """DIR of the contract."""
    return given or Path(os.environ.get("REDOXSCOPE_DATA") or "redoxscope-data")


# Each command imports what it needs when it is run: `runs` should not wait for a tomography package.


def _demo(options: argparse.Namespace) -> int:
    from redoxscope.live.demo import demo

    return demo(data_folder(options.data), quick=options.quick, seed=options.seed)


def _monitor(options: argparse.Namespace) -> int:
    from redoxscope.live.profile import load_profile
    from redoxscope.live.session import listen
    from redoxscope.live.transport import DEFAULT_ADDRESS

    profile = load_profile(options.profile)
    address = options.listen or DEFAULT_ADDRESS
    return listen(
        data_folder(options.data),
        profile,
        address,
        key=options.key,
        tiled=options.tiled,
        until_eof=options.until_eof,
        scheduler=options.scheduler,
    )


def _simulate(options: argparse.Namespace) -> int:
    from redoxscope.live.simulation import simulate
    from redoxscope.live.transport import DEFAULT_ADDRESS

    return simulate(
        options.publish or DEFAULT_ADDRESS,
        data_folder(options.data),
        key=options.key,
        quick=options.quick,
        seed=options.seed,
        inline=options.inline,
        faults=[kind for kinds in options.fault for kind in kinds],
        edges=options.edges,
        real_time=options.real_time,
        truth=options.truth,
    )


def _replay(options: argparse.Namespace) -> int:
    from redoxscope.live.session import replay

    return replay(
        options.source,
        data_folder(options.data),
        profile=options.profile,
        speed=options.speed,
        scheduler=options.scheduler,
    )


def _runs(options: argparse.Namespace) -> int:
    from redoxscope.live.listing import runs

    return runs(data_folder(options.data))


def _export(options: argparse.Namespace) -> int:
    from redoxscope.live.listing import export_series

    return export_series(data_folder(options.data), options.series, options.file)


def _front_speed(options: argparse.Namespace) -> int:
    from redoxscope.live.front_speed import speed

    return speed(data_folder(options.data), options.before, options.after, energy=options.energy, out=options.out)


def _figures(options: argparse.Namespace) -> int:
    from redoxscope.live.figures.command import figures

    return figures(data_folder(options.data), options.series, options.out, depths=options.depths, region=options.region)


def _bench(options: argparse.Namespace) -> int:
    from redoxscope.live.bench.command import bench

    return bench(options.json)
