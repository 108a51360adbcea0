"""What the machine itself can do, printed as JSON: hashing and copying memory. Run by the venv's Python.

`yardstick.py FILE`: reads the file into memory, hashes it by BLAKE3 with one thread and with all, copies it, three
times each; the best is taken, since only disturbance makes it slower.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import blake3
import numpy


def best(action: Callable[[], object]) -> float:
    """The shortest of three times."""
    times = []
    for _ in range(3):
        began = time.perf_counter()
        action()
        times.append(time.perf_counter() - began)
    return min(times)


def main(path: Path) -> None:
    """Measures with the content of a file."""
    content = path.read_bytes()
    source = numpy.frombuffer(content, dtype=numpy.uint8)
    target = numpy.zeros_like(source)
    seconds = {
        "read": best(path.read_bytes),
        "blake3, one thread": best(lambda: blake3.blake3(content).digest()),
        "blake3, all threads": best(lambda: blake3.blake3(content, max_threads=blake3.blake3.AUTO).digest()),
        "copy in memory": best(lambda: numpy.copyto(target, source)),
    }
    json.dump({name: len(content) / time for name, time in seconds.items()}, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
