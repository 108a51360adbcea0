"""Tests of the service around the predictor, in this process."""

import os
import pathlib
import tempfile
import unittest
from unittest import mock

from protos.prediction.v1 import model_pb2, prediction_pb2
from services.model.metrics import Metrics
from services.model.predictor import Predictor
from services.model.server import Model
from services.model.serving import code_version


class ModelTest(unittest.TestCase):
    def test_an_answer_names_its_build_and_model(self):
        predictor = Predictor(0.0, {}, "v1")
        model = Model(predictor, prediction_pb2.Build(service="model", code_version="c1", image_digest="sha256:1"))
        response = model.Score(model_pb2.ScoreRequest(text="hello"), None)
        self.assertEqual(response.prediction.label, "neutral")
        self.assertEqual(response.prediction.score, 0.5)
        self.assertEqual(response.prediction.model_version, "v1")
        self.assertEqual(response.build.image_digest, "sha256:1")


class CodeVersionTest(unittest.TestCase):
    def test_it_follows_the_content(self):
        with tempfile.TemporaryDirectory() as name, mock.patch.dict(os.environ):
            os.environ.pop("CODE_VERSION", None)
            folder = pathlib.Path(name)
            (folder / "a.py").write_text("1")
            before = code_version(folder)
            (folder / "a.py").write_text("2")
            self.assertNotEqual(code_version(folder), before)
            (folder / "a.py").write_text("1")
            self.assertEqual(code_version(folder), before)

    def test_the_environment_wins(self):
        with mock.patch.dict(os.environ, {"CODE_VERSION": "r7"}):
            self.assertEqual(code_version(pathlib.Path("/nowhere")), "r7")


class MetricsTest(unittest.TestCase):
    def test_prometheus_format(self):
        metrics = Metrics()
        metrics.observe("/p.S/M", "OK", 0.002)
        metrics.observe("/p.S/M", "NotFound", 2)
        lines = metrics.text().splitlines()
        self.assertIn('grpc_server_handled_total{method="/p.S/M",code="OK"} 1', lines)
        self.assertIn('grpc_server_handling_seconds_bucket{method="/p.S/M",le="0.005"} 1', lines)
        self.assertIn('grpc_server_handling_seconds_count{method="/p.S/M"} 2', lines)


if __name__ == "__main__":
    unittest.main()
