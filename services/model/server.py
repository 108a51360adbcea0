"""The model service: scores a text, and says which code and which weights did it."""

import os
import pathlib

from protos.prediction.v1 import model_pb2, model_pb2_grpc, prediction_pb2
from services.model.predictor import Predictor
from services.model.serving import code_version, serve

HERE = pathlib.Path(__file__).parent


class Model(model_pb2_grpc.ModelServicer):
    """Implements prediction.v1.Model with a predictor."""

    def __init__(self, predictor: Predictor, build: prediction_pb2.Build):
        self._predictor = predictor
        self._build = build

    def Score(self, request, context):  # noqa: N802 (the service's name)
        result = self._predictor.predict(request.text)
        prediction = prediction_pb2.Prediction(
            label=result.label, score=result.score, model_version=self._predictor.version
        )
        return model_pb2.ScoreResponse(prediction=prediction, build=self._build)


def main() -> None:
    """Serves on GRPC_PORT until told to end."""
    build = prediction_pb2.Build(
        service="model",
        code_version=code_version(HERE),
        image_digest=os.environ.get("IMAGE_DIGEST", ""),
    )
    model = Model(Predictor.load(HERE / "weights.json"), build)
    serve("model", "prediction.v1.Model", "8082", lambda it: model_pb2_grpc.add_ModelServicer_to_server(model, it))


if __name__ == "__main__":
    main()
