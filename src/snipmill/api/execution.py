"""The stages that execute, as functions over iterables."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Iterable
from pathlib import Path

from snipmill.api.iteration import AsyncStream, Make, Stream
from snipmill.api.outcomes import Items, Keep, OnReject, Outcomes, admitted, checked, ignore, records_of, to_path
from snipmill.config import Config
from snipmill.engine.over_records import Setting, Shared, examined, executed, verified
from snipmill.records import Examination, Execution, Response


def execute(
    responses: Iterable[Response],
    config: Config | None = None,
    *,
    keep: Keep[Execution] | None = None,
    on_reject: OnReject = ignore,
    journal: str | Path | None = None,
) -> Stream[Execution]:
    """Run each response's program by its own tests, in the sandbox. Those that do not pass are rejects with a verdict.

    Args:
        responses: with four sections each.
        config: limits and tier, in `config.execute`.
        keep: a filter of your own.
        on_reject: called with what did not pass, and with what the filter drops.
        journal: a file in which verdicts are remembered.

    Raises:
        SandboxError: no tier works on this machine.
    """
    return Stream(_made("execute", executed, responses, config, keep, on_reject, journal))


def aexecute(
    responses: Items[Response],
    config: Config | None = None,
    *,
    keep: Keep[Execution] | None = None,
    on_reject: OnReject = ignore,
    journal: str | Path | None = None,
) -> AsyncStream[Execution]:
    """As `execute`, for asynchronous programs."""
    return AsyncStream(_made("execute", executed, responses, config, keep, on_reject, journal))


def agree(responses: Iterable[Response], config: Config | None = None) -> Stream[Examination]:
    """Every sample of a task against every assertion of all of them: one matrix for each task.

    Args:
        responses: those to one task must be neighbours.
        config: limits and tier, in `config.execute`.

    Raises:
        SandboxError: no tier works on this machine.
    """
    return Stream(_examined(responses, config))


def aagree(responses: Items[Response], config: Config | None = None) -> AsyncStream[Examination]:
    """As `agree`, for asynchronous programs."""
    return AsyncStream(_examined(responses, config))


def verify(
    responses: Iterable[Response],
    config: Config | None = None,
    *,
    keep: Keep[Execution] | None = None,
    on_reject: OnReject = ignore,
    journal: str | Path | None = None,
) -> Stream[Execution]:
    """Execute responses and hold the samples of each task against each other: repaired tests, mutants, a confidence.

    Args:
        responses: those to one task must be neighbours.
        config: what a sample must withstand, in `config.verify`; limits and tier, in `config.execute`.
        keep: a filter of your own.
        on_reject: called with what did not pass, and with what the filter drops.
        journal: a file in which evidence is remembered; verdicts lie beside it.

    Raises:
        SandboxError: no tier works on this machine.
    """
    return Stream(_made("verify", verified, responses, config, keep, on_reject, journal))


def averify(
    responses: Items[Response],
    config: Config | None = None,
    *,
    keep: Keep[Execution] | None = None,
    on_reject: OnReject = ignore,
    journal: str | Path | None = None,
) -> AsyncStream[Execution]:
    """As `verify`, for asynchronous programs."""
    return AsyncStream(_made("verify", verified, responses, config, keep, on_reject, journal))


def _made(
    name: str,
    stage: Callable[[AsyncGenerator[Response, None], Setting], Outcomes],
    responses: Items[Response],
    config: Config | None,
    keep: Keep[Execution] | None,
    on_reject: OnReject,
    journal: str | Path | None,
) -> Make[Execution]:
    """How the records of a stage that executes are made. What is invalid in the configuration is told at once."""
    settings = checked(config)

    async def make(shared: Shared) -> AsyncGenerator[Execution, None]:
        given = records_of(responses, (Response,), name, on_reject, shared)
        outcomes = stage(given, Setting(settings, journal=to_path(journal)))
        async with contextlib.aclosing(given), contextlib.aclosing(admitted(outcomes, name, keep, on_reject)) as found:
            async for record in found:
                yield record

    return make


def _examined(responses: Items[Response], config: Config | None) -> Make[Examination]:
    settings = checked(config)

    async def make(shared: Shared) -> AsyncGenerator[Examination, None]:
        given = records_of(responses, (Response,), "agree", ignore, shared)
        async with contextlib.aclosing(given), contextlib.aclosing(examined(given, Setting(settings))) as found:
            async for examination in found:
                yield examination

    return make
