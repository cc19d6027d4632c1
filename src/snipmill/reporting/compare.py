"""Two runs beside each other: funnels, distributions, and the rows that only one of them has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from snipmill.engine.duration import duration
from snipmill.reporting.build import Report
from snipmill.reporting.columns import LABELS, NUMBERS
from snipmill.reporting.distributions import Chart, Spread, count_in_ranges, label_chart, number_chart, range_edges

_MOST_SHOWN = 200  # rows that one run has and the other has not


@dataclass(frozen=True)
class Line:
    """A figure of both runs. `change` is that of the second against the first; empty where they are equal or not known."""

    name: str
    first: str
    second: str
    change: str = ""


@dataclass(frozen=True)
class PairedBar:
    """The share of rows that a bar stands for, in each run."""

    label: str
    first: float
    second: float


@dataclass(frozen=True)
class PairedChart:
    """A distribution of both runs, as shares of their rows."""

    title: str
    question: str
    bars: list[PairedBar]
    is_histogram: bool

    @property
    def most(self) -> float:
        """The longest bar."""
        return max((max(bar.first, bar.second) for bar in self.bars), default=1.0) or 1.0


@dataclass(frozen=True)
class Only:
    """The tasks that one run has and the other has not: how many, and some of them."""

    count: int
    shown: list[tuple[str, str]]


@dataclass(frozen=True)
class Comparison:
    """All that a page shows of two runs.

    Attributes:
        names: of the runs.
        lines: figures of both.
        funnel: how much each stage kept.
        charts: distributions of both.
        common: how many instructions are in both.
        only: the rows of each run whose instruction the other has not.
    """

    names: tuple[str, str]
    lines: list[Line]
    funnel: list[Line]
    charts: list[PairedChart]
    common: int
    only: tuple[Only, Only]


def compare(first: Report, second: Report) -> Comparison:
    """Two runs beside each other. Rows are the same where their instructions are."""
    mine, theirs = set(first.instructions), set(second.instructions)
    return Comparison(
        names=(first.run.name, second.run.name),
        lines=list(_lines(first, second)),
        funnel=list(_funnel(first, second)),
        charts=_charts(first.spread, second.spread),
        common=len(mine & theirs),
        only=(_only(first, theirs), _only(second, mine)),
    )


def _lines(first: Report, second: Report) -> Iterator[Line]:
    yield _counts("rows", first.spread.rows, second.spread.rows)
    yield _counts("seeds", first.run.kept("seeds"), second.run.kept("seeds"))
    yield _counts("tokens generated", first.run.tokens, second.run.tokens)
    pairs = [(report.run.tokens, report.spread.rows) for report in (first, second)]
    if all(rows for _, rows in pairs):
        per_row = [round(tokens / rows) for tokens, rows in pairs]
        yield _counts("tokens for each row", per_row[0], per_row[1])
    wrong = [report.run.wrong for report in (first, second)]
    shares = [one.share if one is not None and one.rows else None for one in wrong]
    yield _shares("expected to be wrong", shares[0], shares[1])
    for number in NUMBERS:
        means = [report.spread.mean(number.name) for report in (first, second)]
        if number.is_share:
            yield _shares(f"mean {number.title.lower()}", means[0], means[1])
        elif None not in means:
            yield _counts(f"mean {number.title.lower()}", round(means[0] or 0), round(means[1] or 0))
    yield Line("90% interval of wrong rows", *(f"{one.low:,} to {one.high:,}" if one else "not known" for one in wrong))
    for name, title in (("cost", "cost"), ("cost_per_row", "cost for each row")):
        costs = [report.run.spent(name) for report in (first, second)]
        if any(costs):
            yield Line(title, *(f"{one:,.4g}" if one else "not known" for one in costs))
    yield Line(
        "last session", *(duration(one) if one else "not known" for one in (first.run.seconds, second.run.seconds))
    )
    others = {figure.name: figure.value for figure in second.diversity}
    for figure in first.diversity:
        if figure.name in others:
            yield Line(figure.name.lower(), figure.value, others[figure.name])


def _counts(name: str, first: int, second: int) -> Line:
    change = f"{(second - first) / first:+.0%}" if first and first != second else ""
    return Line(name, f"{first:,}", f"{second:,}", change)


def _shares(name: str, first: float | None, second: float | None) -> Line:
    texts = [f"{share:.1%}" if share is not None else "not known" for share in (first, second)]
    if first is None or second is None or texts[0] == texts[1]:
        return Line(name, texts[0], texts[1])
    return Line(name, texts[0], texts[1], f"{100 * (second - first):+.1f} points")


def _funnel(first: Report, second: Report) -> Iterator[Line]:
    steps = [{step.stage: step for step in report.steps} for report in (first, second)]
    for stage in dict.fromkeys([*steps[0], *steps[1]]):
        pair = [found.get(stage) for found in steps]
        texts = [f"{one.kept:,} of {one.came_in:,} ({one.kept_share:.0%})" if one else "not there" for one in pair]
        shares = [one.kept_share if one is not None else None for one in pair]
        yield Line(stage, texts[0], texts[1], _shares("", shares[0], shares[1]).change)
        reasons = [{drop.reason: drop.count for drop in one.drops} if one is not None else {} for one in pair]
        for reason in dict.fromkeys([*reasons[0], *reasons[1]]):
            yield _counts(f"    {reason}", reasons[0].get(reason, 0), reasons[1].get(reason, 0))


def _charts(first: Spread, second: Spread) -> list[PairedChart]:
    charts: list[PairedChart] = []
    for number in NUMBERS:
        values = [spread.numbers[number.name] for spread in (first, second)]
        edges = range_edges(values[0] + values[1], number.is_share)
        whole = number_chart(number, values[0] + values[1])
        charts.append(_paired(whole, [count_in_ranges(one, edges) for one in values], (first, second)))
    for label in LABELS:
        counts = [spread.labels[label.name] for spread in (first, second)]
        whole = label_chart(label, counts[0] + counts[1])
        charts.append(_paired(whole, [[one[bar.value] for bar in whole.bars] for one in counts], (first, second)))
    return [chart for chart in charts if chart.bars]


def _paired(whole: Chart, counts: Sequence[Sequence[int]], spreads: Sequence[Spread]) -> PairedChart:
    shares = [[count / (spread.rows or 1) for count in found] for found, spread in zip(counts, spreads, strict=True)]
    bars = [PairedBar(bar.label, *pair) for bar, *pair in zip(whole.bars, *shares, strict=True)]
    return PairedChart(whole.title, whole.question, bars, whole.is_histogram)


def _only(report: Report, others: set[int]) -> Only:
    """The rows of a report whose instruction the other has not: their number, and some that are listed."""
    listed = zip(report.keys, report.rows["ids"], report.rows["titles"], strict=True)
    shown = ((row_id, title) for key, row_id, title in listed if key not in others)
    return Only(sum(key not in others for key in report.instructions), list(islice(shown, _MOST_SHOWN)))
