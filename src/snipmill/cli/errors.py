"""What goes wrong in a command becomes one sentence on standard error and an exit code, never a traceback."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import ParamSpec

import typer
from rich.markup import escape

from snipmill.cli.display import console
from snipmill.errors import SnipmillError

INTERRUPTED = 130
P = ParamSpec("P")


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """A command whose errors are told to a person."""

    @functools.wraps(command)
    def call(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except SnipmillError as error:
            _say(str(error))
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            _say("Stopped. What was done so far is kept; the same command continues.")
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            # The reader of our output went away; nothing is left to say to it.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            raise typer.Exit(1) from None

    return call


def _say(sentence: str) -> None:
    console.print(f"[bold red]snipmill:[/] {escape(sentence)}", soft_wrap=True)
