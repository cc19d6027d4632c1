from __future__ import annotations

import asyncio

import pytest

from snipmill.parallel.once import _REMEMBERED, Once


def test_equal_keys_share_one_result() -> None:
    done: list[str] = []

    async def work(key: str) -> str:
        done.append(key)
        await asyncio.sleep(0.01)
        return key.upper()

    async def go() -> None:
        once = Once(work)
        assert list(await asyncio.gather(once("a"), once("b"), once("a"))) == ["A", "B", "A"]
        assert await once("a") == "A"
        assert done == ["a", "b"]

    asyncio.run(go())


def test_what_failed_is_done_again() -> None:
    tries = 0

    async def work(key: str) -> int:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise ValueError(key)
        return tries

    async def go() -> None:
        once = Once(work, keep=lambda number: number > 2)
        with pytest.raises(ValueError, match="a"):
            await once("a")
        assert [await once("a"), await once("a"), await once("a")] == [2, 3, 3]

    asyncio.run(go())


def test_a_caller_that_gives_up_does_not_end_the_work_of_others() -> None:
    async def work(key: str) -> str:
        await asyncio.sleep(0.05)
        return key

    async def go() -> None:
        once = Once(work)
        first, second = asyncio.create_task(once("a")), asyncio.create_task(once("a"))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == "a"
        third = asyncio.create_task(once("b"))
        await asyncio.sleep(0)
        await once.close()
        with pytest.raises(asyncio.CancelledError):
            await third

    asyncio.run(go())


def test_only_the_latest_results_are_remembered() -> None:
    done: list[int] = []

    async def work(key: int) -> int:
        done.append(key)
        return key

    async def go() -> None:
        once = Once(work)
        for key in range(_REMEMBERED + 10):
            await once(key)
        await once(_REMEMBERED)
        assert len(done) == _REMEMBERED + 10
        await once(0)
        assert len(done) == _REMEMBERED + 11

    asyncio.run(go())


def test_many_keys_behind_a_slow_one() -> None:
    async def go() -> None:
        slow = asyncio.Event()

        async def work(key: int) -> int:
            if key == 0:
                await slow.wait()
            return key

        once = Once(work)
        first = asyncio.create_task(once(0))
        for key in range(1, _REMEMBERED + 100):
            await once(key)
        assert len(once._results) == _REMEMBERED
        slow.set()
        assert await first == 0

    asyncio.run(go())
