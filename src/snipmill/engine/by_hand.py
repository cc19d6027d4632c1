"""One stage by hand, file to file: the same work as in a whole run, with the same result for the same seed.

Outputs are in input order. Beside an output file G lie G.rejects.jsonl and, where something was paid for, G.journal.jsonl, from
which the same command continues.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence

from snipmill.config import Config
from snipmill.engine.files import Files, Output, read_input
from snipmill.engine.over_records import Announce, Setting, asked, executed, reviewed, verified
from snipmill.engine.shared import Shared
from snipmill.errors import UsageError
from snipmill.records import Execution, Record, Response
from snipmill.stages.seed_stream import iterate_seeds, resolve_seeds
from snipmill.stages.settings import resolve_generation
from snipmill.stages.spec import BY_NAME, EXECUTE, REVIEW, VERIFY
from snipmill.stages.stage_count import StageCount
from snipmill.stages.stage_models import model_of_stage
from snipmill.store.entries import MiningEntry
from snipmill.store.foreign import without_stale_columns
from snipmill.store.journal import Journal
from snipmill.verification.data_sets import Columns


async def _write(outcomes: AsyncGenerator[Sequence[Record], None], output: Output) -> None:
    async with contextlib.aclosing(outcomes) as found:
        async for some in found:
            for outcome in some:
                output.write(outcome)


def seeds_file(config: Config, out: str, rejects: str | None, count: StageCount) -> None:
    """Mine or read seeds and write them down.

    Raises:
        SnipmillError: a source or the output cannot be used, or an extra is missing.
    """
    files, settings = Files("", out, rejects), resolve_seeds(config)
    with Output(files, count) as output, Journal(files.journal, MiningEntry) as journal:
        for seed in iterate_seeds(settings, output.write_and_count, journal):
            output.write_and_count(seed)


async def generate_file(stage: str, files: Files, config: Config, count: StageCount, announce: Announce) -> None:
    """Run a generation stage over a file, with `generate.samples` samples for each record.

    Raises:
        SnipmillError: the file, the server or the output cannot be used.
    """
    spec = BY_NAME[stage]
    assert spec.generation is not None and spec.reads is not None
    settings = resolve_generation(config)[stage]
    with Output(files, count) as output:
        records = read_input(files, BY_NAME[spec.reads].makes, stage, output, config.seeds)
        fresh = (without_stale_columns(record, asks=True) for record in records)
        setting = Setting(config, count, files.journal, announce)
        model = model_of_stage(config, stage)
        async with Shared() as shared:
            outcomes = asked(spec.generation, fresh, settings, model, setting, shared, output.located)
            await _write(outcomes, output)


async def execute_file(
    files: Files, config: Config, count: StageCount, announce: Announce, columns: Columns | None = None
) -> None:
    """Run the programs of a file of responses.

    Args:
        files: what to read and write.
        config: limits and sandbox.
        count: counts records as they are done.
        announce: is told the sandbox tier.
        columns: where the tests are, if not in the responses.

    Raises:
        SnipmillError: the file, the sandbox or the output cannot be used.
    """
    with Output(files, count) as output:
        responses = map(without_stale_columns, read_input(files, Response, EXECUTE, output, config.seeds))
        await _write(executed(responses, Setting(config, count, files.journal, announce), columns), output)


async def verify_file(files: Files, config: Config, count: StageCount, announce: Announce) -> None:
    """Run a file of responses, and hold the samples of each instruction against each other. They must be adjacent.

    Raises:
        SnipmillError: the file, the sandbox or the output cannot be used.
    """
    with Output(files, count) as output:
        responses = map(_refuse_row, read_input(files, Response, VERIFY, output, config.seeds))
        await _write(verified(responses, Setting(config, count, files.journal, announce)), output)


async def review_file(files: Files, config: Config, count: StageCount, announce: Announce) -> None:
    """Have a model compare the verified responses of a file with their instructions.

    Raises:
        UsageError: nothing is to be asked.
        SnipmillError: the file, the server or the output cannot be used.
    """
    with Output(files, count) as output:
        executions = read_input(files, Execution, REVIEW, output, config.seeds)
        await _write(reviewed(executions, Setting(config, count, files.journal, announce)), output)


def _refuse_row(response: Response) -> Response:
    """A response that is not a finished row: `snipmill verify DATASET` was once what `snipmill audit DATASET` is now."""
    if isinstance(response.columns, dict) and {"style", "verdict", "verification"} <= response.columns.keys():
        raise UsageError(
            f"{response.id} is a row of a finished data set. To execute a data set again, use `snipmill audit DATASET`; "
            "`snipmill verify` takes responses."
        )
    return without_stale_columns(response)
