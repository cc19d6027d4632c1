"""The flow of a seed, with steps that are plain functions: waves, early stop, and what is left when a step raises."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from itertools import chain
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snipmill.config import GenerateTable
from snipmill.engine.flow import SeedOutcome, Steps, grow, sample_groups, waves
from snipmill.parallel.in_order import gather_or_raise
from snipmill.records import Concepts, Execution, Instruction, Reject, Response, Seed, Verdict, extend
from snipmill.stages.attempts import Candidate, SampleSet
from snipmill.stages.generate import SampleTask
from snipmill.verification.programs import apply_verdict
from tests.conftest import RESPONSE, SEED

T = TypeVar("T")
TABLES = st.builds(
    GenerateTable,
    samples=st.integers(1, 40),
    wave=st.integers(1, 12),
    per_request=st.integers(1, 6),
    accept=st.integers(0, 6),
)


@given(TABLES)
def test_waves_draw_each_sample_once_and_in_order(table: GenerateTable) -> None:
    drawn = list(waves(table))
    requests = [request for wave in drawn for request in wave.requests]
    assert list(chain.from_iterable(requests)) == list(range(table.samples))
    assert all(len(request) <= table.per_request for request in requests)
    assert [wave.end for wave in drawn] == [*range(table.wave, table.samples, table.wave), table.samples]
    assert list(chain.from_iterable(sample_groups(table.samples, table.per_request))) == list(range(table.samples))


def steps(good: Sequence[bool], accept: int, together: Any = gather_or_raise, broken: int | None = None) -> Steps:
    """Steps in which sample number N passes where `good[N]`."""

    async def concepts(task: SampleTask) -> list[Concepts]:
        return [Concepts(id="c-1", seed=task.record.seed, concepts=["doubling"], parents={"seed": task.record.id})]

    async def instructions(task: SampleTask) -> list[Instruction]:
        return [extend(Instruction, task.record, id="i-1", instruction="Double a number, please.")]

    async def responses(task: SampleTask) -> list[Response]:
        return [
            extend(
                Response, task.record, id=f"r-{number}", sample=number, response=RESPONSE.replace("It", f"It {number}")
            )
            for number in task.samples
        ]

    async def execute(candidate: Candidate) -> list[Execution | Reject]:
        number = candidate.response.sample
        if number == broken:
            raise RuntimeError("the sandbox is gone")
        return [apply_verdict(candidate.response, Verdict(status="passed" if good[number] else "failed"))]

    async def suffice(samples: SampleSet) -> list[bool]:
        return [sum(attempt.passed for attempt in samples.attempts) >= accept]

    async def verify(samples: SampleSet) -> list[Execution | Reject]:
        return [attempt.outcome for attempt in samples.attempts if isinstance(attempt.outcome, Execution)]

    ask: dict[str, Any] = {"concepts": concepts, "instructions": instructions, "responses": responses}
    return Steps(ask, execute, suffice, verify, together)


async def one_by_one(works: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    return [await work for work in works]


@given(st.lists(st.booleans(), min_size=40, max_size=40), TABLES)
def test_sampling_stops_after_the_first_wave_that_suffices(good: list[bool], table: GenerateTable) -> None:
    outcomes = []
    for together in (gather_or_raise, one_by_one):
        outcome = SeedOutcome()
        flow = steps(good, table.accept, together)
        asyncio.run(grow(Seed(id="s-1", seed=SEED), flow, table, 1, outcome))
        outcomes.append(outcome)
    assert outcomes[0] == outcomes[1], "however branches are carried out"
    drawn = len(outcome.kept["responses"])
    ends = [wave.end for wave in waves(table) if not table.accept or sum(good[: wave.end]) >= table.accept]
    assert drawn == outcome.drawn == (ends[0] if table.accept and ends else table.samples)
    assert outcome.spared == table.samples - drawn
    assert len(outcome.kept.get("sanitize", [])) == sum(good[:drawn])
    assert [row.sample for row in outcome.kept.get("sanitize", [])] == [n for n in range(drawn) if good[n]]


def test_a_seed_that_is_dropped_goes_no_further() -> None:
    flow = steps([True] * 4, 0)

    async def refuse(task: SampleTask) -> list[Reject]:
        return [Reject(id="c-1", stage="concepts", reason="no-concepts")]

    outcome = SeedOutcome()
    flow = Steps({**flow.ask, "concepts": refuse}, flow.execute, flow.suffice, flow.verify, flow.together)
    asyncio.run(grow(Seed(id="s-1", seed=SEED), flow, GenerateTable(samples=4), 1, outcome))
    assert set(outcome.kept) == {"seeds"} and set(outcome.rejected) == {"concepts"}


def test_what_had_come_before_a_failure_is_there() -> None:
    outcome = SeedOutcome()
    with pytest.raises(RuntimeError, match="sandbox is gone"):
        table = GenerateTable(samples=4, wave=2, accept=0)
        asyncio.run(grow(Seed(id="s-1", seed=SEED), steps([True] * 4, 0, broken=3), table, 1, outcome))
    assert len(outcome.kept["responses"]) == 2 and outcome.drawn == 4
