"""Median, minimum and spread of a few measurements."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Summary:
    """What is said of a list of figures. The spread is the largest less the smallest, as a share of the median."""

    median: float
    minimum: float
    maximum: float
    spread: float
    count: int


def summary(figures: Sequence[float]) -> Summary:
    """The summary of at least one figure."""
    if not figures:
        raise ValueError("no figure to summarise")
    ordered = sorted(figures)
    middle = len(ordered) // 2
    median = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    spread = (ordered[-1] - ordered[0]) / median if median else 0.0
    return Summary(median, ordered[0], ordered[-1], spread, len(ordered))
