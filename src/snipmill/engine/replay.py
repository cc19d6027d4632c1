"""A run made again from its journals, without a model: what they do not hold stays as a spent budget would leave it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from snipmill.config import Config
from snipmill.engine.flow import SeedOutcome, Steps, grow
from snipmill.engine.run_files import RunFiles, count_grown
from snipmill.engine.runners import Runners
from snipmill.errors import BudgetSpent
from snipmill.parallel.in_order import gather_or_raise
from snipmill.reasons import Reason
from snipmill.records import Execution, Reject, Seed
from snipmill.stages.attempts import Candidate, SampleSet
from snipmill.stages.funnel import Funnel
from snipmill.stages.runner import Runner
from snipmill.stages.spec import EXECUTE, VERIFY
from snipmill.verification.expected_wrong import ExpectedWrong

Task = TypeVar("Task")
Outcome = TypeVar("Outcome")
_IN_A_ROW = 64  # seeds of which nothing is there, after which no more are looked for


@dataclass
class Replayed:
    """What a replay found.

    Attributes:
        seeds: how many were grown.
        unfinished: ids of seeds whose completions are not all there.
        missing: what could not be looked up, where nothing may be executed: stage and response.
        funnel: counts by stage, once the files are made.
        wrong: how many rows are expected to be wrong, once they are chosen.
    """

    seeds: int = 0
    unfinished: list[str] = field(default_factory=list)
    missing: list[tuple[str, str]] = field(default_factory=list)
    funnel: dict[str, Any] = field(default_factory=dict)
    wrong: ExpectedWrong | None = None


def steps_that_execute(runners: Runners) -> Steps:
    """Steps that ask no model. Programs run where their verdicts are missing."""
    return Steps(
        ask={name: _asked(runner) for name, runner in runners.ask.items()},
        execute=runners.execute.make,
        suffice=runners.suffice.make,
        verify=runners.verify.make,
        together=gather_or_raise,
        review=_asked(runners.review) if runners.review is not None else None,
        reviewer=runners.reviewer,
    )


def steps_that_look_up(runners: Runners, found: Replayed) -> Steps:
    """Steps that ask no model and execute nothing. A sample whose verdict is missing counts as one that did not pass."""

    async def execute(candidate: Candidate) -> Sequence[Execution | Reject]:
        outcomes = runners.execute.look_up(candidate)
        if outcomes is not None:
            return await runners.execute.make(candidate)
        found.missing.append((EXECUTE, candidate.response.id))
        detail = "Its verdict is not in the journals."
        return [Reject(id=candidate.response.id, stage=EXECUTE, reason=Reason.SANDBOX_ERROR, detail=detail)]

    async def suffice(samples: SampleSet) -> Sequence[bool]:
        known = runners.suffice.look_up(samples)
        return [False] if known is None else known

    async def verify(samples: SampleSet) -> Sequence[Execution | Reject]:
        if runners.verify.look_up(samples) is not None:
            return await runners.verify.make(samples)
        found.missing.append((VERIFY, samples.attempts[0].response.id))
        return []

    ask = {name: _asked(runner) for name, runner in runners.ask.items()}
    return Steps(
        ask=ask,
        execute=execute,
        suffice=suffice,
        verify=verify,
        together=gather_or_raise,
        review=_asked(runners.review) if runners.review is not None else None,
        reviewer=runners.reviewer,
    )


def _asked(runner: Runner[Task, Any, Any, Outcome]) -> Callable[[Task], Awaitable[Sequence[Outcome]]]:
    async def step(task: Task) -> Sequence[Outcome]:
        if runner.look_up(task) is None:
            raise BudgetSpent("No model is asked here.")
        return await runner.make(task)

    return step


async def replay(
    seeds: Iterable[Seed],
    steps: Steps,
    config: Config,
    files: RunFiles,
    funnel: Funnel,
    found: Replayed,
    may_stop: Callable[[], bool] = lambda: False,
) -> None:
    """Grow seeds as a run does, and write what comes of them.

    Args:
        seeds: in their order.
        steps: how outcomes come about.
        config: of the run.
        files: receive what comes of the seeds.
        funnel: counts what is written.
        found: receives what is found.
        may_stop: asked when many seeds in a row have no completions; then, if it says so, no more are looked for.
    """
    with_rows, in_a_row = 0, 0
    enough = config.generate.enough
    written = Funnel()
    written["seeds"].rejected = funnel["seeds"].rejected
    for seed in seeds:
        outcome = SeedOutcome()
        await grow(seed, steps, config.generate, config.run.seed, outcome)
        funnel["seeds"].count(None)
        count_grown(outcome, funnel)
        outcome.count(written)
        files.write(outcome)
        found.seeds += 1
        if outcome.unfinished:
            found.unfinished.append(seed.id)
        in_a_row = in_a_row + 1 if outcome.unfinished else 0
        with_rows += outcome.has_row(config.select)
        if (enough is not None and with_rows >= enough) or (in_a_row >= _IN_A_ROW and may_stop()):
            break
    funnel.agree_with(written)


async def look_through(seeds: Iterable[Seed], steps: Steps, config: Config) -> None:
    """Follow seeds as far as the journals go, so that the entries that belong to them are known as used."""
    for seed in seeds:
        await grow(seed, steps, config.generate, config.run.seed, SeedOutcome())
