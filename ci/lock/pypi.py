#!/usr/bin/env python3
"""Locks Python packages by version and the SHA-256 of their wheels, as pip on this machine resolves them.

    ci/lock/pypi.py requirements.in > requirements.lock

Each package is resolved once for every platform below; all must agree on the versions. What is written names no
place to fetch from. `# via` comments say who needs a package: the build reads the dependencies from them.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

PLATFORMS = {
    "x86_64": ["manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"],
    "aarch64": ["manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64"],
}


def normalised(name: str) -> str:
    """The name as indexes write it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def resolve(requirements: Path, python: str, platforms: list[str]) -> list[dict]:
    """What pip would install, from its own report."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
        command += ["--only-binary", ":all:", "--target", folder, "--report", str(report)]
        command += ["--implementation", "cp", "--python-version", python, "--abi", "cp" + python.replace(".", "")]
        command += ["--abi", "abi3", "--abi", "none"]
        command += [argument for platform in [*platforms, "any"] for argument in ("--platform", platform)]
        subprocess.run([*command, "--requirement", str(requirements)], check=True, stdout=sys.stderr)
        return json.loads(report.read_text())["install"]


def needs(package: dict) -> set[str]:
    """The names of the packages it needs, without those of extras."""
    listed = package["metadata"].get("requires_dist") or []
    plain = [text for text in listed if "extra ==" not in text]
    return {normalised(re.match(r"[A-Za-z0-9._-]+", text).group()) for text in plain}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("requirements", type=Path)
    parser.add_argument("--python", default="3.11")
    options = parser.parse_args()

    versions: dict[str, str] = {}
    hashes: dict[str, set[str]] = {}
    via: dict[str, set[str]] = {}
    for platforms in PLATFORMS.values():
        for package in resolve(options.requirements, options.python, platforms):
            name = normalised(package["metadata"]["name"])
            version = package["metadata"]["version"]
            if versions.setdefault(name, version) != version:
                sys.exit(f"{name}: {version} on one platform, {versions[name]} on another; pin it in the requirements")
            hashes.setdefault(name, set()).add(package["download_info"]["archive_info"]["hashes"]["sha256"])
            if package.get("requested"):
                via.setdefault(name, set()).add(f"-r {options.requirements.name}")
            for needed in needs(package):
                via.setdefault(needed, set()).add(name)

    print(f"# The Python packages of this workspace, by version and content. Made from {options.requirements.name};"
          " names no place to fetch them from.")
    for name in sorted(versions):
        lines = [f"{name}=={versions[name]}", *(f"    --hash=sha256:{sum}" for sum in sorted(hashes[name]))]
        print(" \\\n".join(lines))
        reasons = sorted(via.get(name, ()))
        if len(reasons) == 1:
            print(f"    # via {reasons[0]}")
        else:
            print("    # via\n" + "\n".join(f"    #   {reason}" for reason in reasons))


if __name__ == "__main__":
    main()
