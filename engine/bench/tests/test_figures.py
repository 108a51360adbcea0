"""Median, minimum, spread."""

import unittest

from figures import summary


class SummaryTest(unittest.TestCase):
    def test_of_an_odd_number(self) -> None:
        found = summary([3.0, 1.0, 2.0])
        self.assertEqual((found.median, found.minimum, found.maximum, found.spread), (2.0, 1.0, 3.0, 1.0))

    def test_of_an_even_number(self) -> None:
        self.assertEqual(summary([4.0, 1.0, 2.0, 8.0]).median, 3.0)

    def test_of_one_there_is_no_spread(self) -> None:
        self.assertEqual(summary([5.0]).spread, 0.0)

    def test_of_nothing_is_refused(self) -> None:
        with self.assertRaises(ValueError):
            summary([])
