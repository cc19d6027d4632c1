"""What rows with at least some confidence are worth: how many there are, and how many of them are expected to be wrong."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

_BARS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


@dataclass(frozen=True)
class ConfidenceBar:
    """The rows with at least some confidence, and the share of them that is expected to be wrong."""

    bar: float
    rows: int
    wrong: float


def confidence_bars(confidences: Counter[float]) -> list[ConfidenceBar]:
    """A line for each bar that some rows clear and others do not, after one for all rows.

    Args:
        confidences: of the rows, counted by value.
    """
    found: list[ConfidenceBar] = []
    for bar in _BARS:
        clear = {value: count for value, count in confidences.items() if value >= bar}
        rows = sum(clear.values())
        if rows and (not found or rows < found[-1].rows):
            wrong = sum((1 - value) * count for value, count in clear.items()) / rows
            found.append(ConfidenceBar(bar, rows, wrong))
    return found
