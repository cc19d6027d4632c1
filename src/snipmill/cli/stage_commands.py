"""The stages between seeds and rows, by hand: `snipmill concepts`, `instructions`, `responses`, `execute`, `verify`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from snipmill.cli import options
from snipmill.cli.configured import Choice, configured
from snipmill.cli.display import finish_stage, live_count, say
from snipmill.config import Config
from snipmill.errors import UsageError
from snipmill.stages.stage_count import StageCount

if TYPE_CHECKING:
    from snipmill.engine.files import Files
    from snipmill.engine.over_records import Announce

_GENERATING = (*options.SERVER, *options.SAMPLING)
_ORDER = ("generate.samples", "generate.fewshot", "run.seed", *options.WINDOW)


def concepts(config: Config, source: options.Source, out: options.Out, rejects: options.RejectsFile = None) -> None:
    """S->C: ask a model which programming concepts each seed exercises."""
    generate_by_hand("concepts", config, source, out, rejects)


def instructions(config: Config, source: options.Source, out: options.Out, rejects: options.RejectsFile = None) -> None:
    """C->I: ask a model to write a task from each record's concepts."""
    generate_by_hand("instructions", config, source, out, rejects)


def responses(config: Config, source: options.Source, out: options.Out, rejects: options.RejectsFile = None) -> None:
    """I->R: ask a model for several responses to each instruction, with tests of its own."""
    generate_by_hand("responses", config, source, out, rejects)


def generate_by_hand(stage: str, config: Config, source: str, out: str, rejects: str | None) -> None:
    """Run a generation stage over a file, and show its funnel."""
    from snipmill.engine.by_hand import generate_file
    from snipmill.engine.files import Files

    files, count = Files(source, out, rejects), StageCount()
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
    from snipmill.engine.by_hand import execute_file
    from snipmill.engine.files import Files
    from snipmill.verification.data_sets import Columns

    columns = Columns(tests=tests_column, entry_point=entry_point_column, module=module_column)
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
    from snipmill.engine.by_hand import verify_file
    from snipmill.engine.files import Files

    _run_programs("verify", verify_file, Files(source, out, rejects), config)


def review(config: Config, source: options.Source, out: options.Out, rejects: options.RejectsFile = None) -> None:
    """Have a model compare each verified response with its instruction, and work out its confidence anew.

    Reads what `snipmill verify` wrote. Nothing is dropped.
    """
    from snipmill.engine.by_hand import review_file
    from snipmill.engine.files import Files

    files, count = Files(source, out, rejects), StageCount()
    with live_count("review", count):
        asyncio.run(review_file(files, config, count, say))
    finish_stage("review", count)


def _run_programs(
    stage: str, run_file: Callable[[Files, Config, StageCount, Announce], object], files: Files, config: Config
) -> None:
    count = StageCount()
    with live_count(stage, count):
        asyncio.run(run_file(files, config, count, say))  # type: ignore[arg-type]
    finish_stage(stage, count)


_ONE = {"generate.samples": 1}
_DRAWN = ("generate.match_examples", "generate.categories", "generate.difficulties")
_GROUPED = ("generate.match_examples", "generate.per_request")
_EVIDENCE = ("verify.agreement", "verify.repair", "verify.mutation", "verify.rerun")
_REVIEW = ("review.evidence", Choice("review.shots", "--shots"), "verify.calibration")
_EXECUTION = (*options.EXECUTION, *options.WINDOW)


def _asking(stage: str, *more: str) -> tuple[str | Choice, ...]:
    """The options of a stage that asks a model."""
    return (*_GENERATING, Choice(f"generate.shots.{stage}", "--shots"), *more, *_ORDER)


COMMANDS = {
    "concepts": lambda: configured(concepts, _asking("concepts"), _ONE),
    "instructions": lambda: configured(instructions, _asking("instructions", *_DRAWN), _ONE),
    "responses": lambda: configured(responses, _asking("responses", *_GROUPED)),
    "execute": lambda: configured(execute, _EXECUTION),
    "review": lambda: configured(
        review, (*options.SERVER, *_REVIEW, *options.WINDOW), {"review.evidence": "likelihood"}
    ),
    "verify": lambda: configured(verify, (*_EVIDENCE, *_EXECUTION)),
}
