"""Records the result of each check while a program runs, and the values of the first one that failed."""

from __future__ import annotations

import builtins
import contextlib
import operator
import os
import sys
import types

from snipmill.sandbox.child import claims
from snipmill.sandbox.child.compilation import Compiled
from snipmill.sandbox.child.expectations import FAILURES_TOO, OTHER_EXCEPTIONS
from snipmill.sandbox.child.own_builtins import BUILTINS
from snipmill.sandbox.child.proof import SAME
from snipmill.sandbox.child.test_log import FILENAME, TestLog, lines_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

__builtins__ = BUILTINS  # programs may replace builtins

_VALUE_LIMIT = 300
_NOTHING_TO_CHECK = "there is nothing for `all` to check"
_EVERYTHING = "one side is equal to everything, or exceeds or contains it, so the comparison proves nothing"
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "is": operator.is_,
    "is not": operator.is_not,
    "in": lambda left, right: left in right,
    "not in": lambda left, right: left not in right,
}


def show(value: object) -> str:
    """A short `repr` that never fails, whatever the value's own methods do."""
    try:
        text = repr(value)
    except BaseException as error:  # the program's own __repr__ may raise anything
        text = f"<{type(value).__name__} whose repr raised {type(error).__name__}>"
    return text if len(text) <= _VALUE_LIMIT else text[: _VALUE_LIMIT - 3] + "..."


def is_failure(error: BaseException | None) -> bool:
    """Whether an exception says that a check failed: an AssertionError, or what `pytest.fail` raises."""
    return isinstance(error, AssertionError) or type(error).__name__ == "Failed"


