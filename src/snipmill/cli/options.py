"""Arguments and options that are no keys of the configuration, and groups of keys that commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Source = Annotated[str, typer.Argument(help="Input file of JSON lines, or - for standard input.", show_default=False)]
Out = Annotated[str, typer.Option("--out", "-o", help="File to write, or - for standard output.", show_default=False)]
TestsColumn = Annotated[
    str | None,
    typer.Option(
        "--tests-column",
        help="Column that holds the tests, where the answer does not: Python, or JSON as data sets have it.",
        show_default=False,
    ),
]
EntryPointColumn = Annotated[
    str | None,
    typer.Option("--entry-point-column", help="Column that names what `check(candidate)` tests.", show_default=False),
]
ModuleColumn = Annotated[
    str | None,
    typer.Option(
        "--module-column", help="Column that names the module as which the tests import the answer.", show_default=False
    ),
]
RejectsFile = Annotated[
    str | None, typer.Option("--rejects", help="File for what is dropped.", show_default="beside --out")
]
NO_LICENSE = (
    "No licence was found. If the code is yours, state its licence with --license (LicenseRef-NAME for none of the public "
    "ones), or take everything with --licenses any; in a configuration, set `license` or `licenses` in [seeds]."
)

WINDOW = ("seeds.start", "seeds.limit")
SERVER = ("model.base_url", "model.name", "model.prompting", "model.concurrency")
SAMPLING = ("model.sampling.temperature", "model.max_tokens", "generate.draws")
EXECUTION = (
    "execute.sandbox",
    "execute.timeout",
    "execute.memory",
    "execute.workers",
    "execute.interpreter",
    "execute.allow_fork",
)
