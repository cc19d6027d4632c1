"""The live view of a run: stages as bars that fill, rows, speeds, cost, time to go. Lines in a log where there is no terminal."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from snipmill.cli.display import can_draw, console, told_now_and_then
from snipmill.cli.pace import Speeds, cost_line, plain_line, rows_line, time_to_go
from snipmill.engine.duration import duration
from snipmill.engine.progress import Progress
from snipmill.seeds.document import STAGE as SEEDS

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.table import Table
    from rich.text import Text

_NAME = 13  # characters of the names of stages
_COUNTS = 19
_NARROW, _WIDE = 78, 110  # columns
_MOST_SERVERS = 6


@contextlib.contextmanager
def live(progress: Progress) -> Iterator[None]:
    """Show a run's progress while the block runs: redrawn on a terminal, a line now and then in a log."""
    speeds = Speeds()
    if not can_draw(console):
        with told_now_and_then(lambda: plain_line(progress, speeds)):
            yield
        return
    from rich.live import Live

    with Live(LiveRun(progress), console=console, refresh_per_second=4, transient=True):
        yield


class LiveRun:
    """Draws a run's progress whenever the terminal asks for it."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._speeds = Speeds()
        self._last: list[RenderableType] = []

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        """The lines, for the width that there is. A view that cannot be drawn is no reason to end a run."""
        try:
            self._last = list(self._lines(options))
        except Exception as error:  # figures change while they are read
            self._last = self._last or [_line(f"The view cannot be drawn ({type(error).__name__}); the run goes on.")]
        yield from self._last

    def _lines(self, options: ConsoleOptions) -> Iterator[RenderableType]:
        from rich.text import Text

        progress, now = self._progress, time.monotonic()
        head = [progress.phase, duration(now - progress.started), time_to_go(progress, now)]
        yield _line(" · ".join(filter(None, head)), "bold")
        if progress.model and options.max_width >= _NARROW:
            yield _line(f"{progress.model} · sandbox {progress.tier}", "dim")
        yield _stages(progress, options.max_width)
        facts = {"rows": rows_line(progress, now), "cost": cost_line(progress), "servers": self._servers(now)}
        yield _facts({name: parts for name, parts in facts.items() if parts})
        if progress.trouble:
            yield Text(progress.trouble, style="bold yellow", overflow="fold")
        yield _line("Ctrl-C stops; the same command goes on.", "dim")

    def _servers(self, now: float) -> list[str]:
        """Tokens a second of each server, the address only where there are several."""
        speeds = self._speeds.read(self._progress, now)
        if not self._progress.fleets:
            return []
        total, flight = sum(speeds.values()), f"{self._progress.in_flight} in flight"
        parts = [f"{total:,.0f} tokens/s", flight]
        if len(speeds) > 1:
            shown = list(speeds.items())[:_MOST_SERVERS]
            parts += [f"{url.split('//')[-1].removesuffix('/v1')} {speed:,.0f}" for url, speed in shown]
            parts += [f"{len(speeds) - _MOST_SERVERS} more"] if len(speeds) > _MOST_SERVERS else []
        return parts


def _facts(facts: dict[str, list[str]]) -> Table:
    """A line for each, or more where it is too long."""
    from rich.table import Table

    table = Table.grid(padding=(0, 1))
    table.add_column(width=_NAME - 1, no_wrap=True)
    table.add_column()
    for name, parts in facts.items():
        table.add_row(name, " · ".join(part.replace(" ", "\u00a0") for part in parts))
    return table


def _line(text: str, style: str = "") -> Text:
    from rich.text import Text

    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


def _stages(progress: Progress, width: int) -> Table:
    """A line for each stage: a bar, how many of how many, and what was dropped where there is room."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(width=_NAME - 1, no_wrap=True)
    table.add_column(ratio=2, no_wrap=True)
    table.add_column(width=_COUNTS, justify="right", no_wrap=True)
    if width >= _WIDE:
        table.add_column(ratio=3, no_wrap=True, overflow="ellipsis")
    elif width >= _NARROW:
        table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    room = max(8, (width - _NAME - _COUNTS - 4) * 2 // (5 if width >= _WIDE else 3 if width >= _NARROW else 2))
    for name in progress.stages:
        count = progress.funnel[name]
        cells = [Text(name), _stage_bar(progress, name, room)]
        cells.append(Text(_counts(progress, name), style="dim"))
        if width >= _NARROW:
            counts = dict(count.rejected)  # a copy: the run goes on counting
            dropped = ", ".join(
                f"{reason} {counts[reason]:,}" for reason in sorted(counts, key=lambda one: -counts[one])[:4]
            )
            cells.append(Text(dropped, style="dim", no_wrap=True, overflow="ellipsis"))
        table.add_row(*cells)
    return table


def _counts(progress: Progress, stage: str) -> str:
    """How many seeds are done, of how many; for other stages, how many records were kept, of those that came in."""
    count = progress.funnel[stage]
    if stage == SEEDS:
        return f"{progress.seeds_done:,} " + (f"of {progress.seeds:,}" if progress.seeds is not None else "done")
    return f"{count.kept:,} of {count.came_in:,}" if count.came_in else ""


def _stage_bar(progress: Progress, stage: str, width: int) -> Text:
    """How far a stage is: of the records that will come into it, by those that came for each seed. Empty where that is unknown."""
    seeds, done, count = progress.seeds, progress.seeds_done, progress.funnel[stage]
    if not seeds or not done:
        return _bar(0, 0, 1, width)
    if stage == SEEDS:
        return _bar(done, 0, seeds, width)
    expected = max(round(seeds * count.came_in / done), count.came_in, 1)
    return _bar(count.kept, count.came_in - count.kept, expected, width)


def _bar(kept: int, dropped: int, whole: int, width: int) -> Text:
    from rich.text import Text

    good = round(width * kept / whole)
    bad = max(min(round(width * (kept + dropped) / whole), width) - good, 0)
    return Text.assemble(("━" * good, "green"), ("╍" * bad, "red"), ("─" * (width - good - bad), "bright_black"))
