from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Generator
from typing import Any

import pytest

from snipmill.parallel.in_order import in_thread, map_in_order


def test_results_come_in_order_and_the_window_holds() -> None:
    running = most = 0

    async def work(n: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001 * ((n * 7) % 5))
        running -= 1
        return n

    async def go() -> list[int]:
        return [result async for result in map_in_order(range(50), work, 6)]

    assert asyncio.run(go()) == list(range(50))
    assert most == 6


def test_the_first_exception_stops_the_rest() -> None:
    started: list[int] = []

    async def work(n: int) -> int:
        started.append(n)
        if n == 3:
            raise ValueError("three")
        await asyncio.sleep(60)
        return n

    async def go() -> None:
        async for _ in map_in_order(range(1000), work, 8):
            pass

    with pytest.raises(ValueError, match="three"):
        asyncio.run(asyncio.wait_for(go(), 50))
    assert len(started) <= 8


def numbers(count: int, pause: float = 0.0) -> Generator[int, None, None]:
    for number in range(count):
        time.sleep(pause)
        yield number


async def slowly(number: int) -> int:
    await asyncio.sleep(0.3 if number % 5 == 0 else 0.0)
    return number


@pytest.mark.parametrize("threaded", [True, False])
@pytest.mark.parametrize("window", [1, 3, 100])
def test_results_come_in_order_and_waiting_costs_nothing(threaded: bool, window: int) -> None:
    async def go() -> list[int]:
        source = in_thread(numbers(20), threading.Event()) if threaded else numbers(20)
        return [result async for result in map_in_order(source, slowly, window)]

    started, cpu = time.monotonic(), time.process_time()
    assert asyncio.run(go()) == list(range(20))
    assert time.process_time() - cpu < (time.monotonic() - started) / 3, (
        "a wait that spins takes the CPU from the model"
    )


def test_a_failure_is_told_while_the_source_is_at_work() -> None:
    stop = threading.Event()

    def endless() -> Generator[int, None, None]:
        yield 0
        while not stop.wait(0.01):
            pass

    async def fail(number: int) -> int:
        raise ValueError(number)

    async def go() -> None:
        async for _ in map_in_order(in_thread(endless(), stop), fail, 50):
            pass

    with pytest.raises(ValueError, match="0"):
        asyncio.run(go())
    assert stop.is_set()


def test_a_result_is_given_as_soon_as_it_may() -> None:
    stop = threading.Event()

    def two_and_a_pause() -> Generator[int, None, None]:
        yield 0
        stop.wait(600)

    async def go() -> int:
        results = map_in_order(in_thread(two_and_a_pause(), stop), slowly, 50)
        first = await anext(results)
        await results.aclose()
        return first

    started = time.monotonic()
    assert asyncio.run(go()) == 0
    assert time.monotonic() - started < 50


def test_a_slow_item_holds_nothing_up() -> None:
    done: list[int] = []

    async def go() -> list[int]:
        last = asyncio.Event()

        async def work(number: int) -> int:
            if number == 0:
                await last.wait()  # for ever, if those after it had to wait
            done.append(number)
            if number == 999:
                last.set()
            return number

        return [result async for result in map_in_order(range(1000), work, 4)]

    assert asyncio.run(asyncio.wait_for(go(), 300)) == list(range(1000))
    assert done[-1] == 0


def test_what_waits_is_bounded_by_its_bytes() -> None:
    started: list[int] = []

    async def go() -> list[int]:
        first = asyncio.Event()

        async def work(number: int) -> bytes:
            started.append(number)
            if number == 0:
                await first.wait()
            return bytes(10_000)

        async def let_go() -> None:
            while len(started) < 11:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.2)
            assert len(started) == 11  # one under way, and ten that wait
            first.set()

        releasing = asyncio.create_task(let_go())
        results = [len(result) async for result in map_in_order(range(200), work, 2, waiting_bytes=100_000)]
        await releasing
        return results

    assert asyncio.run(asyncio.wait_for(go(), 300)) == [10_000] * 200


def test_no_more_than_ahead_are_begun() -> None:
    started: list[int] = []

    async def go() -> None:
        async def work(number: int) -> int:
            started.append(number)
            return number

        results = map_in_order(range(1000), work, 4, ahead=7)
        async for result in results:
            assert len(started) <= result + 7 + 1
            await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(go(), 300))
    assert len(started) == 1000


def test_results_that_cannot_be_pickled_wait_too() -> None:
    async def work(number: int) -> Any:
        await asyncio.sleep(0.05 if number == 0 else 0)
        return lambda: number

    async def go() -> list[int]:
        return [result() async for result in map_in_order(range(50), work, 8)]

    assert asyncio.run(go()) == list(range(50))


@pytest.mark.parametrize("waiting_bytes", [0, 1, 2_000, 20_000])
@pytest.mark.parametrize("window", [1, 3, 8])
def test_nothing_is_lost_however_little_may_wait(window: int, waiting_bytes: int) -> None:
    """Tasks that end in the turn of the loop in which their results are given, too."""

    async def work(number: int) -> bytes:
        for _ in range(number * 7 % 9):
            await asyncio.sleep(0)
        return bytes(1000)

    async def go() -> int:
        results = map_in_order(range(2000), work, window, waiting_bytes=waiting_bytes)
        return sum([len(result) async for result in results])

    assert asyncio.run(asyncio.wait_for(go(), 300)) == 2_000_000


def test_a_result_that_is_given_before_its_task_is_counted() -> None:
    async def go() -> int:
        loop = asyncio.get_running_loop()
        ready: list[asyncio.Future[None]] = [loop.create_future() for _ in range(3)]

        async def work(number: int) -> bytes:
            await ready[number]
            return bytes(1000)

        def release() -> None:
            loop.call_soon(lambda: loop.call_soon(ready[1].set_result, None))
            ready[0].set_result(None)
            loop.call_later(0.05, ready[2].set_result, None)

        loop.call_later(0.05, release)
        return len([result async for result in map_in_order([0, 1, 2, 0, 0], work, 3, waiting_bytes=900)])

    assert asyncio.run(asyncio.wait_for(go(), 300)) == 5


def test_a_failure_is_told_though_the_consumer_was_busy() -> None:
    async def work(number: int) -> int:
        if number == 1:
            await asyncio.sleep(3600)
        if number == 2:
            raise ValueError("two")
        return number

    async def go() -> None:
        async for _ in map_in_order(range(3), work, 3):
            await asyncio.sleep(0.1)

    with pytest.raises(ValueError, match="two"):
        asyncio.run(asyncio.wait_for(go(), 300))


def test_work_that_is_cancelled_ends_the_others() -> None:
    async def work(number: int) -> int:
        never = asyncio.get_running_loop().create_future()
        never.cancel()
        await never
        return number

    async def go() -> None:
        async for _ in map_in_order([1], work, 4):
            pass

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(asyncio.wait_for(go(), 300))


def test_what_was_given_waits_no_more() -> None:
    running = most = 0

    async def work(number: int) -> bytes:
        nonlocal running, most
        running += 1
        if number >= 500:
            most = max(most, running)
        await asyncio.sleep(0.002 if number % 4 == 0 else 0)
        running -= 1
        return bytes(1000)

    async def go() -> int:
        return len([result async for result in map_in_order(range(600), work, 4, waiting_bytes=50_000)])

    assert asyncio.run(asyncio.wait_for(go(), 300)) == 600
    assert most > 1  # results that were given long ago take no room