class Checks:
    """The results of the checks so far, while the program runs.

    Attributes:
        executed: how many times a check came to a result.
        failures: of each failed check its site and its values.
        open: by site, how many checks have begun and have no result.
        reached: the sites that came to a result.
        empty: how many of the executed checks prove nothing.
        why_empty: why the first of these proves nothing.
        died: sentences on threads and tasks that ended with an exception.
        tests: which tests ran, and how.
        tell_parent: the process that the program began in, and where its children report failed checks.
    """

    def __init__(self, compiled: Compiled, tests_line: int | None = None, modules: Sequence[str] = ()) -> None:
        self.codes, self.sites, functions, self.defined = compiled
        self.tests_line = tests_line or 0
        self.executed = 0
        self.failures: list[tuple[int, str]] = []
        self.open: dict[int, int] = {}
        self.reached: set[int] = set()
        self.empty = 0
        self.why_empty = ""
        self.died: list[str] = []
        self.tests = TestLog(functions)
        self.tell_parent: tuple[int, int] | None = None
        self._nothing_compared = ""  # why the condition that is being evaluated compares nothing
        self._noted: dict[tuple[type, str, int, bool], int] = {}
        self._own = frozenset(("__main__", *modules))  # modules whose types are the program's
        self._implementation: dict[str, Any] = {}
        self._names: dict[str, Any] = {}
        self._originals: dict[str, Any] = {}

    def hooks(self) -> dict[str, Any]:
        """The functions that the instrumented program calls."""
        return {
            "all": self.all_of,
            "arrays": self.arrays,
            "begin": self.tests.begin,
            "boundary": self.boundary,
            "call": self.call,
            "caught": self.caught,
            "compare": self.compare,
            "died": self.tests.died,
            "fail": self.fail,
            "fail_now": self.fail_now,
            "guard": self.enter,
            "ok": self.ok,
            "only_if": self.only_if,
            "truth": self.truth,
        }

    def watch(self, implementation: dict[str, Any], tests: dict[str, Any]) -> None:
        """Note the names of the modules in which the implementation and the tests run, often the same."""
        self._implementation, self._names = implementation, tests

    def boundary(self) -> None:
        """Note the implementation's functions and classes where the tests begin, if both share their names."""
        if self._implementation is not self._names:
            return
        kinds = (types.FunctionType, type)
        self._originals = {name: value for name, value in self._implementation.items() if isinstance(value, kinds)}

    # Begin and end of a check -----------------------------------------------------------------------------------------

    def enter(self, site: int) -> None:
        """Begin a check; it stays open until it has a result."""
        self.open[site] = self.open.get(site, 0) + 1

    def ok(self, site: int, why_empty: str = "", *, tests_equality: bool = False) -> None:
        """Close a check that was evaluated, and count it.

        Args:
            site: the check.
            why_empty: why its values prove nothing.
            tests_equality: whether the program's own `==` decided, so that equal expressions prove something.
        """
        self.open[site] -= 1
        self.executed += 1
        self.reached.add(site)
        _, _, _, _, empty, subjects, _ = self.sites[site]
        why_empty, self._nothing_compared = why_empty or self._nothing_compared, ""
        if tests_equality and empty == SAME:
            empty = ""
        reason = why_empty or empty or (self._why_patched(subjects) if self._originals else "")
        if reason:
            self.empty += 1
            self.why_empty = self.why_empty or reason

    def _record_failure(self, site: int, evidence: str) -> None:
        self.failures.append((site, evidence))
        if self.tell_parent is not None and os.getpid() != self.tell_parent[0]:
            with contextlib.suppress(OSError):  # the pipe is full: enough is known
                os.write(self.tell_parent[1], b"f")

    def _why_patched(self, subjects: tuple[str, ...]) -> str:
        """Why a check says nothing of the code: the tests have replaced a function that it calls."""
        for name in subjects:
            original = self._originals.get(name)
            current = self._names.get(name, original)
            if original is not None and current is not original and self._is_replacement(current):
                return f"the tests have replaced {name!r}"
        return ""

    def _is_replacement(self, value: object) -> bool:
        return claims.is_mock(value) or (isinstance(value, types.FunctionType) and not self.is_under_test(value))

    def is_under_test(self, function: object) -> bool:
        """Whether a function was defined in the implementation."""
        function = getattr(function, "__func__", function)
        code = function.__code__ if isinstance(function, types.FunctionType) else None
        return code is not None and code.co_filename == FILENAME and code.co_firstlineno < self.tests_line

    # Kinds of checks --------------------------------------------------------------------------------------------------

    def compare(self, site: int) -> Callable[[Any, Any], bool]:
        """Begin a comparison; the returned function takes its two sides."""
        self.enter(site)
        return lambda left, right: self._compared(site, left, right)

    def _compared(self, site: int, left: Any, right: Any) -> bool:
        symbol = self.sites[site][3]
        holds = bool(_OPERATORS[symbol](left, right))
        if holds:
            own = self._note(site, symbol, left, right)
            self.ok(site, claims.why_equal(symbol, left, right), tests_equality=own)
        else:
            self.ok(site)
            self._record_failure(site, f"left is {show(left)}, right is {show(right)}")
        return holds

    def _note(self, site: int, symbol: str, left: Any, right: Any) -> bool:
        """Note the program's own types that decide a comparison. Returns whether there are any."""
        found = list(claims.noted_types(symbol, left, right, self._own))
        for kind, claim, whole in found:
            key = (kind, claim, site, whole)
            self._noted[key] = self._noted.get(key, 0) + 1
        return bool(found)

    def truth(self, site: int) -> Callable[[Any], bool]:
        """Begin an assertion; the returned function takes its condition."""
        self.enter(site)
        return lambda value: self._held(site, value)

    def _held(self, site: int, value: Any) -> bool:
        holds = bool(value)
        self.ok(site, claims.why_true(value, self._own) if holds else "")
        if not holds:
            self._record_failure(site, f"the condition is {show(value)}")
        return holds

    def only_if(self, site: int) -> Callable[[Any], bool]:
        """Begin an `if` that does nothing but fail; the returned function takes its condition."""
        self.enter(site)
        return lambda value: self._not_raised(site, value)

    def _not_raised(self, site: int, value: Any) -> bool:
        fails = bool(value)
        self.ok(site)
        if fails:
            self._record_failure(site, "the condition to fail is true")
        return fails

    def all_of(self, function: Any, items: Any) -> Any:
        """Stand for `all(items)` in a condition, or for `items.all()` where the function is None."""
        if function is None:
            if claims.is_empty_array(items):
                self._nothing_compared = _NOTHING_TO_CHECK
            return items.all()
        if function is not builtins.all and function is not all:
            return function(items)
        count = 0
        for item in items:
            count += 1
            if not item:
                return False
        if count == 0:
            self._nothing_compared = _NOTHING_TO_CHECK
        return True

    def arrays(self, function: Any) -> Callable[..., Any]:
        """Stand for a function that compares arrays in a condition."""

        def compared(*args: Any, **kwargs: Any) -> Any:
            self._nothing_compared = claims.why_empty(getattr(function, "__name__", ""), args)
            return function(*args, **kwargs)

        return compared

    def call(self, site: int) -> Callable[[Any], Callable[..., Any]]:
        """Begin the call of an assertion; the returned function takes what is called."""
        self.enter(site)
        return lambda function: lambda *args, **kwargs: self._called(site, function, args, kwargs)

    def _called(self, site: int, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            result = function(*args, **kwargs)
        except BaseException:
            self.fail(site, function)
            raise
        if isinstance(result, types.CoroutineType):
            return self._awaited(site, function, result)
        name = getattr(function, "__name__", "")
        own = name in claims.METHODS and len(args) > 1 and self._note(site, claims.METHODS[name], args[0], args[1])
        self.ok(site, self._why_call_is_empty(name, args), tests_equality=own)
        return result

    async def _awaited(self, site: int, function: Any, result: Any) -> Any:
        try:
            found = await result
        except BaseException:
            self.fail(site, function)
            raise
        self.ok(site)
        return found

    def _why_call_is_empty(self, name: str, args: tuple[Any, ...]) -> str:
        if name == "assertTrue" and args:
            return claims.why_true(args[0], self._own)
        if name in claims.METHODS and len(args) > 1:
            return claims.why_equal(claims.METHODS[name], args[0], args[1])
        return claims.why_empty(name, args)

    # Failures ---------------------------------------------------------------------------------------------------------

    def fail(self, site: int, function: object = None) -> None:
        """Record the failure of a guarded check; called while its exception is handled.

        An assertion of the implementation itself is what is tested: the test may expect it to fail.
        """
        error = sys.exc_info()[1]
        if is_failure(error):
            self.open[site] -= 1
            self.reached.add(site)
            if not self.is_under_test(function):
                self.executed += 1
                self._record_failure(site, show(error))

    def fail_now(self, site: int) -> None:
        """Record that a statement was reached that can only fail."""
        self.executed += 1
        self._record_failure(site, "this statement was reached")

    def caught(self, rule: int) -> None:
        """Take back what an exception left behind that the test expected; called while it is handled."""
        error = sys.exc_info()[1]
        if error is None:
            return
        failed = is_failure(error)
        if failed and rule != FAILURES_TOO:
            return
        lines = set(lines_of(error))
        self.tests.forget(error)
        for site, count in self.open.items():
            if count > 0 and self._is_at(site, lines):
                self.open[site] = count - 1
                self.reached.add(site)
        if rule > OTHER_EXCEPTIONS:
            for site in {site for site, _ in self.failures if self._is_at(site, lines)}:
                last = max(place for place, (other, _) in enumerate(self.failures) if other == site)
                del self.failures[last]

    def _is_at(self, site: int, lines: set[int]) -> bool:
        first, last, *_ = self.sites[site]
        return any(first <= line <= last for line in lines)

    def mark(self) -> tuple[int, dict[int, int]]:
        """The state to which `take_back` returns."""
        return len(self.failures), dict(self.open)

    def take_back(self, mark: tuple[int, dict[int, int]]) -> None:
        """Forget the failures since a mark: their test was expected to fail."""
        del self.failures[mark[0] :]
        self.open = dict(mark[1])

    # What is known at the end -----------------------------------------------------------------------------------------

    def ask_noted_types(self) -> None:
        """Ask the types that override a comparison whether they always hold, now that the program has ended."""
        for (kind, claim, site, whole), count in self._noted.items():
            if not claims.claims(kind, claim, self._own):
                continue
            if self.tests_line and claims.first_line(kind, claim, self._own) >= self.tests_line:
                if whole:
                    self.empty += count
                    self.why_empty = self.why_empty or _EVERYTHING
            else:
                self._record_failure(site, _EVERYTHING)
        self._noted.clear()

    def unfinished(self) -> int | None:
        """A check whose exception was swallowed although it was not expected, or None."""
        return next((site for site, count in self.open.items() if count > 0), None)

    def written(self) -> int:
        """How many checks the program has; those that can only fail are not meant to be reached."""
        return sum(not site[6] for site in self.sites)

    def reached_count(self) -> int:
        """How many of these came to a result."""
        return sum(not self.sites[site][6] for site in self.reached)
