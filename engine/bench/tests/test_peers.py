"""How many actions ran is read from what the tools say."""

import unittest

from peers import ALL


class RanTest(unittest.TestCase):
    def ran(self, peer: str, log: str) -> int | None:
        # What it says depends on nothing but the log.
        return ALL[peer].ran(object.__new__(ALL[peer]), log)

    def test_build(self) -> None:
        self.assertEqual(self.ran("build", "x\n4 actions: 3 ran, 1 cached, 0 failed; 0.1 s\n"), 3)
        self.assertIsNone(self.ran("build", "error: nothing\n"))

    def test_ninja(self) -> None:
        self.assertEqual(self.ran("ninja", "[1/2] cat\n[2/2] cat\n"), 2)
        self.assertEqual(self.ran("ninja", "ninja: no work to do.\n"), 0)
        self.assertIsNone(self.ran("ninja", "ninja: error: x\n"))

    def test_bazel(self) -> None:
        self.assertEqual(self.ran("bazel", "INFO: 3 processes: 1 internal, 2 linux-sandbox.\n"), 2)
        self.assertEqual(self.ran("bazel", "INFO: 10 processes: 9 disk cache hit, 1 internal.\n"), 0)
        self.assertEqual(self.ran("bazel", "INFO: 1 process: 1 internal.\n"), 0)

    def test_turbo(self) -> None:
        self.assertEqual(self.ran("turbo", " Tasks:    20 successful, 20 total\nCached:    19 cached, 20 total\n"), 1)

    def test_moon(self) -> None:
        self.assertEqual(self.ran("moon", "Tasks: 20 completed (19 cached)\n Time: 1s\n"), 1)
        self.assertEqual(self.ran("moon", "Tasks: 20 completed\n"), 20)
