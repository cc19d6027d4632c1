"""`snipmill export` and `attribution`: what goes out beside the rows of a run."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from snipmill.cli.display import console, say, told_now_and_then
from snipmill.errors import UsageError


def export_command(
    source: Annotated[str, typer.Argument(metavar="RUN|DATASET", help="A run directory, or a data set.")],
    format_name: Annotated[
        str,
        typer.Option("--format", "-f", help="What to make; `list` lists all.", show_default=False),
    ],
    out: Annotated[str | None, typer.Option("--out", "-o", help="The folder to write.", show_default=False)] = None,
    split: Annotated[
        float,
        typer.Option(
            "--split",
            min=0.0,
            max=0.5,
            help="Share of the rows for testing; what is alike stays together.",
        ),
    ] = 0.0,
    jsonl: Annotated[bool, typer.Option("--jsonl/--parquet", help="JSON lines, or Parquet.")] = False,
    shard_rows: Annotated[int, typer.Option("--shard-rows", min=1, help="Examples in one file.")] = 50_000,
    thinking: Annotated[
        str,
        typer.Option("--thinking", help="Traces of thought: `inline` in <think>, a `field` of their own, or `drop`."),
    ] = "drop",
    sandbox: Annotated[
        str | None, typer.Option("--sandbox", help="Sandbox tier in which tests are tried.", show_default="the run's")
    ] = None,
) -> None:
    """Make of a run what a trainer takes: SFT, preferences, repair turns, and RL tasks with their own grader.

    Preferences and tasks try each check of a row against other samples and mutants. What came of it is kept in the run.
    """
    from snipmill.publish.formats.catalogue import ABOUT

    if format_name == "list":
        for name, about in ABOUT.items():
            typer.echo(f"{name:24}{about}")
        return
    if out is None:
        raise UsageError("Give the folder to write as --out DIR.")
    if thinking not in ("inline", "field", "drop"):
        raise UsageError(f"--thinking: {thinking!r} is none of inline, field and drop.")
    from snipmill.publish.export import Exported, Request, export

    progress = Exported()
    request = Request(
        source=source,
        format=format_name,
        out=Path(out),
        split=split,
        kind="jsonl" if jsonl else "parquet",
        shard_rows=shard_rows,
        thinking=thinking,  # type: ignore[arg-type]
        sandbox=sandbox,
    )
    with told_now_and_then(lambda: f"{progress.tasks:,} rows looked at, {sum(progress.examples.values()):,} examples"):
        asyncio.run(export(request, progress))
    if progress.unfinished:
        say(f"{source} is not finished; this is what is there.")
    written = ", ".join(f"{number:,} for {name}ing" for name, number in progress.examples.items()) or "no examples"
    say(f"{written} in {out}, as {format_name}: {ABOUT[format_name]}.")
    if split and not progress.examples.get("test"):
        say(
            "No row is for testing: too few of them are alike in nothing. More sources, or a larger --split, will help."
        )
    if progress.left_out:
        reasons = ", ".join(f"{reason} {number:,}" for reason, number in progress.left_out.most_common())
        say(f"Left out: {reasons}; {out}.rejects.jsonl says which.")


def attribution(
    dataset: Annotated[str, typer.Argument(help="A data set as JSON lines, or the directory of a finished run.")],
    out: Annotated[
        str, typer.Option("--out", "-o", help="File to write, Markdown, or - for standard output.", show_default=False)
    ],
) -> None:
    """Write down whose code the rows of a data set grew from: sources, revisions, licences, files and lines."""
    from snipmill.publish.attribution import attribute, render_attribution
    from snipmill.records import Reject, Row
    from snipmill.store.jsonl import Writer
    from snipmill.store.reading import read_records
    from snipmill.store.run_directory import RunDirectory

    path = str(RunDirectory(dataset).dataset) if Path(dataset).is_dir() else dataset
    rows = (row for row in read_records(path, Row, "attribution") if not isinstance(row, Reject))
    found = attribute(rows)
    with Writer[Row](out) as writer:
        for line in render_attribution(found):
            writer.write_line(f"{line}\n".encode())
    if out != "-":
        sources = len({origin.source for origin in found.rows})
        console.print(escape(f"{found.total:,} rows from {sources:,} sources in {out}"))
    unknown = found.without + sum(count for origin, count in found.rows.items() if not origin.license)
    if unknown:
        console.print(escape(f"{unknown:,} rows have no known origin or licence; they are counted as unknown."))


COMMANDS = {"export": lambda: export_command, "attribution": lambda: attribution}
