"""Runs commands and measures wall time, CPU time and memory of everything they start, servers included.

This process makes itself the reaper of orphans, so whatever a tool leaves behind (a server that detached itself) stays
below it in the process tree. Its CPU time is then complete: what ended and was waited for is in RUSAGE_CHILDREN (which
wait4 fills), what still lives is in /proc/<pid>/stat. Nothing else may be started while a command is measured.
"""

import ctypes
import os
import resource
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
TICKS = os.sysconf("SC_CLK_TCK")
# How long servers are given, after their client has gone, to end what they began for it: it counts as CPU, not as time.
SETTLE = 0.3
# Memory is looked at so often that looking costs at most this share of one core.
SAMPLING_SHARE = 0.03
SHORTEST_INTERVAL = 0.002
OWN_COMMAND_LINE = Path("/proc/self/cmdline").read_bytes()


@dataclass(frozen=True)
class Command:
    """A command line, where and with what it runs. `shown` is how a reader would type it."""

    argv: tuple[str, ...]
    cwd: Path
    env: dict[str, str]
    shown: str


@dataclass(frozen=True)
class Sample:
    """What one run cost: seconds, CPU-seconds, bytes (0: too short to be seen); and how it ended."""

    wall: float
    cpu: float
    memory: int
    codes: tuple[int, ...]
    logs: tuple[str, ...] = field(repr=False)

    @property
    def log(self) -> str:
        """What all the commands wrote."""
        return "\n".join(self.logs)


def adopt_orphans() -> None:
    """From now on processes whose parent ends become children of this one."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "this kernel does not let a process adopt orphans")


def children(pid: int) -> list[int]:
    """The living children of a process."""
    found: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                found += [int(child) for child in file.read().split()]
    except OSError:
        pass  # It has just ended.
    return found


def descendants() -> list[int]:
    """All processes below this one."""
    found: list[int] = []
    queue = children(os.getpid())
    while queue:
        pid = queue.pop()
        found.append(pid)
        queue += children(pid)
    return found


def live_cpu(pid: int) -> float:
    """CPU-seconds of a process and of its children that it has waited for."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    # Fields 14 to 17 of proc(5): utime, stime, cutime, cstime; the split begins with field 3.
    return sum(int(ticks) for ticks in fields[11:15]) / TICKS


def cpu_used() -> float:
    """CPU-seconds that everything below this process has used until now."""
    reap()
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime + sum(live_cpu(pid) for pid in descendants())


def reap() -> None:
    """Waits for orphans that have ended, so that their CPU time is counted."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0] != 0:
            pass
    except ChildProcessError:
        pass


def memory_of(pid: int) -> int:
    """Bytes in memory that are a process's own, with its share of what it has in common with others."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            if file.read() == OWN_COMMAND_LINE:
                return 0  # It is about to become another program, and what it has is this one's still.
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            for line in file:
                if line.startswith("Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass  # It has ended, or it is another user's for a moment while it enters a namespace.
    return 0


class Peak(threading.Thread):
    """Watches the memory of all processes below this one, and keeps the largest sum seen."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.bytes = 0
        self._end = threading.Event()

    def run(self) -> None:
        """Samples until told to end; the more a look costs, the rarer it is."""
        interval = SHORTEST_INTERVAL
        while not self._end.wait(interval):
            began = time.thread_time()
            self.bytes = max(self.bytes, sum(memory_of(pid) for pid in descendants()))
            interval = max(SHORTEST_INTERVAL, (time.thread_time() - began) / SAMPLING_SHARE)

    def end(self) -> int:
        """Ends sampling; the peak."""
        self._end.set()
        self.join()
        return self.bytes


def run(commands: list[Command], logs: Path) -> Sample:
    """Runs commands at once until all have ended. What they write goes to files in `logs`, then into the sample."""
    logs.mkdir(parents=True, exist_ok=True)
    paths = [logs / f"command-{number}" for number in range(len(commands))]
    cpu_before = cpu_used()
    peak = Peak()
    peak.start()
    began = time.perf_counter()
    started = [_start(command, path) for command, path in zip(commands, paths)]
    codes = _wait_for(started)
    wall = time.perf_counter() - began
    memory = peak.end()
    if descendants():
        time.sleep(SETTLE)
    texts = tuple(path.read_text(errors="replace") for path in paths)
    return Sample(wall, cpu_used() - cpu_before, memory, tuple(codes), texts)


def end_all() -> None:
    """Ends everything that still lives below this process, such as the server of a tool that was interrupted."""
    for pid in descendants():
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    reap()


def start(command: Command, log: Path) -> subprocess.Popen[bytes]:
    """Starts a command that goes on beside those measured later."""
    log.parent.mkdir(parents=True, exist_ok=True)
    return _start(command, log)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends a command that was started, as Ctrl-C would; with force when it does not listen."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait_for(started: list[subprocess.Popen[bytes]]) -> list[int]:
    """Waits for all of these; their exit codes.

    Orphans that end meanwhile are reaped too: a client may wait until the server it stopped is gone.
    """
    codes: dict[int, int] = {}
    while any(process.pid not in codes for process in started):
        pid, status, _ = os.wait4(-1, 0)
        codes[pid] = os.waitstatus_to_exitcode(status)
    for process in started:
        # The library must not wait for it again: it would find nothing, and make up a result.
        process.returncode = codes[process.pid]
    return [process.returncode for process in started]


def _start(command: Command, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as out:
        return subprocess.Popen(
            command.argv,
            cwd=command.cwd,
            env=command.env,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
