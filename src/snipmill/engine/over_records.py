"""One stage over records, wherever they come from: the same work as in a whole run, with the same result for the same seed.

Outcomes come in the order of the records. What is paid for is written to a journal, where there is one, and found there again.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, takewhile
from pathlib import Path
from typing import Any, TypeVar

from snipmill.config import Config, ExecuteTable
from snipmill.config_model import ModelTable
from snipmill.engine.flow import sample_groups
from snipmill.engine.shared import Shared
from snipmill.errors import BudgetSpent, UsageError
from snipmill.llm.connect import connect
from snipmill.parallel.chunks import available_cores
from snipmill.parallel.in_order import gather_or_raise, map_in_order
from snipmill.prompts.stage import GenerationStage
from snipmill.records import Examination, Execution, Record, Reject, Response
from snipmill.stages.attempts import Attempt, SampleSet, parse_candidate
from snipmill.stages.budget import open_budget
from snipmill.stages.calibration_file import load_calibration
from snipmill.stages.execute import Execute
from snipmill.stages.generate import Generate, GenerationSettings, SampleTask, last_word
from snipmill.stages.review import AskReviewer, Reviewer, ReviewQuestion, resolve_review
from snipmill.stages.runner import Runner
from snipmill.stages.settings import resolve_execution
from snipmill.stages.spec import JUDGE, REVIEW
from snipmill.stages.stage_count import StageCount
from snipmill.stages.stage_models import model_of_stage
from snipmill.stages.verify_samples import Verifier, Verify
from snipmill.store.entries import CompletionEntry, VerdictEntry, VerificationEntry
from snipmill.store.journal import Journal, usages_in
from snipmill.verification.data_sets import Columns
from snipmill.verification.examination import describe

A = TypeVar("A")
B = TypeVar("B")
R = TypeVar("R", bound=Record)
Records = Iterable[R] | AsyncIterator[R]
Announce = Callable[[str], None]
_UNDER_WAY = 64  # programs or instructions at a time, or more where there are many workers


def _say_nothing(_text: str) -> None:
    return None


@dataclass(frozen=True)
class Setting:
    """What a stage works under.

    Attributes:
        config: every key resolved.
        count: counts records as they are done.
        journal: where what is paid for is written down; None for nowhere.
        announce: is told the model, or the sandbox tier, and what a server does not take.
    """

    config: Config
    count: StageCount = field(default_factory=StageCount)
    journal: Path | None = None
    announce: Announce = _say_nothing


def _each(
    items: Records[Any] | Iterable[A] | AsyncIterator[A], make: Callable[[A], Awaitable[B]], window: int
) -> contextlib.aclosing[AsyncGenerator[B, None]]:
    """The results of some work, in order; an end of the block ends what is under way."""
    return contextlib.aclosing(map_in_order(items, make, window))


def window(table: ExecuteTable) -> int:
    """How many programs or instructions are under way at a time, so that no worker waits for the next one."""
    return max(_UNDER_WAY, 4 * (table.workers or available_cores()))


Located = Callable[[Record, str], Record]


async def asked(
    definition: GenerationStage[Any, Any],
    records: Records[Any],
    settings: GenerationSettings,
    model: ModelTable,
    setting: Setting,
    shared: Shared,
    located: Located = lambda outcome, _: outcome,
) -> AsyncGenerator[Sequence[Record], None]:
    """What a model makes of records: `generate.samples` outcomes for each, in the order of the records.

    Args:
        definition: how it is asked, and how its answers are read.
        records: what to ask about.
        settings: what decides the request, but for the name of the model.
        model: where it is.
        setting: under which the stage works.
        shared: connections and budget.
        located: gives an outcome the place of the record with an id.

    Raises:
        BudgetSpent: nothing more may be spent; what was in flight has been yielded.
        SnipmillError: the server cannot be used.
    """
    config, stage = setting.config, definition.name
    with Journal(setting.journal, CompletionEntry) as journal:
        connection = await shared.connect(model)
        setting.announce(connection.description)
        budget, spent = shared.budget(config), list[BudgetSpent]()
        if budget.is_limited and setting.journal is not None:
            budget.spend(stage, usages_in(setting.journal))
        work: Generate[Any, Any] = Generate(
            definition,
            replace(settings, model=connection.model),
            connection.fleet,
            budget=budget,
            decide=last_word(stage, config),
        )
        runner = Runner(work, journal, setting.count)
        groups = sample_groups(1 if stage == JUDGE else config.generate.samples, config.generate.per_request)

        async def make(task: SampleTask) -> Sequence[Record]:
            """The outcomes of a task; none where nothing more may be spent, so that what is in flight can end."""
            try:
                return [located(outcome, task.record.id) for outcome in await runner.make(task)]
            except BudgetSpent as error:
                spent.append(error)
                return []

        async with _each(_tasks(records, groups, spent), make, 4 * connection.max_in_flight) as results:
            async for outcomes in results:
                yield outcomes
        for note in connection.fleet.notes:
            setting.announce(note)
        _tell(spent)
        refused = connection.fleet.refused(stage)
        if refused is not None and setting.count.has_nothing:
            raise refused


def _tasks(
    records: Records[Any], groups: Sequence[range], spent: list[BudgetSpent]
) -> Iterable[SampleTask] | AsyncIterator[SampleTask]:
    """What to ask about each record, until nothing more may be spent."""
    if isinstance(records, AsyncIterator):
        return _tasks_later(_until_spent(records, spent), groups, spent)
    return (SampleTask(one, group) for one in takewhile(lambda _: not spent, records) for group in groups)


async def _tasks_later(
    records: AsyncGenerator[Any, None], groups: Sequence[range], spent: Sequence[BudgetSpent]
) -> AsyncGenerator[SampleTask, None]:
    async with contextlib.aclosing(records) as found:
        async for record in found:
            if spent:
                return
            for group in groups:
                yield SampleTask(record, group)


async def _until_spent(items: AsyncIterator[A], spent: list[BudgetSpent]) -> AsyncGenerator[A, None]:
    """The items of the stage before, until it may spend nothing more: then what is in flight here still comes to its end."""
    try:
        async with contextlib.aclosing(closing(items)) as found:
            async for item in found:
                yield item
    except BudgetSpent as error:
        spent.append(error)


def _before_spent(records: Records[R], spent: list[BudgetSpent]) -> Records[R]:
    return _until_spent(records, spent) if isinstance(records, AsyncIterator) else records


def _tell(spent: list[BudgetSpent]) -> None:
    if spent:
        raise spent[0]


async def closing(items: AsyncIterator[A]) -> AsyncGenerator[A, None]:
    """The items; where no more are wanted, whoever makes them is told."""
    try:
        async for item in items:
            yield item
    finally:
        if hasattr(items, "aclose"):
            await items.aclose()


async def executed(
    responses: Records[Response], setting: Setting, columns: Columns | None = None
) -> AsyncGenerator[Sequence[Execution | Reject], None]:
    """What comes of each response's program.

    Args:
        responses: with a program each.
        setting: under which the stage works.
        columns: where the tests are, if not in the responses.

    Raises:
        SnipmillError: the sandbox cannot be used.
    """
    table, spent = setting.config.execute, list[BudgetSpent]()
    settings = resolve_execution(table)
    with Journal(setting.journal, VerdictEntry) as journal:
        async with settings.sandbox(table.sandbox) as sandbox:
            setting.announce(f"sandbox tier {sandbox.tier}")
            runner = Runner(Execute(settings.context(sandbox.tier), sandbox), journal, setting.count)

            async def make(response: Response) -> Sequence[Execution | Reject]:
                return await runner.make(parse_candidate(response, columns))

            async with _each(_before_spent(responses, spent), make, window(table)) as results:
                async for outcomes in results:
                    yield outcomes
    _tell(spent)


async def verified(
    responses: Records[Response], setting: Setting
) -> AsyncGenerator[Sequence[Execution | Reject], None]:
    """What comes of the samples of each instruction, held against each other. They must be adjacent.

    Raises:
        SnipmillError: the sandbox or the calibration cannot be used.
    """
    count, spent = setting.count, list[BudgetSpent]()
    with Journal(setting.journal, VerificationEntry) as journal:
        async with _sampling(setting) as (verifier, execute_all):
            verify = Runner(Verify(verifier), journal, count)

            async def make(group: Sequence[Response]) -> list[Execution | Reject]:
                samples = await execute_all(group)
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

            given = _by_instruction(_before_spent(responses, spent))
            async with _each(given, make, window(setting.config.execute)) as results:
                async for outcomes in results:
                    yield outcomes
    _tell(spent)


def _verdicts(journal: Path | None) -> Path | None:
    """The journal of the executions, beside that of the verification."""
    if journal is None or journal.suffix == ".jsonl":
        return journal and journal.with_suffix(".executed")
    return journal.with_name(f"{journal.name}.executed")


@contextlib.asynccontextmanager
async def _sampling(
    setting: Setting,
) -> AsyncIterator[tuple[Verifier, Callable[[Sequence[Response]], Awaitable[SampleSet]]]]:
    """What holds samples against each other, and how the samples of an instruction are executed, each on its own."""
    config = setting.config
    settings, calibration = resolve_execution(config.execute), load_calibration(config.verify.calibration)
    with Journal(_verdicts(setting.journal), VerdictEntry) as verdicts:
        async with settings.open() as sandboxes:
            setting.announce(f"sandbox tier {sandboxes.first.tier}")
            context = settings.context(sandboxes.first.tier)
            execute = Runner(Execute(context, sandboxes.first), verdicts)

            async def attempt(response: Response) -> Attempt:
                candidate = parse_candidate(response)
                (outcome,) = await execute.make(candidate)
                return Attempt(candidate, outcome)

            async def execute_all(group: Sequence[Response]) -> SampleSet:
                return SampleSet(await gather_or_raise(map(attempt, group)))

            yield Verifier(context, config.verify, calibration, sandboxes), execute_all


async def examined(responses: Records[Response], setting: Setting) -> AsyncGenerator[Sequence[Examination], None]:
    """Every sample of each instruction against every assertion of all of them. Samples without a program are left out.

    Raises:
        SnipmillError: the sandbox cannot be used.
    """
    spent = list[BudgetSpent]()
    async with _sampling(setting) as (verifier, execute_all):

        async def make(group: Sequence[Response]) -> Sequence[Examination]:
            return [describe(await verifier.cross(await execute_all(group)))]

        given = _by_instruction(_before_spent(responses, spent))
        async with _each(given, make, window(setting.config.execute)) as results:
            async for examinations in results:
                yield examinations
    _tell(spent)


async def reviewed(
    executions: Records[Execution], setting: Setting
) -> AsyncGenerator[Sequence[Execution | Reject], None]:
    """Verified responses with what a model found that compared them with their instructions.

    Raises:
        UsageError: nothing is to be asked.
        SnipmillError: the server cannot be used.
    """
    config, count = setting.config, setting.count
    table, calibration = model_of_stage(config, REVIEW), load_calibration(config.verify.calibration)
    with Journal(setting.journal, CompletionEntry) as journal:
        async with connect(table) as connection:
            setting.announce(connection.description)
            settings, budget = resolve_review(config, connection.model), open_budget(config)
            if settings is None:
                raise UsageError("review.evidence is off. Choose likelihood, questions or both with --evidence.")
            if budget.is_limited and setting.journal is not None:
                budget.spend(REVIEW, usages_in(setting.journal))
            reviewer = Reviewer(settings, calibration)
            runner = Runner(AskReviewer(settings, connection.fleet, budget), journal, count)

            async def ask(question: ReviewQuestion) -> float | None:
                (found,) = await runner.make(question)
                return found

            async def make(group: Sequence[Execution]) -> Sequence[Execution | Reject]:
                outcomes = await reviewer.review(group, lambda _: None, ask, gather_or_raise)
                for _ in outcomes:
                    count.count(None)
                return outcomes

            async with _each(_by_instruction(executions), make, 4 * connection.max_in_flight) as results:
                async for outcomes in results:
                    yield outcomes
            for note in connection.fleet.notes:
                setting.announce(note)


def _by_instruction(responses: Records[Any]) -> Iterable[list[Any]] | AsyncGenerator[list[Any], None]:
    """Neighbours that answer the same instruction."""
    if isinstance(responses, AsyncIterator):
        return _groups_later(responses)
    return (list(group) for _, group in groupby(responses, _instruction_of))


async def _groups_later(responses: AsyncIterator[Any]) -> AsyncGenerator[list[Any], None]:
    group: list[Any] = []
    async with contextlib.aclosing(closing(responses)) as found:
        async for response in found:
            if group and _instruction_of(group[0]) != _instruction_of(response):
                yield group
                group = []
            group.append(response)
    if group:
        yield group


def _instruction_of(response: Response) -> str:
    return response.parents.get("instruction") or response.instruction
