"""A whole run: every seed grows into its concepts, instruction, responses and verdicts as soon as each part is there.

No stage waits for another stage to finish; only `select` looks across instructions and waits for the end. Later stages
go first at the server, so that what was begun is finished. The files are written in the order of the seeds, whatever
the order in which things happened.
"""

from __future__ import annotations

import asyncio
import contextlib
import platform
import threading
import time
from collections.abc import Coroutine, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from snipmill import __version__
from snipmill.config import Config, render_config
from snipmill.llm.connect import Connection, connect, server_addresses
from snipmill.llm.fleet import Fleet
from snipmill.pipeline import settings
from snipmill.pipeline.accounting import account
from snipmill.pipeline.execute import execute
from snipmill.pipeline.funnel import Funnel
from snipmill.pipeline.generate import Generation, generate, waves
from snipmill.pipeline.judging import weigh
from snipmill.pipeline.ordered import in_thread, map_in_order
from snipmill.pipeline.sanitizing import sanitize_rows
from snipmill.pipeline.seeds import iterate_seeds, mining_settings
from snipmill.pipeline.selecting import select_rows, weakness
from snipmill.pipeline.verifying import Crossed, Tried, Verifier, suffices, verify
from snipmill.prompts.concepts import STAGE as CONCEPTS
from snipmill.prompts.instructions import STAGE as INSTRUCTIONS
from snipmill.prompts.judge import STAGE as JUDGE
from snipmill.prompts.responses import STAGE as RESPONSES
from snipmill.prompts.stage import Stage
from snipmill.records import Concepts, Execution, Instruction, Record, Reject, Response, Row, Seed, content_hash
from snipmill.sandbox.driver import Sandbox
from snipmill.select.sanitize import sanitize
from snipmill.store.journal import Asked, Executed, Journal, Mined, Verified
from snipmill.store.jsonl import Writer, read_records
from snipmill.store.run_directory import RunDirectory

In = TypeVar("In", bound=Record)
Out = TypeVar("Out", bound=Record)
Out_ = TypeVar("Out_")
_RANK = {RESPONSES.name: 0, INSTRUCTIONS.name: 1, CONCEPTS.name: 2, JUDGE.name: 3}


@dataclass
class Progress:
    """What a run tells about itself while it works.

    `fruitful` counts the seeds, in order, from which a row has come; the run ends when there are `enough`.
    """

    funnel: Funnel = field(default_factory=Funnel)
    seeds_done: int = 0
    limit: int | None = None
    all_seeds_known: bool = False
    fruitful: int = 0
    enough: int | None = None
    phase: str = "starting"
    model: str = ""
    tier: str = ""
    started: float = field(default_factory=time.monotonic)
    fleet: Fleet | None = None

    @property
    def seeds(self) -> int | None:
        """How many seeds there will be at most, None while that is not known."""
        return self.funnel["seeds"].kept if self.all_seeds_known else self.limit


@dataclass
class Grown:
    """Everything that came of one seed, in order, by stage."""

    kept: dict[str, list[Any]] = field(default_factory=dict)
    rejected: dict[str, list[Reject]] = field(default_factory=dict)

    def add(self, stage: str, outcome: Record) -> None:
        """Take an outcome in."""
        target: dict[str, Any] = self.rejected if isinstance(outcome, Reject) else self.kept
        target.setdefault(stage, []).append(outcome)

    def is_fruitful(self, config: Config) -> bool:
        """Whether a row came of it that selection could take: it clears the bars, whatever other rows there are."""
        rows: list[Row] = self.kept.get("sanitize", [])
        return any(weakness(row, config.select) is None for row in rows)

    def count(self, funnel: Funnel) -> None:
        """Count everything in a funnel."""
        for stage, records in self.kept.items():
            funnel[stage].kept += len(records)
        for stage, rejects in self.rejected.items():
            funnel[stage].rejected.update(reject.reason for reject in rejects)


