"""What a run would still have to do under a configuration: which completions and verdicts exist, and which are missing.

The seeds are mined again, and the flow of each is followed with steps that only look up; no server is asked, no program runs.
What depends on a missing outcome cannot be known: it is counted as the most that it can be.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from snipmill.engine.flow import SeedOutcome, Steps, grow
from snipmill.engine.runners import Backends, make_runners, open_journals
from snipmill.languages import PYTHON
from snipmill.records import Execution, Reject, Row, Seed
from snipmill.stages.attempts import Attempt, Candidate, SampleSet
from snipmill.stages.funnel import Funnel
from snipmill.stages.generate import SampleTask
from snipmill.stages.review import ReviewQuestion, most_questions
from snipmill.stages.runner import Runner
from snipmill.stages.seed_stream import iterate_seeds
from snipmill.stages.settings import Settings, remember_forgotten
from snipmill.stages.spec import ASSERTIONS, EXECUTE, RESPONSES, REVIEW, VERIFY
from snipmill.stages.stage_models import is_used
from snipmill.store.run_directory import RunDirectory

Task = TypeVar("Task")
Outcome = TypeVar("Outcome")
T = TypeVar("T")


@dataclass
class StagePlan:
    """Of one stage: tasks whose outcome exists, tasks that must be done, and tasks that may follow from those."""

    there: int = 0
    missing: int = 0
    may_follow: int = 0

    @property
    def total(self) -> int:
        """Tasks that are known to exist."""
        return self.there + self.missing


class _Missing(Exception):
    """The outcome of a task does not exist yet, so that what depends on it cannot be known."""

    def __init__(self, stage: str) -> None:
        super().__init__(stage)
        self.stage = stage


def plan_run(settings: Settings, directory: RunDirectory, models: Mapping[str, str], tier: str) -> dict[str, StagePlan]:
    """Look through a run directory.

    Args:
        settings: those under which the run would go on.
        directory: where its journals are.
        models: the model's name, by stage.
        tier: the sandbox tier.

    Raises:
        SnipmillError: a source of seeds or a journal cannot be read.
    """
    settings = remember_forgotten(settings, directory)
    with open_journals(directory, to_read=True) as journals:
        runners = make_runners(settings, journals, Backends(models, tier), Funnel())
        names = [name for name in (*runners.ask, EXECUTE, REVIEW) if is_used(settings.config, name)]
        plan = _Plan(settings, {name: StagePlan() for name in names})
        steps = Steps(
            ask={name: plan.looking_up(runner) for name, runner in runners.ask.items()},
            execute=plan.executing(runners.execute),
            suffice=partial(_assume_enough, runners.suffice),
            verify=partial(_look_up, runners.verify),
            together=_one_by_one,
            review=plan.reviewing(runners.review) if runners.review is not None else None,
            reviewer=runners.reviewer,
        )
        seeds = iterate_seeds(settings.seeds, lambda _reject: None, journals["seeds"])
        enough, with_rows = settings.config.generate.enough, 0
        with asyncio.Runner() as loop:
            for seed in seeds:  # mined outside the loop, so that Ctrl-C is heard
                with_rows += loop.run(plan.follow(seed, steps))
                if enough is not None and with_rows >= enough:
                    break
    return plan.stages


async def _look_up(runner: Runner[Task, Any, Any, Outcome], task: Task) -> Sequence[Outcome]:
    found = runner.look_up(task)
    if found is None:
        raise _Missing(runner.work.stage)
    return found


async def _assume_enough(runner: Runner[SampleSet, Any, Any, bool], samples: SampleSet) -> Sequence[bool]:
    """Where the samples were never held against each other, they may be enough."""
    found = runner.look_up(samples)
    return [True] if found is None else found


async def _one_by_one(works: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """All branches, so that everything that is missing is counted."""
    results: list[T] = []
    missing: _Missing | None = None
    for work in works:
        try:
            results.append(await work)
        except _Missing as one:
            missing = missing or one
    if missing is not None:
        raise missing
    return results


class _Plan:
    """Counts what is looked up."""

    def __init__(self, settings: Settings, stages: dict[str, StagePlan]) -> None:
        self.stages = stages
        self._settings = settings
        self._accepted = False

    def looking_up(
        self, runner: Runner[SampleTask, Any, Any, Outcome]
    ) -> Callable[[SampleTask], Awaitable[Sequence[Outcome]]]:
        """A step that looks up, and counts."""

        async def step(task: SampleTask) -> Sequence[Outcome]:
            return await self._counted(runner, task, len(task.samples))

        return step

    def executing(
        self, runner: Runner[Candidate, Any, Any, Execution | Reject]
    ) -> Callable[[Candidate], Awaitable[Sequence[Execution | Reject]]]:
        """As `looking_up`, for verdicts; notes whether a sample was accepted."""

        async def step(candidate: Candidate) -> Sequence[Execution | Reject]:
            (outcome,) = await self._counted(runner, candidate, int(candidate.response.language == PYTHON))
            row = Attempt(candidate, outcome).as_row(self._settings.config.run.seed)
            self._accepted = self._accepted or (candidate.program is not None and isinstance(row, Row))
            return [outcome]

        return step

    def reviewing(
        self, runner: Runner[ReviewQuestion, Any, Any, float | None]
    ) -> Callable[[ReviewQuestion], Awaitable[Sequence[float | None]]]:
        """As `looking_up`, for the questions of a review."""

        async def step(question: ReviewQuestion) -> Sequence[float | None]:
            return await self._counted(runner, question, 1)

        return step

    async def _counted(self, runner: Runner[Task, Any, Any, Outcome], task: Task, size: int) -> Sequence[Outcome]:
        stage = self.stages[runner.work.stage]
        try:
            found = await _look_up(runner, task)
        except _Missing:
            stage.missing += size
            raise
        stage.there += size
        return found

    async def follow(self, seed: Seed, steps: Steps) -> bool:
        """Follow the flow of a seed as far as it can be known; whether a row comes of it, or may."""
        config, outcome = self._settings.config, SeedOutcome()
        self._accepted, missing_before = False, self.stages[RESPONSES].missing
        try:
            await grow(seed, steps, config.generate, config.run.seed, outcome)
        except _Missing as missing:
            self._count_what_may_follow(missing.stage, outcome, self.stages[RESPONSES].missing - missing_before)
            return self._accepted
        return outcome.has_row(config.select)

    def _count_what_may_follow(self, stage: str, outcome: SeedOutcome, missing_responses: int) -> None:
        undrawn = 0
        if stage not in (ASSERTIONS, VERIFY, REVIEW):  # else all samples are there
            names = [name for name in self.stages if name not in (RESPONSES, EXECUTE, REVIEW)]
            for name in names[names.index(stage) + 1 if stage in names else len(names) :]:
                self.stages[name].may_follow += 1
            undrawn = self._settings.config.generate.samples - outcome.drawn
            self.stages[RESPONSES].may_follow += undrawn
            self.stages[EXECUTE].may_follow += undrawn + missing_responses
            if stage in (RESPONSES, EXECUTE) and ASSERTIONS in self.stages:
                self.stages[ASSERTIONS].may_follow += 1
        if REVIEW in self.stages and stage != REVIEW:
            each = most_questions(self._settings.config.review.evidence, outcome.drawn + undrawn)
            self.stages[REVIEW].may_follow += each
