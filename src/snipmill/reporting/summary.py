"""What a run is and what it gave, as the top of the report says it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from snipmill.config import Config
from snipmill.engine.duration import duration
from snipmill.reporting.drops import Count
from snipmill.reporting.shown_text import visible
from snipmill.stages.spec import ASKING, RESPONSES
from snipmill.verification.expected_wrong import ExpectedWrong


@dataclass(frozen=True)
class Run:
    """A run as its directory records it.

    Attributes:
        path: of the directory.
        manifest: as it stands there.
        config: every key resolved.
        funnel: counts by stage.
        wrong: how many rows are expected to be wrong; None where that is not known.
    """

    path: Path
    manifest: dict[str, Any]
    config: Config
    funnel: dict[str, Count]
    wrong: ExpectedWrong | None = None

    @property
    def name(self) -> str:
        """The directory's name."""
        return visible(self.path.resolve().name)

    @property
    def is_done(self) -> bool:
        """Whether it came to its end."""
        return self.manifest.get("status") == "done"

    @property
    def calibration(self) -> dict[str, Any]:
        """What its confidences rest on, as the manifest says it."""
        found = self.manifest.get("calibration")
        return found if isinstance(found, dict) else {}

    def spent(self, name: str) -> float | None:
        """A figure of the account in the manifest; None where there is none, as while the run works."""
        found = self.manifest.get("accounting")
        return _number(found.get(name)) if isinstance(found, dict) else None

    @property
    def seconds(self) -> float | None:
        """How long the last session took."""
        return _number(self.manifest.get("seconds"))

    def kept(self, stage: str) -> int:
        """How many records a stage kept."""
        return self.funnel.get(stage, Count()).kept

    @property
    def tokens(self) -> int:
        """All tokens that were generated."""
        return sum(self.funnel.get(stage, Count()).completion_tokens for stage in ASKING)


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


@dataclass(frozen=True)
class Tile:
    """One figure at the top: a large value, what it is, and a smaller line that explains it."""

    value: str
    name: str
    note: str = ""


@dataclass(frozen=True)
class Summary:
    """The top of a report."""

    title: str
    sentence: str
    tiles: list[Tile] = field(default_factory=list)


def summarize(run: Run, rows: int, sources: int) -> Summary:
    """The top of a report.

    Args:
        run: what its directory records.
        rows: in the data set.
        sources: from how many sources they grew.
    """
    return Summary(run.name, _sentence(run, rows, sources), [tile for tile in _tiles(run, rows) if tile is not None])


def _sentence(run: Run, rows: int, sources: int) -> str:
    state = "" if run.is_done else " so far; the run is not finished"
    prompting = "asked in a chat" if run.manifest.get("prompting") == "chat" else "asked by few-shot completion"
    model = visible(str(run.manifest.get("model", "an unknown model")), 200)
    tier = visible(str(run.manifest.get("sandbox_tier", "unknown")), 40)
    seeds = run.kept("seeds")
    place = f" in {_count(sources, 'source')}" if sources else ""
    return (
        f"{_count(rows, 'row')} from {_count(seeds, 'function')}{place}, "
        f"written by {model}, {prompting}, and executed in the sandbox tier {tier}{state}."
    )


def _count(number: int, name: str) -> str:
    return f"{number:,} {name}{'' if number == 1 else 's'}"


def _tiles(run: Run, rows: int) -> list[Tile | None]:
    drawn = run.funnel.get(RESPONSES, Count()).came_in
    per_row = f"{run.tokens / rows:,.0f} for each row" if rows else "no row yet"
    return [
        Tile(f"{rows:,}", "rows", f"{rows / run.kept('seeds'):.0%} of the seeds" if run.kept("seeds") else ""),
        _wrong_tile(run),
        Tile(f"{run.kept('seeds'):,}", "seeds", f"{drawn:,} samples drawn" if drawn else ""),
        Tile(_short(run.tokens), "tokens generated", per_row),
        _cost_tile(run),
        _time_tile(run),
    ]


def _wrong_tile(run: Run) -> Tile | None:
    wrong = run.wrong
    if wrong is None or not wrong.rows:
        return None
    whose = "your model's calibration" if not run.calibration.get("shipped", True) else "weights of two small models"
    note = f"{_count(round(wrong.expected), 'row')}; 90% interval {wrong.low:,} to {wrong.high:,}; by {whose}"
    return Tile(f"{wrong.share:.1%}", "expected to be wrong", note)


def _cost_tile(run: Run) -> Tile | None:
    cost, per_row = run.spent("cost"), run.spent("cost_per_row")
    if not cost:
        return None
    return Tile(f"{cost:,.2f}", "cost, in the unit of your prices", f"{per_row:,.4f} for each row" if per_row else "")


def _time_tile(run: Run) -> Tile | None:
    seconds = run.seconds
    if not seconds:
        return None
    speed = run.spent("tokens_per_second")
    note = f"the last session; {speed:,.0f} tokens/s" if speed else "the last session"
    return Tile(duration(seconds), "on the clock", note)


def _short(number: int) -> str:
    if number < 10_000:
        return f"{number:,}"
    for size, letter in ((1e3, "k"), (1e6, "M")):
        if number < 999.95 * size:
            return f"{number / size:,.1f}{letter}"
    return f"{number / 1e9:,.1f}G"
