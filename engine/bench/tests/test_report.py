"""The report says what was measured, and never more."""

import json
import tempfile
import unittest
from pathlib import Path

from measure import Sample
from report import Case, Report
from runner import Outcome


def sample(wall: float) -> Sample:
    return Sample(wall, 2 * wall, 5_000_000, (0,), ("",))


class ReportTest(unittest.TestCase):
    def setUp(self) -> None:
        outcomes = [
            Outcome("null", "a", "a build", [sample(1.0), sample(3.0), sample(2.0)], [0, 0, 0], 0),
            Outcome("null", "b", absent="cannot be installed"),
            Outcome("null", "c", "c build", [sample(1.0)], [7], wrong="ran 7 actions, not 0"),
        ]
        self.report = Report("bench", {"cores": "2"}, {}, [Case("main", "Title", {"null": "null build"}, outcomes)])

    def test_the_table(self) -> None:
        text = self.report.as_markdown()
        self.assertIn("| null build | 2.00 (4.00) 5 MB | - | WRONG |", text)
        self.assertIn("not available: cannot be installed", text)
        self.assertIn("WRONG: ran 7 actions, not 0", text)
        self.assertIn("2.00, 1.00, 100%", text)

    def test_what_is_wrong_is_told(self) -> None:
        self.assertEqual([outcome.peer for outcome in self.report.wrong()], ["c"])

    def test_the_data_has_every_sample(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            self.report.write(Path(folder))
            data = json.loads((Path(folder) / "results.json").read_text())
        self.assertEqual([s["wall"] for s in data["cases"][0]["rows"][0]["samples"]], [1.0, 3.0, 2.0])
