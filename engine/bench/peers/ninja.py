"""ninja: one file of commands, no sandbox, no cache."""

import re
from pathlib import Path

from measure import Command
from peers.base import Absent, Peer

STEP = re.compile(r"^\[(\d+)/\d+\] ", re.MULTILINE)
NOTHING = "ninja: no work to do."


class Ninja(Peer):
    """ninja, one build.ninja for all packages, its output below `out`."""

    name = "ninja"

    def locate(self) -> str:
        return str(self.tools.ninja())

    def ask_version(self) -> str:
        return "ninja " + self.tools.output(self.program, "--version")

    def write_top(self) -> None:
        """One file for all packages: a package's own part has only its comment and its commands."""
        graph = self.workspace.graph
        lines = ["builddir = out\n", "rule sh\n  command = $cmd\n"]
        for package, members in enumerate(graph.members()):
            lines.append(f"# Comment {self.workspace.comments[package]}.\n")
            lines += [self._edge(target) for target in members]
        for half in "ab":
            outs = [out(self, t) for t in range(graph.targets) if self.workspace.package(t).startswith(half)]
            lines.append(f"build {half}: phony {' '.join(outs)}\n")
        lines.append("build all: phony a b\ndefault all\n")
        self.put("build.ninja", "".join(lines))

    def write_package(self, package: int) -> None:
        """Nothing: the one file at the top has all packages."""

    def rewrite(self, package: int) -> None:
        self.write_top()

    def output(self, target: int) -> Path:
        return self.folder / out(self, target)

    def build(self) -> Command:
        return self.command(self.program, shown="ninja")

    def load(self) -> Command:
        return self.command(self.program, "-t", "rules", shown="ninja -t rules")

    def query(self) -> Command:
        return self.command(self.program, "-t", "inputs", "all", shown="ninja -t inputs all")

    def ran(self, log: str) -> int | None:
        steps = STEP.findall(log)
        if steps:
            return int(steps[-1])
        return 0 if NOTHING in log else None

    def fresh(self) -> None:
        self.remove(self.folder / "out")

    def drop_outputs(self) -> None:
        raise Absent("has no cache")

    def build_half(self, half: str) -> Command:
        raise Absent("two at once in one folder are not safe: there is no lock")

    def _edge(self, target: int) -> str:
        workspace = self.workspace
        command = workspace.command(target, lambda other: out(self, other), out(self, target))
        sources = [f"{workspace.package(target)}/{name}" for name in workspace.sources(target)]
        inputs = sources + [out(self, other) for other in workspace.graph.dependencies[target]]
        return f"build {out(self, target)}: sh {' '.join(inputs)}\n  cmd = {command}\n"


def out(peer: Peer, target: int) -> str:
    """Where the output of a target lies, below the workspace."""
    return f"out/{peer.workspace.package(target)}/t{target}.out"
