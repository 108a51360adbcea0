"""What the bare runner says of each module: `authority.py RUNNER MODULE...` prints `MODULE passed` or `MODULE failed`.

Each runs as `python -m RUNNER MODULE` does, in a process of its own that has the runner loaded already.
"""

import importlib
import os
import runpy
import sys
import tempfile


def _run(runner: str, module: str) -> None:
    """Ends the process as the runner does."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    sys.path.insert(0, os.getcwd())
    cache = f"cache_dir={tempfile.gettempdir()}/authority_cache"
    sys.argv = ["pytest", "-o", cache, f"{module}.py"] if runner == "pytest" else ["unittest", module]
    runpy.run_module(runner, run_name="__main__", alter_sys=True)


def main() -> None:
    """The verdicts on standard output."""
    runner, *modules = sys.argv[1:]
    importlib.import_module(f"{runner}.__main__" if runner == "pytest" else "unittest.case")
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    for module in modules:
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            _run(runner, module)
            sys.exit(0)
        _, status = os.waitpid(child, 0)
        print(module, "passed" if status == 0 else "failed")


if __name__ == "__main__":
    main()
