"""Bazel, with a server, an output base and a disk cache of the bench's own."""

import re
from pathlib import Path

from measure import Command, run
from peers.base import Absent, Peer
from peers.starlark import package_text

PROCESSES = re.compile(r"INFO: \d+ process(?:es)?: (.*)\.")
KIND = re.compile(r"(\d+) ([a-z -]+)")
# Of what its closing line counts, these ran nothing.
NOT_RUN = ("internal", "disk cache hit", "remote cache hit")
# Debian's system-wide file is read: it says where the installation is.
STARTUP = ("--nohome_rc", "--noworkspace_rc", "--max_idle_secs=3600")


class Bazel(Peer):
    """`bazel build`; sandboxed by default, as it is by itself."""

    name = "bazel"
    sandboxed = True

    def locate(self) -> str:
        return str(self.tools.bazel())

    def ask_version(self) -> str:
        for line in self.tools.output("dpkg-query", "-W", "-f", "bazel ${Version}\n", "bazel-bootstrap").splitlines():
            return line
        return self.tools.output(self.program, "--version")

    def write_top(self) -> None:
        self.put("WORKSPACE", 'workspace(name = "bench")\n')

    def write_package(self, package: int) -> None:
        self.put(f"{self.workspace.names[package]}/BUILD", package_text(self.workspace, package))

    def output(self, target: int) -> Path:
        return self.folder / "bazel-bin" / self.workspace.package(target) / f"t{target}.out"

    def build(self) -> Command:
        return self._build("//...")

    def build_plain(self) -> Command:
        return self.bazel("build", "--spawn_strategy=local", "//...")

    def build_half(self, half: str) -> Command:
        return self._build(f"//{half}/...")

    def build_optimised(self) -> Command:
        return self._build("-c", "opt", "//...")

    def load(self) -> Command:
        return self.bazel("query", "deps(//...)")

    def query(self) -> Command:
        return self.load()

    def analyse(self) -> Command:
        return self.bazel("build", "--nobuild", "//...")

    def ran(self, log: str) -> int | None:
        closing = PROCESSES.search(log)
        if not closing:
            return None
        return sum(int(number) for number, kind in KIND.findall(closing.group(1)) if kind.strip() not in NOT_RUN)

    def fresh(self) -> None:
        self.stop()
        self.remove(*self.folder.glob("bazel-*"), self.state)

    def drop_outputs(self) -> None:
        self._quietly("clean")

    def stop(self) -> None:
        self._quietly("shutdown")

    def _build(self, *arguments: str) -> Command:
        cache = self.state / "disk-cache"
        # Debian's settings keep all sandboxes, to be looked at.
        flags = ("--spawn_strategy=sandboxed", "--nosandbox_debug", f"--disk_cache={cache}")
        command = self.bazel("build", *flags, *arguments)
        return Command(command.argv, command.cwd, command.env, command.shown.replace(str(cache), "FOLDER"))

    def bazel(self, verb: str, *arguments: str) -> Command:
        """A command with the bench's server; without colours and progress."""
        quoted = " ".join(f"'{argument}'" if "(" in argument else argument for argument in arguments)
        startup = (*STARTUP, f"--output_user_root={self.state / 'root'}")
        argv = (self.program, *startup, verb, "--noshow_progress", "--color=no", *arguments)
        return self.command(*argv, shown=f"bazel {verb} {quoted}".strip())

    def _quietly(self, verb: str) -> None:
        command = self.bazel(verb)
        sample = run([command], self.state.with_name("bazel-logs"))
        if sample.codes != (0,):
            raise Absent(f"bazel {verb} fails: {sample.log.strip()[-300:]}")
