"""One stage by hand, file to file: the same work as in a whole run, with the same result for the same seed.

Outputs are in input order. Beside an output file G lie G.rejects.jsonl and, where something was paid for, G.journal.jsonl, from
which the same command continues.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import groupby, takewhile
from typing import Any, TypeVar

from snipmill.config import Config, ExecuteTable
from snipmill.engine.files import Files, Output, read_input
from snipmill.engine.flow import sample_groups
from snipmill.errors import BudgetSpent, UsageError
from snipmill.llm.connect import connect
from snipmill.parallel.chunks import available_cores
from snipmill.parallel.in_order import gather_or_raise, map_in_order
from snipmill.records import Execution, Record, Reject, Response
from snipmill.stages.attempts import Attempt, SampleSet, parse_candidate
from snipmill.stages.budget import open_budget
from snipmill.stages.calibration_file import load_calibration
from snipmill.stages.execute import Execute
from snipmill.stages.generate import Generate, SampleTask, last_word
from snipmill.stages.review import AskReviewer, Reviewer, ReviewQuestion, resolve_review
from snipmill.stages.runner import Runner
from snipmill.stages.seed_stream import iterate_seeds, resolve_seeds
from snipmill.stages.settings import for_models, resolve_execution, resolve_generation
from snipmill.stages.spec import BY_NAME, EXECUTE, JUDGE, REVIEW, VERIFY
from snipmill.stages.stage_count import StageCount
from snipmill.stages.stage_models import model_of_stage
from snipmill.stages.verify_samples import Verifier, Verify
from snipmill.store.foreign import without_stale_columns
from snipmill.store.journal import CompletionEntry, Journal, MiningEntry, VerdictEntry, VerificationEntry, usages_in
from snipmill.verify.data_sets import Columns

Task = TypeVar("Task")
Announce = Callable[[str], None]
_UNDER_WAY = 64  # programs or instructions at a time, or more where there are many workers


async def _run_over(
    tasks: Iterable[Task], make: Callable[[Task], Awaitable[Sequence[Record]]], output: Output, window: int
) -> None:
    """A file is one runner over its records."""
    async for outcomes in map_in_order(tasks, make, window):
        for outcome in outcomes:
            output.write(outcome)


def window(table: ExecuteTable) -> int:
    """How many programs or instructions are under way at a time, so that no worker waits for the next one."""
    return max(_UNDER_WAY, 4 * (table.workers or available_cores()))


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
    kind: type[Any] = BY_NAME[spec.reads].makes
    generation = resolve_generation(config)
    with Output(files, count) as output, Journal(files.journal, CompletionEntry) as journal:
        async with connect(model_of_stage(config, stage)) as connection:
            announce(connection.description)
            settings = for_models(generation, {stage: connection.model})[stage]
            budget, decide = open_budget(config), last_word(stage, config)
            if budget.is_limited and files.journal is not None:
                budget.spend(stage, usages_in(files.journal))
            fleet = connection.fleet
            work: Generate[Any, Any] = Generate(spec.generation, settings, fleet, budget=budget, decide=decide)
            samples = 1 if stage == JUDGE else config.generate.samples
            groups = sample_groups(samples, config.generate.per_request)
            records = (
                without_stale_columns(record, asks=True)
                for record in read_input(files, kind, stage, output, config.seeds)
            )
            spent: list[BudgetSpent] = []
            runner = Runner(work, journal, count)

            async def make(task: SampleTask) -> Sequence[Record]:
                """The outcomes of a task; none where nothing more may be spent, so that what is in flight can end."""
                try:
                    return [output.located(outcome, task.record.id) for outcome in await runner.make(task)]
                except BudgetSpent as error:
                    spent.append(error)
                    return []

            tasks = (
                SampleTask(record, group) for record in takewhile(lambda _: not spent, records) for group in groups
            )
            await _run_over(tasks, make, output, 4 * connection.max_in_flight)
            for note in fleet.notes:
                announce(note)
            if spent:
                raise spent[0]
        refused = fleet.refused(stage)
        if refused is not None and count.has_nothing:
            raise refused


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
    settings = resolve_execution(config.execute)
    with Output(files, count) as output, Journal(files.journal, VerdictEntry) as journal:
        async with settings.sandbox(config.execute.sandbox) as sandbox:
            announce(f"sandbox tier {sandbox.tier}")
            runner = Runner(Execute(settings.context(sandbox.tier), sandbox), journal, count)
            candidates = (
                parse_candidate(without_stale_columns(one), columns)
                for one in read_input(files, Response, EXECUTE, output, config.seeds)
            )
            await _run_over(candidates, runner.make, output, window(config.execute))


async def verify_file(files: Files, config: Config, count: StageCount, announce: Announce) -> None:
    """Run a file of responses, and hold the samples of each instruction against each other. They must be adjacent.

    Raises:
        SnipmillError: the file, the sandbox or the output cannot be used.
    """
    settings, calibration = resolve_execution(config.execute), load_calibration(config.verify.calibration)
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(Output(files, count))
        verdicts = files.journal and files.journal.with_suffix(".executed")
        executed = stack.enter_context(Journal(verdicts, VerdictEntry))
        verified = stack.enter_context(Journal(files.journal, VerificationEntry))
        async with settings.open() as sandboxes:
            announce(f"sandbox tier {sandboxes.first.tier}")
            context = settings.context(sandboxes.first.tier)
            execute = Runner(Execute(context, sandboxes.first), executed)
            verifier = Verifier(context, config.verify, calibration, sandboxes)
            verify = Runner(Verify(verifier), verified, count)

            async def try_response(response: Response) -> Attempt:
                candidate = parse_candidate(response)
                (outcome,) = await execute.make(candidate)
                return Attempt(candidate, outcome)

            async def make(group: list[Response]) -> list[Execution | Reject]:
                samples = SampleSet(await gather_or_raise(map(try_response, group)))
                outcomes = list(await verify.make(samples))
                told = {outcome.id for outcome in outcomes}
                kept = {outcome.id for outcome in outcomes if isinstance(outcome, Execution)}
                failed = {attempt.response.id for attempt in samples.attempts if isinstance(attempt.outcome, Reject)}
                count.rescued += len(kept & failed)
                for attempt in samples.attempts:
                    if isinstance(attempt.outcome, Reject) and attempt.outcome.id not in told:
                        count.count(attempt.outcome.reason)
                        outcomes.append(attempt.outcome)
                return outcomes

            responses = map(_refuse_row, read_input(files, Response, VERIFY, output, config.seeds))
            groups = (list(group) for _, group in groupby(responses, _instruction_of))
            await _run_over(groups, make, output, window(config.execute))


async def review_file(files: Files, config: Config, count: StageCount, announce: Announce) -> None:
    """Have a model compare the verified responses of a file with their instructions.

    Raises:
        UsageError: nothing is to be asked.
        SnipmillError: the file, the server or the output cannot be used.
    """
    table, calibration = model_of_stage(config, REVIEW), load_calibration(config.verify.calibration)
    with Output(files, count) as output, Journal(files.journal, CompletionEntry) as journal:
        async with connect(table) as connection:
            announce(connection.description)
            settings, budget = resolve_review(config, connection.model), open_budget(config)
            if settings is None:
                raise UsageError("review.evidence is off. Choose likelihood, questions or both with --evidence.")
            if budget.is_limited and files.journal is not None:
                budget.spend(REVIEW, usages_in(files.journal))
            reviewer = Reviewer(settings, calibration)
            runner = Runner(AskReviewer(settings, connection.fleet, budget), journal, count)

            async def ask(question: ReviewQuestion) -> float | None:
                (found,) = await runner.make(question)
                return found

            async def make(group: list[Execution]) -> list[Execution | Reject]:
                reviewed = await reviewer.review(group, lambda _: None, ask, gather_or_raise)
                for _ in reviewed:
                    count.count(None)
                return reviewed

            executions = read_input(files, Execution, REVIEW, output, config.seeds)
            groups = (list(group) for _, group in groupby(executions, _instruction_of))
            await _run_over(groups, make, output, 4 * connection.max_in_flight)
            for note in connection.fleet.notes:
                announce(note)


def _refuse_row(response: Response) -> Response:
    """A response that is not a finished row: `snipmill verify DATASET` was once what `snipmill audit DATASET` is now."""
    if isinstance(response.columns, dict) and {"style", "verdict", "verification"} <= response.columns.keys():
        raise UsageError(
            f"{response.id} is a row of a finished data set. To execute a data set again, use `snipmill audit DATASET`; "
            "`snipmill verify` takes responses."
        )
    return without_stale_columns(response)


def _instruction_of(response: Response) -> str:
    return response.parents.get("instruction") or response.instruction
