"""One shard of a run: the same pipeline as on one machine, over the seeds that are dealt to it.

It writes into a folder of its own, and only reads those of others: what another dealing has paid for, what others have mined, and,
where enough tasks end the run, how far they are. `gather` joins the shards.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from snipmill.config import Config
from snipmill.engine.account import account
from snipmill.engine.basis import basis_of
from snipmill.engine.enough import Neighbours
from snipmill.engine.flow import SeedOutcome, grow
from snipmill.engine.local import RunContext, live_steps, manifest_of, open_run, refuse_interrupted_forget, window_of
from snipmill.engine.progress import Progress
from snipmill.engine.run_files import count_grown
from snipmill.engine.shard_files import SEEDS, OnCut, ShardFiles
from snipmill.engine.shard_state import is_at_work, state_of
from snipmill.engine.sharding import Sharding, dealings, note_dealing
from snipmill.errors import BudgetSpent, StoreError
from snipmill.parallel.in_order import in_thread, map_in_order
from snipmill.records import Reject, Seed
from snipmill.stages.budget import Budget, open_budget
from snipmill.stages.evidence_runs import Wait, next_second
from snipmill.stages.mine import MinesEntries, mine_all
from snipmill.stages.mine_share import MiningShare
from snipmill.stages.seed_stream import iterate_seeds
from snipmill.stages.settings import check_servers, remember_forgotten, resolve
from snipmill.stages.spec import ASKING
from snipmill.store.journal import is_in_use, usages_elsewhere
from snipmill.store.run_directory import RunDirectory

T = TypeVar("T")
_TELL_EVERY = 2.0  # seconds between two states of a shard that others can read
_LOOK_EVERY = 2.0  # seconds between two looks at how far the other shards are
_WAIT_FOR_LOCK = 60.0  # seconds in which a shard that was killed elsewhere may let go of its journals


class Planted(NamedTuple):
    """A seed of the shard, its place among all seeds, and the rejects of mining that stand before it."""

    position: int
    seed: Seed
    dropped: list[Reject]


@dataclass(frozen=True)
class Place:
    """Where a shard is grown.

    Attributes:
        written: the configuration as it was given, where it was fitted to the place; it is the one that is written down.
        first_cpu: number of the CPU of the first program, where several shards share a machine; None for any.
        others_work: whether another shard is at work; None to look at the locks in the run's directory.
        on_cut: told of each file that is cut back, and to how many bytes.
        command: names the command that has all shards grown, where there is one.
    """

    written: Config | None = None
    first_cpu: int | None = None
    others_work: Callable[[], bool] | None = None
    on_cut: OnCut = lambda _path, _size: None
    command: str = ""


async def run_shard(
    config: Config,
    sharding: Sharding,
    progress: Progress,
    wait: Wait = next_second,
    place: Place | None = None,
) -> RunDirectory:
    """Grow a shard of a run, or go on where an earlier process stopped.

    Args:
        config: of the whole run.
        sharding: which shard it is.
        progress: is kept up to date while the shard works.
        wait: awaited before a program runs a second time.
        place: where the shard is grown; None for this machine alone.

    Returns:
        the directory of the whole run.

    Raises:
        BudgetSpent: this shard's part of the budget is spent; what was grown is kept.
        SnipmillError: no single record can be blamed for it; all that was made is kept.
    """
    place = place or Place()
    settings = resolve(config)
    check_servers(config)
    whole = RunDirectory(config.run.dir)
    whole.create()
    refuse_interrupted_forget(whole)
    directory = whole.shard(sharding.index)
    directory.create()
    await _until_free(whole, sharding)
    note_dealing(directory, sharding)
    settings = remember_forgotten(settings, whole)
    settings = replace(settings, execution=replace(settings.execution, first_cpu=place.first_cpu))
    budget, others = _part_of_budget(config, whole, sharding), _others(whole, sharding)
    async with open_run(
        settings, directory, progress, wait, others=others, budget=budget, written=place.written
    ) as context:
        manifest = {**manifest_of(context), "shard": {"index": sharding.index, "count": sharding.count}}
        manifest["command"] = place.command

        def write_state(status: str, **more: Any) -> None:
            directory.write_manifest({**manifest, "status": status, **_figures(context), **more})

        write_state("running")
        async with _now_and_then(lambda: write_state("running")):
            spent, seeds, grown = await _grow_shard(
                context, whole, sharding, basis_of(context, place.written or config), place
            )
        progress.phase = "done"
        more = {"stopped": spent} if spent else {} if seeds is None else {"seeds": seeds}
        write_state("stopped" if spent else "done", grown=grown, **more)
    if spent:
        raise BudgetSpent(f"{spent} This is shard {sharding}'s part of it.")
    return whole


def _figures(context: RunContext) -> dict[str, Any]:
    """What a shard tells of itself at this moment."""
    progress = context.progress
    counts, seconds = [fleet.counts for fleet in progress.fleets], progress.seconds
    return {
        "updated": time.time(),
        "process": {"host": socket.gethostname(), "id": os.getpid()},
        "seconds": seconds,
        "progress": state_of(progress),
        "accounting": account(progress.funnel, counts, seconds, context.budget.prices),
        "funnel": progress.funnel.to_json(),
    }


async def _grow_shard(
    context: RunContext, whole: RunDirectory, sharding: Sharding, basis: str, place: Place
) -> tuple[str, int | None, int]:
    """Grow the seeds that are dealt to the shard, and write what comes of them in their order.

    Returns:
        a sentence where the budget was spent before the end; the number of all seeds of the run, where all were seen; and of those
        that this shard has grown.
    """
    config, progress = context.settings.config, context.progress
    steps, stop, enough = live_steps(context), threading.Event(), config.generate.enough
    progress.phase = "writing"
    progress.limit = None if config.seeds.limit is None else -(-config.seeds.limit // sharding.count)
    window = progress.window = window_of(config, context.connections)
    unfinished = list[str]()  # seeds in a row that the budget left unfinished
    last = list[Reject]()  # rejects of mining behind the last seed
    seeds_known = list[int]()  # the number of all seeds, once it is known

    async def grow_one(planted: Planted) -> tuple[Planted, SeedOutcome]:
        outcome = SeedOutcome()
        for reason in (None, *(reject.reason for reject in planted.dropped)):
            progress.funnel[SEEDS].count(reason)
        await grow(planted.seed, steps, config.generate, config.run.seed, outcome)
        count_grown(outcome, progress.funnel)
        progress.seed_ended(has_row=outcome.has_row(config.select), confidence=outcome.best_confidence)
        unfinished.append(planted.seed.id) if outcome.unfinished else unfinished.clear()
        return planted, outcome

    def dealt() -> Generator[Planted, None, None]:
        dropped: list[Reject] = []
        journal, share = context.journals[SEEDS], _mining_share(whole, sharding, place)
        seeds, position = iterate_seeds(context.settings.seeds, dropped.append, journal, stop.is_set, share), -1
        for position, seed in enumerate(seeds):
            if len(unfinished) > window:
                return
            before, dropped[:] = list(dropped), []
            if sharding.has(seed.id):
                yield Planted(position, seed, before)
        if stop.is_set():  # there is enough, or something failed: these are not all seeds
            return
        last.extend(dropped)
        seeds_known.append(position + 1)
        progress.all_seeds_known = True

    seeds = in_thread(dealt(), stop)
    with ShardFiles(context.directory, config, sharding, basis, place.on_cut) as files:
        neighbours = Neighbours(whole, sharding.count, basis, enough) if enough is not None else None
        is_enough = asyncio.Event()
        async with (
            contextlib.aclosing(
                map_in_order(seeds, grow_one, window, ahead=window if enough is not None else None)
            ) as outcomes,
            contextlib.aclosing(_while_needed(outcomes, neighbours, is_enough)) as needed,
        ):
            async for planted, outcome in needed:
                if outcome.unfinished:
                    progress.stopped = context.budget.spent or ""
                else:
                    files.write(planted.position, outcome, planted.dropped)
                    progress.with_rows += outcome.has_row(config.select)
        if seeds_known and not is_enough.is_set():
            files.end(last if sharding.index == 0 else ())
    return progress.stopped, seeds_known[0] if seeds_known else None, files.count


def _mining_share(whole: RunDirectory, sharding: Sharding, place: Place) -> MinesEntries:
    """Who mines: all shards that are at work."""
    others = [whole.shard(index) for index in range(sharding.count) if index != sharding.index]
    if not others:
        return mine_all

    def others_work() -> bool:
        return any(is_in_use(other.journal(SEEDS)) for other in others)

    return MiningShare(sharding.index, sharding.count, place.others_work or others_work)


async def _while_needed(
    outcomes: AsyncGenerator[T, None], neighbours: Neighbours | None, is_enough: asyncio.Event
) -> AsyncGenerator[T, None]:
    """The outcomes, until all shards together have enough, which is told by the event."""
    if neighbours is None:
        async for outcome in outcomes:
            yield outcome
        return
    watching = asyncio.create_task(_until_enough(neighbours))
    try:
        while True:
            coming = asyncio.ensure_future(anext(outcomes, None))
            await asyncio.wait({coming, watching}, return_when=asyncio.FIRST_COMPLETED)
            if not coming.done():
                coming.cancel()
                await asyncio.gather(coming, return_exceptions=True)
                watching.result()
                is_enough.set()
                return
            found = coming.result()
            if found is None:
                return
            yield found
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def _until_enough(neighbours: Neighbours) -> None:
    while True:
        if await asyncio.to_thread(neighbours.last_position) is not None:
            return
        await asyncio.sleep(_LOOK_EVERY)


@contextlib.asynccontextmanager
async def _now_and_then(tell: Callable[[], None]) -> AsyncIterator[None]:
    """Tell every few seconds while the block runs."""

    async def keep_telling() -> None:
        while True:
            await asyncio.sleep(_TELL_EVERY)
            tell()

    telling = asyncio.create_task(keep_telling())
    try:
        yield
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)


def _part_of_budget(config: Config, whole: RunDirectory, sharding: Sharding) -> Budget | None:
    """This shard's part of the budget: an equal one, of what was not spent outside the present shards."""
    budget = open_budget(config)
    if not budget.is_limited:
        return None
    inside = [whole.shard(index) for index in range(sharding.count)]
    outside = [whole, *(shard for index, shard in whole.shards().items() if index >= sharding.count)]
    for stage in ASKING:
        spent = usages_elsewhere([one.journal(stage) for one in outside], [one.journal(stage) for one in inside])
        budget.spend(stage, spent)
    most_cost, most_tokens = budget.max_cost, budget.max_tokens
    return replace(
        budget,
        max_cost=None if most_cost is None else max(most_cost - budget.cost, 0.0) / sharding.count,
        max_tokens=None if most_tokens is None else max(most_tokens - budget.tokens, 0) // sharding.count,
        cost=0.0,
        tokens=0,
    )


