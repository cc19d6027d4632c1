"""How a program fails: by an exception that escapes, by an early exit, or by a test."""

from __future__ import annotations

from snipmill.sandbox.child.exceptions import line_of, lines_of
from snipmill.sandbox.child.own_builtins import BUILTINS
from snipmill.sandbox.child.pytest_tests import NotInstalled
from snipmill.sandbox.child.test_log import Problem, problem_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from snipmill.sandbox.child.checks import Checks

__builtins__ = BUILTINS  # programs may replace builtins


class Failure(Exception):
    """The program did not pass; holds the report's fields."""

    def __init__(self, status: str, detail: str, **fields: Any) -> None:
        super().__init__(detail)
        self.report: dict[str, Any] = {"status": status, "detail": detail, **fields}


def guard(what: str, action: Callable[[], Any], checks: Checks) -> None:
    """Run a part of the program; any exception that escapes is a failure, except a clean exit in the last statement."""
    try:
        action()
    except BaseException as error:  # anything a program can raise is its own failure
        judge_exception(what, error, may_exit=_is_at_the_end(error, checks))


def judge_exception(what: str, error: BaseException, *, may_exit: bool) -> None:
    """Raise an exception of the program as a `Failure`; return for a clean exit where the program may end."""
    if isinstance(error, Failure):
        raise error
    if isinstance(error, SystemExit):
        if error.code not in (None, 0, False) or not may_exit:
            detail = f"{what} ended early with exit code {error.code!r}"
            raise Failure("failed", detail, exception="SystemExit") from None
        return
    if isinstance(error, MemoryError):
        detail = "the program ran out of memory"
        raise Failure("memory", detail, exception="MemoryError", line=line_of(error)) from None
    if isinstance(error, NotInstalled):
        raise Failure("unsupported", str(error)) from None
    if type(error).__name__ in ("Skipped", "SkipTest"):  # `pytest.importorskip` at module level: nothing is tested
        raise Failure("unsupported", f"{what} skips itself: {error}", exception=type(error).__name__) from None
    _raise(problem_of(what, error))


def _raise(problem: Problem) -> None:
    if problem.missing:
        detail = f"{problem.missing!r} is not installed in the sandbox's interpreter"
        if problem.exception == "ModuleNotFoundError":
            detail = f"the module {detail}"
        raise Failure("unsupported", detail, exception=problem.exception or None, line=problem.line) from None
    fields = {"exception": problem.exception or None, "line": problem.line}
    raise Failure("failed", problem.detail[:800], **fields) from None


def raise_problem(checks: Checks) -> None:
    """Raise the first test that failed as a `Failure`; one that lacks a package before others."""
    problems = checks.tests.problems
    if problems:
        _raise(next((problem for problem in problems if problem.missing), problems[0]))


def _is_at_the_end(error: BaseException, checks: Checks) -> bool:
    """Whether the tests themselves ended the program in its last top-level statement, such as `sys.exit(main())`."""
    lines = lines_of(error)
    return bool(lines) and lines[0] >= checks.last_line and lines[-1] >= checks.tests_line
