"""One warm sandbox for all calls of a process, on an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Sequence
from concurrent.futures import Future

from snipmill.parallel.in_order import map_in_order
from snipmill.rewards.grade import Task, grade_one
from snipmill.sandbox.driver import Sandbox
from snipmill.sandbox.program import Limits

_AHEAD = 4  # completions under way for each worker


class SharedSandbox:
    """Opens the sandbox with the first completion, and closes it when the process ends.

    Args:
        tier: of the sandbox; `auto` for the strongest that works here.
        workers: completions that run at a time; None for one per CPU.
        timeout: wall time in seconds of all tests of a completion.
        memory: address space in MiB of a completion's program.
    """

    def __init__(
        self, tier: str = "auto", workers: int | None = None, timeout: float = 5.0, memory: int = 1024
    ) -> None:
        self._sandbox = Sandbox(tier=tier, workers=workers, limits=Limits(timeout=timeout, memory=memory << 20))
        self._window = _AHEAD * (workers or os.cpu_count() or 1)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="snipmill-rewards", daemon=True)
        self._opened: asyncio.Task[Sandbox] | None = None
        self.process = os.getpid()
        self._thread.start()
        atexit.register(self.close)

    def submit(self, tasks: Sequence[Task | None], by_share: bool) -> Future[list[float | None]]:
        """Begin to grade completions."""
        return asyncio.run_coroutine_threadsafe(self._grade(tasks, by_share), self._loop)

    async def _grade(self, tasks: Sequence[Task | None], by_share: bool) -> list[float | None]:
        if self._opened is None or (self._opened.done() and self._opened.exception() is not None):
            self._opened = asyncio.ensure_future(self._sandbox.__aenter__())
        sandbox = await asyncio.shield(self._opened)

        async def work(task: Task | None) -> float | None:
            return None if task is None else await grade_one(task, sandbox, by_share)

        return [found async for found in map_in_order(tasks, work, self._window)]

    def close(self) -> None:
        """Close the sandbox, and end the thread."""
        if self.process != os.getpid() or not self._thread.is_alive():
            return

        async def end() -> None:
            if self._opened is not None and self._opened.done() and self._opened.exception() is None:
                await self._sandbox.__aexit__(None, None, None)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


def _forget_parent() -> None:
    """A fork has neither the thread nor the sandbox of its parent, whose lock may have been held."""
    global _lock
    _lock = threading.Lock()
    _shared.clear()


_lock = threading.Lock()
_shared: list[SharedSandbox] = []  # the one of this process; a fork has none that works


os.register_at_fork(after_in_child=_forget_parent)


def configure(sandbox: str = "auto", workers: int | None = None, timeout: float = 5.0, memory: int = 1024) -> None:
    """Say how completions run, before or between calls.

    Args:
        sandbox: the tier; `auto` for the strongest that works here.
        workers: completions that run at a time; None for one per CPU.
        timeout: wall time in seconds of all tests of a completion; a single check then has one second.
        memory: address space in MiB of a completion's program.
    """
    with _lock:
        for one in _shared:
            one.close()
        _shared[:] = [SharedSandbox(sandbox, workers, timeout, memory)]


def _of_this_process() -> SharedSandbox:
    with _lock:
        if not _shared or _shared[0].process != os.getpid():
            _shared[:] = [SharedSandbox()]
        return _shared[0]


def grade(tasks: Sequence[Task | None], *, by_share: bool) -> list[float | None]:
    """The rewards of completions; None where there is no task."""
    return _of_this_process().submit(tasks, by_share).result()


async def grade_all(tasks: Sequence[Task | None], *, by_share: bool) -> list[float | None]:
    """As `grade`, for an event loop."""
    return await asyncio.wrap_future(_of_this_process().submit(tasks, by_share))
