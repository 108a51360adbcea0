"""A graph as files on disk: the sources, what each target's output must be, and edits of both.

Build files are the peers' business. What a command must print is computed here, apart from any tool, so that every
output of every tool can be checked.
"""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

from graph import Graph


class Workspace:
    """One copy of the sources for one tool, and the state of its edits."""

    def __init__(self, graph: Graph, folder: Path) -> None:
        self.graph = graph
        self.folder = folder
        self.names = [graph.package_name(package) for package in range(graph.packages)]
        # How often a target's source, its command, and its package's comment were edited.
        self.versions = [0] * graph.targets
        self.commands = [0] * graph.targets
        self.comments = [0] * graph.packages
        self._expected: list[str] = []
        self._rerun: set[int] = set()

    def package(self, target: int) -> str:
        """The folder of a target's package."""
        return self.names[self.graph.package_of(target)]

    def sources(self, target: int) -> list[str]:
        """The source files of a target, below its package."""
        if self.graph.sources_each == 1:
            return [f"s{target}.txt"]
        return [f"in/{number:06}.txt" for number in range(self.graph.sources_each)]

    def source_text(self, target: int, number: int = 0) -> str:
        """What stands in one of the target's sources; an edit changes the first."""
        version = self.versions[target] if number == 0 else 0
        return f"source {target}.{number} version {version}\n"

    def write_sources(self) -> None:
        """Writes all sources anew, into an empty folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for package, members in enumerate(self.graph.members()):
            folder = self.folder / self.names[package]
            (folder / "in").mkdir(parents=True) if self.graph.sources_each > 1 else folder.mkdir(parents=True)
            for target in members:
                for number, name in enumerate(self.sources(target)):
                    (folder / name).write_text(self.source_text(target, number))
        self._expected = self._compute()

    def command(self, target: int, output: Callable[[int], str], out: str) -> str:
        """The shell command of a target. `output` says where the command finds another target's output."""
        package = self.package(target)
        if self.graph.sources_each == 1:
            inputs = [f"{package}/{self.sources(target)[0]}"]
        else:
            # Spelt out, the names would not fit into one argument of a shell.
            inputs = [f"{package}/in/*.txt"]
        inputs += [output(other) for other in self.graph.dependencies[target]]
        version = self.commands[target]
        prefix = f": {version}; " if version else ""
        return f"{prefix}cat {' '.join(inputs)} | md5sum > {out}"

    def edit_source(self, target: int) -> None:
        """Gives a source a content it never had."""
        self.versions[target] += 1
        path = self.folder / self.package(target) / self.sources(target)[0]
        path.write_text(self.source_text(target))
        self._rerun |= self._update(target)

    def edit_command(self, target: int) -> None:
        """Changes a command, not what it prints. The peer then writes the build file."""
        self.commands[target] += 1
        self._rerun.add(target)

    def edit_comment(self, package: int) -> None:
        """Changes a comment in a package's build file, which the peer then writes."""
        self.comments[package] += 1

    def must_run(self) -> int:
        """How many actions the next build must run: those with other inputs or another command than last time."""
        return len(self._rerun)

    def built(self) -> None:
        """Notes that a build has run what had to run."""
        self._rerun.clear()

    def all_must_run(self) -> None:
        """Notes that nothing is built and nothing is cached."""
        self._rerun = set(range(self.graph.targets))

    def expected(self, target: int) -> str:
        """What the output of a target must hold."""
        return self._expected[target]

    def wrong_outputs(self, path_of: Callable[[int], Path]) -> list[int]:
        """The targets whose output is not there or is not what it must be. All are read."""
        wrong = []
        for target in range(self.graph.targets):
            try:
                right = path_of(target).read_text() == self._expected[target]
            except OSError:
                right = False
            if not right:
                wrong.append(target)
        return wrong

    def _digest(self, target: int, outputs: list[str]) -> str:
        count = self.graph.sources_each
        content = "".join(self.source_text(target, number) for number in range(count))
        content += "".join(outputs[other] for other in self.graph.dependencies[target])
        return hashlib.md5(content.encode(), usedforsecurity=False).hexdigest() + "  -\n"

    def _compute(self) -> list[str]:
        outputs: list[str] = []
        for target in range(self.graph.targets):
            outputs.append(self._digest(target, outputs))
        return outputs

    def _update(self, edited: int) -> set[int]:
        """Computes outputs again after an edit; the targets whose inputs became others."""
        rerun: set[int] = set()
        changed: set[int] = set()
        for target in range(edited, self.graph.targets):
            if target != edited and changed.isdisjoint(self.graph.dependencies[target]):
                continue
            rerun.add(target)
            output = self._digest(target, self._expected)
            if output != self._expected[target]:
                self._expected[target] = output
                changed.add(target)
        return rerun
