"""Where the tools come from: each is installed once, from its package registry, into a cache folder."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
# What draws plots, and what hashes and copies memory as a yardstick.
EXTRAS = ("matplotlib", "numpy", "blake3")


class NotInstalled(Exception):
    """A tool cannot be installed; the text says why."""


def cache_folder() -> Path:
    """The folder of everything installed: below the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "build-bench"


class Tools:
    """Finds tools, and installs them when asked for the first time."""

    def __init__(self, cache: Path, program: Path | None) -> None:
        self.cache = cache
        self._program = program

    def engine(self) -> Path:
        """This repository's program: the one named, or a release build."""
        if self._program is None:
            self._attempt("cargo", "build", "--release", "-p", "cli", "--locked", cwd=REPOSITORY, timeout=3600)
            target = os.environ.get("CARGO_TARGET_DIR") or REPOSITORY / "target"
            self._program = Path(target) / "release" / "build-engine"
        if not self._program.is_file():
            raise NotInstalled(f"there is no {self._program.name} where --program says")
        return self._program.resolve()

    def ninja(self) -> Path:
        """ninja of the venv, from PyPI."""
        self.python_packages("ninja")
        # The package's own launcher is a Python script; the program itself lies in its data.
        found = self.output(str(self.python), "-c", "import ninja; print(ninja.BIN_DIR)")
        return Path(found) / "ninja"

    def bazel(self) -> Path:
        """Debian's Bazel."""
        if shutil.which("bazel") is None:
            if shutil.which("apt-get") is None or os.geteuid() != 0:
                raise NotInstalled("needs Debian's package bazel-bootstrap, and root to install it")
            self._attempt("apt-get", "update", "-qq")
            environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
            install = ("apt-get", "install", "-qq", "-y", "--no-install-recommends", "bazel-bootstrap")
            self._attempt(*install, env=environment, timeout=1200)
        return Path(shutil.which("bazel") or "bazel")

    def npm(self, package: str, program: str) -> Path:
        """A program of an npm package."""
        folder = self.cache / "npm"
        path = folder / "node_modules" / ".bin" / program
        if not path.exists():
            if shutil.which("npm") is None:
                raise NotInstalled("needs npm")
            folder.mkdir(parents=True, exist_ok=True)
            self._attempt("npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), package)
        return path.resolve()

    @property
    def python(self) -> Path:
        """The interpreter of the venv."""
        return self.cache / "venv" / "bin" / "python"

    def python_packages(self, *packages: str) -> None:
        """Installs packages into the venv, which is made if need be."""
        if not self.python.exists():
            self._attempt(sys.executable, "-m", "venv", str(self.cache / "venv"))
        installed = self.output(str(self.python), "-m", "pip", "list", "--format=freeze", "--disable-pip-version-check")
        have = {line.partition("==")[0].lower() for line in installed.splitlines()}
        if missing := [package for package in packages if package not in have]:
            self._attempt(str(self.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *missing)

    def output(self, *argv: str) -> str:
        """What a short command prints."""
        result = subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        return result.stdout.strip()

    def _attempt(
        self, *argv: str, cwd: Path | None = None, env: dict[str, str] | None = None, timeout: int = 600
    ) -> None:
        """Runs an installation; its last line of complaint is the reason when it fails."""
        try:
            result = subprocess.run(
                argv,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=timeout,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NotInstalled(f"`{' '.join(argv[:3])}`: {error}") from error
        if result.returncode != 0:
            lines = (result.stderr.strip() or result.stdout.strip()).splitlines()
            raise NotInstalled(f"`{' '.join(argv[:3])}` fails: {lines[-1] if lines else 'no message'}")
