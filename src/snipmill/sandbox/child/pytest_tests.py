"""Runs the tests of a program by pytest itself, on the module that is loaded already.

A session is prepared once, before any program runs; a program's process inherits it. pytest's own rules decide what a test is,
which fixtures and parameters it gets and how it ends. Two things differ: its `assert` rewriting is off, because our checks report
for themselves, and an `async def` test without a mark is run by asyncio, where pytest would refuse it.
"""

from __future__ import annotations

import sys
import types

from snipmill.sandbox.child.exceptions import FILENAME, message_of
from snipmill.sandbox.child.own_builtins import BUILTINS
from snipmill.sandbox.child.replacements import is_under_test
from snipmill.sandbox.child.test_log import Problem, problem_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from snipmill.sandbox.child.checks import Checks

__builtins__ = BUILTINS  # programs may replace builtins

_OLDEST = (8, 0)
# Left out: what would write files, replace hooks of ours, distribute, measure, repeat or reorder tests.
_BLOCKED = (
    *("cacheprovider", "faulthandler", "pastebin", "stepwise", "unraisableexception", "threadexception"),
    *("xdist", "xdist.looponfail", "pytest_cov", "randomly", "random_order", "rerunfailures", "flaky", "sugar", "html"),
)
_OPTIONS = ("-s", "-qq", "--tb=native", "--assert=plain", "--rootdir=/", "-c", "/dev/null", "--import-mode=importlib")
_ASYNC_MARKS = ("asyncio", "anyio", "trio", "tornado_asyncio")


class NotInstalled(Exception):
    """The interpreter has no pytest, or one that is too old."""


class Session:
    """A session of pytest that has started and holds no tests.

    Attributes:
        checks: those of the program that runs.
    """

    def __init__(self) -> None:
        self.checks: Checks | None = None
        self._problem = ""  # why pytest cannot be used
        self._session: Any = None
        self._config: Any = None
        self._number = 0

    def prepare(self) -> None:
        """Start the session, unless that was done.

        Raises:
            NotInstalled: there is no pytest, or it is too old.
        """
        if self._session is not None:
            return
        if not self._problem:
            import io

            streams = sys.stdout, sys.stderr
            sys.stdout = sys.stderr = io.StringIO()  # pytest's own reports, which nobody reads
            try:
                self._start()
            except ModuleNotFoundError as error:
                self._problem = f"{error.name} is not installed in the sandbox's interpreter"
            except BaseException as error:  # a broken package, or a plugin that ends the process
                self._problem = f"pytest in the sandbox's interpreter does not start: {message_of(error)}"
            finally:
                sys.stdout, sys.stderr = streams
        if self._problem:
            raise NotInstalled(self._problem)

    def _start(self) -> None:
        import pytest
        from _pytest.config import _prepareconfig

        if tuple(map(int, pytest.__version__.split(".")[:2])) < _OLDEST:
            raise ImportError(f"version {pytest.__version__} is older than 8.0")
        blocked = [part for name in _BLOCKED for part in ("-p", f"no:{name}")]
        self._config = _prepareconfig([*_OPTIONS, *blocked], [_Plugin(self)])
        self._config._do_configure()
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            self._config.pluginmanager.unregister(reporter)
        self._session = pytest.Session.from_config(self._config)
        self._config.hook.pytest_sessionstart(session=self._session)

    def run(self, module: types.ModuleType, checks: Checks, plugins: Sequence[Any] = ()) -> int:
        """Run the tests of a module that were not run yet. Returns pytest's exit code.

        Args:
            module: as it was loaded.
            checks: those of the program.
            plugins: plugins of the program's own.
        """
        import tempfile

        self.prepare()
        for plugin in plugins:
            self._config.pluginmanager.register(plugin)
        tempfile.tempdir = None  # a zygote may have looked it up for another folder
        self.checks = checks
        before = len(checks.tests.problems)
        found = list(self._collect(module, checks))
        session, hook = self._session, self._config.hook
        session.items, session.testscollected = found, len(found)
        session.testsfailed, session.shouldfail, session.shouldstop = 0, False, False
        hook.pytest_collection_modifyitems(session=session, config=self._config, items=session.items)
        items = list(session.items)
        try:
            for place, item in enumerate(items):
                following = items[place + 1] if place + 1 < len(items) else None
                checks.tests.by_framework = True
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        finally:
            checks.tests.by_framework = False
            for plugin in plugins:
                self._config.pluginmanager.unregister(plugin)
        return (1 if len(checks.tests.problems) > before else 0) if items or checks.tests.count else 5

    def _collect(self, module: types.ModuleType, checks: Checks) -> Iterator[Any]:
        import os
        from pathlib import Path

        import pytest

        class Loaded(pytest.Module):
            def _getobj(self) -> types.ModuleType:
                return module

            def collect(self) -> Iterator[Any]:
                for node in super().collect():
                    if is_test_object(node.name.partition("[")[0], getattr(node, "obj", None), checks):
                        yield node

        # Fixtures belong to a path, so each program in one process gets a path of its own.
        self._number += 1
        folder = Path.cwd() if self._number == 1 else Path(os.path.abspath(str(self._number)))
        loaded = Loaded.from_parent(self._session, path=folder / FILENAME)
        for item in self._session.genitems(loaded):
            if key_of(item) not in checks.tests.done and _tail(item.nodeid) not in checks.tests.cases:
                yield item


