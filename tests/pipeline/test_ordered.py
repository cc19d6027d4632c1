from __future__ import annotations

import asyncio

import pytest

from snipmill.pipeline.ordered import map_in_order


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
