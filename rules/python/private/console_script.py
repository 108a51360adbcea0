"""Starts a program that a distribution declares: `console_script.py DISTRIBUTION SCRIPT [ARGUMENT...]`."""

import importlib.metadata
import sys


def main() -> object:
    """What the entry point returns: an exit code, as for the script that pip would install."""
    distribution, script = sys.argv[1:3]
    points = importlib.metadata.distribution(distribution).entry_points.select(group="console_scripts")
    if script not in points.names:
        sys.exit(f"{distribution} has no console script `{script}`, only: {', '.join(sorted(points.names)) or 'none'}")
    sys.argv[:3] = [script]
    return points[script].load()()


if __name__ == "__main__":
    sys.exit(main())
