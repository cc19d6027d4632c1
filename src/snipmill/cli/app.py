"""The commands, gathered. A command's module is imported when the command is asked for, so that each starts fast."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from snipmill import __version__
from snipmill.cli.errors import guarded

_MAIN, _STAGES, _LOOK = "From code to data set", "One stage by hand, file to file", "Inspect"
_PUBLISH = "Train on it, publish it, prove it"
# In the order of the help: the module whose `COMMANDS` holds the command, and the part of the help that lists it.
_WHERE = {
    "quickstart": ("run_commands", _MAIN),
    "run": ("run_commands", _MAIN),
    "gather": ("run_commands", _MAIN),
    "seeds": ("seed_commands", _STAGES),
    "judge": ("seed_commands", _STAGES),
    "concepts": ("stage_commands", _STAGES),
    "instructions": ("stage_commands", _STAGES),
    "responses": ("stage_commands", _STAGES),
    "execute": ("stage_commands", _STAGES),
    "verify": ("stage_commands", _STAGES),
    "review": ("stage_commands", _STAGES),
    "sanitize": ("selection_commands", _STAGES),
    "select": ("selection_commands", _STAGES),
    "fingerprint": ("selection_commands", _STAGES),
    "calibrate": ("calibrate_command", _LOOK),
    "audit": ("audit_command", _LOOK),
    "doctor": ("inspect_commands", _LOOK),
    "status": ("inspect_commands", _LOOK),
    "show": ("inspect_commands", _LOOK),
    "report": ("report_command", _LOOK),
    "prompts": ("prompts_commands", _LOOK),
    "export": ("publish_commands", _PUBLISH),
    "attribution": ("publish_commands", _PUBLISH),
    "card": ("publish_commands", _PUBLISH),
    "push": ("publish_commands", _PUBLISH),
    "reproduce": ("publish_commands", _PUBLISH),
    "forget": ("publish_commands", _PUBLISH),
}


class _Commands(TyperGroup):
    """Looks a command up in its module."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of all commands, in the order of the help."""
        del ctx
        return list(_WHERE)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command with a name; None where there is none."""
        del ctx
        if cmd_name not in _WHERE:
            return None
        module, panel = _WHERE[cmd_name]
        made = import_module(f"snipmill.cli.{module}").COMMANDS[cmd_name]()
        if isinstance(made, typer.Typer):
            group = typer.main.get_command(made)
            group.name, group.rich_help_panel = cmd_name, panel  # type: ignore[attr-defined]
            return group
        alone = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)
        alone.command(cmd_name, rich_help_panel=panel)(guarded(made))
        return typer.main.get_command(alone)


app = typer.Typer(
    cls=_Commands,
    name="snipmill",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help=(
        "Turn source code into a verified instruction-tuning data set for code models, with an open model and nothing "
        "else.\n\nBegin with [bold]snipmill quickstart[/]. Every stage can also be run by hand, file to file:\n\n"
        "seeds -> concepts -> instructions -> responses -> verify (-> review) -> sanitize -> select"
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
