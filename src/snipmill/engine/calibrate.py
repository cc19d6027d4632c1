"""Calibration: the user's own model answers tasks whose hidden tests are the truth, and what its evidence is worth is fitted.

The tasks go the way that instructions go in a run (`flow.answer`), with the same prompts, settings, waves and journals, so that the
same command continues where it was stopped. The truth is never shown to anything but the fit.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from snipmill import __version__
from snipmill.config import Config, SeedsTable
from snipmill.engine.account import account
from snipmill.engine.calibration_report import Answered, Sampled, make_report
from snipmill.engine.calibration_tasks import ORIGINAL, REWRITTEN, HiddenTask, own_tasks, shipped_tasks
from snipmill.engine.flow import SeedOutcome, answer
from snipmill.engine.hidden_tests import passes
from snipmill.engine.local import RunContext, live_steps, open_run, window_of
from snipmill.engine.progress import Progress
from snipmill.errors import BudgetSpent, UsageError
from snipmill.parallel.in_order import gather_or_raise, map_in_order
from snipmill.records import Execution, Verification
from snipmill.stages.attempts import ProgramAttempt
from snipmill.stages.budget import open_budget
from snipmill.stages.evidence_runs import Wait, next_second
from snipmill.stages.settings import check_servers, resolve
from snipmill.stages.spec import ASSERTIONS, RESPONSES, REVIEW, VERIFY
from snipmill.stages.stage_models import is_used
from snipmill.store.run_directory import MANIFEST, RunDirectory
from snipmill.verification.calibration import Calibration, decode_calibration, encode_calibration
from snipmill.verification.fitting import Judged, fit_all

FORMS = (ORIGINAL, REWRITTEN)
_STAGES = (RESPONSES, ASSERTIONS, REVIEW)


@dataclass(frozen=True)
class Request:
    """What to calibrate with.

    Attributes:
        tasks: how many.
        out: the file to write; the answers lie beside it, in a folder of the same name with `.answers` behind it.
        source: a file of the user's tasks; None for those that ship.
        forms: of the shipped tasks.
    """

    tasks: int
    out: Path
    source: str | None = None
    forms: tuple[str, ...] = FORMS

    @property
    def folder(self) -> Path:
        """Where the answers are."""
        return self.out.with_name(f"{self.out.name}.answers")


@dataclass
class Asked:
    """How far a calibration is. `lost` samples could not be judged, by a fault of the sandbox; `faults` are of the user's file."""

    tasks: int = 0
    done: int = 0
    lost: int = 0
    faults: list[str] = field(default_factory=list)


async def calibrate(
    config: Config,
    request: Request,
    progress: Progress,
    asked: Asked,
    tell: Callable[[str], None],
    wait: Wait = next_second,
) -> Calibration:
    """Ask, execute, fit and measure.

    Args:
        config: as a run's; its seeds and its selection are not used.
        request: what to ask, and where to write.
        progress: is kept up to date.
        asked: as well.
        tell: called with what a person should know.
        wait: awaited before a program runs a second time.

    Raises:
        UsageError: the tasks cannot be read, or the answers are all right or all wrong, so that nothing can be learned.
        BudgetSpent: the answers so far are kept.
        SnipmillError: no single task can be blamed for it.
    """
    seed = config.run.seed
    _check_target(request)
    if request.source is not None:
        tasks, asked.faults = own_tasks(request.source, request.tasks, seed)
    else:
        tasks = shipped_tasks(request.tasks, request.forms, seed)
    there = len({task.task for task in tasks})
    if there < request.tasks:
        tell(f"There are only {there:,} such tasks; all of them are asked.")
    changed = {
        "run": msgspec.structs.replace(config.run, dir=str(request.folder)),
        "seeds": SeedsTable(),
        "verify": msgspec.structs.replace(config.verify, calibration=None),
    }
    config = msgspec.structs.replace(config, **changed)
    settings = resolve(config)
    check_servers(config)
    open_budget(config)
    directory = RunDirectory(request.folder)
    directory.create()
    asked.tasks = len(tasks)
    async with open_run(settings, directory, progress, wait, _STAGES) as context:
        progress.phase = "answering"
        answered = await _answer_all(tasks, context, asked)
        progress.phase = "fitting"
        counts = [fleet.counts for fleet in progress.fleets]
        cost = account(progress.funnel, counts, progress.seconds, context.budget.prices)
        for note in progress.notes:
            tell(note)
        calibration = await asyncio.to_thread(_fit, answered, context, cost)
    RunDirectory(request.out.parent).write_text(request.out.name, encode_calibration(calibration).decode())
    progress.phase = "done"
    return calibration


