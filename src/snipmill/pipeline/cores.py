"""The same pure work on many chunks, on all cores, with results in the order of the input. Bounded in memory."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import chain, islice
from multiprocessing import get_context
from typing import TypeVar

from snipmill.errors import StoreError

A = TypeVar("A")
B = TypeVar("B")

CHUNK = 256
_WORTH_IT = 8  # chunks from which starting processes pays


def available_cores() -> int:
    """How many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def map_chunks(work: Callable[[list[A]], B], items: Iterable[A], cores: int | None = None) -> Iterator[B]:
    """Apply `work` to lists of up to 256 items, and yield the results in order.

    Args:
        work: a pure function that can be pickled.
        items: read as results are taken, a few chunks ahead.
        cores: how many processes; None for one per CPU. Few items are worked on here, without any.

    Raises:
        StoreError: a worker process was killed.
    """
    wanted = available_cores() if cores is None else cores
    chunks = _chunks(items)
    first = list(islice(chunks, _WORTH_IT))
    if wanted == 1 or len(first) < _WORTH_IT:
        yield from map(work, chain(first, chunks))
        return
    with ProcessPoolExecutor(wanted, get_context("spawn"), initializer=_leave_interrupts) as pool:
        pending: deque[Future[B]] = deque()
        try:
            for chunk in chain(first, chunks):
                pending.append(pool.submit(work, chunk))
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


def _chunks(items: Iterable[A]) -> Iterator[list[A]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk


def _leave_interrupts() -> None:
    """Ctrl-C reaches the whole group: the main process alone answers to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
