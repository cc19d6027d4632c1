"""Runs the test cases of a program by unittest's own rules, and watches those that the program runs itself."""

from __future__ import annotations

import sys

from snipmill.sandbox.child.own_builtins import BUILTINS
from snipmill.sandbox.child.replaced import original, replace
from snipmill.sandbox.child.test_log import Problem, problem_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    import types
    from collections.abc import Callable
    from typing import Any
    from unittest import TestSuite

    from snipmill.sandbox.child.checks import Checks

__builtins__ = BUILTINS  # programs may replace builtins


def watch_unittest(checks: Checks) -> None:
    """Record what becomes of each test, whichever runner and result a program uses.

    `unittest.main()` runs the tests without ending the process, so that what follows it runs too.
    """
    import unittest

    log = checks.tests
    marks: list[Any] = []  # of the tests that are running, the outermost first

    def start(self: Any, test: Any) -> None:
        marks.append(checks.mark())
        if counts(test):
            log.by_framework = True
            log.count += 1
            log.done.add(key_of(test))
        original(unittest.TestResult.startTest)(self, test)

    def stop(self: Any, test: Any) -> None:
        original(unittest.TestResult.stopTest)(self, test)
        if not counts(test):
            checks.take_back(marks[-1])
        marks.pop()
        log.by_framework = log.by_framework and bool(marks)

    def counts(test: Any) -> bool:
        """Whether a test is the program's own, and not one that another test makes to see how it ends."""
        return len(marks) <= 1 and not _is_made_by_test(test)

    def failing(test: Any, error: Any) -> None:
        if counts(test):
            log.problems.append(_problem(test, error))

    def subtest(test: Any, subtest: Any, error: Any) -> None:
        if error is not None and counts(test):
            log.problems.append(_problem(subtest, error))

    def skipping(test: Any, reason: str) -> None:
        if counts(test):
            if marks:
                checks.reopen(marks[-1])
            log.skipped.append(f"{key_of(test)}: {reason}")

    def expected(test: Any, _error: Any) -> None:
        if counts(test):
            checks.take_back(marks[-1])
            log.skipped.append(f"{key_of(test)}: expected to fail")

    def unexpected(test: Any) -> None:
        if counts(test):
            log.problems.append(Problem(f"{key_of(test)} was expected to fail and did not"))

    replace(unittest.TestResult, "startTest", start)
    replace(unittest.TestResult, "stopTest", stop)
    for name, note in (
        ("addError", failing),
        ("addFailure", failing),
        ("addSubTest", subtest),
        ("addSkip", skipping),
        ("addExpectedFailure", expected),
        ("addUnexpectedSuccess", unexpected),
    ):
        replace(unittest.TestResult, name, _noting(note, original(getattr(unittest.TestResult, name))))
    unittest.main = _going_on(original(unittest.main))


def _noting(note: Callable[..., None], function: Callable[..., Any]) -> Callable[..., Any]:
    def both(self: Any, *args: Any) -> Any:
        note(*args)
        return function(self, *args)

    return both


def _going_on(program: Any) -> Any:
    class Program(program):  # type: ignore[misc]
        original = program  # as `replaced.original` looks for it

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs["exit"] = False
            super().__init__(*args, **kwargs)

    return Program


def key_of(test: Any) -> str:
    """The name of a test, such as `TestF.test_g`."""
    function = getattr(test, "_testFunc", None)  # of a FunctionTestCase
    if function is not None:
        return str(getattr(function, "__name__", test))
    method = getattr(test, "_testMethodName", None)
    parent = getattr(test, "test_case", None)  # of a subtest
    if parent is not None:
        return key_of(parent)
    described = getattr(test, "description", None)  # of the fixtures of a class: "setUpClass (__main__.TestF)"
    if isinstance(described, str) and described.startswith("setUpClass ("):
        return described.rpartition(".")[2].rstrip(")")
    return f"{type(test).__qualname__}.{method}" if method and method != "runTest" else str(test)


def _is_made_by_test(test: Any) -> bool:
    """Whether a test case was defined inside a test, which examines how it ends."""
    outer, found, _ = type(test).__qualname__.rpartition(".<locals>.")
    return bool(found) and outer.rpartition(".")[2].startswith("test")


def _problem(test: Any, error: tuple[Any, Any, Any]) -> Problem:
    return problem_of(key_of(test), error[1])


def run_left(module: types.ModuleType, checks: Checks) -> None:
    """Run the test cases of a module that were not run yet, `load_tests` and the module's fixtures included."""
    import io
    import unittest

    suite = _left(unittest.TestLoader().loadTestsFromModule(module), checks)
    if suite.countTestCases():
        result = unittest.TextTestRunner(stream=io.StringIO(), verbosity=0).run(suite)
        if not result.wasSuccessful() and not checks.tests.problems:
            checks.tests.problems.append(Problem("a test case failed"))


def _left(suite: Any, checks: Checks) -> TestSuite:
    import unittest

    kept: list[Any] = []
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            kept.append(_left(test, checks))
        elif key_of(test) not in checks.tests.done:
            kept.append(test)
    made: TestSuite = type(suite)(kept)
    return made


def has_test_case(module: types.ModuleType) -> bool:
    """Whether a module defines or loads test cases."""
    unittest = sys.modules.get("unittest")
    if unittest is None:
        return False
    values = list(module.__dict__.values())
    return "load_tests" in module.__dict__ or any(
        isinstance(value, type) and issubclass(value, unittest.TestCase) for value in values
    )