def _check_target(request: Request) -> None:
    """Refuse to write over what is no calibration, or into a run.

    Raises:
        UsageError: it would.
    """
    if request.out.is_dir():
        raise UsageError(f"{request.out} is a folder. Name a file for the calibration, such as calibration.json.")
    if request.out.exists():
        try:
            decode_calibration(request.out.read_bytes())
        except (OSError, ValueError):
            raise UsageError(f"{request.out} is there already, and is no calibration. Name another file.") from None
    if (request.folder / MANIFEST).exists():
        raise UsageError(f"{request.folder} holds a run. Name another file for the calibration.")


async def _answer_all(tasks: Sequence[HiddenTask], context: RunContext, asked: Asked) -> list[Answered]:
    """What came of each task, in their order.

    Raises:
        BudgetSpent: nothing more may be spent.
    """
    config, steps = context.settings.config, live_steps(context)

    async def ask(task: HiddenTask) -> Answered | None:
        outcome = SeedOutcome()
        samples = await answer(task.record, steps, config.generate, config.run.seed, outcome)
        if outcome.unfinished:
            return None
        last = REVIEW if is_used(config, REVIEW) else VERIFY
        found = {
            one.id: one.verification
            for one in outcome.kept.get(last, outcome.kept.get(VERIFY, ()))
            if isinstance(one, Execution) and one.verification is not None
        }
        sampled = await gather_or_raise(_judge(one, task, found, context) for one in samples.with_programs)
        asked.done += 1
        known = tuple(filter(None, sampled))
        asked.lost += len(sampled) - len(known)
        return Answered(task.task, task.source, task.form, outcome.drawn, known)

    answered: list[Answered] = []
    unfinished = 0
    window = window_of(config, context.connections)
    async with contextlib.aclosing(map_in_order(iter(tasks), ask, window)) as found:
        async for one in found:
            if one is None:
                unfinished += 1
            else:
                answered.append(one)
    if unfinished:
        raise BudgetSpent(
            f"{context.budget.spent} {unfinished:,} of {len(tasks):,} tasks are without answers. Everything is kept; raise the "
            "budget, or ask fewer --tasks, and run the same command again."
        )
    return answered


async def _judge(
    attempt: ProgramAttempt, task: HiddenTask, found: dict[str, Verification], context: RunContext
) -> Sampled | None:
    """The truth about a sample; None where the sandbox could not tell."""
    is_right = await passes(attempt.sections, task.entry_point, task.tests, context.sandboxes.first)
    if is_right is None:
        return None
    return Sampled(attempt.passed, is_right, found.get(attempt.response.id))


def _fit(answered: Sequence[Answered], context: RunContext, cost: dict[str, object]) -> Calibration:
    """The calibration that the answers give.

    Raises:
        UsageError: they do not tell right from wrong.
    """
    judged = [
        Judged(one.task, sample.found, sample.is_right)
        for one in answered
        for sample in one.samples
        if sample.found is not None
    ]
    config, models = context.settings.config, context.connections.models
    try:
        fits = fit_all(judged, config.run.seed)
    except ValueError as error:
        raise UsageError(
            f"Nothing can be learned from these answers: {error}. Ask more --tasks, or give harder or easier ones of your own "
            "with --source."
        ) from error
    return Calibration(
        model=models[RESPONSES],
        prompting=context.settings.generation[RESPONSES].prompting,
        reviewer=models.get(REVIEW),
        review=config.review.evidence,
        samples=config.generate.samples,
        tasks=len({one.task for one in answered}),
        judged=len(judged),
        right=sum(one.is_right for one in judged),
        snipmill=__version__,
        made=datetime.now(UTC).date().isoformat(),
        asked=context.settings.asked,
        fits=fits,
        report=make_report(answered, judged, [fit.features for fit in fits], cost, config.run.seed),
    )
