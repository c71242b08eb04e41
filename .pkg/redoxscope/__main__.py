"""`python -m redoxscope` is the same as the command `redoxscope`."""

import os
import sys


def main() -> int:
    """Run the command line; returns the exit status."""
    # Before numpy is imported: threads that spin while they wait slow a busy machine down by a factor of four.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from redoxscope.live.cli import main as run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
