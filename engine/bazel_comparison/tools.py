"""The two programs on one workspace: what they answer, make and run. Paths are those of Bazel in what is given back."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path


def write(folder: Path, files: dict[str, str], rename) -> None:
    """Replaces what is in a folder by these files."""
    folder.mkdir(parents=True, exist_ok=True)
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    for path, content in files.items():
        place = folder / rename(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        if content.startswith("-> "):
            place.symlink_to(content.removeprefix("-> "))
        else:
            place.write_text(content)


class Bazel:
    """Bazel with a server of its own, which ends with `close`."""

    def __init__(self, top: Path):
        self.folder, self.root = top / "bazel", top / "bazel-root"
        self.out = self.folder / "bazel-bin"

    def prepare(self, files: dict[str, str]) -> None:
        write(self.folder, files, lambda path: path)

    def run(self, command: str, *arguments: str) -> subprocess.CompletedProcess:
        startup = ["bazel", "--nohome_rc", "--noworkspace_rc", f"--output_user_root={self.root}", "--max_idle_secs=900"]
        return subprocess.run([*startup, command, *arguments], cwd=self.folder, capture_output=True, text=True, timeout=300)

    def query(self, expression: str) -> list[str] | None:
        done = self.run("query", "--noimplicit_deps", "--notool_deps", "--", expression)
        return sorted(done.stdout.split()) if done.returncode == 0 else None

    def build(self, *arguments: str) -> tuple[bool, int]:
        """Whether it succeeded, and how many commands of genrules ran."""
        done = self.run("build", "--spawn_strategy=sandboxed", "--noshow_progress", *arguments)
        ran = re.search(r"INFO: \d+ process(?:es)?: (.*)\.", done.stderr)
        counts = re.findall(r"(\d+) ([a-z-]+)", ran.group(1)) if ran else []
        return done.returncode == 0, sum(int(count) for count, kind in counts if kind.endswith("sandbox"))

    def close(self) -> None:
        self.run("shutdown")


class Build:
    """Our program, with a store of its own."""

    def __init__(self, top: Path, program: Path):
        self.folder, self.program = top / "build", program
        self.environment = {**os.environ, "BUILD_STORE": str(top / "store"), "NO_COLOR": "1", "CI": "true"}
        self.events = top / "events"
        self.out = self.folder / "build-out"

    def prepare(self, files: dict[str, str]) -> None:
        write(self.folder, files, lambda path: re.sub(r"(^|/)(BUILD|WORKSPACE)$", r"\1\2.star", path))

    def run(self, *arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run([self.program, *arguments], cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=300)

    def query(self, expression: str) -> list[str] | None:
        done = self.run("query", "--", expression)
        return sorted(re.sub(r"\.star\b", "", done.stdout).split()) if done.returncode == 0 else None

    def build(self, *arguments: str) -> tuple[bool, int]:
        self.events.unlink(missing_ok=True)
        done = self.run("build", f"--event_file={self.events}", *arguments)
        lines = self.events.read_text().splitlines() if self.events.exists() else []
        finished = [event.get("ActionFinished") for event in map(json.loads, lines)]
        ran = [action for action in finished if action and action["mnemonic"] == "Genrule" and action["outcome"] != "Cached"]
        return done.returncode == 0, len(ran)

    def close(self) -> None:
        pass


def outputs(folder: Path) -> dict[str, str]:
    """The files below a folder of outputs."""
    if not folder.exists():
        return {}
    files = (path for path in folder.resolve().rglob("*") if path.is_file())
    return {str(path.relative_to(folder.resolve())): path.read_text(errors="replace") for path in files}
