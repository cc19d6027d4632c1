"""The stages that execute, as functions over iterables."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from pathlib import Path
from typing import Any

from snipmill.api.iteration import iterate
from snipmill.api.outcomes import (
    Items,
    Keep,
    OnReject,
    Outcomes,
    asynchronous,
    checked,
    flat,
    ignore,
    records_of,
    synchronous,
    to_path,
)
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
) -> Generator[Execution, None, None]:
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
    return synchronous(_executed(responses, config, journal), "execute", keep, on_reject)


def aexecute(
    responses: Items[Response],
    config: Config | None = None,
    *,
    keep: Keep[Execution] | None = None,
    on_reject: OnReject = ignore,
    journal: str | Path | None = None,
) -> AsyncGenerator[Execution, None]:
    """As `execute`, for asynchronous programs."""
    return asynchronous(_executed(responses, config, journal), "execute", keep, on_reject)


def agree(responses: Iterable[Response], config: Config | None = None) -> Generator[Examination, None, None]:
    """Every sample of a task against every assertion of all of them: one matrix for each task.

    Args:
        responses: those to one task must be neighbours.
        config: limits and tier, in `config.execute`.

    Raises:
        SandboxError: no tier works on this machine.
    """
    return iterate(_examined(responses, config))


def aagree(responses: Items[Response], config: Config | None = None) -> AsyncGenerator[Examination, None]:
    """As `agree`, for asynchronous programs."""
    return _examined(responses, config)


def verify(
    responses: Iterable[Response],
    config: Config | None = None,
    *,
    keep: Keep[Execution] | None = None,
    on_reject: OnReject = ignore,
    journal: str | Path | None = None,
) -> Generator[Execution, None, None]:
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
    return synchronous(_verified(responses, config, journal), "verify", keep, on_reject)


def averify(
    responses: Items[Response],
    config: Config | None = None,
    *,
    keep: Keep[Execution] | None = None,
    on_reject: OnReject = ignore,
    journal: str | Path | None = None,
) -> AsyncGenerator[Execution, None]:
    """As `verify`, for asynchronous programs."""
    return asynchronous(_verified(responses, config, journal), "verify", keep, on_reject)


def _executed(responses: Items[Response], config: Config | None, journal: str | Path | None) -> Outcomes:
    return _through(responses, "execute", executed, Setting(checked(config), journal=to_path(journal)))


def _verified(responses: Items[Response], config: Config | None, journal: str | Path | None) -> Outcomes:
    return _through(responses, "verify", verified, Setting(checked(config), journal=to_path(journal)))


async def _through(
    responses: Items[Response], name: str, stage: Callable[..., AsyncGenerator[Any, None]], setting: Setting
) -> Outcomes:
    async with (
        records_of(responses, Response, name) as found,
        contextlib.aclosing(flat(stage(found, setting))) as outcomes,
    ):
        async for outcome in outcomes:
            yield outcome


async def _examined(responses: Items[Response], config: Config | None) -> AsyncGenerator[Examination, None]:
    async with (
        records_of(responses, Response, "agree") as found,
        contextlib.aclosing(examined(found, Setting(checked(config)))) as outcomes,
    ):
        async for outcome in outcomes:
            yield outcome
