"""`python -m redoxscope` is the same as the command `redoxscope`."""

import sys


def main() -> int:
    """Run the command line; returns the exit status."""
    from redoxscope.live.cli import main as run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
