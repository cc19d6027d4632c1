"""`snipmill export` and `attribution`: what goes out beside the rows of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from snipmill.cli.display import console
from snipmill.errors import UsageError


def export_command(
    run: Annotated[str, typer.Argument(help="The directory of a finished run.")],
    pairs: Annotated[
        str | None,
        typer.Option(
            "--pairs", help="File for preference pairs: a row, and a sample that failed, with its failing check."
        ),
    ] = None,
    tasks: Annotated[
        str | None, typer.Option("--tasks", help="File for tasks with tests, for reinforcement learning.")
    ] = None,
) -> None:
    """Make more of a run than rows: preference pairs, and tasks with tests."""
    if pairs is None and tasks is None:
        raise UsageError("Nothing to export: give --pairs FILE, --tasks FILE, or both.")
    from snipmill.publish.export import export
    from snipmill.store.run_directory import RunDirectory

    written = export(RunDirectory(run), pairs, tasks)
    for path, number, what in ((pairs, written[0], "preference pairs"), (tasks, written[1], "tasks with tests")):
        if path is not None:
            console.print(escape(f"{number:,} {what} in {path}"))


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
