"""Runs the unittest tests of the modules named, less those that TESTBRIDGE_TEST_ONLY does not match."""

import fnmatch
import os
import sys
import unittest


def _tests(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from _tests(test)
        else:
            yield test


def _wanted(test, pattern):
    return not pattern or fnmatch.fnmatch(test.id(), f"*{pattern}*")


def main() -> int:
    """0 when all tests passed, 1 when one failed or there was none."""
    modules = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    pattern = os.environ.get("TESTBRIDGE_TEST_ONLY", "")
    loaded = unittest.defaultTestLoader.loadTestsFromNames(modules)
    suite = unittest.TestSuite(test for test in _tests(loaded) if _wanted(test, pattern))
    if not suite.countTestCases():
        print(f"no test in {', '.join(modules)}" + (f" matches {pattern}" if pattern else ""), file=sys.stderr)
        return 1
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
