"""Rows that compare a tool with the machine itself: what a process costs, and how fast bytes can be hashed."""

import json
import os
import platform
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from measure import Sample, cpu_used, run
from peers.base import Peer
from peers.ours import Ours
from tools import NotInstalled, Tools

BLOCK = 1 << 20
# Seconds after which a file's times are surely older than the look at it.
YOUTH = 3.0


@dataclass(frozen=True)
class Line:
    """One finding in words: what, how much, and the command."""

    name: str
    value: str
    command: str


def facts() -> dict[str, str]:
    """What a reader must know of the machine."""
    model = memory = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemTotal"):
            memory = f"{int(line.split()[1]) / 1048576:.0f} GB"
    return {
        "processor": model,
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": memory,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load before": "%.1f %.1f %.1f" % os.getloadavg(),
    }


def processes(count: int) -> list[Line]:
    """What starting processes costs at least, one after the other."""
    program = shutil.which("true") or "/bin/true"
    shell = ["/bin/sh", "-c", "cat /dev/null | md5sum > /dev/null"]
    lines = []
    for name, argv in (("fork, exec and wait of `true`", [program]), ("the shell of one trivial action", shell)):
        cpu, began = cpu_used(), time.perf_counter()
        for _ in range(count):
            # posix_spawn is the cheapest way from a large process; what is measured is the kernel's work.
            os.waitpid(os.posix_spawn(argv[0], argv, {"PATH": os.environ["PATH"]}), 0)
        wall, used = time.perf_counter() - began, cpu_used() - cpu
        value = f"{wall / count * 1e3:.2f} ms wall, {used / count * 1e3:.2f} CPU-ms"
        lines.append(Line(name, value, f"{count} times {' '.join(argv)!r}"))
    return lines


def hashing(tools: Tools, ours: Peer, size: int) -> list[Line]:
    """How fast the engine hashes one large source, and what the machine can do."""
    if not isinstance(ours, Ours):
        return []
    big = ours.folder / "big.bin"
    _write_hashing_workspace(ours, big, size)
    ours.fresh()
    logs = ours.state / "logs"
    label = f"{size // BLOCK} MiB"
    cold = _ended_well(run([ours.build()], logs))
    edited, small = [], []
    for number in range(3):
        _touch(big, number)
        # A file is not trusted by its times while they are as young as the look at it: each build would hash it.
        time.sleep(YOUTH)
        edited.append(_ended_well(run([ours.build()], logs)))
        ours.put("small.txt", f"version {number}\n")
        small.append(_ended_well(run([ours.build()], logs)))
    wall = min(sample.wall for sample in edited) - min(sample.wall for sample in small)
    cpu = min(sample.cpu for sample in edited) - min(sample.cpu for sample in small)
    rate = _rate(size / wall) if wall > 0 else "lost in noise"
    base = f"less the same build with a small source edited ({min(sample.wall for sample in small):.3f} s)"
    lines = [
        Line(f"build with a source of {label}, empty store", f"{cold.wall:.3f} s", ours.build().shown),
        Line(f"one byte of it edited, {base}", f"{wall:.3f} s, {cpu:.2f} CPU-s, {rate}", ours.build().shown),
    ]
    return lines + _yardstick(tools, big, label)


def _write_hashing_workspace(ours: Peer, big: Path, size: int) -> None:
    shutil.rmtree(ours.folder, ignore_errors=True)
    ours.write_top()
    ours.put("small.txt", "version\n")
    rules = [f'genrule(name = "{name}", srcs = ["{source}"], outs = ["{name}.out"], cmd = "echo done > $@")\n'
             for name, source in (("big", "big.bin"), ("small", "small.txt"))]
    ours.put("BUILD.star", "".join(rules))
    block = os.urandom(BLOCK)
    with big.open("wb") as file:
        for number in range(max(1, size // BLOCK)):
            file.write(number.to_bytes(8, "little") + block[8:])


def _touch(path: Path, number: int) -> None:
    """Changes one byte to one it never was."""
    with path.open("r+b") as file:
        file.seek(100)
        file.write(bytes([number]))


def _yardstick(tools: Tools, big: Path, label: str) -> list[Line]:
    script = Path(__file__).with_name("yardstick.py")
    try:
        tools.python_packages("numpy", "blake3")
    except NotInstalled as reason:
        return [Line("what the machine can hash and copy", f"not available: {reason}", "yardstick.py")]
    result = subprocess.run([tools.python, script, big], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        return [Line("what the machine can hash and copy", f"failed: {result.stderr.strip()[-200:]}", "yardstick.py")]
    rates = json.loads(result.stdout)
    return [Line(f"{name}, {label}", _rate(rate), "yardstick.py") for name, rate in rates.items()]


def _rate(bytes_a_second: float) -> str:
    return f"{bytes_a_second / 1e9:.2f} GB/s"


def _ended_well(sample: Sample) -> Sample:
    if any(sample.codes):
        raise RuntimeError(f"the build of one large source fails: {sample.log[-300:]}")
    return sample
