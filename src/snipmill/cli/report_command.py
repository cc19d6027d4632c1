"""`snipmill report`: a run, or two beside each other, as a page that a browser opens from disk."""

from __future__ import annotations

import asyncio
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from snipmill.cli.display import say


def report_command(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run directory, finished or not.")],
    other: Annotated[
        str | None, typer.Argument(metavar="[OTHER]", help="A second run, to compare with.", show_default=False)
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            "-o",
            help="The HTML file to write.",
            show_default="RUN/report.html, or comparison.html for two runs",
        ),
    ] = None,
    open_it: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    rows: Annotated[
        int, typer.Option("--rows", min=0, help="Rows that are listed; of more, a random sample.")
    ] = 50_000,
    details: Annotated[
        int, typer.Option("--details", min=0, help="Rows that open with their seed, prompts and all samples.")
    ] = 500,
) -> None:
    """Show a run as a page: the funnel with examples, distributions, and every row with its way from the seed.

    The page is one file that needs no network. With two runs it compares them.
    """
    from snipmill.reporting.write import write_report

    runs = [run] if other is None else [run, other]
    written = asyncio.run(write_report(runs, out, rows, details, say))
    if out == "-":
        return
    looks = f"; {written.problems:,} things deserve a look" if written.problems else ""
    say(f"{written.path} ({written.size / 1e6:,.1f} MB){looks}.")
    if open_it and not webbrowser.open(Path(written.path).resolve().as_uri()):
        say("No browser could be opened. Open the file yourself.")


COMMANDS = {"report": lambda: report_command}