class _Plugin:
    """Watches the tests of a session."""

    def __init__(self, session: Session) -> None:
        self._owner = session
        self._mark: tuple[int, dict[int, int]] = (0, {})

    @property
    def _checks(self) -> Checks:
        checks = self._owner.checks
        assert checks is not None
        return checks

    def pytest_runtest_logstart(self, nodeid: str, location: Any) -> None:
        del nodeid, location
        self._mark = self._checks.mark()

    def pytest_runtest_setup(self, item: Any) -> None:
        log = self._checks.tests
        log.count += 1
        log.cases.add(_tail(item.nodeid))

    def pytest_pyfunc_call(self, pyfuncitem: Any) -> bool | None:
        """Run an `async def` test that no plugin has taken."""
        import inspect

        if not inspect.iscoroutinefunction(pyfuncitem.obj):
            return None
        marks = [mark.name for mark in pyfuncitem.iter_markers() if mark.name in _ASYNC_MARKS]
        if marks:
            missing = f"the pytest plugin for the mark {marks[0]!r}"
            self._checks.tests.problems.append(Problem(f"{key_of(pyfuncitem)} needs {missing}", missing=missing))
            return True
        import asyncio

        names = pyfuncitem._fixtureinfo.argnames
        asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
        return True

    def pytest_exception_interact(self, node: Any, call: Any, report: Any) -> None:
        """A test, or its fixtures, failed."""
        del report
        error = call.excinfo.value
        self._checks.tests.problems.append(problem_of(_name_of(node), error))

    def pytest_runtest_logreport(self, report: Any) -> None:
        name, log = _tail(report.nodeid), self._checks.tests
        if report.outcome == "skipped":
            if hasattr(report, "wasxfail"):
                self._checks.take_back(self._mark)
                log.skipped.append(f"{name}: {report.wasxfail or 'expected to fail'}"[:300])
            else:
                self._checks.reopen(self._mark)
                reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
                log.skipped.append(f"{name}: {reason.removeprefix('Skipped: ')}"[:300])
        elif report.outcome == "failed" and isinstance(report.longrepr, str):  # a strict xfail that passed
            log.problems.append(Problem(f"{name}: {report.longrepr}"))

    def pytest_collectreport(self, report: Any) -> None:
        if report.outcome == "failed":
            self._checks.tests.problems.append(Problem(f"{_tail(report.nodeid)}: {report.longrepr}"[:500]))


def _tail(nodeid: str) -> str:
    """`TestF.test_g[1-2]`, without the path."""
    _, _, rest = nodeid.partition("::")
    return (rest or nodeid).replace("::", ".")


def _name_of(node: Any) -> str:
    return _tail(node.nodeid)


def key_of(item: Any) -> str:
    """The name of a test without its parameters, such as `TestF.test_g`."""
    name = str(getattr(item, "originalname", None) or item.name)
    kind = getattr(item, "cls", None)
    return f"{kind.__qualname__}.{name}" if kind is not None else name


def is_test_object(name: str, value: Any, checks: Checks) -> bool:
    """Whether a function or a class was defined in the tests; what the implementation names like a test is none."""
    if not checks.tests_line or name in checks.defined:
        return True
    found = [value]
    if isinstance(value, type):
        found = [method for member, method in vars(value).items() if member.startswith("test")]
    return not any(is_under_test(one, checks.tests_line) for one in found)


def watch_pytest(session: Session, checks: Checks, module: types.ModuleType) -> None:
    """Let `pytest.main(...)` run the tests of the module that calls it, instead of importing its file once more."""
    session.prepare()
    import pytest

    def main(_args: Any = None, plugins: Any = None) -> Any:
        return pytest.ExitCode(session.run(module, checks, plugins or ()))

    pytest.main = main  # type: ignore[assignment]
