"""Watches what a program leaves to others to notice: threads, tasks, futures and processes that die, and doctests."""

from __future__ import annotations

import os
import sys

from snipmill.sandbox.child.exceptions import show
from snipmill.sandbox.child.own_builtins import BUILTINS
from snipmill.sandbox.child.replaced import original, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from snipmill.sandbox.child.checks import Checks

__builtins__ = BUILTINS  # programs may replace builtins


def watch(source: str, checks: Checks) -> list[Callable[[], list[str]]]:
    """Watch what a program may use, by the words of its source. Returns functions to ask at its end what died unnoticed."""
    looks: list[Callable[[], list[str]]] = []
    if "asyncio" in source:
        looks.append(_watch_tasks(checks))
    if "concurrent" in source:
        looks.append(_watch_futures())
    if "multiprocessing" in source or "ProcessPool" in source or "fork" in source:
        looks.append(_watch_children(checks))
    if "multiprocessing" in source:
        looks += [_watch_exit_codes(), _watch_pool_results()]
    if "doctest" in source:
        looks.append(_watch_doctests(checks))
    return looks


def watch_threads(checks: Checks) -> bool:
    """Record exceptions that end a thread. Returns False if `threading` is not loaded, so that nothing can be watched."""
    threading: Any = sys.modules.get("threading")
    if threading is None:
        return False

    def thread_died(args: Any) -> None:
        if args.exc_type is not SystemExit:
            checks.died.append(f"a thread died with {args.exc_type.__name__}: {args.exc_value}")

    threading.excepthook = thread_died
    making = original(threading._make_invoke_excepthook)

    def make_invoke_excepthook() -> Any:
        invoking = making()

        def invoke(thread: Any) -> None:
            kind, error, _ = sys.exc_info()
            if kind is not SystemExit and _is_silent(threading.excepthook):
                checks.died.append(f"a thread died with {show(error)}, and its hook does nothing")
            invoking(thread)

        return invoke

    make_invoke_excepthook.original = making  # type: ignore[attr-defined]
    threading._make_invoke_excepthook = make_invoke_excepthook
    return True


def _is_silent(hook: Any) -> bool:
    """Whether a function does nothing, such as `lambda args: None`."""
    code = getattr(hook, "__code__", None)
    return code is not None and not code.co_names and not code.co_freevars


def _watch_tasks(checks: Checks) -> Callable[[], list[str]]:
    """Record unhandled exceptions of an event loop's tasks."""
    import asyncio.base_events

    def task_died(_loop: Any, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, asyncio.CancelledError):  # the loop has ended, and nothing died
            return
        checks.died.append(f"an asyncio task died with {show(error)}" if error else str(context.get("message")))

    loop = asyncio.base_events.BaseEventLoop
    loop.default_exception_handler = task_died  # type: ignore[method-assign,assignment]
    setting: Any = original(loop.set_exception_handler)
    # A handler that does nothing would hide what died.
    replace(
        loop, "set_exception_handler", lambda self, handler: setting(self, None if _is_silent(handler) else handler)
    )

    def look() -> list[str]:
        tasks: Any = getattr(asyncio.tasks, "_scheduled_tasks", None) or getattr(asyncio.tasks, "_all_tasks", ())
        return [
            f"an asyncio task died with {show(task.exception())}, which nobody asked for"
            for task in list(tasks)
            if task.done() and not task.cancelled() and getattr(task, "_log_traceback", False)
        ]

    return look


def _watch_futures() -> Callable[[], list[str]]:
    """Note the exceptions of futures until somebody asks for them."""
    from concurrent.futures import Future

    unseen: dict[int, tuple[Any, Any]] = {}
    setting: Any = original(Future.set_exception)

    def set_exception(self: Any, exception: Any) -> None:
        unseen[id(self)] = (self, exception)  # before: whoever waits may ask at once
        setting(self, exception)

    replace(Future, "set_exception", set_exception)
    for name in ("result", "exception"):
        replace(Future, name, _asked(original(getattr(Future, name)), unseen))
    return lambda: [f"a future died with {show(error)}, which nobody asked for" for _, error in unseen.values()]


def _asked(function: Any, unseen: dict[int, Any]) -> Any:
    def asked(self: Any, timeout: Any = None) -> Any:
        try:
            return function(self, timeout)
        finally:
            if self.done():
                unseen.pop(id(self), None)

    return asked


def _watch_children(checks: Checks) -> Callable[[], list[str]]:
    """Let checks that fail in a child process report to this one."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    checks.tell_parent = (os.getpid(), writing)

    def look() -> list[str]:
        try:
            told = os.read(reading, 1 << 16).decode().split(";")
        except OSError:
            return []
        checks.reached.update(int(one[1:]) for one in told if one.startswith("r"))
        checks.tests.entered.update(int(one[1:]) for one in told if one.startswith("b"))
        failed = told.count("f")
        return [f"{failed} checks failed in child processes"] if failed else []

    return look


def _watch_exit_codes() -> Callable[[], list[str]]:
    """Note which child processes ended with an exit code that nobody reads."""
    from multiprocessing.process import BaseProcess

    started: list[Any] = []
    seen: set[int] = set()
    starting, code = original(BaseProcess.start), original(BaseProcess.exitcode)
    for name in ("terminate", "kill"):
        replace(BaseProcess, name, _noting_process(original(getattr(BaseProcess, name)), seen))

    def start(self: Any) -> None:
        starting(self)
        started.append(self)

    class ExitCode(property):
        original = code

    def read(self: Any) -> Any:
        seen.add(id(self))
        return code.fget(self)

    replace(BaseProcess, "start", start)
    BaseProcess.exitcode = ExitCode(read)  # type: ignore[method-assign,assignment]

    def look() -> list[str]:
        found = []
        for process in started:
            try:
                ended = code.fget(process)
            except ValueError:  # closed, after it was waited for
                continue
            if ended and id(process) not in seen:
                found.append(f"a child process ended with exit code {ended}, which nobody read")
        return found

    return look


def _noting_process(function: Any, seen: set[int]) -> Any:
    def noting(self: Any) -> Any:
        seen.add(id(self))
        return function(self)

    return noting


def _watch_pool_results() -> Callable[[], list[str]]:
    """Note the exceptions of `Pool.apply_async` and its kin until somebody asks for them."""
    from multiprocessing.pool import ApplyResult

    unseen: dict[int, tuple[Any, Any]] = {}
    setting: Any = original(ApplyResult._set)  # type: ignore[attr-defined]

    def _set(self: Any, number: Any, result: Any) -> None:
        if not result[0]:
            unseen[id(self)] = (self, result[1])
        setting(self, number, result)

    replace(ApplyResult, "_set", _set)
    asking = original(ApplyResult.get)

    def get(self: Any, timeout: Any = None) -> Any:
        unseen.pop(id(self), None)
        return asking(self, timeout)

    replace(ApplyResult, "get", get)
    return lambda: [f"a job of a pool died with {show(error)}, which nobody asked for" for _, error in unseen.values()]


def _watch_doctests(checks: Checks) -> Callable[[], list[str]]:
    """Count the examples of doctests as checks, whichever way the program runs them."""
    import doctest

    running: Any = original(doctest.DocTestRunner.run)
    failures: list[str] = []

    def run(self: Any, test: Any, *args: Any, **kwargs: Any) -> Any:
        results = running(self, test, *args, **kwargs)
        checks.executed += results.attempted
        if results.failed:
            failures.append(f"{results.failed} of {results.attempted} doctest examples of {test.name} failed")
        return results

    replace(doctest.DocTestRunner, "run", run)
    return lambda: failures
