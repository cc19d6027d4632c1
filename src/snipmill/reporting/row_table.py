"""All rows as columns, for the page's search, filters and sorting; a random sample of them where there are too many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snipmill.records import Row, hash64
from snipmill.reporting.columns import LABELS, MOST_VALUE, NUMBERS
from snipmill.reporting.shown_text import visible

_MOST_TITLE = 1_000  # characters of an instruction


def rank(row_id: str) -> int:
    """A number by which rows are drawn at random: the same rows each time."""
    return hash64("report", row_id)


def instruction_key(row: Row) -> int:
    """A hash by which equal instructions of two runs are found."""
    return hash64(row.instruction)


def bar_for(ranks: NDArray[np.uint64], most: int) -> int:
    """The rank up to which there are `most` rows; a larger one than any where there are not more."""
    if len(ranks) <= most:
        return 1 << 64
    return int(np.partition(ranks, most)[most]) if most else 0


@dataclass
class _Values:
    """The values of a label, each kept once, and their places by row."""

    names: list[str] = field(default_factory=list)
    rows: list[list[int]] = field(default_factory=list)
    _places: dict[str, int] = field(default_factory=dict)

    def add(self, values: Sequence[str]) -> None:
        self.rows.append([self._place(visible(value, MOST_VALUE)) for value in values])

    def _place(self, value: str) -> int:
        if value not in self._places:
            self._places[value] = len(self.names)
            self.names.append(value)
        return self._places[value]


class RowTable:
    """Columns of rows, in the order of the data set."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.keys: list[int] = []
        self._titles: list[str] = []
        self._places: list[str] = []
        self._numbers: list[list[float | None]] = [[] for _ in NUMBERS]
        self._labels = [_Values() for _ in LABELS]

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, row: Row) -> None:
        """Take one more row."""
        origin = row.provenance
        lines = f":{origin.line_start}" if origin is not None and origin.line_start is not None else ""
        self.ids.append(visible(row.id))
        self.keys.append(instruction_key(row))
        self._titles.append(visible(row.instruction, _MOST_TITLE))
        self._places.append(visible(f"{origin.path}{lines}", MOST_VALUE) if origin is not None and origin.path else "")
        for number, values in zip(NUMBERS, self._numbers, strict=True):
            value = number.read(row)
            values.append(None if value is None else round(value, number.digits))
        for label, column in zip(LABELS, self._labels, strict=True):
            column.add(label.read(row))

    def to_json(self, details: Sequence[str]) -> dict[str, Any]:
        """As the page takes it.

        Args:
            details: ids of the rows that open whole, in the order of their details.
        """
        place = {row_id: number for number, row_id in enumerate(details)}
        return {
            "ids": self.ids,
            "titles": self._titles,
            "places": self._places,
            "details": [place.get(row_id, -1) for row_id in self.ids],
            "numbers": [
                {"name": number.name, "title": number.title, "share": number.is_share, "values": values}
                for number, values in zip(NUMBERS, self._numbers, strict=True)
            ],
            "labels": [
                {"name": label.name, "title": label.title, "names": column.names, "rows": column.rows}
                for label, column in zip(LABELS, self._labels, strict=True)
            ],
        }