def _others(whole: RunDirectory, sharding: Sharding) -> Callable[[str], list[Path]]:
    """By stage, the journals of others in which something of this shard may stand."""
    siblings = {index: directory for index, directory in whole.shards().items() if index != sharding.index}

    def journals(stage: str) -> list[Path]:
        if stage == SEEDS:  # batches of documents are dealt by their number
            others = {**siblings, **{index: whole.shard(index) for index in range(sharding.count)}}
            others.pop(sharding.index, None)
            return [whole.journal(stage), *(one.journal(stage) for one in others.values())]
        shared = [one for index, one in siblings.items() if _may_hold(one, index, sharding)]
        return [whole.journal(stage), *(one.journal(stage) for one in shared)]

    return journals


def _may_hold(directory: RunDirectory, index: int, sharding: Sharding) -> bool:
    counts = dealings(directory)
    return not counts or any(sharding.may_share_seeds(index, count) for count in counts)


async def _until_free(whole: RunDirectory, sharding: Sharding) -> None:
    """Wait for a process that was killed to let go of the shard's journals, which takes a moment on shared storage.

    Raises:
        StoreError: another process works on the shard, or on one of another dealing, which may have the same seeds.
    """
    found = ""
    for _ in range(round(2 * _WAIT_FOR_LOCK)):
        found = _who_is_in_the_way(whole, sharding)
        if not found:
            return
        await asyncio.sleep(0.5)
    raise StoreError(f"{found} Stop it, or wait for its end.")


def _who_is_in_the_way(whole: RunDirectory, sharding: Sharding) -> str:
    for index, shard in whole.shards().items():
        if not is_at_work(shard):
            continue
        if index == sharding.index:
            return f"Another process works on {shard.path}."
        count = shard.read_manifest().get("shard", {}).get("count") if shard.has_run else None
        if count not in (None, sharding.count):
            return f"Shard {index}/{count} of {whole.path} is at work, and may have the same seeds as shard {sharding}."
    return ""
