"""A piece of work that is done once for equal keys."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_REMEMBERED = 4096


class Once(Generic[K, V]):
    """Does the work for a key once: calls at the same time share it, and later ones get its result while it is remembered.

    Args:
        work: what is done for a key.
        keep: whether a result is worth remembering; what failed is not.
    """

    def __init__(self, work: Callable[[K], Coroutine[Any, Any, V]], keep: Callable[[V], bool] = lambda _: True) -> None:
        self._work = work
        self._keep = keep
        self._tasks: OrderedDict[K, asyncio.Task[V]] = OrderedDict()

    async def __call__(self, key: K) -> V:
        """The result for a key."""
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.create_task(self._work(key))
            task.add_done_callback(lambda done: self._settle(key, done))
        else:
            self._tasks.move_to_end(key)
        return await asyncio.shield(task)

    def _settle(self, key: K, task: asyncio.Task[V]) -> None:
        if task.cancelled() or task.exception() is not None or not self._keep(task.result()):
            self._tasks.pop(key, None)
        while len(self._tasks) > _REMEMBERED and next(iter(self._tasks.values())).done():
            self._tasks.popitem(last=False)

    async def close(self) -> None:
        """End what is under way."""
        left = [task for task in self._tasks.values() if not task.done()]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
