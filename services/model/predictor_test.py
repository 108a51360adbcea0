"""Tests of the predictor and its training."""

import pathlib
import unittest

from services.model.features import DIMENSIONS, features
from services.model.predictor import Predictor
from services.model.train import read_examples, train

HERE = pathlib.Path(__file__).parent


class FeaturesTest(unittest.TestCase):
    def test_case_and_punctuation_do_not_count(self):
        self.assertEqual(features("Good, DAY!"), features("good day"))

    def test_order_counts(self):
        self.assertNotEqual(features("good not"), features("not good"))

    def test_features_are_in_range(self):
        self.assertTrue(all(0 <= index < DIMENSIONS for index in features("a quick brown fox")))
        self.assertEqual(features("123"), [])


class PredictorTest(unittest.TestCase):
    def setUp(self):
        self.predictor = Predictor.load(HERE / "weights.json")

    def test_labels(self):
        for text, label in (
            ("what a lovely day", "positive"),
            ("this is terrible, I am disappointed", "negative"),
            ("not good", "negative"),
            ("", "neutral"),
        ):
            self.assertEqual(self.predictor.predict(text).label, label, text)

    def test_it_learned_its_examples(self):
        examples = read_examples(HERE / "examples.tsv")
        right = sum((self.predictor.predict(text).score > 0.5) == positive for positive, text in examples)
        self.assertGreaterEqual(right / len(examples), 0.95)

    def test_the_version_is_the_content(self):
        self.assertRegex(self.predictor.version, "^[0-9a-f]{16}$")
        self.assertEqual(self.predictor.version, Predictor.load(HERE / "weights.json").version)


class TrainTest(unittest.TestCase):
    def test_the_weights_are_those_of_the_examples(self):
        expected = train(read_examples(HERE / "examples.tsv"))
        self.assertEqual((HERE / "weights.json").read_text(), expected, "run services/model:train")


if __name__ == "__main__":
    unittest.main()
