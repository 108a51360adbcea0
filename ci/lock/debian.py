#!/usr/bin/env python3
"""Locks Debian packages by version, pool path and SHA-256, as apt on this machine would install them.

    ci/lock/debian.py NAME... > debian.lock
    ci/lock/debian.py --closure NAME... > debian.lock        with all they depend on
    ci/lock/debian.py --starlark --released NAME... > rules/toolchains/debian.star

With --released, security updates are left out: they replace each other in the pool, while what a release holds
stays there. Run `apt-get update` first. What is written names no place to fetch from.
"""

import argparse
import json
import subprocess
import sys


def apt(*arguments: str) -> str:
    """What an apt command prints; its failure ends the program."""
    return subprocess.run(["apt-cache", *arguments], check=True, capture_output=True, text=True).stdout


def closure(names: list[str]) -> list[str]:
    """The packages and all they depend on."""
    without = ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")
    listing = apt("depends", "--recurse", *(f"--no-{kind}" for kind in without), *names)
    return sorted({line for line in listing.splitlines() if line and line[0] not in " |<"})


def record(name: str, architecture: str, released: bool) -> dict[str, str]:
    """The newest version that apt knows; if `released`, of those in the distribution itself."""
    stanzas = apt("show", "--all-versions", f"{name}:{architecture}").strip().split("\n\n")
    for stanza in stanzas:
        lines = [line for line in stanza.splitlines() if ": " in line and not line.startswith(" ")]
        fields = dict(line.split(": ", 1) for line in lines)
        path = fields.get("Filename", "")
        if path.startswith("pool/main/") or (path and not released):
            return {
                "name": name,
                "version": fields["Version"],
                "architecture": fields["Architecture"],
                "filename": path,
                "sha256": fields["SHA256"],
            }
    sys.exit(f"{name}: apt knows no version for {architecture}; run `apt-get update`")


def starlark(packages: list[dict[str, str]]) -> str:
    """The lock as a .star file, for toolchains."""
    lines = ['"""Debian packages of the default toolchains. Written by ci/lock/debian.py."""', "", "DEBIAN = ["]
    for package in packages:
        lines.append("    {")
        lines += [f'        "{key}": "{value}",' for key, value in package.items()]
        lines.append("    },")
    return "\n".join([*lines, "]", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", metavar="NAME")
    parser.add_argument("--architecture", default="amd64")
    parser.add_argument("--closure", action="store_true")
    parser.add_argument("--released", action="store_true")
    parser.add_argument("--starlark", action="store_true")
    options = parser.parse_args()
    names = closure(options.names) if options.closure else sorted(set(options.names))
    packages = [record(name, options.architecture, options.released) for name in names]
    print(starlark(packages) if options.starlark else json.dumps({"packages": packages}, indent=2), end="")
    if not options.starlark:
        print()


if __name__ == "__main__":
    main()
