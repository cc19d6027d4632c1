"""How the rows of a data set spread: a chart for each number and label, in one pass."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from snipmill.records import Row
from snipmill.reporting.columns import LABELS, NUMBERS, Label, Number
from snipmill.reporting.shown_text import visible

_BINS = 20
_MOST_BARS = 12
_MOST_LABEL = 60  # characters of a label beside its bar


@dataclass(frozen=True)
class Bar:
    """One bar of a chart.

    Attributes:
        label: what it counts.
        count: how many rows.
        wanted: the least and the most of a number that show these rows.
        value: of a label, in full.
    """

    label: str
    count: int
    wanted: tuple[str, ...] = ()
    value: str = ""


@dataclass(frozen=True)
class Chart:
    """A chart of counts: bars across for labels, columns for numbers.

    Attributes:
        name: of the number or label; empty where it is not one that rows are filtered by.
        title: for people.
        question: what the chart answers.
        bars: in the order in which they are drawn.
        note: what else is to be said.
        is_histogram: whether the bars are neighbouring ranges.
    """

    name: str
    title: str
    question: str
    bars: list[Bar]
    note: str = ""
    is_histogram: bool = False

    @property
    def most(self) -> int:
        """The count of the longest bar, at least 1."""
        return max((bar.count for bar in self.bars), default=1) or 1


@dataclass
class Spread:
    """Numbers and labels of all rows.

    Numbers are counted by their value, rounded, so that a million rows need no more room than they have values.
    """

    rows: int = 0
    numbers: Mapping[str, Counter[float]] = field(default_factory=lambda: {one.name: Counter() for one in NUMBERS})
    labels: Mapping[str, Counter[str]] = field(default_factory=lambda: {one.name: Counter() for one in LABELS})

    def add(self, row: Row) -> None:
        """Count one more row."""
        self.rows += 1
        for number in NUMBERS:
            value = number.read(row)
            if value is not None:
                self.numbers[number.name][round(value, number.digits)] += 1
        for label in LABELS:
            self.labels[label.name].update(list(dict.fromkeys(label.read(row))))  # in a fixed order

    def watch(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The rows, each counted as it goes by."""
        for row in rows:
            self.add(row)
            yield row

    def charts(self) -> list[Chart]:
        """A chart for each number that rows have, and each label with more than one value."""
        numbers = (number_chart(number, self.numbers[number.name]) for number in NUMBERS)
        labels = (label_chart(label, self.labels[label.name]) for label in LABELS)
        return [chart for chart in (*numbers, *labels) if chart.bars]

    def same(self) -> list[tuple[str, str]]:
        """The labels that all rows have, as pairs of a title and the value."""
        return [
            (label.title, visible(next(iter(self.labels[label.name])), _MOST_LABEL))
            for label in LABELS
            if len(self.labels[label.name]) == 1 and label.name != "concept"
        ]

    def mean(self, name: str) -> float | None:
        """The mean of a number; None where no row has it."""
        return mean(self.numbers[name])

    def median(self, name: str) -> float | None:
        """The median of a number; None where no row has it."""
        return median(self.numbers[name])


def mean(values: Counter[float]) -> float | None:
    """The mean of counted values; None where there are none."""
    total = values.total()
    return sum(value * count for value, count in values.items()) / total if total else None


def median(values: Counter[float]) -> float | None:
    """The lower median of counted values; None where there are none."""
    half, seen = values.total() / 2, 0
    for value in sorted(values):
        seen += values[value]
        if seen >= half:
            return value
    return None


def number_chart(number: Number, values: Counter[float]) -> Chart:
    """The histogram of a number."""
    edges = range_edges(values, number.is_share)
    counts = count_in_ranges(values, edges)
    bars = []
    for place, count in enumerate(counts):
        low, high = edges[place], edges[place + 1]
        is_last = place == len(counts) - 1
        label = f"{low:,.{2 if number.is_share else 0}f}–{high:,.{2 if number.is_share else 0}f}"
        # A filter includes both its ends, so the upper one is the last value below the next range.
        top = high if is_last else high - 10**-number.digits
        bars.append(Bar(label, count, (f"{low:.{number.digits}f}", f"{top:.{number.digits}f}")))
    middle = median(values)
    note = "" if middle is None else f"median {middle:,.{2 if number.is_share else 0}f}"
    return Chart(number.name, number.title, number.question, bars, note, is_histogram=True)


def count_in_ranges(values: Counter[float], edges: Sequence[float]) -> list[int]:
    """How many values lie between neighbouring edges; the last range includes its end."""
    counts = [0] * max(len(edges) - 1, 0)
    for value, count in values.items():
        place = min(bisect_right(edges, value), len(counts)) - 1
        counts[place] += count
    return counts


def range_edges(values: Counter[float], is_share: bool) -> list[float]:
    """The edges of the ranges: those of twentieths for shares, else of at most 20 round widths."""
    if not values:
        return []
    if is_share:
        return [place / _BINS for place in range(_BINS + 1)]
    low, high = min(values), max(values)
    width = _round_width((high - low) / _BINS)
    start = math.floor(low / width) * width
    count = int((high - start) // width) + 1
    return [start + place * width for place in range(count + 1)]


def _round_width(width: float) -> float:
    """The next of 1, 2, 5, 10, 20, ... that is not smaller."""
    power = 10.0 ** math.floor(math.log10(width)) if width > 1 else 1.0
    return next(step * power for step in (1, 2, 5, 10) if step * power >= width)


def label_chart(label: Label, counts: Counter[str]) -> Chart:
    """The most frequent values of a label; no bars where every row has the same one."""
    if len(counts) < 2:
        return Chart(label.name, label.title, label.question, [])
    common = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    bars = [Bar(visible(value, _MOST_LABEL), count, value=value) for value, count in common[:_MOST_BARS]]
    rest = common[_MOST_BARS:]
    note = f"{len(rest):,} more, with {sum(count for _, count in rest):,} mentions" if rest else ""
    return Chart(label.name, label.title, label.question, bars, note)
