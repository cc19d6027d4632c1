"""The commands, gathered."""

from __future__ import annotations

import typer

from snipmill import __version__
from snipmill.cli import (
    audit_command,
    inspect_commands,
    prompts_commands,
    publish_commands,
    run_commands,
    seed_commands,
    selection_commands,
    stage_commands,
)

app = typer.Typer(
    name="snipmill",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help=(
        "Turn source code into a verified instruction-tuning data set for code models, with an open model and nothing "
        "else.\n\nBegin with [bold]snipmill quickstart[/]. Every stage can also be run by hand, file to file:\n\n"
        "seeds -> concepts -> instructions -> responses -> verify -> sanitize -> select"
    ),
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"snipmill {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Options of the command itself."""
    del version


run_commands.register(app)
seed_commands.register(app)
stage_commands.register(app)
selection_commands.register(app)
audit_command.register(app)
inspect_commands.register(app)
prompts_commands.register(app)
publish_commands.register(app)
