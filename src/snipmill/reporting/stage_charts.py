"""Where tokens and time went, by stage, and what became of the executed programs."""

from __future__ import annotations

from collections.abc import Sequence

from snipmill.engine.duration import duration
from snipmill.reporting.distributions import Bar, Chart
from snipmill.reporting.drops import Step


def stage_charts(steps: Sequence[Step]) -> list[Chart]:
    """Charts of the funnel's tokens, seconds and verdicts; without those that would be empty."""
    tokens = [Bar(step.stage, step.tokens) for step in steps if step.tokens]
    seconds = [Bar(step.stage, round(step.seconds)) for step in steps if step.seconds >= 1]
    total = sum(step.seconds for step in steps)
    charts = [
        Chart("", "Tokens by stage", "Where did the tokens go?", tokens, "generated"),
        Chart(
            "", "Time by stage", "Where did the time go?", seconds, f"seconds, {duration(total)} over concurrent tasks"
        ),
        Chart("", "Verdicts", "What became of the executed programs?", _verdicts(steps)),
    ]
    return [chart for chart in charts if chart.bars]


def _verdicts(steps: Sequence[Step]) -> list[Bar]:
    execute = next((step for step in steps if step.stage == "execute"), None)
    if execute is None:
        return []
    return [Bar("passed", execute.kept), *(Bar(drop.reason, drop.count) for drop in execute.drops)]
