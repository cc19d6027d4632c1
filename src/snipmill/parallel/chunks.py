"""The same pure work on many chunks, on all cores, with results in the order of the input. Bounded in memory."""

from __future__ import annotations

import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import chain, islice
from multiprocessing import parent_process
from multiprocessing.connection import wait
from multiprocessing.context import SpawnContext, SpawnProcess
from threading import Lock, Thread
from typing import Any, TypeVar

from snipmill.errors import StoreError

A = TypeVar("A")
B = TypeVar("B")

CHUNK = 256
CHUNK_IN_CACHE = 32  # of rows: what they hold is in a CPU's cache from reading to writing
_HERE = 128  # chunks that are worked on here first: below that, starting processes does not pay


def available_cores() -> int:
    """How many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def map_chunks(
    work: Callable[[list[A]], B],
    items: Iterable[A],
    cores: int | None = None,
    *,
    size: int = CHUNK,
    here: int = _HERE,
    size_here: int | None = None,
    pack: Callable[[A], Any] | None = None,
    unpack: Callable[[Any], A] | None = None,
) -> Iterator[B]:
    """Apply `work` to lists of items, and yield the results in order.

    Args:
        work: a pure function that can be pickled.
        items: read as results are taken, a few chunks ahead.
        cores: how many processes; None for one per CPU.
        size: at most as many items make a list.
        here: as many lists are worked on in this process first, before others are started.
        size_here: at most as many items make a list in this process; None for `size`. Short lists stay in the CPU's cache.
        pack: what an item becomes on its way to a process, where pickling it as it is would be slow.
        unpack: the way back, in the process.

    Raises:
        StoreError: a worker process was killed.
    """
    wanted = available_cores() if cores is None else cores
    iterator = iter(items)
    small = size if size_here is None else size_here
    yield from map(work, _chunks(iterator if wanted == 1 else islice(iterator, here * size), small))
    chunks = _chunks(iterator, size)
    first = next(chunks, None)
    if first is None:
        return
    with ProcessPoolExecutor(wanted, _SpawnWithoutMain(), initializer=_leave_interrupts) as pool:
        pending: deque[Future[B]] = deque()
        try:
            for chunk in chain((first,), chunks):
                packed = chunk if pack is None else [pack(item) for item in chunk]
                pending.append(pool.submit(_unpacked, work, unpack, packed))
                if len(pending) >= 2 * wanted:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        except BrokenProcessPool as error:
            raise StoreError(
                "A worker process was killed, most likely for want of memory. Free some, and run the same command again."
            ) from error
        finally:
            for future in pending:
                future.cancel()


_ONE_START = Lock()


class _ProcessWithoutMain(SpawnProcess):
    """A new interpreter that does not import the user's script again: an unguarded one would start everything anew.

    `work` comes from our own modules, so nothing of the script is needed.
    """

    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        names: dict[str, Any] = vars(sys.modules["__main__"])
        with _ONE_START:  # another thread must not take what is hidden for what there was
            hidden: dict[str, Any] = {name: names.pop(name) for name in ("__file__", "__spec__") if name in names}
            names["__spec__"] = None
            try:
                return SpawnProcess._Popen(process_obj)
            finally:
                del names["__spec__"]
                names.update(hidden)


class _SpawnWithoutMain(SpawnContext):
    Process = _ProcessWithoutMain


def _unpacked(work: Callable[[list[A]], B], unpack: Callable[[Any], A] | None, packed: list[Any]) -> B:
    return work(packed if unpack is None else [unpack(item) for item in packed])


def _chunks(items: Iterable[A], size: int) -> Iterator[list[A]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def _leave_interrupts() -> None:
    """Ctrl-C reaches the whole group: the main process alone answers to it. When that is gone, so are its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
