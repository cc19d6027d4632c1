"""The local engine: a whole run on one machine.

Every seed grows as soon as each part of it is there (`flow`); only selection looks across instructions, and waits for the end.
Later stages go first at the server, so that what was begun is finished. Files are written in the order of the seeds, whatever
the order in which things happened.
"""

from __future__ import annotations

import asyncio
import contextlib
import platform
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Generator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from snipmill import __version__
from snipmill.config import Config
from snipmill.config_file import render_config
from snipmill.config_model import ModelTable
from snipmill.engine.account import account
from snipmill.engine.flow import SeedOutcome, Steps, grow
from snipmill.engine.progress import Progress
from snipmill.engine.run_files import RunFiles, count_grown, finish
from snipmill.engine.runners import Backends, Journals, make_runners, open_journals
from snipmill.errors import BudgetSpent, UsageError
from snipmill.llm.connect import Connections, connect_stages
from snipmill.parallel.in_order import gather_or_raise, in_thread, map_in_order
from snipmill.records import Reject, Seed, content_hash
from snipmill.stages.budget import Budget, open_budget
from snipmill.stages.evidence_runs import Sandboxes, Wait, next_second
from snipmill.stages.funnel import Funnel
from snipmill.stages.generate import GenerationSettings
from snipmill.stages.seed_stream import iterate_seeds
from snipmill.stages.settings import Settings, check_servers, remember_forgotten, resolve
from snipmill.stages.spec import ASKING, RESPONSES, REVIEW, STAGES
from snipmill.stages.stage_models import asked_stages, is_used, model_of_stage
from snipmill.store.journal import usages_elsewhere, usages_in
from snipmill.store.remote import is_remote
from snipmill.store.run_directory import CALIBRATION, CONFIG, RunDirectory
from snipmill.verification.calibration import encode_calibration

_LONG_PROMPTS = ("concepts", "instructions")


@dataclass(frozen=True)
class RunContext:
    """What a run works with."""

    settings: Settings
    directory: RunDirectory
    journals: Journals
    connections: Connections
    sandboxes: Sandboxes
    budget: Budget
    progress: Progress


async def run(
    config: Config,
    progress: Progress,
    wait: Wait = next_second,
    prepare: Callable[[RunDirectory, Settings], Awaitable[None]] | None = None,
) -> RunDirectory:
    """Make a data set, or continue where an earlier run with this directory stopped.

    Args:
        config: the run's configuration.
        progress: is kept up to date while the run works.
        wait: awaited before a program runs a second time.
        prepare: called once no other process can work on the run, before anything is asked.

    Raises:
        SnipmillError: no single record can be blamed for it; all that was made is kept.
    """
    if is_remote(config.run.dir):
        raise UsageError(
            f"run.dir = {config.run.dir!r} is on a store, where a run grows in shards. Give --shard 0/1, or --engine ray."
        )
    settings = resolve(config)  # what is invalid is told before anything is written
    check_servers(config)
    open_budget(config)
    directory = RunDirectory(config.run.dir)
    directory.create()
    refuse_interrupted_forget(directory)
    settings = remember_forgotten(settings, directory)
    async with open_run(settings, directory, progress, wait, others=shard_journals(directory)) as context:
        if prepare is not None:
            await prepare(directory, settings)
        manifest = manifest_of(context)
        directory.write_manifest({**manifest, "status": "running"})
        try:
            await _grow_all(context)
        except BudgetSpent:
            directory.write_manifest({**manifest, "status": "stopped", "stopped": context.budget.spent})
            raise
        progress.phase = "selecting"
        progress.wrong = finish(config, directory, progress.funnel, settings.calibration)
        seconds, budget = progress.seconds, context.budget
        counts = [fleet.counts for fleet in progress.fleets]
        accounting = account(progress.funnel, counts, seconds, budget.prices)
        done = {"status": "done", "seconds": seconds, "accounting": accounting, "left_out": progress.notes}
        done["expected_wrong"] = asdict(progress.wrong)
        if progress.stopped:
            done["stopped"] = progress.stopped
        directory.write_manifest({**manifest, **done, "funnel": progress.funnel.to_json()})
        for stage, connection in context.connections.by_stage.items():
            refused = connection.fleet.refused(stage)
            if refused is not None and progress.funnel[stage].has_nothing:
                raise refused
    progress.phase = "done"
    return directory


