"""Makes weights.json from examples.tsv: gradient descent, the same weights each time.

build run services/model:train > services/model/weights.json
"""

import json
import math
import pathlib
import sys

from services.model.features import DIMENSIONS, features

ROUNDS = 300
RATE = 0.2
DECAY = 0.002


def train(examples: list[tuple[bool, str]]) -> str:
    """The weights as JSON, rounded so that they are the same on every machine."""
    bias = 0.0
    weights = [0.0] * DIMENSIONS
    rows = [(1.0 if positive else 0.0, features(text)) for positive, text in examples]
    for _ in range(ROUNDS):
        for target, indices in rows:
            total = bias + sum(weights[index] for index in indices)
            step = RATE * (target - 1 / (1 + math.exp(-total)))
            bias += step * 0.1
            for index in indices:
                weights[index] += step - RATE * DECAY * weights[index]
    rounded = {index: round(weight, 4) for index, weight in enumerate(weights) if round(weight, 4)}
    return json.dumps({"bias": round(bias, 4), "weights": rounded}, separators=(",", ":")) + "\n"


def read_examples(path: pathlib.Path) -> list[tuple[bool, str]]:
    """Lines of `+` or `-`, a tab, and a text."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [(sign == "+", text) for sign, text in (line.split("\t") for line in lines)]


if __name__ == "__main__":
    sys.stdout.write(train(read_examples(pathlib.Path(__file__).with_name("examples.tsv"))))
