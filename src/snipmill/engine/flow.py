"""The flow of a seed, stated once: what comes of it, stage by stage, and when sampling stops.

Whoever carries it out supplies the steps: a run asks and executes (`local`), a plan only looks up (`plan`). Draws belong to
records, and sampling stops by a rule over whole waves, so order and concurrency change nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, takewhile
from typing import Any, NamedTuple, Protocol, TypeVar

from snipmill.config import GenerateTable, SelectTable
from snipmill.errors import BudgetSpent
from snipmill.records import Execution, Record, Reject, Response, Row, Seed
from snipmill.seeds.document import STAGE as SEEDS
from snipmill.selection.sanitize import STAGE as SANITIZE
from snipmill.selection.sanitize import sanitize
from snipmill.selection.styles import RAW
from snipmill.stages.attempts import Attempt, Candidate, SampleSet, parse_candidate
from snipmill.stages.funnel import Funnel
from snipmill.stages.generate import SampleTask
from snipmill.stages.review import Reviewer, ReviewQuestion
from snipmill.stages.select_rows import weakness
from snipmill.stages.spec import ASSERTIONS, EXECUTE, RESPONSES, REVIEW, VERIFY

T = TypeVar("T")


class Together(Protocol):
    """Carries out several branches of the flow, and returns their results in order."""

    async def __call__(self, works: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
        """The results."""


@dataclass(frozen=True)
class Steps:
    """How each stage's outcomes come about.

    Attributes:
        ask: by generation stage, in the order of the data.
        execute: the outcome of one program.
        suffice: whether the samples so far are enough.
        verify: the outcomes of all samples of an instruction.
        together: how branches are carried out.
        review: the reviewer's answer to a question; None where nothing is reviewed.
        reviewer: what it is asked.
    """

    ask: Mapping[str, Callable[[SampleTask], Awaitable[Sequence[Any]]]]
    execute: Callable[[Candidate], Awaitable[Sequence[Execution | Reject]]]
    suffice: Callable[[SampleSet], Awaitable[Sequence[bool]]]
    verify: Callable[[SampleSet], Awaitable[Sequence[Execution | Reject]]]
    together: Together
    review: Callable[[ReviewQuestion], Awaitable[Sequence[float | None]]] | None = None
    reviewer: Reviewer | None = None


@dataclass
class SeedOutcome:
    """Everything that came of one seed, in order, by stage.

    `drawn` samples were asked for, `spared` ones were not needed. It is `unfinished` where the budget was
    spent before it was grown.
    """

    kept: dict[str, list[Any]] = field(default_factory=dict)
    rejected: dict[str, list[Reject]] = field(default_factory=dict)
    drawn: int = 0
    spared: int = 0
    unfinished: bool = False

    def add(self, stage: str, outcome: Record) -> None:
        """Add a record or a reject of a stage."""
        target: dict[str, Any] = self.rejected if isinstance(outcome, Reject) else self.kept
        target.setdefault(stage, []).append(outcome)

    def has_row(self, table: SelectTable) -> bool:
        """Whether a row came of it that clears the bars of selection, whatever other rows there are."""
        rows: list[Row] = self.kept.get(SANITIZE, [])
        return any(weakness(row, table) is None for row in rows)

    @property
    def best_confidence(self) -> float:
        """The highest confidence of its rows; 0 where nothing is known of any."""
        rows: list[Row] = self.kept.get(SANITIZE, [])
        return max((row.verification.confidence for row in rows if row.verification is not None), default=0.0)

    @property
    def rescued(self) -> int:
        """How many samples whose program had failed are kept after their tests were repaired."""
        failed = {reject.id for reject in self.rejected.get(EXECUTE, ())}
        return sum(record.id in failed for record in self.kept.get(VERIFY, ()))

    def count(self, funnel: Funnel) -> None:
        """Count everything in a funnel."""
        funnel[VERIFY].rescued += self.rescued
        for stage, records in self.kept.items():
            funnel[stage].kept += len(records)
        for stage, rejects in self.rejected.items():
            funnel[stage].rejected.update(reject.reason for reject in rejects)


class Wave(NamedTuple):
    """Samples that are drawn at a time: the samples of each request, and how many there are after the wave."""

    requests: list[range]
    end: int


def sample_groups(end: int, size: int, start: int = 0) -> list[range]:
    """The samples from `start` up to `end`, as many at a time as one request asks for."""
    return [range(first, min(first + size, end)) for first in range(start, end, size)]


def waves(table: GenerateTable) -> Iterator[Wave]:
    """The waves in which an instruction's samples are drawn."""
    for start in range(0, table.samples, table.wave):
        end = min(start + table.wave, table.samples)
        yield Wave(sample_groups(end, table.per_request, start), end)


