"""The stages that execute, as functions over iterables."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable
from pathlib import Path
from typing import Any

from snipmill.api.iteration import AsyncStream, Make, Stream
from snipmill.api.outcomes import Items, Keep, OnReject, Outcomes, checked, ignore, making, to_path
from snipmill.config import Config
from snipmill.engine.over_records import Setting, examined, executed, verified
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
    return Stream(_made("agree", examined, responses, config))


def aagree(responses: Items[Response], config: Config | None = None) -> AsyncStream[Examination]:
    """As `agree`, for asynchronous programs."""
    return AsyncStream(_made("agree", examined, responses, config))


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
    keep: Keep[Execution] | None = None,
    on_reject: OnReject = ignore,
    journal: str | Path | None = None,
) -> Make[Any]:
    """How the records of a stage that executes are made. What is invalid in the configuration is told at once."""
    setting = Setting(checked(config), journal=to_path(journal))
    return making(name, (Response,), responses, lambda given, _shared: stage(given, setting), keep, on_reject)
