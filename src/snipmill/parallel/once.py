"""A piece of work that is done once for equal keys."""

from __future__ import annotations

import asyncio
import hashlib
import pickle
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Generic, TypeVar

K = TypeVar("K")
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
        # By a hash of the key, since keys may be long.
        self._running: dict[bytes, asyncio.Task[V]] = {}
        self._results: OrderedDict[bytes, V] = OrderedDict()

    async def __call__(self, key: K) -> V:
        """The result for a key, which can be pickled, and equal keys to the same bytes."""
        name = hashlib.blake2b(pickle.dumps(key), digest_size=16).digest()
        if name in self._results:
            self._results.move_to_end(name)
            return self._results[name]
        task = self._running.get(name)
        if task is None:
            task = self._running[name] = asyncio.create_task(self._work(key))
            task.add_done_callback(partial(self._settle, name))
        return await asyncio.shield(task)

    def _settle(self, name: bytes, task: asyncio.Task[V]) -> None:
        del self._running[name]
        if not task.cancelled() and task.exception() is None and self._keep(task.result()):
            self._results[name] = task.result()
            if len(self._results) > _REMEMBERED:
                self._results.popitem(last=False)

    async def close(self) -> None:
        """End what is under way."""
        left = list(self._running.values())
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
