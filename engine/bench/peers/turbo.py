"""Turborepo: package.json files, npm's scripts, a local cache; as many tasks at once as the others run, not its ten."""

import json
import os
import re

from measure import Command
from peers.packages import TASK, PackagePeer, npm_name

TOTAL = re.compile(r"Tasks:\s+(\d+) successful, (\d+) total")
CACHED = re.compile(r"Cached:\s+(\d+) cached")
QUIET = {"TURBO_TELEMETRY_DISABLED": "1", "DO_NOT_TRACK": "1", "TURBO_NO_UPDATE_NOTIFIER": "1"}


class Turbo(PackagePeer):
    """`turbo run build`."""

    name = "turbo"
    package = "turbo"

    def write_top(self) -> None:
        manager = "npm@" + self.tools.output("npm", "--version")
        top = {"name": "bench", "private": True, "workspaces": ["a/*", "b/*"], "packageManager": manager}
        self.put("package.json", json.dumps(top))
        task = {"dependsOn": [f"^{TASK}"], "inputs": ["*.txt", "package.json"], "outputs": ["*.out"]}
        self.put("turbo.json", json.dumps({"tasks": {TASK: task}}))
        # It asks npm's lockfile for the graph of packages; ours depend on one another only.
        packages = {name: self._manifest(number) for number, name in enumerate(self.workspace.names)}
        links = {
            f"node_modules/{npm_name(self.workspace, number)}": {"resolved": name, "link": True}
            for number, name in enumerate(self.workspace.names)
        }
        lock = {"name": "bench", "lockfileVersion": 3, "requires": True, "packages": {"": top} | packages | links}
        self.put("package-lock.json", json.dumps(lock))

    def write_package(self, package: int) -> None:
        # JSON has no comments: an edited comment is an edited description.
        text = self._manifest(package) | {
            "description": f"Comment {self.workspace.comments[package]}.",
            "scripts": {TASK: self.script(package)},
        }
        self.put(f"{self.workspace.names[package]}/package.json", json.dumps(text))

    def build(self) -> Command:
        arguments = ("run", TASK, "--output-logs=errors-only", f"--concurrency={len(os.sched_getaffinity(0))}")
        hidden = ("--ui=stream", f"--cache-dir={self.state / 'cache'}")
        return self.command(self.program, *arguments, *hidden, shown=f"turbo {' '.join(arguments)}", env=QUIET)

    def ran(self, log: str) -> int | None:
        total, cached = TOTAL.search(log), CACHED.search(log)
        return int(total.group(1)) - int(cached.group(1)) if total and cached else None

    def clear_cache(self) -> None:
        self.remove(self.state, self.folder / ".turbo", self.folder / "node_modules")

    def _manifest(self, package: int) -> dict[str, object]:
        name = npm_name(self.workspace, package)
        return {"name": name, "version": "1.0.0", "dependencies": {other: "*" for other in self.dependencies(package)}}
