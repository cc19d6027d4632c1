"""Many tasks at once, bounded in number, with results in the order of the input: what makes outputs deterministic."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

A = TypeVar("A")
B = TypeVar("B")
_END = object()


async def in_thread(items: Generator[A, None, None]) -> AsyncGenerator[A, None]:
    """Take items from a generator that works for them, in a thread of its own, so that all else goes on meanwhile."""
    with ThreadPoolExecutor(1, thread_name_prefix="snipmill-items") as thread:
        loop = asyncio.get_running_loop()
        try:
            while (item := await loop.run_in_executor(thread, next, items, _END)) is not _END:
                yield cast(A, item)
        finally:
            # In the same thread, after what it is at: a generator can be closed only between two items.
            thread.submit(items.close)


async def _each(items: Iterable[A] | AsyncIterable[A]) -> AsyncGenerator[A, None]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item


async def map_in_order(
    items: Iterable[A] | AsyncIterable[A], work: Callable[[A], Awaitable[B]], window: int
) -> AsyncGenerator[B, None]:
    """Apply `work` to items, at most `window` of them at a time, and yield the results in order.

    The first exception in any of them is raised at once and ends the others.
    """
    source = _each(items)
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
        async for item in source:
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
        await source.aclose()
        if isinstance(items, AsyncGenerator):
            await items.aclose()
        failed.cancel()
