"""`snipmill agree` and `snipmill verify`: what samples say of each other, and whether a finished data set holds."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

import typer
from rich.table import Table
from rich.text import Text

from snipmill.cli import options
from snipmill.cli.display import console, live_count, say, show_stage
from snipmill.cli.errors import guarded
from snipmill.config import Config, ExecuteTable, SeedsTable, SelectTable, VerifyTable
from snipmill.pipeline.audit import BAD, Audit, Columns, audit_file
from snipmill.pipeline.funnel import StageCount
from snipmill.pipeline.stage_files import agree_file


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("agree", rich_help_panel=options.ONE_STAGE)(guarded(agree))
    app.command("verify", rich_help_panel=options.LOOK)(guarded(verify))


def agree(
    source: options.Source,
    out: options.Out,
    rejects: options.RejectsFile = None,
    repair: Annotated[
        Literal["drop", "recompute", "off"],
        typer.Option("--repair", help="What becomes of assertions that most other samples' code contradicts."),
    ] = "drop",
    sandbox: options.SandboxTier = "auto",
    timeout: options.Timeout = 10.0,
    memory: options.Memory = 1024,
    workers: options.Workers = 0,
    interpreter: options.Interpreter = None,
    allow_fork: options.AllowFork = False,
    start: options.Start = 0,
    limit: options.Limit = None,
) -> None:
    """Run all samples of each instruction against each other's tests; what may become a row is kept, with the evidence."""
    config = Config(
        seeds=SeedsTable(start=start, limit=limit),
        execute=ExecuteTable(
            sandbox=sandbox,
            timeout=timeout,
            memory=memory,
            workers=workers,
            interpreter=interpreter,
            allow_fork=allow_fork,
        ),
        verify=VerifyTable(repair=repair),
    )
    count = StageCount()
    with live_count("verify", count):
        asyncio.run(agree_file(source, out, rejects, config, count, say))
    show_stage("verify", count)


def verify(
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET", help="Rows as JSON lines or Parquet, snipmill's or anyone's.", show_default=False
        ),
    ],
    out: Annotated[
        str | None, typer.Option("--out", "-o", help="File for what was found of each row.", show_default=False)
    ] = None,
    instruction_column: Annotated[
        str, typer.Option("--instruction-column", help="Column of the task.")
    ] = "instruction",
    response_column: Annotated[
        str,
        typer.Option("--response-column", help="Column of the answer: four sections, or Markdown with Python blocks."),
    ] = "response",
    tests_column: Annotated[
        str | None,
        typer.Option("--tests-column", help="Column of the tests, where they stand apart.", show_default=False),
    ] = None,
    min_mutation: Annotated[
        float,
        typer.Option("--min-mutation", min=0, max=1, help="Rows whose tests kill a smaller share of mutants are weak."),
    ] = 0.5,
    allow: Annotated[
        float, typer.Option("--allow", min=0, max=1, help="Share of bad rows up to which the exit code is 0.")
    ] = 0.0,
    decontaminate: Annotated[bool, typer.Option(help="Look for text of HumanEval and MBPP.")] = True,
    benchmarks: Annotated[
        list[str] | None,
        typer.Option("--benchmark", help="One more set to hold rows against: JSONL, JSON, or a .fingerprints index."),
    ] = None,
    sandbox: options.SandboxTier = "auto",
    timeout: options.Timeout = 10.0,
    memory: options.Memory = 1024,
    workers: options.Workers = 0,
    interpreter: options.Interpreter = None,
    limit: options.Limit = None,
) -> None:
    """Execute a finished data set again, row by row: how many rows hold, fail, prove nothing, repeat or are contaminated.

    The exit code is 1 where more rows are bad than --allow, so that it can guard a release, and where not one row could be
    executed. Rows of the style `smart` show few tests: verify a data set of the style `raw` or `plain`.
    """
    config = Config(
        seeds=SeedsTable(limit=limit),
        execute=ExecuteTable(sandbox=sandbox, timeout=timeout, memory=memory, workers=workers, interpreter=interpreter),
        select=SelectTable(decontaminate=decontaminate, benchmarks=tuple(benchmarks or ()), min_mutation=min_mutation),
    )
    columns = Columns(instruction_column, response_column, tests_column)
    count = StageCount()
    with live_count("verify", count):
        audit = asyncio.run(audit_file(dataset, out, columns, config, count, say))
    _print_audit(audit)
    if audit.unchecked:
        say(
            f"{audit.unchecked:,} of {audit.rows:,} rows could not be judged: no tests, a missing package, or the sandbox failed."
        )
    if audit.bad > allow * audit.rows:
        say(f"{audit.bad:,} of {audit.rows:,} rows are bad.")
        raise typer.Exit(1)
    if audit.unchecked and audit.unchecked == audit.rows:
        say(
            "Not one row was verified. Rows need tests: in the style raw or plain, or in a column of their own (--tests-column)."
        )
        raise typer.Exit(1)


def _print_audit(audit: Audit) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("", "rows", "share", "an example"):
        table.add_column(name, justify="right" if name in ("rows", "share") else "left", overflow="fold")
    for name, (number, example) in audit.findings.items():
        if not number and name != "holds":
            continue
        style = "red" if name in BAD and number else ""
        table.add_row(
            Text(name, style=style), f"{number:,}", f"{number / max(audit.rows, 1):.1%}", Text(example, style="dim")
        )
    console.print(table)
