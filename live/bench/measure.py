"""How a stage is timed: ours, its peers and a plain pass over the same bytes take turns in the same run."""

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

_BUFFER = 2**28
"""Bytes; a longer pass over the memory is this one, repeated."""
_PATIENCE = 40.0
"""Seconds; a stage that has taken longer is not repeated more than three times."""


@dataclass(frozen=True)
class Peer:
    """What others do for the same purpose."""

    name: str
    run: Callable[[], Any]
    amount: float
    """How much of the stage's unit one run does: slow peers are given a part."""
    difference: Callable[[Any, Any], float]
    """Of our result and theirs."""
    tolerance: float
    """The two agree if the difference is smaller."""
    stand_in: bool = False
    """Not the package itself, but the algorithm it publishes, through numpy and scipy."""


@dataclass(frozen=True)
class Stage:
    """One step from counts to topography."""

    name: str
    unit: str
    amount: float
    """Units that one run does."""
    touched: float
    """Bytes that one run cannot avoid to read or write: its input, its output, its state."""
    run: Callable[[], Any]
    peers: tuple[Peer, ...]
    compared: str
    """What the differences are of, with the unit."""
    prepare: Callable[[], object] = lambda: None
    """Called before each run, and not timed."""


@dataclass
class Timing:
    """Wall and processor seconds of the repetitions of one contestant."""

    name: str
    amount: float
    seconds: list[float] = field(default_factory=list)
    processor_seconds: list[float] = field(default_factory=list)
    """The same, of all threads together."""

    @property
    def median(self) -> float:
        """Seconds."""
        return float(np.median(self.seconds))

    @property
    def cost(self) -> float:
        """Processor seconds per unit."""
        return float(np.median(self.processor_seconds)) / self.amount

    def add(self, run: Callable[[], Any]) -> None:
        """Run once more."""
        wall, processor = time.perf_counter(), time.process_time()
        run()
        self.seconds.append(time.perf_counter() - wall)
        self.processor_seconds.append(time.process_time() - processor)

    @property
    def rate(self) -> float:
        """Units per second."""
        return self.amount / self.median


@dataclass(frozen=True)
class PeerOutcome:
    """A peer's speed, and whether it says the same."""

    peer: Peer
    timing: Timing
    difference: float

    @property
    def agrees(self) -> bool:
        """A speed is worth nothing if this is not so."""
        return self.difference <= self.peer.tolerance


@dataclass(frozen=True)
class Outcome:
    """What came out for a stage."""

    stage: Stage
    ours: Timing
    memory: Timing
    """Its amount is in bytes."""
    peers: tuple[PeerOutcome, ...]
    failed: dict[str, str]
    """Peers that raised an error, which is no fault of ours, and what they said."""

    @property
    def over_memory(self) -> float:
        """Times as long as the pass over the memory."""
        return self.ours.median / self.memory.median


def measure(stage: Stage, repetitions: int, tick: Callable[[], None] = lambda: None) -> Outcome:
    """Time a stage; `tick` is called after each of the `repetitions` and after the first, untimed round.

    That round compiles what is to be compiled, and its results are compared. In the others our stage and the memory
    pass take a turn before each peer: peers run for seconds where ours runs for milliseconds, and a single turn would
    show what else the machine did in that moment.
    """
    begun = time.perf_counter()
    memory, pass_over = _memory_pass(stage.touched)
    ours = Timing("redoxscope", stage.amount)
    peers: list[tuple[Peer, Timing, float]] = []
    failed: dict[str, str] = {}
    with _silence():
        pass_over()
        stage.prepare()
        result = stage.run()
        for peer in stage.peers:
            try:
                peers.append((peer, Timing(peer.name, peer.amount), peer.difference(result, peer.run())))
            except (Exception, SystemExit) as error:
                failed[peer.name] = f"{type(error).__name__}: {error}"
        del result
        tick()
        for repetition in range(repetitions):
            if repetition < 3 or time.perf_counter() - begun < _PATIENCE:
                for turn in range(max(1, len(peers))):
                    memory.add(pass_over)
                    stage.prepare()
                    ours.add(stage.run)
                    for peer, timing, _ in peers[turn : turn + 1]:
                        timing.add(peer.run)
            tick()
    return Outcome(stage, ours, memory, tuple(PeerOutcome(*each) for each in peers), failed)


def _memory_pass(touched: float) -> tuple[Timing, Callable[[], None]]:
    """A copy that reads and writes `touched` bytes in all, on as many threads as the stages have."""
    words = max(1, int(min(touched, _BUFFER)) // 16)
    passes = max(1, round(touched / (16 * words)))
    source, target = np.ones(words), np.ones(words)

    def pass_over() -> None:
        for _ in range(passes):
            _copy(source, target)

    return Timing("memory", 16.0 * words * passes), pass_over


@njit(parallel=True, cache=True, nogil=True)
def _copy(source: NDArray[np.float64], target: NDArray[np.float64]) -> None:
    for i in prange(source.size):
        target[i] = source[i]


@contextlib.contextmanager
def _silence() -> Any:
    """Some peers print about every image."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield
