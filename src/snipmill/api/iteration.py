"""Asynchronous work for synchronous programs, wherever an event loop is running."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any, TypeVar, cast

from snipmill.parallel.in_order import in_thread

T = TypeVar("T")
_AHEAD = 64  # results that may wait for whoever takes them
_END = object()


def finish(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine, wherever it is asked for; an interruption ends it."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    return _finish_in_thread(work)


def _finish_in_thread(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine on a loop of its own, since one is running here, as in a notebook."""
    begun: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = Future()

    async def begin() -> T:
        task = asyncio.current_task()
        assert task is not None
        begun.set_result((asyncio.get_running_loop(), task))
        return await work

    with ThreadPoolExecutor(1, thread_name_prefix="snipmill") as thread:
        result = thread.submit(asyncio.run, begin())
        try:
            return result.result()
        except BaseException:
            if not result.done():
                loop, task = begun.result()
                loop.call_soon_threadsafe(task.cancel)
            raise


def iterate(items: AsyncGenerator[T, None]) -> Generator[T, None, None]:
    """The items of an asynchronous generator, made in a thread of their own while earlier ones are used.

    A loop that ends early ends the work.
    """
    results: SimpleQueue[Any] = SimpleQueue()
    begun: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any], asyncio.Semaphore]] = Future()

    async def make() -> None:
        task, room = asyncio.current_task(), asyncio.Semaphore(_AHEAD)
        assert task is not None
        begun.set_result((asyncio.get_running_loop(), task, room))
        async with contextlib.aclosing(items):
            async for item in items:
                await room.acquire()
                results.put(item)

    with ThreadPoolExecutor(1, thread_name_prefix="snipmill") as thread:
        made = thread.submit(asyncio.run, make())
        made.add_done_callback(lambda _: results.put(_END))
        loop, task, room = begun.result()
        try:
            while (item := results.get()) is not _END:
                yield cast(T, item)
                with contextlib.suppress(RuntimeError):  # the loop may have ended meanwhile
                    loop.call_soon_threadsafe(room.release)
            made.result()
        finally:
            if not made.done():
                with contextlib.suppress(RuntimeError):
                    loop.call_soon_threadsafe(task.cancel)


@contextlib.asynccontextmanager
async def taken_apart(items: Iterable[T] | AsyncIterator[T]) -> AsyncIterator[AsyncIterator[T]]:
    """Items for asynchronous work. A synchronous iterable is read in a thread, since making an item may take long."""
    if isinstance(items, AsyncIterator):
        yield items
        return
    import threading

    async with contextlib.aclosing(in_thread(_generated(iter(items)), threading.Event())) as found:
        yield found


def _generated(items: Iterator[T]) -> Generator[T, None, None]:
    try:
        yield from items
    finally:
        if isinstance(items, Generator):
            items.close()
