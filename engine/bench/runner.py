"""Runs rows: prepares, times, and checks. A figure is kept only if the work behind it was done, and done right."""

import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from measure import Command, Sample, descendants, live_cpu, run, start, stop
from peers.base import Absent, Peer
from rows import Row

# A watcher is ready when it has used no CPU for so long; it is waited for at most so long.
IDLE = 0.5
PATIENCE = 300.0


class Wrong(Exception):
    """A tool did not do what the row says; the text says what it did."""


@dataclass
class Outcome:
    """What came of one row with one tool."""

    row: str
    peer: str
    command: str = ""
    samples: list[Sample] = field(default_factory=list)
    # How many actions each repetition ran, as the tool says; None where it does not say.
    ran: list[int | None] = field(default_factory=list)
    # By the tool's own record in a repetition apart, where it has one.
    counted: int | None = None
    # Why there is no figure: the tool cannot (`absent`), or did something else (`wrong`).
    absent: str = ""
    wrong: str = ""


class Runner:
    """Runs rows for one tool on one workspace, and knows in which state the last row left it."""

    def __init__(self, peer: Peer, repeat: int, budget: float) -> None:
        """A row is repeated until it was done `repeat` times, or its repetitions have taken `budget` seconds."""
        self.peer = peer
        self.repeat = repeat
        self.budget = budget
        self.logs = peer.state.with_name(peer.state.name + "-logs")
        self._built = False
        self._empty = True

    def run(self, row: Row) -> Outcome:
        """Runs a row."""
        outcome = Outcome(row.key, self.peer.name)
        try:
            commands = row.commands(self.peer)
            outcome.command = " & ".join(command.shown for command in commands)
            if row.needs == "built":
                self._make_built()
            if row.watched:
                self._run_watched(row, outcome)
            else:
                self._repeat(row, outcome)
        except Absent as reason:
            outcome.absent = str(reason)
        except (Wrong, OSError, subprocess.SubprocessError) as what:
            # One row that cannot be done must not end the session.
            outcome.wrong = str(what)
            self._built = False
        return outcome

    def close(self) -> None:
        """Leaves no server behind."""
        try:
            self.peer.stop()
        except Absent:
            pass

    def _write_once(self) -> None:
        if self._empty:
            self.peer.write()
        self._empty = False

    def _make_built(self) -> None:
        if self._built:
            return
        self._write_once()
        self.peer.fresh()
        self.peer.workspace.all_must_run()
        self._check_build([self.peer.build()], run([self.peer.build()], self.logs), free=False)
        self._built = True

    def _run_watched(self, row: Row, outcome: Outcome) -> None:
        command = self.peer.watch()
        watcher = start(command, self.logs / "watch")
        try:
            _wait_until_idle()
            self._repeat(row, outcome)
        finally:
            stop(watcher)
        outcome.command += f", beside `{command.shown}`"

    def _repeat(self, row: Row, outcome: Outcome) -> None:
        self._write_once()
        if row.needs == "built" and not row.once:
            self._warm_up(row, outcome)
        began = time.monotonic()
        for _ in range(1 if row.once else self.repeat):
            row.before(self.peer)
            commands = row.commands(self.peer)
            sample = run(commands, self.logs)
            outcome.ran.append(self._check(row, commands, sample))
            outcome.samples.append(sample)
            if time.monotonic() - began > self.budget:
                break
        if row.needs == "nothing":
            # What a plain build of a tool with sandboxes left is not what its default build leaves.
            self._built = row.key == "full" or (row.key == "full-plain" and not self.peer.sandboxed)

    def _warm_up(self, row: Row, outcome: Outcome) -> None:
        """One repetition that is not timed: a server is then awake. A tool that can records each action in it."""
        row.before(self.peer)
        commands = row.commands(self.peer)
        if not self.peer.keeps_record or not row.builds or commands != [self.peer.build()]:
            self._check(row, commands, run(commands, self.logs))
            return
        outcome.counted = self.peer.count_ran()
        expected = self.peer.workspace.must_run()
        if outcome.counted != expected:
            raise Wrong(f"ran {outcome.counted} actions by its record, not {expected}")
        self._check_outputs()

    def _check(self, row: Row, commands: list[Command], sample: Sample) -> int | None:
        if row.builds:
            return self._check_build(commands, sample, row.free)
        _check_codes(sample)
        return None

    def _check_build(self, commands: list[Command], sample: Sample, free: bool) -> int | None:
        """Whether a build ended well, ran what it had to, and left the right outputs; how many actions it ran."""
        _check_codes(sample)
        counts = [self.peer.ran(log) for log in sample.logs]
        ran = None if None in counts else sum(count or 0 for count in counts)
        expected = self.peer.workspace.must_run()
        if ran is None and len(commands) == 1 and expected > 0 and not free:
            raise Wrong(f"does not say how many actions ran: {_tail(sample.log)}")
        if ran is not None and ran != expected and not free:
            raise Wrong(f"ran {ran} actions, not {expected}")
        self._check_outputs()
        return ran

    def _check_outputs(self) -> None:
        workspace = self.peer.workspace
        wrong = workspace.wrong_outputs(self.peer.output)
        if wrong:
            raise Wrong(f"{len(wrong)} of {workspace.graph.targets} outputs are wrong, such as that of t{wrong[0]}")
        workspace.built()


def _check_codes(sample: Sample) -> None:
    if any(sample.codes):
        raise Wrong(f"exit code {sample.codes}: {_tail(sample.log)}")


def _tail(log: str) -> str:
    lines = [line for line in log.splitlines() if line.strip()]
    return " / ".join(lines[-3:])[-400:]


def _wait_until_idle() -> None:
    """Waits until nothing below this process has used CPU for a while."""
    limit = time.monotonic() + PATIENCE
    before = -1.0
    while time.monotonic() < limit:
        now = sum(live_cpu(pid) for pid in descendants())
        if now == before:
            return
        before = now
        time.sleep(IDLE)


def folders(base: Path, peer: str, case: str) -> tuple[Path, Path]:
    """Where a tool's copy of a workspace lies, and where what it keeps elsewhere does."""
    return base / case / peer / "workspace", base / case / peer / "state"
