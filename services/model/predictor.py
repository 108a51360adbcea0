"""The predictor: logistic regression on hashed words. Pure: text and weights in, prediction out."""

import dataclasses
import hashlib
import json
import math
import pathlib

from services.model.features import features

NEUTRAL = 0.1
"""How far from one half the probability of a neutral text may be."""


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What the model says about a text."""

    label: str
    score: float


class Predictor:
    """A model with its weights."""

    def __init__(self, bias: float, weights: dict[int, float], version: str):
        self._bias = bias
        self._weights = weights
        self.version = version

    @classmethod
    def load(cls, path: pathlib.Path) -> "Predictor":
        """Reads weights as `train.py` writes them. The version is the hash of the file's content."""
        content = path.read_bytes()
        model = json.loads(content)
        weights = {int(index): weight for index, weight in model["weights"].items()}
        return cls(model["bias"], weights, hashlib.sha256(content).hexdigest()[:16])

    def predict(self, text: str) -> Prediction:
        """The probability that the text is positive, and its name."""
        total = self._bias + sum(self._weights.get(index, 0.0) for index in features(text))
        score = round(1 / (1 + math.exp(-total)), 6)
        if abs(score - 0.5) <= NEUTRAL:
            return Prediction("neutral", score)
        return Prediction("positive" if score > 0.5 else "negative", score)
