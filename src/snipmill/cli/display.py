"""What a person sees of a command: the funnel at its end, and lines while it works. All on standard error."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from snipmill.engine.duration import duration
from snipmill.errors import InputDamaged
from snipmill.reasons import Reason
from snipmill.stages.stage_count import StageCount

if TYPE_CHECKING:  # imported where they are needed, so that every command starts fast
    from rich.table import Table

    from snipmill.engine.progress import Progress

console = Console(stderr=True, highlight=False)
_LOG_INTERVAL = 30.0


def funnel_table(stages: dict[str, dict[str, Any]]) -> Table:
    """The funnel as a table: in, kept, rejected by reason, tokens and seconds, a line for each stage."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, justify in (
        ("stage", "left"),
        ("in", "right"),
        ("kept", "right"),
        ("tokens", "right"),
        ("seconds", "right"),
    ):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    table.add_column("dropped, and why", overflow="fold")
    for name, count in stages.items():
        parts = [f"{count['rescued']:,} rescued by repairing their tests"] if count.get("rescued") else []
        parts += [f"{count['mended']:,} with mended tags"] if count.get("mended") else []
        parts += [f"{reason} {number:,}" for reason, number in count["rejected"].items()]
        tokens = f"{count['completion_tokens']:,}" if count["completion_tokens"] else ""
        tokens += f" ({count['thinking_tokens']:,} of thought)" if count.get("thinking_tokens") else ""
        seconds = f"{count['seconds']:,.1f}" if count["seconds"] else ""
        table.add_row(
            name, f"{count['in']:,}", f"{count['kept']:,}", tokens, seconds, Text(", ".join(parts), style="dim")
        )
    return table


def can_draw(where: Console) -> bool:
    """Whether lines can be redrawn: on a terminal that can move its cursor, and show bars."""
    return where.is_terminal and not where.is_dumb_terminal and where.encoding.lower().startswith("utf")


@contextlib.contextmanager
def told_now_and_then(line: Callable[[], str]) -> Iterator[None]:
    """Print a line at intervals while the block runs."""
    over = threading.Event()

    def tell() -> None:
        while not over.wait(_LOG_INTERVAL):
            with contextlib.suppress(Exception):  # figures change while they are read; the next line comes
                say(line())

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()


@contextlib.contextmanager
def live_count(name: str, count: StageCount) -> Iterator[None]:
    """Show a single stage's progress while the block runs."""
    started = time.monotonic()

    def line() -> str:
        elapsed = max(time.monotonic() - started, 0.001)
        rate = f"{count.came_in / elapsed:.1f}/s"
        return f"{name}: {count.came_in:,} done, {count.kept:,} kept, {rate}, {elapsed:.0f} s"

    with live_line(line):
        yield


def progress_of(progress: Progress, elapsed: float, done: int, tasks: int) -> str:
    """How far a calibration is, how fast, and when it is done."""
    funnel = progress.funnel
    tokens = sum(funnel[stage].fresh_tokens for stage in ("responses", "assertions", "review"))
    parts = [progress.phase, duration(elapsed), f"{done:,} of {tasks:,} instructions answered"]
    if elapsed > 1 and tokens:
        parts.append(f"{tokens / elapsed:,.0f} tokens/s")
    if progress.trouble:
        parts.append(progress.trouble)
    if 0 < done < tasks:
        parts.append(f"about {duration(elapsed / done * (tasks - done))} to go")
    return " · ".join(parts)


@contextlib.contextmanager
def live_line(line: Callable[[], str]) -> Iterator[None]:
    """Show one line while the block runs: redrawn on a terminal, printed now and then in a log."""
    if not can_draw(console):
        with told_now_and_then(line):
            yield
        return
    from rich.live import Live
    from rich.text import Text

    class Line:
        def __rich__(self) -> Text:
            return Text(line())

    with Live(Line(), console=console, refresh_per_second=4, transient=True):
        yield


def say(text: str) -> None:
    """One line for the user, taken literally."""
    console.print(escape(text), soft_wrap=True)


def finish_stage(name: str, count: StageCount) -> None:
    """Show a single stage's funnel line, at its end.

    Raises:
        InputDamaged: a file of its input breaks off.
    """
    console.print(funnel_table({name: count.to_json()}))
    if count.reused:
        say(f"{count.reused:,} were known already and were not done again.")
    refuse_damage(count)


def refuse_damage(count: StageCount) -> None:
    """End with an error where a stage met a file that breaks off.

    Raises:
        InputDamaged: it did.
    """
    broken = count.rejected[Reason.DAMAGED_FILE]
    if broken:
        raise InputDamaged(
            f"{broken:,} input file{'s break' if broken > 1 else ' breaks'} off. The rows before and those of all other files "
            "were read, and their outcome is written; the rejects with the reason damaged-file say where to look."
        )
