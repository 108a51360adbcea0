"""moon: a moon.yml in each package, its own cache below .moon."""

import json
import re
import subprocess

from measure import Command
from peers.base import Absent
from peers.packages import TASK, PackagePeer

TASKS = re.compile(r"Tasks: (?:(\d+) completed)?(?: \((\d+) cached\))?")
WORKSPACE = {
    "projects": ["a/*", "b/*"],
    "vcs": {"client": "git", "defaultBranch": "main"},
    "telemetry": False,
}
# Without a repository that has a commit, moon caches nothing.
COMMIT = (
    ("git", "init", "--quiet", "--initial-branch=main"),
    ("git", "add", "--all"),
    ("git", "-c", "user.name=bench", "-c", "user.email=bench@example.invalid", "commit", "--quiet", "-m", "state"),
)


class Moon(PackagePeer):
    """`moon run :build`."""

    name = "moon"
    package = "@moonrepo/cli"

    def write_top(self) -> None:
        # JSON is YAML too.
        self.put(".moon/workspace.yml", json.dumps(WORKSPACE))

    def write(self) -> None:
        super().write()
        self.put(".gitignore", ".moon/cache\n*.out\n")
        for argv in COMMIT:
            result = subprocess.run(argv, cwd=self.folder, capture_output=True, text=True, check=False)
            if result.returncode != 0:
                raise Absent(f"`{' '.join(argv[:2])}` fails: {result.stderr.strip()[-200:]}")

    def write_package(self, package: int) -> None:
        task = {
            "script": self.script(package),
            "inputs": ["*.txt"],
            "outputs": [f"t{package}.out"],
            "deps": [f"^:{TASK}"],
            "options": {"runInCI": True},
        }
        text = {"dependsOn": self.dependencies(package), "tasks": {TASK: task}}
        comment = f"# Comment {self.workspace.comments[package]}.\n"
        self.put(f"{self.workspace.names[package]}/moon.yml", comment + json.dumps(text) + "\n")

    def build(self) -> Command:
        return self.command(self.program, "run", f":{TASK}", shown=f"moon run :{TASK}")

    def ran(self, log: str) -> int | None:
        found = TASKS.search(log)
        if not found or found.group(1) is None:
            return None
        return int(found.group(1)) - int(found.group(2) or 0)

    def clear_cache(self) -> None:
        self.remove(self.state, self.folder / ".moon" / "cache")
