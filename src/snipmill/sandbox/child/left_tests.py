"""Runs the tests that a program has and did not run itself."""

from __future__ import annotations

import sys
import types
from functools import partial

from snipmill.sandbox.child import pytest_tests, unittest_tests
from snipmill.sandbox.child.failures import Failure, guard, judge_exception
from snipmill.sandbox.child.own_builtins import BUILTINS
from snipmill.sandbox.child.test_log import problem_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from snipmill.sandbox.child.checks import Checks

__builtins__ = BUILTINS  # programs may replace builtins

_XUNIT = frozenset(
    {"setup_module", "teardown_module", "setup_function", "teardown_function", "setUpModule", "tearDownModule"}
    | {"pytest_generate_tests", "pytestmark"}
)


def run_left_tests(module: types.ModuleType, checks: Checks, source: str, session: pytest_tests.Session) -> None:
    """Run the tests that the program has and did not run itself: by pytest if they need it, otherwise by unittest's rules."""
    functions, classes = _left_functions(module, checks), _left_classes(module, checks)
    asks_for_pytest = "pytest" in source and "pytest" in sys.modules and _mentions_pytest(module, source)
    if (functions or classes or asks_for_pytest) and (
        asks_for_pytest or classes or _XUNIT.intersection(module.__dict__) or any(map(_required, functions.values()))
    ):
        try:
            guard("pytest", partial(session.run, module, checks), checks)
        except Failure as failure:
            if failure.report["status"] == "unsupported" and "detail" in failure.report:
                name = next(iter([*functions, *classes]), "a test")
                failure.report["detail"] = f"{name} needs pytest: {failure.report['detail']}"
            raise
        return
    if unittest_tests.has_test_case(module):
        if "unittest" not in source:
            unittest_tests.watch_unittest(checks)
        guard("unittest", partial(unittest_tests.run_left, module, checks), checks)
    for name, function in functions.items():
        checks.tests.count_once(name)
        try:
            _call(function)
        except BaseException as error:  # anything a program can raise is its own failure
            if isinstance(error, MemoryError | Failure):
                judge_exception(name, error, may_exit=False)
            checks.tests.forget(error)
            if type(error).__name__ == "SkipTest":
                checks.tests.skipped.append(f"{name}: {error}")
            else:
                checks.tests.problems.append(problem_of(name, error))


def _mentions_pytest(module: types.ModuleType, source: str) -> bool:
    """Whether the program uses pytest, rather than having its name in a text."""
    # The values are not asked for their names: the program's own objects may answer anything.
    pytest = sys.modules["pytest"]
    is_imported = "import pytest" in source or "from pytest" in source
    return is_imported or any(value is pytest for value in module.__dict__.values())


def _left_functions(module: types.ModuleType, checks: Checks) -> dict[str, types.FunctionType]:
    """The test functions that were not run yet, in the order of their definitions."""
    return {
        name: value
        for name, value in list(module.__dict__.items())
        if name.startswith("test")
        and isinstance(value, types.FunctionType)
        and not checks.tests.was_run(name)
        and pytest_tests.is_test_object(name, value, checks)
    }


def _left_classes(module: types.ModuleType, checks: Checks) -> dict[str, type]:
    """The classes of test methods, other than test cases of unittest, that were not run yet."""
    unittest = sys.modules.get("unittest")
    return {
        name: value
        for name, value in list(module.__dict__.items())
        if name.startswith("Test")
        and isinstance(value, type)
        and not (unittest is not None and issubclass(value, unittest.TestCase))
        and pytest_tests.is_test_object(name, value, checks)
        and any(
            method.startswith("test") and not checks.tests.was_run(f"{value.__qualname__}.{method}")
            for method in dir(value)
        )
    }


def _required(function: types.FunctionType) -> int:
    code = function.__code__
    return code.co_argcount - len(function.__defaults__ or ())


def _call(function: Callable[[], Any]) -> None:
    result = function()
    if isinstance(result, types.CoroutineType):
        import asyncio

        asyncio.run(result)
