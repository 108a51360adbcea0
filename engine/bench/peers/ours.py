"""This repository's own tool, with a store of the bench's: nothing that a user has built is used or touched."""

import json
import re
import shutil
import subprocess
from pathlib import Path

from measure import Command
from peers.base import Absent, Peer
from peers.starlark import package_text

CLOSING = re.compile(r"^\d+ actions?: (\d+) ran", re.MULTILINE)
SHELL_WORKSPACE = {
    "WORKSPACE.star": 'workspace(name = "shell")\n',
    "BUILD.star": 'genrule(name = "shell", outs = ["shell.txt"], cmd = "echo shell > $@")\n',
}


class Ours(Peer):
    """`build`. A fresh store holds the shell of the exec platform alone: fetching it is no part of a row."""

    name = "build"
    sandboxed = True
    keeps_record = True

    def locate(self) -> str:
        return str(self.tools.engine())

    def ask_version(self) -> str:
        return self.tools.output(self.program, "version")

    @property
    def store(self) -> Path:
        """Where this workspace's results are kept."""
        return self.state / "store"

    def write_top(self) -> None:
        self.put("WORKSPACE.star", 'workspace(name = "bench")\n')

    def write_package(self, package: int) -> None:
        self.put(f"{self.workspace.names[package]}/BUILD.star", package_text(self.workspace, package))

    def output(self, target: int) -> Path:
        return self.folder / "build-out" / self.workspace.package(target) / f"t{target}.out"

    def build(self) -> Command:
        return self.ours("build", "//...")

    def build_half(self, half: str) -> Command:
        return self.ours("build", f"//{half}/...")

    def build_optimised(self) -> Command:
        return self.ours("build", "-c", "opt", "//...")

    def load(self) -> Command:
        return self.ours("query", "deps(//...)")

    def query(self) -> Command:
        return self.load()

    def analyse(self) -> Command:
        if "--nobuild" not in self.tools.output(self.program, "help", "build"):
            raise Absent("this version has no --nobuild")
        return self.ours("build", "--nobuild", "//...")

    def watch(self) -> Command:
        if not re.search(r"^  watch ", self.tools.output(self.program, "help"), re.MULTILINE):
            raise Absent("this version has no `build watch`")
        return self.ours("watch", "//...")

    def ran(self, log: str) -> int | None:
        closing = CLOSING.search(log)
        return int(closing.group(1)) if closing else None

    def count_ran(self) -> int:
        events = self.state / "events"
        command = self.ours("build", f"--event_file={events}", "//...")
        subprocess.run(command.argv, cwd=command.cwd, env=command.env, capture_output=True, check=True)
        finished = [json.loads(line).get("ActionFinished") for line in events.read_text().splitlines()]
        return sum(1 for action in finished if action and action["outcome"] == "Ran")

    def fresh(self) -> None:
        self.remove(self.folder / "build-out", self.store)
        self.state.mkdir(parents=True, exist_ok=True)
        shutil.copytree(self._store_with_shell(), self.store, symlinks=True)

    def drop_outputs(self) -> None:
        command = self.ours("clean")
        subprocess.run(command.argv, cwd=command.cwd, env=command.env, capture_output=True, check=True)

    def ours(self, verb: str, *arguments: str) -> Command:
        """A command with the bench's store."""
        quoted = " ".join(f"'{argument}'" if "(" in argument else argument for argument in arguments)
        argv = (self.program, verb, "--noshow_progress", *arguments)
        return self.command(*argv, shown=f"build {verb} {quoted}".strip(), env={"BUILD_STORE": str(self.store)})

    def _store_with_shell(self) -> Path:
        """A store that has built one action with the shell, made once."""
        made = self.state.parent / "store-with-shell"
        if not made.exists():
            folder = self.state.parent / "shell-workspace"
            folder.mkdir(parents=True, exist_ok=True)
            for name, text in SHELL_WORKSPACE.items():
                (folder / name).write_text(text)
            command = self.ours("build", "//...")
            env = command.env | {"BUILD_STORE": str(made)}
            result = subprocess.run(command.argv, cwd=folder, env=env, capture_output=True, text=True, check=False)
            if result.returncode != 0:
                raise Absent(f"the shell of the exec platform cannot be had: {result.stderr.strip()}")
        return made