async def grow(seed: Seed, steps: Steps, table: GenerateTable, run_seed: int, outcome: SeedOutcome) -> None:
    """Grow a seed into concepts, an instruction, responses, verdicts and rows, as far as it comes.

    Args:
        seed: where it begins.
        steps: how outcomes come about.
        table: how many samples are drawn, and when they are enough.
        run_seed: for the draws of sanitising.
        outcome: receives everything that comes of the seed; what it holds when a step raises is what had come by then.
    """
    outcome.add(SEEDS, seed)
    record: Record = seed
    for stage in takewhile(lambda name: name != RESPONSES, steps.ask):
        try:
            (record,) = await steps.ask[stage](SampleTask(record, range(1)))
        except BudgetSpent:
            outcome.unfinished = True
            return
        outcome.add(stage, record)
        if isinstance(record, Reject):
            return
    await answer(record, steps, table, run_seed, outcome)


async def answer(record: Record, steps: Steps, table: GenerateTable, run_seed: int, outcome: SeedOutcome) -> SampleSet:
    """Draw the samples of an instruction, execute them, and see what can become of them.

    Args:
        record: the instruction.
        steps, table, run_seed, outcome: as for `grow`.

    Returns:
        the samples, with all that was found of them on the way.
    """
    samples = SampleSet([])
    for wave in waves(table):
        outcome.drawn = wave.end
        tasks = [SampleTask(record, request) for request in wave.requests]
        drawn = await steps.together(_try_samples(steps, task) for task in tasks)
        outcome.unfinished = None in drawn
        for response, attempt in chain.from_iterable(filter(None, drawn)):
            outcome.add(RESPONSES, response)
            if attempt is not None:
                outcome.add(EXECUTE, attempt.outcome)
                samples.attempts.append(attempt)
        if outcome.unfinished:
            break
        if table.accept:
            (enough,) = await steps.suffice(samples.acceptable(run_seed))
            if enough:
                outcome.spared = table.samples - wave.end
                break
    if samples.with_programs:
        samples = replace(samples, written=await _written_tests(record, steps, outcome))
    verified = await steps.verify(samples)
    for one in verified:
        outcome.add(VERIFY, one)
    for one in await _reviewed(verified, samples, steps, outcome):
        if isinstance(one, Execution):
            outcome.add(SANITIZE, sanitize(one, RAW, run_seed, samples.sections_of(one)))
    return samples


async def _written_tests(record: Record, steps: Steps, outcome: SeedOutcome) -> tuple[str, ...]:
    """What the model asserts of the instruction alone; nothing where that is not asked for."""
    if ASSERTIONS not in steps.ask:
        return ()
    try:
        (written,) = await steps.ask[ASSERTIONS](SampleTask(record, range(1)))
    except BudgetSpent:
        outcome.unfinished = True
        return ()
    outcome.add(ASSERTIONS, written)
    return () if isinstance(written, Reject) else (written.tests,)


async def _reviewed(
    verified: Sequence[Execution | Reject], samples: SampleSet, steps: Steps, outcome: SeedOutcome
) -> Sequence[Execution | Reject]:
    """The verified samples with what the reviewer found; as they are where there is none."""
    if steps.review is None or steps.reviewer is None:
        return verified
    review = steps.review

    async def ask(question: ReviewQuestion) -> float | None:
        try:
            (found,) = await review(question)
        except BudgetSpent:
            outcome.unfinished = True
            return None
        return found

    reviewed = await steps.reviewer.review(verified, samples.sections_of, ask, steps.together)
    for one in reviewed:
        if isinstance(one, Execution):
            outcome.add(REVIEW, one)
    return reviewed


async def _try_samples(steps: Steps, task: SampleTask) -> list[tuple[Response | Reject, Attempt | None]] | None:
    """The samples of one request, each executed as soon as all of them are there; None where the budget is spent."""
    try:
        found = await steps.ask[RESPONSES](task)
    except BudgetSpent:
        return None
    return await steps.together(_try(steps, response) for response in found)


async def _try(steps: Steps, response: Response | Reject) -> tuple[Response | Reject, Attempt | None]:
    if isinstance(response, Reject):
        return response, None
    candidate = parse_candidate(response)
    (outcome,) = await steps.execute(candidate)
    return response, Attempt(candidate, outcome)
