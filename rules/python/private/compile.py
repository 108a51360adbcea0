"""Compiles Python sources to bytecode: `compile.py [--lenient] OUT SOURCE...`, where a source is a file or a folder.

`a/b.py` becomes `OUT/a/b.cpython-311.pyc`, the layout of PYTHONPYCACHEPREFIX. The bytecode holds no time and is never
checked against its source, since both come from one build. A file that is not Python is an error, unless --lenient.
"""

import os
import py_compile
import sys


def _sources(path: str):
    if not os.path.isdir(path):
        yield path
        return
    for folder, folders, names in os.walk(path):
        folders.sort()
        yield from (os.path.join(folder, name) for name in sorted(names) if name.endswith(".py"))


def _compile(source: str, out: str) -> str | None:
    """Returns what is wrong with the source, if something is."""
    stem, _ = os.path.splitext(source)
    target = os.path.join(out, f"{stem}.{sys.implementation.cache_tag}.pyc")
    os.makedirs(os.path.dirname(target), exist_ok=True)
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    try:
        py_compile.compile(source, cfile=target, dfile=source, doraise=True, invalidation_mode=mode)
    except py_compile.PyCompileError as error:
        return str(error.msg).strip()
    return None


def main(arguments: list[str]) -> int:
    """0 when all is compiled, 1 with all errors on standard error."""
    lenient = arguments[0] == "--lenient"
    out, *paths = arguments[lenient:]
    os.makedirs(out, exist_ok=True)
    problems = [_compile(source, out) for path in paths for source in _sources(path)]
    problems = [problem for problem in problems if problem]
    if lenient or not problems:
        return 0
    print("\n".join(problems), file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
