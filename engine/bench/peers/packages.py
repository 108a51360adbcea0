"""What the tools for npm's packages have in common: one task a package, its output beside its source."""

from abc import abstractmethod
from pathlib import Path

from measure import Command
from peers.base import Peer
from workspace import Workspace

# They run the task `build` of each package.
TASK = "build"


class PackagePeer(Peer):
    """A tool that runs one task in each package; so each package of the graph has one target."""

    # The npm package and the program in it.
    package: str
    packages_only = True

    def locate(self) -> str:
        return str(self.tools.npm(self.package, self.name))

    def ask_version(self) -> str:
        return f"{self.name} {self.tools.output(self.program, '--version')}"

    def output(self, target: int) -> Path:
        return self.folder / out(self.workspace, target)

    def script(self, target: int) -> str:
        """The command of a package's task, which starts in the package's folder."""
        command = self.workspace.command(target, lambda other: out(self.workspace, other), out(self.workspace, target))
        return f"cd ../.. && {command}"

    def dependencies(self, package: int) -> list[str]:
        """The names of the packages whose outputs a package reads."""
        return [npm_name(self.workspace, other) for other in self.workspace.graph.dependencies[package]]

    def fresh(self) -> None:
        self.clear_cache()
        self.remove_outputs()

    def drop_outputs(self) -> None:
        self.remove_outputs()

    def remove_outputs(self) -> None:
        """Removes the outputs alone."""
        for target in range(self.workspace.graph.targets):
            self.remove(self.output(target))

    @abstractmethod
    def clear_cache(self) -> None:
        """Removes what the tool keeps of earlier runs."""

    @abstractmethod
    def build(self) -> Command:
        """Runs the task of all packages."""


def npm_name(workspace: Workspace, package: int) -> str:
    """The name of a package: its folder's last part, which no other has."""
    return workspace.names[package].rpartition("/")[2]


def out(workspace: Workspace, target: int) -> str:
    """The output of a target, below the workspace."""
    return f"{workspace.package(target)}/t{target}.out"
