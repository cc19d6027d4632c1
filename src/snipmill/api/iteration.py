"""Asynchronous work for synchronous programs, wherever an event loop is running.

A chain of stages works on one loop, in one thread: a stage whose input is another stage's takes it over before it has begun. So
they share connections and budgets, and one end ends them all.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from snipmill.engine.shared import Shared
from snipmill.errors import UsageError

T = TypeVar("T")
Make = Callable[[Shared], AsyncGenerator[T, None]]
_AHEAD = 64  # results that may wait for whoever takes them
_PATIENCE = 10.0  # seconds in which work that is ended may put away what it has open
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


class _Work(Generic[T]):
    """An asynchronous generator at work in a thread of its own."""

    def __init__(self, make: Make[T]) -> None:
        self._make = make
        self._results: SimpleQueue[Any] = SimpleQueue()
        self._begun: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]] | None] = Future()
        self._room = asyncio.Semaphore(_AHEAD)
        self._error: BaseException | None = None
        self._is_stopped = False
        # A daemon, so that a program that forgets it can end.
        self._thread = threading.Thread(target=self._run, name="snipmill-stage", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            asyncio.run(self._pump())
        except BaseException as error:
            self._error = error
        finally:
            if not self._begun.done():
                self._begun.set_result(None)  # there is no loop to tell anything
            self._results.put(_END)

    async def _pump(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._begun.set_result((asyncio.get_running_loop(), task))
        async with contextlib.aclosing(alone(self._make)) as items:
            async for item in items:
                await self._room.acquire()
                self._results.put(item)

    def take(self) -> Any:
        """The next result, or `_END`.

        Raises:
            BaseException: whatever ended the work.
        """
        item = self._results.get()
        if item is not _END:
            self._tell(self._room.release)
            return item
        self._results.put(_END)  # for whoever asks again
        self._thread.join()
        error, self._error = self._error, None
        if error is not None and not self._is_stopped:
            raise error
        return _END

    def stop(self) -> None:
        """End the work, and wait a little until it has put everything away."""
        self._is_stopped = True
        begun = self._begun.result()
        if begun is not None:
            self._tell(begun[1].cancel)
        if threading.current_thread() is not self._thread:
            self._thread.join(_PATIENCE)

    def _tell(self, call: Callable[[], Any]) -> None:
        begun = self._begun.result()
        if begun is not None:
            with contextlib.suppress(RuntimeError):  # it has ended
                begun[0].call_soon_threadsafe(call)


class Stream(Iterator[T]):
    """The records that a stage gives, made while earlier ones are used. `close()` ends the work."""

    def __init__(self, make: Make[T]) -> None:
        self._make: Make[T] | None = make
        self._work: _Work[T] | None = None
        self._is_given = False

    def __next__(self) -> T:
        if self._work is None:
            _refuse_given(self._is_given)
            if self._make is None:
                raise StopIteration
            self._work = _Work(self._make)
            weakref.finalize(self, self._work.stop)  # when nobody holds it any more, and at the end of the program
        try:
            item = self._work.take()
        except BaseException:
            self.close()
            raise
        if item is _END:
            raise StopIteration
        result: T = item
        return result

    def close(self) -> None:
        """End the work. There are no more records after it."""
        self._make = None
        if self._work is not None:
            self._work.stop()

    def taken_over(self) -> Make[T] | None:
        """How its records are made, for the stage that takes them on its own loop; None where it has begun or is closed.

        Raises:
            UsageError: another stage has taken them.
        """
        _refuse_given(self._is_given)
        if self._work is not None:
            return None
        self._is_given = self._make is not None
        make, self._make = self._make, None
        return make


class AsyncStream(AsyncIterator[T]):
    """The records that a stage gives to an asynchronous program. `aclose()` ends the work."""

    def __init__(self, make: Make[T]) -> None:
        self._make: Make[T] | None = make
        self._task: asyncio.Task[None] | None = None
        self._results: asyncio.Queue[Any] = asyncio.Queue()
        self._room = asyncio.Semaphore(_AHEAD)
        self._is_given = False

    async def __anext__(self) -> T:
        if self._task is None:
            _refuse_given(self._is_given)
            if self._make is None:
                raise StopAsyncIteration
            self._task = asyncio.create_task(self._pump(self._make))
        item = await self._results.get()
        if item is _END:
            self._results.put_nowait(_END)  # for whoever asks again
            await self._task  # whatever ended it
            raise StopAsyncIteration
        self._room.release()
        result: T = item
        return result

    async def _pump(self, make: Make[T]) -> None:
        try:
            async with contextlib.aclosing(alone(make)) as items:
                async for item in items:
                    await self._room.acquire()
                    self._results.put_nowait(item)
        finally:
            self._results.put_nowait(_END)

    async def aclose(self) -> None:
        """End the work. There are no more records after it."""
        self._make = None
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def taken_over(self) -> Make[T] | None:
        """As that of `Stream`."""
        _refuse_given(self._is_given)
        if self._task is not None:
            return None
        self._is_given = self._make is not None
        make, self._make = self._make, None
        return make


def _refuse_given(is_given: bool) -> None:
    if is_given:
        raise UsageError("These records were given to another stage, which uses them up. Make a list of them first.")


async def alone(make: Make[T]) -> AsyncGenerator[T, None]:
    """The records of a chain of stages, with connections and budgets of its own."""
    async with Shared() as shared, contextlib.aclosing(make(shared)) as items:
        async for item in items:
            yield item


async def read_apart(items: Iterator[T]) -> AsyncGenerator[T, None]:
    """Items of the user's, read in a thread of their own: making one may take long, and nothing waits for it at the end."""
    loop = asyncio.get_running_loop()
    wanted: SimpleQueue[asyncio.Future[Any] | None] = SimpleQueue()

    def settle(future: asyncio.Future[Any], item: Any, error: BaseException | None) -> None:
        if not future.done():
            future.set_result(item) if error is None else future.set_exception(error)

    def serve() -> None:
        while (future := wanted.get()) is not None:
            item: Any = None
            error: BaseException | None = None
            try:
                item = next(items, _END)
            except (StopIteration, GeneratorExit) as odd:
                error = RuntimeError(f"The iterable raised {type(odd).__name__}.")
            except BaseException as raised:
                error = raised
            with contextlib.suppress(RuntimeError):  # nobody waits any more
                loop.call_soon_threadsafe(settle, future, item, error)
        close = getattr(items, "close", None)
        if close is not None:
            close()

    threading.Thread(target=serve, name="snipmill-items", daemon=True).start()
    try:
        while True:
            future = loop.create_future()
            wanted.put(future)
            item = await future
            if item is _END:
                return
            yield item
    finally:
        wanted.put(None)
