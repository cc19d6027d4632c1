"""`snipmill calibrate`: what a confidence is worth for the user's own model, on tasks with known answers."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from snipmill.cli import options
from snipmill.cli.configured import configured
from snipmill.cli.display import console, live_line, progress_of, say
from snipmill.config import Config
from snipmill.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from snipmill.verification.calibration import Calibration

_KEYS = (
    *options.SERVER,
    "generate.samples",
    "generate.accept",
    "verify.tests",
    "review.evidence",
    "run.max_tokens_total",
)


def calibrate(
    config: Config,
    tasks: Annotated[int, typer.Option("--tasks", min=10, help="Number of tasks to ask.")] = 200,
    out: Annotated[str, typer.Option("--out", "-o", help="The calibration to write.")] = "calibration.json",
    source: Annotated[
        str | None,
        typer.Option(
            "--source",
            metavar="FILE",
            help="Tasks of your own: rows with instruction, entry_point, and tests (a text or a list).",
            show_default="HumanEval and MBPP, sanitised",
        ),
    ] = None,
    forms: Annotated[
        Literal["both", "original", "rewritten"],
        typer.Option("--forms", help="Ask the tasks as they are, rewritten with a changed result, or both."),
    ] = "both",
) -> None:
    """Find out what a confidence is worth for your model: ask it tasks with hidden tests, and fit the weights to its answers.

    The answers are executed like those of a run. A run uses the weights where its configuration names the file as
    verify.calibration. The same command again continues a calibration that was stopped; its answers lie in OUT.answers.
    """
    from snipmill.engine.calibrate import FORMS, Asked, Request, calibrate
    from snipmill.engine.progress import Progress

    if out.endswith("/"):
        raise UsageError(f"{out} is a folder. Name a file for the calibration, such as {out}calibration.json.")
    request = Request(tasks, Path(out), source, FORMS if forms == "both" else (forms,))
    progress, asked = Progress(), Asked()

    def line() -> str:
        elapsed = time.monotonic() - progress.started
        return progress_of(progress, elapsed, asked.done, asked.tasks)

    with live_line(line):
        made = asyncio.run(calibrate(config, request, progress, asked, say))
    if asked.lost:
        say(f"{asked.lost:,} samples are left out: the sandbox failed while it held them against the hidden tests.")
    for fault in asked.faults[:5]:
        say(f"Left out: {fault}")
    if len(asked.faults) > 5:
        say(f"... and {len(asked.faults) - 5:,} more rows.")
    _print_report(made)
    say(f"The calibration is {out}. To use it:")
    say(f'  [verify]\n  calibration = "{out}"')


def _print_report(made: Calibration) -> None:
    from snipmill.engine.calibration_report import remarks

    report = made.report
    say(
        f"{made.model}: {report['samples']:,} samples for {report['instructions']:,} instructions from {report['tasks']:,} tasks; "
        f"{report['samples_with_program']:,} of them had a program, {report['right_samples']:,} were right."
    )
    area = report["roc_area"]
    if area["value"] is not None:
        say(f"Area under the ROC curve: {_figure(area['value'], area['interval'])}.")
    console.print(_bars(report))
    console.print(_curve(report))
    for sentence in remarks(report):
        say(sentence)
    say(
        f"To halve these intervals, ask about {report['tasks_to_halve_interval']:,} tasks more; where that is more than there are, "
        "give tasks of your own with --source."
    )
    cost = report["cost"]
    money = f", {cost['cost']:,.4g} in money" if cost.get("cost") else ""
    say(f"Cost: {cost['prompt_tokens']:,} prompt tokens and {cost['completion_tokens']:,} generated ones{money}.")


def _bars(report: dict[str, Any]) -> Table:
    """Rows at each bar, and what the samples' own tests alone would have kept."""
    table = _table(
        "rows, the best of each instruction", "rows", "right", "wrong", "expected wrong", "share wrong (90%)"
    )
    own = report["own_tests"]
    table.add_row("own tests pass", *_cells(own, ""))
    for one in report["rows_at_bar"]:
        if one["rows"]:
            table.add_row(f"confidence at least {one['bar']}", *_cells(one, f"{one['expected_wrong']:,}"))
    return table


def _cells(one: dict[str, Any], expected: str) -> tuple[str, ...]:
    share = _figure(one["wrong_share"], one["wrong_share_interval"]) if one["wrong_share"] is not None else ""
    return f"{one['rows']:,}", f"{one['right']:,}", f"{one['wrong']:,}", expected, share


def _curve(report: dict[str, Any]) -> Table:
    """What was said, and what was true."""
    table = _table("samples that can become rows", "samples", "said", "was")
    for one in report["calibration_curve"]:
        bar = "█" * round(20 * one["was"])
        table.add_row(bar, f"{one['samples']:,}", f"{one['said']:.2f}", f"{one['was']:.2f}")
    table.add_row("mean error", "", "", f"{report['calibration_error']:.2f}")
    return table


def _table(first: str, *others: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table


def _figure(value: float, interval: list[float]) -> str:
    return f"{value:.2f} ({interval[0]:.2f} to {interval[1]:.2f})" if interval else f"{value:.2f}"


COMMANDS = {"calibrate": lambda: configured(calibrate, _KEYS, from_file=True)}
