"""Many tasks at once, bounded in number, with results in the order of the input: what makes outputs deterministic."""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

A = TypeVar("A")
B = TypeVar("B")
WAITING_BYTES = 64 << 20
_TASK_BYTES = 1 << 10  # what a task that waits takes itself
_UNKNOWN_BYTES = 1 << 16
_END = object()


async def in_thread(items: Generator[A, None, None], stop: threading.Event) -> AsyncGenerator[A, None]:
    """Take items from a generator that works for them, in a thread of its own, so that all else goes on meanwhile.

    Args:
        items: it can be closed only between two items.
        stop: set when no more items are wanted; the generator does well to look at it while it works for the next one.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="snipmill-items") as thread:
        loop = asyncio.get_running_loop()
        try:
            while (item := await loop.run_in_executor(thread, next, items, _END)) is not _END:
                yield cast(A, item)
        finally:
            stop.set()
            thread.submit(items.close)


async def map_in_order(
    items: Iterable[A] | AsyncIterator[A],
    work: Callable[[A], Awaitable[B]],
    window: int,
    *,
    ahead: int | None = None,
    waiting_bytes: int = WAITING_BYTES,
) -> AsyncGenerator[B, None]:
    """Apply `work` to items, and yield the results in order, each as soon as it may.

    A slow item holds up neither the work on those after it nor what comes of them: their results wait in memory.

    Args:
        items: taken when there is room.
        work: what is done with each.
        window: at most as many items are under way at a time.
        ahead: at most as many items are taken before the first of them is yielded; None for any number.
        waiting_bytes: about as many bytes of results may wait; then no more items are taken.

    The first exception in any of them, or in `items`, is raised at once and ends the others.
    """
    source = _Source(items)
    pending: deque[asyncio.Task[B]] = deque()
    state = _State()

    async def start(item: A) -> B:
        return await work(item)

    def has_room() -> bool:
        if not pending:
            return True
        return state.running < window and state.bytes < waiting_bytes and (ahead is None or len(pending) < ahead)

    try:
        while True:
            state.changed.clear()
            if has_room():
                source.ask()
            while has_room() and (item := source.take()) is not _END:
                task = asyncio.create_task(start(cast(A, item)))
                state.begin(task)
                pending.append(task)
                if has_room():
                    source.ask()
            # An item that is there already and has no room yet is not waited for: that would be a wait without end.
            coming = source.waiting() if has_room() else []
            if not pending and not coming:
                return
            if state.failed is None and not (pending and pending[0].done()):
                await _first_of(state.changed, coming)
            if state.failed is not None:
                state.failed.result()
            while pending and pending[0].done():
                task = pending.popleft()
                state.forget(task)
                yield await task
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        await source.close()


class _State:
    """How far the work has come.

    Attributes:
        running: tasks under way.
        bytes: of the results that wait.
        failed: the first task that raised or was cancelled.
        changed: set when a task has ended.
    """

    def __init__(self) -> None:
        self.running = 0
        self.bytes = 0
        self.failed: asyncio.Task[Any] | None = None
        self.changed = asyncio.Event()
        self._sizes: dict[asyncio.Task[Any], int] = {}  # of the tasks whose results were not given yet

    def begin(self, task: asyncio.Task[Any]) -> None:
        """A task is under way."""
        self.running += 1
        self._sizes[task] = 0
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[Any]) -> None:
        self.running -= 1
        self.changed.set()
        if task.cancelled() or task.exception() is not None:
            self.failed = self.failed or task
        elif task in self._sizes:  # this may come after its result was given
            self._sizes[task] = _size(task.result())
            self.bytes += self._sizes[task]

    def forget(self, task: asyncio.Task[Any]) -> None:
        """The result of a task is given and waits no more."""
        self.bytes -= self._sizes.pop(task)


async def _first_of(changed: asyncio.Event, coming: list[asyncio.Task[Any]]) -> None:
    if not coming:
        await changed.wait()
        return
    change = asyncio.create_task(changed.wait())
    try:
        await asyncio.wait({change, *coming}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        change.cancel()


def _size(result: object) -> int:
    """About the bytes that a result takes."""
    try:
        return _TASK_BYTES + len(pickle.dumps(result, protocol=pickle.HIGHEST_PROTOCOL))
    except Exception:  # what cannot be pickled waits as well
        return _UNKNOWN_BYTES


async def gather_or_raise(works: Iterable[Coroutine[Any, Any, B]]) -> list[B]:
    """The results of some coroutines, in their order. The first exception ends the others, and is raised alone."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in works]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None  # one sentence for the user, not a group of the same
    return [task.result() for task in tasks]


class _Source:
    """The next item, of an iterable at once, of an asynchronous iterator when it comes."""

    def __init__(self, items: Iterable[Any] | AsyncIterator[Any]) -> None:
        self._later = items if isinstance(items, AsyncIterator) else None
        self._now = iter(()) if isinstance(items, AsyncIterator) else iter(items)
        self._asked: asyncio.Task[Any] | None = None
        self._over = False

    def ask(self) -> None:
        """Have the next item made, where it has to be waited for."""
        if self._later is not None and self._asked is None and not self._over:
            self._asked = asyncio.create_task(self._next(self._later))

    @staticmethod
    async def _next(items: AsyncIterator[Any]) -> Any:
        return await anext(items, _END)

    def take(self) -> Any:
        """The next item if it is there, else the end."""
        if self._later is None:
            return next(self._now, _END)
        if self._asked is None or not self._asked.done():
            return _END
        item, self._asked = self._asked.result(), None
        self._over = item is _END
        return item

    def waiting(self) -> list[asyncio.Task[Any]]:
        """What is waited for."""
        return [self._asked] if self._asked is not None else []

    async def close(self) -> None:
        """Ask for no more."""
        if self._asked is not None:
            self._asked.cancel()
            await asyncio.gather(self._asked, return_exceptions=True)
        if isinstance(self._later, AsyncGenerator):
            await self._later.aclose()
