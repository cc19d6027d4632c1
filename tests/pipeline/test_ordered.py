from __future__ import annotations

import asyncio

import pytest

from snipmill.pipeline.ordered import Gate, map_in_order


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
        asyncio.run(asyncio.wait_for(go(), 5))
    assert len(started) <= 8


def test_the_gate_lets_the_lowest_rank_in_first() -> None:
    async def go() -> list[int]:
        gate, order = Gate(1), []
        await gate.enter(0)

        async def wait(rank: int) -> None:
            await gate.enter(rank)
            order.append(rank)
            gate.leave()

        tasks = [asyncio.create_task(wait(rank)) for rank in (2, 0, 1, 2, 0)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        await asyncio.sleep(0)
        gate.leave()
        await asyncio.gather(*tasks, return_exceptions=True)
        return order

    assert asyncio.run(go()) == [0, 0, 1, 2]
