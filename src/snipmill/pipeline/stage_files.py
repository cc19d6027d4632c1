"""One stage alone, file to file: the same work as in a whole run, with the same result for the same seed.

Outputs are in input order. Beside an output file G lie G.rejects.jsonl and, where something was paid for,
G.journal.jsonl, from which the same command continues.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

from snipmill.config import Config
from snipmill.llm.connect import connect
from snipmill.pipeline import settings
from snipmill.pipeline.execute import execute
from snipmill.pipeline.funnel import StageCount
from snipmill.pipeline.generate import generate, sample_groups
from snipmill.pipeline.ordered import map_in_order
from snipmill.pipeline.sanitizing import sanitize_rows
from snipmill.pipeline.seeds import iterate_seeds
from snipmill.pipeline.selecting import select_lines
from snipmill.pipeline.verifying import Verifier, verify
from snipmill.prompts.stage import Stage
from snipmill.records import Execution, Record, Reject, Response, Row
from snipmill.store.journal import Asked, Executed, Journal, Mined, Verified
from snipmill.store.jsonl import Writer, read_records
from snipmill.store.places import Places
from snipmill.store.run_directory import journal_path, rejects_path

In = TypeVar("In", bound=Record)
Out = TypeVar("Out", bound=Record)
Announce = Callable[[str], None]


class Output:
    """An output file with its rejects beside it; counts what goes where. Use as a context manager."""

    def __init__(self, out: str, rejects: str | None, count: StageCount) -> None:
        self._out = out
        self._rejects = rejects if rejects is not None else (None if out == "-" else str(rejects_path(out)))
        self._count = count
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Output:
        self._kept: Writer[Record] = self._stack.enter_context(Writer(self._out))
        self._dropped: Writer[Reject] | None = None
        if self._rejects is not None:
            self._dropped = self._stack.enter_context(Writer(self._rejects))
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def write(self, outcome: Record, *, counted: bool = False) -> None:
        """A record to the output, a reject beside it."""
        if not counted:
            self._count.count(outcome.reason if isinstance(outcome, Reject) else None)
        if not isinstance(outcome, Reject):
            self._kept.write(outcome)
        elif self._dropped is not None:
            self._dropped.write(outcome)

    def write_line(self, line: bytes, reason: str | None) -> None:
        """A record that is encoded already, to the output, or to the rejects where there is a reason."""
        self._count.count(reason)
        if reason is None:
            self._kept.write_line(line)
        elif self._dropped is not None:
            self._dropped.write_line(line)


def _journal_file(out: str) -> Path | None:
    return None if out == "-" else journal_path(out)


def _records(records: Iterable[In | Reject], output: Output, stage: str) -> Iterator[In]:
    """The records of an input; lines that are none, and repeated records, go to the rejects."""
    seen = Places()
    for record in records:
        if isinstance(record, Reject):
            output.write(record)
        elif record.id in seen:
            detail = "A record with this id was already read."
            output.write(Reject(id=record.id, stage=stage, reason="duplicate-record", detail=detail))
        else:
            seen.put(record.id)
            yield record


def seeds_file(config: Config, out: str, rejects: str | None, count: StageCount) -> None:
    """Mine or read seeds and write them down.

    Raises:
        SnipmillError: a source or the output cannot be used, or an extra is missing.
    """
    with Output(out, rejects, count) as output, Journal(_journal_file(out), Mined) as journal:
        for seed in iterate_seeds(config, output.write, journal):
            output.write(seed)


async def generate_file(
    stage: Stage[In, Out],
    kind: type[In],
    source: str,
    out: str,
    rejects: str | None,
    config: Config,
    count: StageCount,
    announce: Announce,
    then: Callable[[Out | Reject], Out | Reject] | None = None,
) -> None:
    """Run a generation stage over a file, with `samples` samples for each record.

    `then` has the last word on each outcome.

    Raises:
        SnipmillError: the file, the server or the output cannot be used.
    """
    table = config.seeds
    records = read_records(source, kind, stage.name, table.start, table.limit)
    with Output(out, rejects, count) as output, Journal(_journal_file(out), Asked) as journal:
        async with connect(config.model) as connection:
            announce(connection.description)
            generation = settings.generations(config, connection.model)[stage.name]

            async def work(task: tuple[In, range]) -> list[Out | Reject]:
                return await generate(stage, *task, generation, connection.fleet, journal, count)

            groups = sample_groups(config.generate.samples, config.generate.per_request)
            tasks = ((record, group) for record in _records(records, output, stage.name) for group in groups)
            async for outcomes in map_in_order(tasks, work, 4 * connection.most):
                for outcome in outcomes:
                    last = outcome if then is None else then(outcome)
                    if isinstance(last, Reject) and not isinstance(outcome, Reject):
                        count.recount(last.reason)
                    output.write(last, counted=True)


async def execute_file(
    source: str, out: str, rejects: str | None, config: Config, count: StageCount, announce: Announce
) -> None:
    """Run the programs of a file of responses.

    Raises:
        SnipmillError: the file, the sandbox or the output cannot be used.
    """
    table = config.seeds
    records = read_records(source, Response, "execute", table.start, table.limit)
    limits, environment = settings.limits(config), settings.environment(config)
    with Output(out, rejects, count) as output, Journal(_journal_file(out), Executed) as journal:
        async with settings.open_sandbox(config) as sandbox:
            announce(f"sandbox tier {sandbox.tier}")

            async def work(record: Response) -> Execution | Reject:
                return await execute(record, sandbox, limits, environment, journal, count)

            async for outcome in map_in_order(_records(records, output, "execute"), work, 64):
                output.write(outcome, counted=True)


async def agree_file(
    source: str, out: str, rejects: str | None, config: Config, count: StageCount, announce: Announce
) -> None:
    """Run a file of responses, and hold the samples of each instruction against each other. Samples stand together in it.

    Raises:
        SnipmillError: the file, the sandbox or the output cannot be used.
    """
    table = config.seeds
    records = read_records(source, Response, "verify", table.start, table.limit)
    limits, environment = settings.limits(config), settings.environment(config)
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(Output(out, rejects, count))
        journal = _journal_file(out)
        executed = stack.enter_context(Journal(journal and journal.with_suffix(".executed"), Executed))
        verified = stack.enter_context(Journal(journal, Verified))
        async with settings.open_sandboxes(config) as (sandbox, again):
            announce(f"sandbox tier {sandbox.tier}")
            verifier = Verifier(sandbox, again, limits, environment, config.verify, verified, count)

            async def work(group: list[Response]) -> list[Execution | Reject]:
                runs = (execute(one, sandbox, limits, environment, executed, StageCount()) for one in group)
                tried = list(zip(group, await asyncio.gather(*runs), strict=True))
                outcomes = await verify(verifier, tried)
                told = {outcome.id for outcome in outcomes}
                failed = [outcome for _, outcome in tried if isinstance(outcome, Reject) and outcome.id not in told]
                for reject in failed:
                    count.count(reject.reason)
                return [*outcomes, *failed]

            groups = (list(group) for _, group in groupby(_records(records, output, "verify"), _question))
            async for outcomes in map_in_order(groups, work, 16):
                for outcome in outcomes:
                    output.write(outcome, counted=True)


def _question(response: Response) -> str:
    return response.parents.get("instruction") or response.instruction


def sanitize_file(source: str, out: str, rejects: str | None, config: Config, count: StageCount) -> None:
    """Check the responses of a file and write them as rows in a style."""
    with Output(out, rejects, count) as output:
        rows = _records(read_records(source, Row, "sanitize"), output, "sanitize")
        for line, reason in sanitize_rows(rows, config.select, config.run.seed):
            output.write_line(line, reason)


def select_file(source: str, out: str, rejects: str | None, config: Config, count: StageCount) -> None:
    """Choose among the rows of a file."""
    with Output(out, rejects, count) as output:
        rows = _records(read_records(source, Row, "select"), output, "select")
        for line in select_lines(rows, config.select, config.run.seed, output.write):
            output.write_line(line, None)
