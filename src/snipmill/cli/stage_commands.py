"""The stages between seeds and rows, by hand: `snipmill concepts`, `instructions`, `responses`, `execute`, `verify`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Annotated

import typer

from snipmill.cli import options
from snipmill.cli.configured import Choice, configured
from snipmill.cli.display import finish_stage, live_count, say
from snipmill.cli.errors import guarded
from snipmill.config import Config
from snipmill.engine.by_hand import Announce, execute_file, generate_file, verify_file
from snipmill.engine.files import Files
from snipmill.errors import UsageError
from snipmill.stages.funnel import StageCount
from snipmill.verify.any_program import TestColumns

_GENERATING = (*options.SERVER, *options.SAMPLING)
_ORDER = ("generate.samples", "generate.fewshot", "run.seed", *options.WINDOW)


def register(app: typer.Typer) -> None:
    """Add the commands in the order of the data."""
    one = {"generate.samples": 1}
    drawn = ("generate.match_examples", "generate.categories", "generate.difficulties")
    grouped = ("generate.match_examples", "generate.per_request")
    evidence = ("verify.agreement", "verify.repair", "verify.mutation", "verify.rerun")
    for command in (
        configured(concepts, (*_GENERATING, Choice("generate.shots.concepts", "--shots"), *_ORDER), one),
        configured(
            instructions, (*_GENERATING, Choice("generate.shots.instructions", "--shots"), *drawn, *_ORDER), one
        ),
        configured(responses, (*_GENERATING, Choice("generate.shots.responses", "--shots"), *grouped, *_ORDER)),
        configured(execute, (*options.EXECUTION, *options.WINDOW)),
        configured(verify, (*evidence, *options.EXECUTION, *options.WINDOW)),
    ):
        app.command(command.__name__, rich_help_panel=options.STAGES_BY_HAND)(guarded(command))
    app.command("agree", hidden=True, context_settings={"ignore_unknown_options": True, "allow_extra_args": True})(
        guarded(agree)
    )


def concepts(config: Config, source: options.Source, out: options.Out, rejects: options.RejectsFile = None) -> None:
    """S->C: ask a model which programming concepts each seed exercises."""
    generate_by_hand("concepts", Files(source, out, rejects), config)


def instructions(config: Config, source: options.Source, out: options.Out, rejects: options.RejectsFile = None) -> None:
    """C->I: ask a model to write a task from each record's concepts."""
    generate_by_hand("instructions", Files(source, out, rejects), config)


def responses(config: Config, source: options.Source, out: options.Out, rejects: options.RejectsFile = None) -> None:
    """I->R: ask a model for several responses to each instruction, with tests of its own."""
    generate_by_hand("responses", Files(source, out, rejects), config)


def generate_by_hand(stage: str, files: Files, config: Config) -> None:
    """Run a generation stage over a file, and show its funnel."""
    count = StageCount()
    with live_count(stage, count):
        asyncio.run(generate_file(stage, files, config, count, say))
    finish_stage(stage, count)


def execute(
    config: Config,
    source: options.Source,
    out: options.Out,
    rejects: options.RejectsFile = None,
    tests_column: options.TestsColumn = None,
    entry_point_column: options.EntryPointColumn = None,
    module_column: options.ModuleColumn = None,
) -> None:
    """Run each response's implementation and tests in the sandbox; what passes is kept, with its evidence.

    With --tests-column, a response may be any Markdown with Python blocks, or code alone.
    """
    columns = TestColumns(tests_column, entry_point_column, module_column)
    _run_programs("execute", partial(execute_file, columns=columns), Files(source, out, rejects), config)


def verify(
    config: Config,
    source: options.Source,
    out: Annotated[
        str | None,
        typer.Option("--out", "-o", help="File to write, or - for standard output; required.", show_default=False),
    ] = None,
    rejects: options.RejectsFile = None,
    tests_column: Annotated[str | None, typer.Option(hidden=True)] = None,
    response_column: Annotated[str | None, typer.Option(hidden=True)] = None,
    instruction_column: Annotated[str | None, typer.Option(hidden=True)] = None,
    min_mutation: Annotated[str | None, typer.Option(hidden=True)] = None,
    allow: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Execute all samples of each instruction and test them against each other; keep those fit to become rows.

    Samples of one instruction must be adjacent in the file, as `snipmill responses` writes them. To check a finished data set,
    use `snipmill audit`.
    """
    # `snipmill verify DATASET` was once what `audit` is now; these were its options.
    if out is None or any((tests_column, response_column, instruction_column, min_mutation, allow)):
        raise UsageError(
            "Give --out FILE for the verified responses. To execute a finished data set again, use `snipmill audit DATASET`."
        )
    _run_programs("verify", verify_file, Files(source, out, rejects), config)


def _run_programs(
    stage: str, run_file: Callable[[Files, Config, StageCount, Announce], object], files: Files, config: Config
) -> None:
    count = StageCount()
    with live_count(stage, count):
        asyncio.run(run_file(files, config, count, say))  # type: ignore[arg-type]
    finish_stage(stage, count)


def agree(_context: typer.Context) -> None:
    """The old name of `snipmill verify`."""
    say("`snipmill agree` is now `snipmill verify`, with the same options.")
    raise typer.Exit(2)
