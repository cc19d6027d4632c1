"""Many tasks at once, bounded in number, with results in the order of the input: what makes outputs deterministic."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import Any, TypeVar

A = TypeVar("A")
B = TypeVar("B")


async def map_in_order(items: Iterable[A], work: Callable[[A], Awaitable[B]], window: int) -> AsyncGenerator[B, None]:
    """Apply `work` to items, at most `window` of them at a time, and yield the results in order.

    The first exception in any of them is raised at once and ends the others.
    """
    pending: deque[asyncio.Task[B]] = deque()
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def watch(task: asyncio.Task[B]) -> None:
        if not task.cancelled() and task.exception() is not None and not failed.done():
            failed.set_result(None)

    async def first() -> B:
        waited: set[asyncio.Future[Any]] = {pending[0], failed}
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if failed.done():
            for task in pending:
                if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                    raise error
        return await pending.popleft()

    async def start(item: A) -> B:
        return await work(item)

    try:
        for item in items:
            task = asyncio.create_task(start(item))
            task.add_done_callback(watch)
            pending.append(task)
            if len(pending) >= window:
                yield await first()
        while pending:
            yield await first()
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        failed.cancel()
