"""What the rows ask of a tool. A tool answers a request it has no command for with `Absent` and the reason."""

import os
import shutil
from abc import ABC, abstractmethod
from pathlib import Path

from measure import Command
from tools import Tools
from workspace import Workspace


class Absent(Exception):
    """A tool cannot do what a row asks; the text says why."""


class Peer(ABC):
    """One tool on one copy of the workspace."""

    name: str
    # Whether it works on packages as npm has them, one task each, and so on such a graph only.
    packages_only = False
    # Whether a default build runs actions in sandboxes.
    sandboxed = False
    # Whether it can record each action while it builds, apart from what it says at the end.
    keeps_record = False

    def __init__(self, tools: Tools, workspace: Workspace, state: Path) -> None:
        """`state` is a folder for what the tool keeps outside the workspace."""
        self.tools = tools
        self.workspace = workspace
        self.state = state
        self.folder = workspace.folder
        self.program = self.locate()
        self.version = self.ask_version()

    @abstractmethod
    def locate(self) -> str:
        """Installs the tool if need be; the path of its program. Raises `Absent`."""

    @abstractmethod
    def ask_version(self) -> str:
        """The version of the tool, as it says itself."""

    @abstractmethod
    def write_package(self, package: int) -> None:
        """Writes what the tool wants to know of one package."""

    @abstractmethod
    def write_top(self) -> None:
        """Writes what the tool wants at the top of the workspace."""

    @abstractmethod
    def output(self, target: int) -> Path:
        """Where the tool shows the output of a target after a build."""

    @abstractmethod
    def build(self) -> Command:
        """Builds everything, as the tool does by default."""

    @abstractmethod
    def ran(self, log: str) -> int | None:
        """How many actions a build ran, from what it wrote; None if it does not say."""

    @abstractmethod
    def fresh(self) -> None:
        """Removes outputs, caches and servers: the state after a clone. What the tool itself needs to start stays."""

    @abstractmethod
    def drop_outputs(self) -> None:
        """Removes the outputs, not the cache. Raises `Absent` where there is no cache to restore them from."""

    def write(self) -> None:
        """Writes all build files."""
        self.write_top()
        for package in range(self.workspace.graph.packages):
            self.write_package(package)

    def rewrite(self, package: int) -> None:
        """Writes again what the tool knows of a package, after an edit."""
        self.write_package(package)

    def count_ran(self) -> int:
        """Builds, and says how many actions ran by the tool's own record of each action."""
        raise Absent("keeps no record of each action")

    def build_plain(self) -> Command:
        """Builds everything without sandboxes."""
        if self.sandboxed:
            raise Absent("has no build without a sandbox")
        return self.build()

    def build_sandboxed(self) -> Command:
        """Builds everything in sandboxes."""
        if not self.sandboxed:
            raise Absent("has no sandbox")
        return self.build()

    def build_half(self, half: str) -> Command:
        """Builds the packages of one half, `a` or `b`; two such commands may run at once."""
        raise Absent("cannot build a part while another command runs")

    def build_optimised(self) -> Command:
        """Builds everything with `-c opt`."""
        raise Absent("has no configurations")

    def load(self) -> Command:
        """Loads the graph and answers a question about all of it."""
        raise Absent("has no command that loads only")

    def analyse(self) -> Command:
        """Loads and analyses everything, and runs nothing."""
        raise Absent("has no analysis of its own")

    def query(self) -> Command:
        """What everything depends on."""
        raise Absent("has no such query")

    def stop(self) -> None:
        """Stops the server. Raises `Absent` where there is none."""
        raise Absent("has no server")

    def watch(self) -> Command:
        """A process that watches the workspace, so that builds beside it are faster."""
        raise Absent("has no watcher")

    def command(self, *argv: str, shown: str, env: dict[str, str] | None = None) -> Command:
        """A command in the workspace, in an environment that says little."""
        base = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TERM") if name in os.environ}
        return Command(tuple(argv), self.folder, base | {"CI": "true", "NO_COLOR": "1"} | (env or {}), shown)

    def put(self, path: str, text: str) -> None:
        """Writes a file of the workspace."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def remove(self, *paths: Path) -> None:
        """Removes folders and files, if they are there; folders that a tool made read-only too."""
        for path in paths:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, onerror=_make_writable)
            else:
                path.unlink(missing_ok=True)


def _make_writable(function: object, path: str, _: object) -> None:
    """Removes what lies in a read-only folder."""
    parent = os.path.dirname(path)
    os.chmod(parent, 0o755)
    if os.path.isdir(path) and not os.path.islink(path):
        os.chmod(path, 0o755)
        shutil.rmtree(path, onerror=_make_writable)
    else:
        os.unlink(path)