@contextlib.asynccontextmanager
async def open_run(
    settings: Settings,
    directory: RunDirectory,
    progress: Progress,
    wait: Wait,
    stages: Collection[str] = ASKING,
    others: Callable[[str], Sequence[Path]] = lambda _stage: (),
    budget: Budget | None = None,
    written: Config | None = None,
) -> AsyncIterator[RunContext]:
    """Journals, sandboxes and model, for as long as the block runs.

    Args:
        settings: of the run.
        directory: where it is.
        progress: is told what is opened.
        wait: awaited before a program runs a second time.
        stages: those for which a model may be asked.
        others: by stage, journals to look into for what the run's own do not hold.
        budget: what may be spent, with nothing spent yet; None for that of the configuration.
        written: the configuration to write down, where it is not exactly the one that is used.
    """
    config = settings.config
    async with contextlib.AsyncExitStack() as stack:
        # The journals are opened first: they keep a second process out.
        journals = stack.enter_context(open_journals(directory, others=others))
        directory.remove_leftovers()
        directory.write_text(CONFIG, render_config(written or config))
        _keep_calibration(settings, directory)
        is_whole_budget, budget = budget is None, budget or open_budget(config)
        if budget.is_limited:
            for stage in ASKING:
                budget.spend(stage, usages_in(directory.journal(stage)))
                if is_whole_budget:  # a part of it was dealt without what others have spent
                    budget.spend(stage, usages_elsewhere(others(stage), [directory.journal(stage)]))
        sandboxes = await stack.enter_async_context(settings.execution.open(wait))
        progress.tier, progress.phase = sandboxes.first.tier, "starting the model"
        connections = await stack.enter_async_context(connect_stages(_models(config, stages)))
        progress.model, progress.phase = connections.description, "mining seeds"
        progress.fleets = connections.fleets
        name = Path(config.verify.calibration or "").name  # the manifest is published, and folders are private
        progress.stages = tuple(stage.name for stage in STAGES if is_used(config, stage.name))
        progress.budget = budget
        progress.remarks = [f"The calibration {name} may not fit: {one}." for one in _misfits(settings, connections)]
        progress.weights = settings.calibration.sources()
        yield RunContext(settings, directory, journals, connections, sandboxes, budget, progress)


def _keep_calibration(settings: Settings, directory: RunDirectory) -> None:
    """Keep the calibration in the run, which is complete in itself: a later snipmill ships another one."""
    directory.write_text(CALIBRATION, encode_calibration(settings.calibration.without_report()).decode())


def _misfits(settings: Settings, connections: Connections) -> list[str]:
    """What is different here from where the calibration was made."""
    models, config = connections.models, settings.config
    return settings.calibration.misfits(
        models[RESPONSES], model_of_stage(config, RESPONSES).prompting, models.get(REVIEW), settings.asked
    )


def _models(config: Config, stages: Collection[str]) -> dict[str, ModelTable]:
    """The model of each stage that is asked for, those with the most requests first."""
    return {name: model_of_stage(config, name) for name in reversed(asked_stages(config)) if name in stages}


def _serialized_stages(connections: Connections) -> Mapping[str, asyncio.Semaphore]:
    """The stages of which one request may be under way at a time."""
    by_stage = connections.by_stage
    return {
        name: asyncio.Semaphore(1) for name in _LONG_PROMPTS if name in by_stage and not by_stage[name].shares_prefixes
    }


def window_of(config: Config, connection: Connections) -> int:
    """How many seeds may be under way: plenty, so that one slow request holds nothing up, but bounded."""
    if not connection.shares_prefixes:
        return connection.max_in_flight
    window = max(2 * connection.max_in_flight, 16)
    enough = config.generate.enough
    return window if enough is None else min(window, max(8, 2 * enough))


def refuse_interrupted_forget(directory: RunDirectory) -> None:
    """Grow nothing where something is half forgotten.

    Raises:
        UsageError: it is.
    """
    if directory.forgetting.exists():
        raise UsageError(f"A `snipmill forget` of {directory.path} was interrupted. Run it again first.")