@dataclass
class _Workshop:
    """What is shared by all seeds of a run."""

    config: Config
    connection: Connection
    generations: dict[str, Generation]
    sandbox: Sandbox
    journals: dict[str, Journal[Asked]]
    executed: Journal[Executed]
    mined: Journal[Mined]
    progress: Progress
    lanes: dict[str, asyncio.Semaphore]
    verifier: Verifier

    async def ask(self, stage: Stage[In, Out], record: In, samples: Sequence[int] = (0,)) -> list[Out | Reject]:
        """Some samples of a stage for a record."""
        async with self.lanes.get(stage.name) or contextlib.nullcontext():
            return await generate(
                stage,
                record,
                samples,
                self.generations[stage.name],
                self.connection.fleet,
                self.journals[stage.name],
                self.progress.funnel[stage.name],
                _RANK[stage.name],
            )

    async def grow(self, seed: Seed) -> Grown:
        """All that comes of a seed."""
        grown = Grown()
        grown.add("seeds", seed)
        self.progress.funnel["seeds"].count(None)
        if not self.config.judge.enabled or await self._is_fit(seed, grown):
            (concepts,) = await self.ask(CONCEPTS, seed)
            grown.add(CONCEPTS.name, concepts)
            if isinstance(concepts, Concepts):
                (instruction,) = await self.ask(INSTRUCTIONS, concepts)
                grown.add(INSTRUCTIONS.name, instruction)
                if isinstance(instruction, Instruction):
                    await self._answer(instruction, grown)
        self.progress.seeds_done += 1
        return grown

    async def _is_fit(self, seed: Seed, grown: Grown) -> bool:
        """Whether the judge lets a seed pass."""
        (answer,) = await self.ask(JUDGE, seed)
        judged = weigh(answer, self.config.judge.threshold)
        if isinstance(judged, Reject) and not isinstance(answer, Reject):
            self.progress.funnel[JUDGE.name].recount(judged.reason)
        grown.add(JUDGE.name, judged)
        return not isinstance(judged, Reject)

    async def _answer(self, instruction: Instruction, grown: Grown) -> None:
        """Draw samples in waves until enough of them have passed: a rule over whole waves, so that timing is no part of it."""
        table = self.config.generate
        tried: list[tuple[Response, Execution | Reject]] = []
        crossed: Crossed = {}
        for beyond, groups in waves(table):
            for outcomes in await _all(self._sample(instruction, group) for group in groups):
                for response, execution in outcomes:
                    grown.add(RESPONSES.name, response)
                    if isinstance(response, Response) and execution is not None:
                        grown.add("execute", execution)
                        tried.append((response, execution))
            if table.accept and await suffices(self.verifier, self._acceptable(tried), table.accept, crossed):
                self.progress.funnel[RESPONSES.name].spared += table.samples - beyond
                break
        for verified in await verify(self.verifier, tried, crossed):
            grown.add("verify", verified)
            if isinstance(verified, Execution):
                row = sanitize(verified, "raw", self.config.run.seed)
                self.progress.funnel["sanitize"].count(row.reason if isinstance(row, Reject) else None)
                grown.add("sanitize", row)

    def _acceptable(self, tried: Tried) -> Tried:
        """What was tried, without passes that would not become rows."""
        seed = self.config.run.seed
        return [
            (response, outcome)
            for response, outcome in tried
            if isinstance(outcome, Reject) or isinstance(sanitize(outcome, "raw", seed), Row)
        ]

    async def _sample(
        self, instruction: Instruction, samples: range
    ) -> list[tuple[Response | Reject, Execution | Reject | None]]:
        return await _all(self._try(response) for response in await self.ask(RESPONSES, instruction, samples))

    async def _try(self, response: Response | Reject) -> tuple[Response | Reject, Execution | Reject | None]:
        if not isinstance(response, Response):
            return response, None
        execution = await execute(
            response,
            self.sandbox,
            self.verifier.limits,
            self.verifier.environment,
            self.executed,
            self.progress.funnel["execute"],
        )
        return response, execution


