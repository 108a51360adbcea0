"""Runs the tests of some files: `runner.py COUNT MODULE... FILE... [ARGUMENT...]`, COUNT modules and their COUNT files.

With pytest on the search path, pytest runs the files; else unittest runs the modules. Arguments are those of either.
What the runner calls failed is failed, and so is what only looks like success: a process that ends before its tests
are done, tests that were never run, no test at all.
"""

import fcntl
import importlib.util
import os
import resource
import signal
import sys
import traceback

_DONE = b"passed"
_FIRST_DESCRIPTOR = 500


def _tell_through() -> tuple[int, int]:
    """A pipe whose writing end is out of reach of tests that close all descriptors they may have inherited."""
    read, write = os.pipe()
    try:
        high = fcntl.fcntl(write, fcntl.F_DUPFD_CLOEXEC, _FIRST_DESCRIPTOR)
    except OSError:
        return read, write
    os.close(write)
    return read, high


def _end_by(number: int) -> None:
    """Ends this process by the signal that ended the tests."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def supervised(run) -> int:
    """The exit code of `run`, which is called in a process of its own.

    That process says when its tests are done: its exit code alone would be 0 as well after `os._exit(0)`.
    """
    read, write = _tell_through()
    child = os.fork()
    if child == 0:
        os.close(read)
        own = os.getpid()
        code = run()
        # A test may have forked and come back here in the child.
        if code == 0 and os.getpid() == own:
            os.write(write, _DONE)
        return code
    os.close(write)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(number, lambda number, _frame: os.kill(child, number))
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        _end_by(os.WTERMSIG(status))
    # Grandchildren may hold the pipe open.
    os.set_blocking(read, False)
    try:
        said = os.read(read, len(_DONE))
    except BlockingIOError:
        said = b""
    code = os.waitstatus_to_exitcode(status)
    if code == 0 and said != _DONE:
        print("the process of the tests ended with exit code 0 before they were done", file=sys.stderr)
        return 1
    return code


def guarded(run) -> int:
    """The exit code of `run`; 1 if it does not come back, since then tests are left that did not run."""
    try:
        return run()
    except SystemExit as end:
        traceback.print_exc()
        print(f"SystemExit({end.code!r}) came before the tests were done; a call of `unittest.main()` or `sys.exit()` "
              "belongs below `if __name__ == \"__main__\":`", file=sys.stderr)
        return 1


def with_unittest(modules: list[str], arguments: list[str], pattern: str) -> int:
    """Runs what `python -m unittest ARGUMENT... MODULE...` runs."""
    import inspect
    import unittest

    def cases(suite):
        for test in suite:
            yield from cases(test) if isinstance(test, unittest.TestSuite) else [test]

    def never_runs(test) -> bool:
        # Calling such a function makes an object and runs nothing of it.
        if not isinstance(test, unittest.TestCase) or isinstance(test, unittest.IsolatedAsyncioTestCase):
            return False
        method = getattr(test, test._testMethodName, None)
        kinds = (inspect.iscoroutinefunction, inspect.isasyncgenfunction, inspect.isgeneratorfunction)
        return any(kind(method) for kind in kinds)

    class Program(unittest.TestProgram):
        def runTests(self):
            self.asleep = [test.id() for test in cases(self.test) if never_runs(test)]
            super().runTests()

    chosen = ["-k", pattern] if pattern else []
    argv = ["python -m unittest", "--verbose", *chosen, *arguments, *modules]
    program = Program(module=None, argv=argv, exit=False)
    result = program.result
    problems = [f"{test} is no plain function: nothing of it was run; use IsolatedAsyncioTestCase for coroutines"
                for test in program.asleep]
    if not (result.testsRun or result.skipped or result.errors):
        problems.append(f"no test in {', '.join(modules)}" + (f" matches {pattern}" if pattern else ""))
    if result.shouldStop and result.wasSuccessful():
        problems.append("the tests were stopped before all of them ran")
    for problem in problems:
        print(problem, file=sys.stderr)
    return 0 if result.wasSuccessful() and not problems else 1


class _Complete:
    """A plugin of pytest: whether each test that was chosen came to its end."""

    def __init__(self) -> None:
        self.chosen = self.ended = 0

    def pytest_collection_finish(self, session) -> None:
        self.chosen = len(session.items)

    def pytest_runtest_logfinish(self) -> None:
        self.ended += 1


def with_pytest(files: list[str], arguments: list[str], pattern: str) -> int:
    """Runs what `pytest ARGUMENT... FILE...` runs, importing each module by its path from the root."""
    import tempfile

    import pytest

    cache = os.path.join(os.environ.get("TEST_TMPDIR") or tempfile.gettempdir(), "pytest_cache")
    options = ["--import-mode=importlib", "-o", "consider_namespace_packages=true", "-o", f"cache_dir={cache}"]
    if pattern:
        options += ["-k", pattern.replace("::", " and ")]
    if os.environ.get("XML_OUTPUT_FILE"):
        options.append(f"--junit-xml={os.environ['XML_OUTPUT_FILE']}")
    complete = _Complete()
    code = int(pytest.main(["--verbose", *options, *arguments, *files], plugins=[complete]))
    if code == pytest.ExitCode.NO_TESTS_COLLECTED:
        print(f"no test in {', '.join(files)}" + (f" matches {pattern}" if pattern else ""), file=sys.stderr)
    if code == 0 and complete.ended < complete.chosen:
        print(f"only {complete.ended} of {complete.chosen} tests ran to their end", file=sys.stderr)
        return 1
    return code


def main() -> int:
    """0 when all tests passed; 1, or the runner's own code, when one failed or there was none."""
    count = int(sys.argv[1])
    modules, files, arguments = sys.argv[2:2 + count], sys.argv[2 + count:2 + 2 * count], sys.argv[2 + 2 * count:]
    sys.argv[1:] = arguments
    pattern = os.environ.get("TESTBRIDGE_TEST_ONLY", "")
    found = importlib.util.find_spec("pytest")
    # A folder of that name is no pytest.
    if found and found.origin:
        return supervised(lambda: guarded(lambda: with_pytest(files, arguments, pattern)))
    return supervised(lambda: guarded(lambda: with_unittest(modules, arguments, pattern)))


if __name__ == "__main__":
    sys.exit(main())
