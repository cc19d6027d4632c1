"""The fleet against real HTTP servers on loopback: places by rank, several servers, faults, and what stops a run."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest
from aiohttp import web

from snipmill.errors import ServerUnreachable
from snipmill.llm.client import Client, Server
from snipmill.llm.concurrency import INITIAL_CONCURRENCY, ConcurrencyLimit
from snipmill.llm.fleet import Fleet
from snipmill.llm.hang_timeout import HangTimeout
from snipmill.llm.request import Request
from snipmill.records import Completion, Refusal
from tests.standin import StandIn

T = TypeVar("T")


def request(number: int = 0, **changes: Any) -> Request:
    prompt = f"### Instruction\nAdd {number}.\n\n### Response\n"
    fields = {"prompt": prompt, "model": "stand-in", "max_tokens": 2000, "temperature": 0.7, "seed": number}
    return Request(**{**fields, **changes})


def with_fleet(work: Callable[[Fleet], Awaitable[T]], *urls: str, timeout: float = 600.0, **options: Any) -> T:
    async def go() -> T:
        async with contextlib.AsyncExitStack() as stack:
            servers = [Server(url, timeout=timeout, patience=2.0) for url in urls]
            clients = [await stack.enter_async_context(Client(server)) for server in servers]
            return await work(Fleet(clients, **options))

    return asyncio.run(go())


def test_of_those_who_wait_the_lowest_rank_goes_first() -> None:
    async def work(fleet: Fleet) -> None:
        tasks = [asyncio.create_task(fleet.complete(request(9)))]
        await asyncio.sleep(0.05)
        for number, rank in enumerate((2, 0, 1, 2, 0)):
            tasks.append(asyncio.create_task(fleet.complete(request(number), rank)))
        await asyncio.sleep(0.05)
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    with StandIn() as server:
        server.delay = 0.3
        with_fleet(work, server.url, concurrency=1)
        assert [body["seed"] for body in server.requests] == [9, 1, 4, 2, 3]


def test_never_more_in_flight_than_was_asked_for() -> None:
    most = 0

    def fault(body: dict[str, Any], attempt: int) -> web.StreamResponse | None:
        nonlocal most
        most = max(most, fleets[0].in_flight)
        return None

    fleets: list[Fleet] = []

    async def work(fleet: Fleet) -> None:
        fleets.append(fleet)
        await asyncio.gather(*(fleet.complete(request(number)) for number in range(40)))

    with StandIn(fault=fault) as server:
        server.delay = 0.01
        with_fleet(work, server.url, concurrency=3)
    assert most == 3 and fleets[0].in_flight == 0


def test_several_completions_of_one_request() -> None:
    async def work(fleet: Fleet) -> list[Any]:
        return [await fleet.complete(request(5, n=3)), await fleet.complete(request(5, n=3, cut=lambda text: None))]

    with StandIn() as server:
        whole, streamed = with_fleet(work, server.url)
        assert [body.get("n") for body in server.requests] == [3, 3]
    assert [part.text for part in whole] == [part.text for part in streamed]
    assert len({part.text for part in whole}) == 3
    assert [part.usage.prompt_tokens for part in whole] == [part.usage.prompt_tokens for part in streamed] == [7, 0, 0]


def test_work_is_spread_and_a_prefix_has_a_favourite() -> None:
    async def spread(fleet: Fleet) -> None:
        await asyncio.gather(*(fleet.complete(request(number)) for number in range(60)))

    async def one_by_one(fleet: Fleet) -> None:
        for number in range(20):
            await fleet.complete(request(number, prefix="some examples"))

    with StandIn() as first, StandIn() as second:
        first.delay = second.delay = 0.02
        with_fleet(spread, first.url, second.url, concurrency=4)
        assert min(len(first.requests), len(second.requests)) >= 20
        before = len(first.requests), len(second.requests)
        with_fleet(one_by_one, first.url, second.url, concurrency=4)
        assert sorted((len(first.requests) - before[0], len(second.requests) - before[1])) == [0, 20]


def test_a_server_that_dies_is_set_aside_and_its_requests_move_on() -> None:
    async def work(fleet: Fleet) -> list[Any]:
        answers = await asyncio.gather(*(fleet.complete(request(number)) for number in range(30)))
        servers[1].__exit__()
        more = await asyncio.gather(*(fleet.complete(request(number)) for number in range(30, 90)))
        assert fleet.counts.set_aside == 1
        return [*answers, *more]

    servers = [StandIn().__enter__(), StandIn().__enter__()]
    try:
        for server in servers:
            server.delay = 0.005
        answers = with_fleet(work, *(server.url for server in servers), concurrency=4)
    finally:
        servers[0].__exit__()
    assert all(not isinstance(answer, Refusal) for answer in answers)


def test_a_server_that_comes_back_is_used_again() -> None:
    down = True

    def fault(body: dict[str, Any], attempt: int) -> web.StreamResponse | None:
        return web.json_response({"error": "down"}, status=502) if down else None

    async def work(fleet: Fleet) -> list[Any]:
        nonlocal down
        tasks = [asyncio.create_task(fleet.complete(request(number))) for number in range(40)]
        await asyncio.sleep(1.5)
        assert fleet.trouble
        down = False
        return await asyncio.gather(*tasks)

    with StandIn(fault=fault) as server:
        answers = with_fleet(work, server.url)
        assert len(server.requests) < 40 * 5  # a closed server is tried by one request at a time
    assert all(not isinstance(answer, Refusal) for answer in answers)


def test_the_run_stops_with_a_sentence_when_no_server_is_left() -> None:
    with StandIn() as server:
        url = server.url
    with pytest.raises(ServerUnreachable, match=f"No answer from {url}"):
        with_fleet(lambda fleet: fleet.complete(request()), url, give_up=1.0)


def test_a_request_that_always_fails_costs_one_row_and_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snipmill.llm.fleet._TRIES", 4)

    def fault(body: dict[str, Any], attempt: int) -> web.StreamResponse | None:
        return web.json_response({"error": "boom"}, status=500) if body["seed"] == 7 else None

    async def work(fleet: Fleet) -> list[Any]:
        return await asyncio.gather(*(fleet.complete(request(number)) for number in range(20)))

    with StandIn(fault=fault) as server:
        answers = with_fleet(work, server.url)
    assert [number for number, answer in enumerate(answers) if isinstance(answer, Refusal)] == [7]
    assert answers[7].reason == "server-failed" and "boom" in answers[7].detail


def test_a_retry_after_is_kept_to() -> None:
    loop_times: list[float] = []

    def fault(body: dict[str, Any], attempt: int) -> web.StreamResponse | None:
        loop_times.append(asyncio.get_running_loop().time())
        return web.json_response({}, status=429, headers={"Retry-After": "0.5"}) if len(loop_times) == 1 else None

    async def work(fleet: Fleet) -> None:
        await asyncio.gather(*(fleet.complete(request(number)) for number in range(5)))

    with StandIn(fault=fault) as server:
        with_fleet(work, server.url, concurrency=1)
    assert min(later - loop_times[0] for later in loop_times[1:]) >= 0.45


def test_a_stalled_body_is_left_by_what_others_have_needed() -> None:
    stalled: list[int] = []

    async def stall(body: dict[str, Any]) -> None:
        stalled.append(body["seed"])
        await asyncio.sleep(60)

    def fault(body: dict[str, Any], attempt: int) -> Any:
        return stall(body) if body["seed"] == 30 and not stalled else None

    async def work(fleet: Fleet) -> list[Any]:
        for number in range(31):
            await fleet.complete(request(number))
        return [await asyncio.wait_for(fleet.complete(request(30)), 20)]

    with StandIn(fault=fault) as server:
        answers = with_fleet(work, server.url)
    assert isinstance(answers[0][0], Completion) and stalled == [30]


# The limit, without a server --------------------------------------------------------------------------------------------


def simulate(slots: int, answers: int, noise: float = 0.0, refuse_above: int | None = None) -> ConcurrencyLimit:
    """Requests of 100 tokens at a server that works on `slots` of them at a time, one token a tick."""
    limit, now, draw = ConcurrencyLimit(None, 0.0), 0.0, random.Random(1)
    for _ in range(answers):
        working = min(limit.value, slots)
        now += 100 / working * draw.uniform(1 - noise, 1 + noise)
        limit.full()
        limit.progress(100)
        if refuse_above is not None and limit.value > refuse_above:
            limit.overloaded(limit.value)
        limit.answered(now)
    return limit


@pytest.mark.parametrize("slots", [8, 32, 64, 200, 500])
def test_the_limit_finds_the_slots(slots: int) -> None:
    assert (
        max(slots, INITIAL_CONCURRENCY)
        <= simulate(slots, 20_000, noise=0.5).value
        <= max(4 * slots, 2 * INITIAL_CONCURRENCY + 1)
    )


def test_the_limit_falls_when_the_server_refuses() -> None:
    assert 12 <= simulate(1000, 5000, refuse_above=20).value <= 24


def test_a_fixed_limit_stays() -> None:
    limit = ConcurrencyLimit(5, 0.0)
    for _ in range(100):
        limit.full()
        limit.overloaded(5)
        limit.answered(1.0)
    assert limit.value == 5


def test_patience_follows_what_was_needed() -> None:
    patience = HangTimeout(2.0, 600.0)
    assert patience.seconds == 600.0
    for _ in range(300):
        patience.waited(3.0)
    assert patience.seconds == 15.0
    patience.hung()
    assert patience.seconds == 30.0
    for _ in range(300):
        patience.waited(0.01)
    assert patience.seconds == 2.0
