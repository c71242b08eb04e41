"""Loops over parts of the data in threads, for compiled functions that let go of the interpreter.

Numba's own parallel loops do the same, but a function within one is compiled again with the loop: where it is large,
as those that are run this way, that takes many seconds more on a machine that has not compiled it yet.
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from itertools import pairwise

import numpy as np
from numba import get_num_threads

_PARTS = 4
"""Parts per thread: the last one to finish is not waited for long."""


def in_threads(count: int, run: Callable[[int, int], object]) -> None:
    """Call run(first, last) for parts of range(count), all of it once, in as many threads as numba has.

    An exception of any part ends its thread, and is raised when the others are done.
    """
    threads = get_num_threads()
    if threads == 1 or count < 2:
        run(0, count)
        return
    bounds = np.linspace(0, count, min(count, _PARTS * threads) + 1).astype(int).tolist()
    parts = deque(pairwise(bounds))

    def work() -> None:
        while True:
            try:
                part = parts.popleft()
            except IndexError:
                return
            run(*part)

    others = [_pool().submit(work) for _ in range(threads - 1)]
    try:
        work()
    finally:
        # Those that have not begun need not: so a part may call this, too, and wait for no thread that waits for it.
        begun = [other for other in others if not other.cancel()]
        wait(begun)
    for other in begun:
        other.result()


@cache
def _pool() -> ThreadPoolExecutor:
    """Threads that stay: to start them takes longer than many a loop."""
    return ThreadPoolExecutor()
