"""`snipmill audit`: does a finished data set hold?"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from snipmill.cli import options
from snipmill.cli.configured import Choice, configured
from snipmill.cli.display import console, live_count, say
from snipmill.config import AUDIT_DEFAULTS, Config
from snipmill.errors import InputDamaged
from snipmill.stages.stage_count import StageCount

if TYPE_CHECKING:
    from snipmill.engine.audit import Audit

_KEYS = (
    Choice("select.min_mutation", help="Rows whose tests kill a smaller share of mutants are weak."),
    Choice("select.decontaminate", help="Look for text of HumanEval and MBPP."),
    Choice(
        "select.benchmarks", help="One more set to look for: JSONL, JSON, Parquet or .fingerprints; can be repeated."
    ),
    *options.EXECUTION[:-1],
    "seeds.limit",
)


def audit(
    config: Config,
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET",
            help="A file, a folder or a pattern of files (JSON, CSV, TSV, Parquet, Arrow, also compressed), a run's folder, "
            "hub:OWNER/NAME, or - for standard input; snipmill's or anyone's.",
            show_default=False,
        ),
    ],
    out: Annotated[
        str | None, typer.Option("--out", "-o", help="File for the finding on each row.", show_default=False)
    ] = None,
    layout: Annotated[
        str | None,
        typer.Option(
            "--layout",
            help="How to read the rows, such as alpaca, messages, kodcode or apps; a wrong name lists all.",
            show_default="known by the columns",
        ),
    ] = None,
    instruction_column: Annotated[
        str | None,
        typer.Option("--instruction-column", help="Column that holds the task.", show_default="as the layout says"),
    ] = None,
    response_column: Annotated[
        str | None,
        typer.Option(
            "--response-column",
            help="Column that holds the answer: four sections, Markdown with Python blocks, or code.",
            show_default="as the layout says",
        ),
    ] = None,
    tests_column: options.TestsColumn = None,
    entry_point_column: options.EntryPointColumn = None,
    module_column: options.ModuleColumn = None,
    allow: Annotated[
        float, typer.Option("--allow", min=0, max=1, help="Share of bad rows up to which the exit code is 0.")
    ] = 0.0,
) -> None:
    """Execute a finished data set again, row by row: how many rows hold, fail, prove nothing, repeat or are contaminated.

    The exit code is 1 where more rows are bad than --allow, so that it can guard a release, and where not one row could be
    executed. Rows in style `smart` show few tests: audit a data set in style `raw` or `plain`.
    """
    from snipmill.engine.audit import audit_file
    from snipmill.verification.data_sets import Columns

    count = StageCount()
    columns = Columns(instruction_column, response_column, tests_column, entry_point_column, module_column)
    with live_count("audit", count):
        found = asyncio.run(audit_file(dataset, out, columns, config, count, say, layout))
    _print_audit(found)
    _end(found, allow)


def _end(found: Audit, allow: float) -> None:
    """Say what the figures mean, and end with the exit code that they deserve.

    Raises:
        InputDamaged: a file breaks off.
    """
    if found.unchecked:
        say(
            f"{found.unchecked:,} of {found.rows:,} rows could not be judged: no tests, tests in an unknown layout, "
            "a missing package, or the sandbox failed."
        )
    if found.bad > allow * found.rows:
        say(f"{found.bad:,} of {found.rows:,} rows are bad.")
        raise typer.Exit(1)
    if found.unchecked and found.unchecked == found.rows:
        say(
            "Not one row was verified. Rows need tests: in style raw or plain, or in a column of their own (--tests-column)."
        )
        raise typer.Exit(1)
    if found.broken_files:
        raise InputDamaged(
            f"{found.broken_files:,} input files break off. The rows before and those of all other files were audited; the "
            "findings (--out FILE) say where to look."
        )


def _print_audit(found: Audit) -> None:
    from rich.table import Table
    from rich.text import Text

    from snipmill.engine.audit import BAD

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("", "rows", "share", "an example"):
        table.add_column(name, justify="right" if name in ("rows", "share") else "left", overflow="fold")
    for name, (number, example) in found.findings.items():
        if not number and name != "holds":
            continue
        style = "red" if name in BAD and number else ""
        table.add_row(
            Text(name, style=style), f"{number:,}", f"{number / max(found.rows, 1):.1%}", Text(example, style="dim")
        )
    console.print(table)


COMMANDS = {"audit": lambda: configured(audit, _KEYS, AUDIT_DEFAULTS)}