async def _all(works: Iterable[Coroutine[Any, Any, Out_]]) -> list[Out_]:
    """The results of some coroutines, in their order; the first error ends the others, and is raised alone."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in works]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None  # one sentence for the user, not a group of the same
    return [task.result() for task in tasks]


async def run(config: Config, progress: Progress) -> RunDirectory:
    """Make a data set, or go on making it where an earlier run with this directory stopped.

    Raises:
        SnipmillError: something that no single record can be blamed for; all that was made is kept.
    """
    mining_settings(config)  # what cannot be is told before anything is written
    server_addresses(config.model)
    directory = RunDirectory(config.run.dir)
    directory.create()
    async with contextlib.AsyncExitStack() as stack:
        # The journals are opened first: they keep a second process out.
        journals = {stage: stack.enter_context(Journal(directory.journal(stage), Asked)) for stage in sorted(_RANK)}
        executed = stack.enter_context(Journal(directory.journal("execute"), Executed))
        verified = stack.enter_context(Journal(directory.journal("verify"), Verified))
        mined = stack.enter_context(Journal(directory.journal("seeds"), Mined))
        directory.write_text("config.toml", render_config(config))
        sandbox, again = await stack.enter_async_context(settings.open_sandboxes(config))
        progress.tier, progress.phase = sandbox.tier, "starting the model"
        connection = await stack.enter_async_context(connect(config.model))
        progress.model, progress.phase = connection.description, "mining seeds"
        generations = settings.generations(config, connection.model)
        progress.fleet = connection.fleet
        lanes = _lanes(connection)
        verifier = Verifier(
            sandbox=sandbox,
            again=again,
            limits=settings.limits(config),
            environment=settings.environment(config),
            table=config.verify,
            journal=verified,
            count=progress.funnel["verify"],
        )
        workshop = _Workshop(
            config, connection, generations, sandbox, journals, executed, mined, progress, lanes, verifier
        )
        manifest = _manifest(config, connection, generations, sandbox)
        directory.write_manifest({**manifest, "status": "running"})
        await _grow_all(config, directory, workshop)
        progress.phase = "selecting"
        finish(config, directory, progress.funnel)
        seconds = round(time.monotonic() - progress.started, 1)
        accounts = account(progress.funnel, connection.fleet.counts, seconds, config.model.price)
        done = {"status": "done", "seconds": seconds, "accounting": accounts}
        directory.write_manifest({**manifest, **done, "funnel": progress.funnel.to_json()})
    progress.phase = "done"
    return directory


def _lanes(connection: Connection) -> dict[str, asyncio.Semaphore]:
    """Stages of which one request may be under way at a time."""
    if connection.shares_prefixes:
        return {}
    return {CONCEPTS.name: asyncio.Semaphore(1), INSTRUCTIONS.name: asyncio.Semaphore(1)}


def _window(config: Config, connection: Connection) -> int:
    """How many seeds may be under way: plenty, so that one slow request holds nobody up, but bounded."""
    if not connection.shares_prefixes:
        return connection.most
    window = max(2 * connection.most, 16)
    enough = config.generate.enough
    return window if enough is None else min(window, max(8, 2 * enough))


def _manifest(
    config: Config, connection: Connection, generations: dict[str, Generation], sandbox: Sandbox
) -> dict[str, Any]:
    some = generations[CONCEPTS.name]
    return {
        "snipmill": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": connection.model,
        "served": connection.description,
        "prompting": config.model.prompting,
        "fewshot_hash": some.bank.hash,
        "prompt_hashes": {
            mode: content_hash(mode, system)
            for generation in generations.values()
            for mode, system in sorted(generation.bank.systems.items())
        },
        "sandbox_tier": sandbox.tier,
        "seed": config.run.seed,
    }


async def _grow_all(config: Config, directory: RunDirectory, workshop: _Workshop) -> None:
    progress = workshop.progress
    with contextlib.ExitStack() as stack:
        kept: dict[str, Writer[Any]] = {}
        rejects: dict[str, Writer[Reject]] = {}
        judged = (JUDGE.name,) if config.judge.enabled else ()
        generated = (CONCEPTS.name, INSTRUCTIONS.name, RESPONSES.name)
        for stage in ("seeds", *judged, *generated, "execute", "verify", "sanitize"):
            kept[stage] = stack.enter_context(Writer(directory.kept(stage)))
            rejects[stage] = stack.enter_context(Writer(directory.rejects(stage)))

        def drop_seed(reject: Reject) -> None:
            rejects["seeds"].write(reject)
            progress.funnel["seeds"].count(reject.reason)

        stop = threading.Event()

        def mined() -> Generator[Seed, None, None]:
            yield from iterate_seeds(config, drop_seed, workshop.mined, stop.is_set)
            progress.all_seeds_known = True

        progress.phase, progress.enough, progress.limit = "writing", config.generate.enough, config.seeds.limit
        window = _window(config, workshop.connection)
        async with contextlib.aclosing(map_in_order(in_thread(mined(), stop), workshop.grow, window)) as harvest:
            harvested = Funnel()
            harvested["seeds"].rejected = progress.funnel["seeds"].rejected
            stack.callback(progress.funnel.agree_with, harvested)
            async for grown in harvest:
                grown.count(harvested)
                for stage, records in grown.kept.items():
                    for record in records:
                        kept[stage].write(record)
                for stage, dropped in grown.rejected.items():
                    for reject in dropped:
                        rejects[stage].write(reject)
                progress.fruitful += grown.is_fruitful(config)
                if progress.enough is not None and progress.fruitful >= progress.enough:
                    return  # counted in the order of the seeds: the same seeds in every run, whatever is under way


def finish(config: Config, directory: RunDirectory, funnel: Funnel) -> None:
    """Select among all rows and write the data set in the configured style."""
    seed = config.run.seed
    with Writer[Row](directory.dataset) as dataset, Writer[Reject](directory.rejects("select")) as rejects:

        def drop(reject: Reject) -> None:
            rejects.write(reject)
            funnel["select"].count(reject.reason)

        chosen = select_rows(_raw_rows(directory), config.select, seed, drop)
        for line, reason in sanitize_rows(chosen, config.select, seed):
            (dataset if reason is None else rejects).write_line(line)
            funnel["select"].count(reason)


def _raw_rows(directory: RunDirectory) -> Iterator[Row]:
    path = directory.kept("sanitize")
    if path.stat().st_size:
        for row in read_records(str(path), Row, "select"):
            if isinstance(row, Row):
                yield row