def manifest_of(context: RunContext) -> dict[str, Any]:
    """What a run says of itself at its start."""
    config, generation = context.settings.config, context.settings.generation
    models = dict(sorted(context.connections.models.items()))
    return {
        "snipmill": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": models[RESPONSES],
        "models": models,
        "served": context.connections.description,
        "prompting": config.model.prompting,
        "fewshot_hash": generation["concepts"].bank.hash,
        "prompt_hashes": _prompt_hashes(generation),
        "sandbox_tier": context.sandboxes.first.tier,
        "calibration": {
            **context.settings.calibration.summary(),
            "misfits": _misfits(context.settings, context.connections),
        },
        "environment": context.settings.execution.environment,
        "seed": config.run.seed,
    }


def _prompt_hashes(generation: Mapping[str, GenerationSettings]) -> dict[str, str]:
    return {
        mode: content_hash(mode, system)
        for settings in generation.values()
        for mode, system in sorted(settings.bank.systems.items())
    }


def shard_journals(directory: RunDirectory) -> Callable[[str], list[Path]]:
    """By stage, the journals of the run's shards: what they paid for is not paid again."""
    shards = list(directory.shards().values())
    return lambda stage: [shard.journal(stage) for shard in shards]


def live_steps(context: RunContext) -> Steps:
    """Steps that ask and execute what the journals do not hold."""
    connections = context.connections
    backends = Backends(
        models=connections.models,
        tier=context.sandboxes.first.tier,
        fleets={stage: connection.fleet for stage, connection in connections.by_stage.items()},
        budget=context.budget,
        serialized_stages=_serialized_stages(connections),
        sandboxes=context.sandboxes,
    )
    runners = make_runners(context.settings, context.journals, backends, context.progress.funnel)
    return Steps(
        ask={name: runner.make for name, runner in runners.ask.items()},
        execute=runners.execute.make,
        suffice=runners.suffice.make,
        verify=runners.verify.make,
        together=gather_or_raise,
        review=runners.review.make if runners.review is not None else None,
        reviewer=runners.reviewer,
    )


async def _grow_all(context: RunContext) -> None:
    """Grow the seeds, and write what comes of them in their order, until there are enough."""
    config, progress = context.settings.config, context.progress
    steps = live_steps(context)
    progress.phase, progress.enough, progress.limit = "writing", config.generate.enough, config.seeds.limit

    async def grow_one(seed: Seed) -> SeedOutcome:
        outcome = SeedOutcome()
        progress.funnel["seeds"].count(None)
        await grow(seed, steps, config.generate, config.run.seed, outcome)
        count_grown(outcome, progress.funnel)
        progress.seed_ended(has_row=outcome.has_row(config.select), confidence=outcome.best_confidence)
        if outcome.unfinished:
            in_a_row.append(seed.id)
        else:
            in_a_row.clear()
        return outcome

    stop, in_a_row = threading.Event(), list[str]()  # seeds that the budget left unfinished
    window = progress.window = window_of(config, context.connections)
    was_spent = context.budget.spent is not None
    with RunFiles(context.directory, config) as files:

        def drop_seed(reject: Reject) -> None:
            files.rejects["seeds"].write(reject)
            progress.funnel["seeds"].count(reject.reason)

        def mined() -> Generator[Seed, None, None]:
            for seed in iterate_seeds(context.settings.seeds, drop_seed, context.journals["seeds"], stop.is_set):
                if len(in_a_row) > window:  # the budget is spent, and so many in a row are not in the journals
                    return
                yield seed
            progress.all_seeds_known = True

        seeds = in_thread(mined(), stop)
        written = Funnel()
        written["seeds"].rejected = progress.funnel["seeds"].rejected
        try:
            # What is begun beyond the seeds that turn out to be enough is paid for in vain.
            ahead = None if config.generate.enough is None else window
            async with contextlib.aclosing(map_in_order(seeds, grow_one, window, ahead=ahead)) as outcomes:
                async for outcome in outcomes:
                    if outcome.unfinished:
                        if was_spent:  # nothing can be made, so what an earlier session wrote stays
                            context.budget.check()
                        progress.stopped = context.budget.spent or ""
                    outcome.count(written)
                    files.write(outcome)
                    progress.with_rows += outcome.has_row(config.select)
                    if progress.enough is not None and progress.with_rows >= progress.enough:
                        return  # counted in the order of the seeds: the same in every run, whatever is under way
        finally:  # when all that was under way has ended, and counts no more
            progress.funnel.agree_with(written)
