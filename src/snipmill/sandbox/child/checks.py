"""Records the result of each check while a program runs, and the values of those that failed."""

from __future__ import annotations

import contextlib
import os
import sys
import types

from snipmill.sandbox.child import claims
from snipmill.sandbox.child.compilation import Compiled
from snipmill.sandbox.child.exceptions import FILENAME, behind, is_failure, lines_of, running_lines, show
from snipmill.sandbox.child.expectations import BEHIND_IT, FAILURES_TOO, IN_THE_BLOCK, NOTED, NOTHING, OTHER_EXCEPTIONS
from snipmill.sandbox.child.own_builtins import BUILTINS
from snipmill.sandbox.child.proof import CONSTANT, SAME
from snipmill.sandbox.child.replacements import Originals, is_under_test
from snipmill.sandbox.child.test_log import TestLog
from snipmill.sandbox.child.values import EVERYTHING, OPERATORS, Values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

__builtins__ = BUILTINS  # programs may replace builtins

_NO_RESULT = ("CancelledError", "GeneratorExit")


class Checks:
    """The results of the checks so far, while the program runs.

    Attributes:
        executed: how many times a check came to a result.
        failures: of each failed check its site and its values.
        open: by site, how many checks have begun and have no result.
        reached: the sites that came to a result.
        empty: how many of the executed checks prove nothing.
        why_empty: why the first of these proves nothing.
        died: sentences on threads, tasks and processes that ended badly.
        cut_short: lines of handlers that passed over the checks behind them.
        tests: which tests ran, and how.
        tell_parent: the process that the program began in, and where its children report what they check.
    """

    def __init__(self, compiled: Compiled, tests_line: int | None = None, modules: Sequence[str] = ()) -> None:
        self.codes, self.sites, functions, self.defined, self.last_line = compiled
        self.tests_line = tests_line or 0
        self.executed = 0
        self.failures: list[tuple[int, str]] = []
        self.open: dict[int, int] = {}
        self.reached: set[int] = set()
        self.empty = 0
        self.why_empty = ""
        self.died: list[str] = []
        self.cut_short: set[int] = set()
        self.tests = TestLog(functions, self._tell)
        self.tell_parent: tuple[int, int] | None = None
        self._own = frozenset(("__main__", *modules))  # modules whose types are the program's
        self._names: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
        self._originals: Originals | None = None
        self._raised: dict[int, int] = {}  # by site, how many guarded statements are being left by an exception
        self._values = Values(self._own)

    def hooks(self) -> dict[str, Any]:
        """The functions that the instrumented program calls."""
        return {
            "all": self._values.all,
            "any": self._values.any,
            "arrays": self._values.arrays,
            "begin": self.tests.begin,
            "boundary": self._boundary,
            "broke": self._broke,
            "call": self._call,
            "caught": self._caught,
            "close": self._close,
            "compare": self._compare,
            "died": self.tests.died,
            "discard": self._discard,
            "fail": self._fail,
            "fail_now": self._fail_now,
            "guard": self._enter,
            "held": self._hold,
            "nested": self._values.nested,
            "only_if": self._only_if,
            "truth": self._truth,
            "zip": self._values.zip,
        }

    def watch(self, implementation: dict[str, Any], tests: dict[str, Any]) -> None:
        """Note the names of the modules in which the implementation and the tests run, often the same."""
        self._names = implementation, tests

    def _boundary(self) -> None:
        """Note the implementation's functions and classes where the tests begin, if both share their names."""
        implementation, tests = self._names
        if implementation is tests:
            self._originals = Originals(implementation, self.tests_line, self._own)

    # Begin and end of a check -----------------------------------------------------------------------------------------

    def _enter(self, site: int) -> None:
        self.open[site] = self.open.get(site, 0) + 1

    def _ok(self, site: int, why_empty: str = "", *, tests_equality: bool = False) -> None:
        """Close a check that was evaluated, and count it.

        Args:
            site: the check.
            why_empty: why its values prove nothing.
            tests_equality: whether the program's own `==` decided, so that equal expressions prove something.
        """
        self.open[site] -= 1
        self.executed += 1
        if site not in self.reached:
            self.reached.add(site)
            self._tell(f"r{site};")
        _, _, _, _, empty, subjects, _ = self.sites[site]
        if tests_equality and empty == SAME:
            empty = ""
        of_condition = self._values.why_condition_is_empty() if self._values.in_condition else ""
        reason = why_empty or of_condition or empty
        if not reason and self._originals is not None and subjects:
            reason = self._originals.why_replaced(subjects)
        if reason:
            self.empty += 1
            self.why_empty = self.why_empty or reason

    def _hold(self, site: int) -> None:
        self._enter(site)
        self._ok(site)

    def _record_failure(self, site: int, evidence: str) -> None:
        self.failures.append((site, evidence))
        self._tell("f;")

    def _tell(self, what: str) -> None:
        """Tell the process that the program began in, if this is one of its children."""
        if self.tell_parent is not None and os.getpid() != self.tell_parent[0]:
            with contextlib.suppress(OSError):  # the pipe is full: enough is known
                os.write(self.tell_parent[1], what.encode())

    def _is_called_by_code(self) -> bool:
        """Whether the code under test is on the stack: then it is to handle what its callback raises."""
        frame = sys._getframe(2) if self.tests_line else None
        while frame is not None:
            code = frame.f_code
            if code.co_filename == FILENAME and code.co_firstlineno < self.tests_line and code.co_name != "<module>":
                return True
            frame = frame.f_back
        return False

    # Kinds of checks --------------------------------------------------------------------------------------------------

    def _compare(self, site: int) -> Callable[[Any, Any], bool]:
        """Begin a comparison; the returned function takes its two sides."""
        self._enter(site)
        return lambda left, right: self._decide(site, left, right)

    def _decide(self, site: int, left: Any, right: Any) -> bool:
        symbol = self.sites[site][3]
        holds = bool(OPERATORS[symbol](left, right))
        own, why = self._values.look(site, symbol, left, right, holds=holds)
        self._ok(site, why, tests_equality=own)
        if not holds and not self._is_on_purpose(site):
            self._record_failure(site, f"left is {show(left)}, right is {show(right)}")
        return holds

    def _truth(self, site: int) -> Callable[[Any], bool]:
        """Begin an assertion; the returned function takes its condition."""
        self._enter(site)
        return lambda value: self._held(site, value)

    def _held(self, site: int, value: Any) -> bool:
        holds = bool(value)
        self._ok(site, claims.why_true(value, self._own) if holds else "")
        if not holds and not self._is_on_purpose(site):
            self._record_failure(site, f"the condition is {show(value)}")
        return holds

    def _is_on_purpose(self, site: int) -> bool:
        """Whether a check fails whatever the code does, such as `assert 1 == 2`, to show the code under test a failure."""
        return (self.sites[site][6] or self.sites[site][4] == CONSTANT) and self._is_called_by_code()

    def _only_if(self, site: int, fails_when: bool) -> Callable[[Any], bool]:
        """Begin an `if` of which one branch only fails; the returned function takes its condition."""
        self._enter(site)
        return lambda value: self._branch(site, fails_when, value)

    def _branch(self, site: int, fails_when: bool, value: Any) -> bool:
        taken = bool(value)
        self._ok(site)
        if taken == fails_when and not self._is_called_by_code():
            self._record_failure(site, f"the condition is {show(value)}")
        return taken

    def _call(self, site: int) -> Callable[[Any], Callable[..., Any]]:
        """Begin the call of an assertion; the returned function takes what is called."""
        self._enter(site)
        return lambda function: lambda *args, **kwargs: self._called(site, function, args, kwargs)

    def _called(self, site: int, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            result = function(*args, **kwargs)
        except BaseException:
            self._failed(site, function)
            raise
        if isinstance(result, types.CoroutineType):
            return self._awaited(site, function, result)
        given = (*args, *(value for name, value in kwargs.items() if name != "msg"))
        name = getattr(function, "__name__", "")  # of the program's own callables, it may be anything
        self._look_at_call(site, name if isinstance(name, str) else "", given)
        return result

    async def _awaited(self, site: int, function: Any, result: Any) -> Any:
        try:
            found = await result
        except BaseException:
            self._failed(site, function)
            self._broke(site)
            raise
        self._ok(site)
        return found

    def _look_at_call(self, site: int, name: str, given: tuple[Any, ...]) -> None:
        symbol, own, why = claims.METHODS.get(name), False, ""
        if symbol is not None and len(given) > 1:
            own, why = self._values.look(site, symbol, given[0], given[1], holds=True)
        elif name == "assertTrue" and given:
            why = claims.why_true(given[0], self._own)
        else:
            why = claims.why_empty(name, given)
        self._ok(site, why, tests_equality=own)

    def _discard(self, result: Any) -> Any:
        """Look at a result that a statement throws away: of `gather`, or the status of a process."""
        if isinstance(result, list):
            self.died += [
                f"gather returned {show(one)}, which nobody looked at" for one in result if isinstance(one, Exception)
            ]
        status = getattr(result, "returncode", result[1] if isinstance(result, tuple) else result)
        if isinstance(status, int) and status != 0:
            self.died.append(f"a process ended with status {status}, which nobody read")
        return result

    # Failures ---------------------------------------------------------------------------------------------------------

    def _fail(self, site: int) -> None:
        """Record the failure of a guarded statement; called while its exception is handled."""
        self._raised[site] = self._raised.get(site, 0) + 1
        self._failed(site)

    def _close(self, site: int) -> None:
        """End a guarded statement, which holds if no exception leaves it."""
        if self._raised.get(site, 0) > 0:
            self._raised[site] -= 1
        else:
            self._ok(site)

    def _failed(self, site: int, function: object = None) -> None:
        """Record a failure by exception. An assertion of the implementation is what is tested: the test may expect it to fail."""
        error = sys.exc_info()[1]
        if is_failure(error):
            self.open[site] -= 1
            self.reached.add(site)
            if not is_under_test(function, self.tests_line):
                self.executed += 1
                self._record_failure(site, show(error))

    def _broke(self, site: int) -> None:
        """A check was left by an exception; one that was cancelled has no result."""
        if type(sys.exc_info()[1]).__name__ in _NO_RESULT and self.open.get(site, 0) > 0:
            self.open[site] -= 1

    def _fail_now(self, site: int) -> None:
        """Record that a statement was reached that can only fail."""
        if not self._is_called_by_code():
            self.executed += 1
            self._record_failure(site, "this statement was reached")

    def _caught(self, handler: int, rule: int, first: int, last: int, checks: int) -> None:
        """Judge an exception that a handler of the tests has caught; called while it is handled.

        Args:
            handler: the site of the handler.
            rule: what it is meant to catch, a constant of `expectations`.
            first: the first site in its block.
            last: the first site behind its block.
            checks: where the exception prevented checks, a constant of `expectations`.
        """
        error = sys.exc_info()[1]
        if error is None:
            return
        lines = set(lines_of(error))
        at_lines = [place for place, (site, _) in enumerate(self.failures) if self._is_at(site, lines)]
        if is_failure(error):
            if rule in (FAILURES_TOO, NOTED):
                # To note a failure does not forgive the checks of the handler's own block: they stand there to hold.
                forgiven = [
                    place for place in at_lines if rule == FAILURES_TOO or not first <= self.failures[place][0] < last
                ]
                self._forgive(forgiven)
                if rule == FAILURES_TOO:
                    self.tests.forget(error)
            elif not at_lines and max(lines, default=0) >= self.tests_line and not self._raised_by_code(error):
                self._record_failure(handler, show(error))
            return
        if rule == NOTHING:
            if checks == IN_THE_BLOCK and isinstance(error, Exception):
                self._record_failure(handler, show(error))
            elif checks == BEHIND_IT and isinstance(error, Exception):
                self.cut_short.add(self.sites[handler][0])
            return
        for site, count in self.open.items():
            if count > 0 and self._is_at(site, lines):
                self.open[site] = count - 1
        self.tests.forget(error)
        if rule > OTHER_EXCEPTIONS:
            self._forgive(at_lines)
        # The code under test has turned a failure of the test's own double into the exception that is expected.
        causes = {line for one in behind(error) if is_failure(one) for line in lines_of(one)}
        self._forgive([place for place, (site, _) in enumerate(self.failures) if self._is_at(site, causes)])

    def _raised_by_code(self, error: BaseException) -> bool:
        """Whether the code under test raised an exception; without a tests part, whatever is no check is code."""
        lines = lines_of(error)
        if not lines:
            return False
        if self.tests_line:
            return lines[-1] < self.tests_line
        return not any(self._is_at(site, {lines[-1]}) for site in range(len(self.sites)))

    def _forgive(self, places: Sequence[int]) -> None:
        """Take back the last failure of each site among these failures."""
        last = {self.failures[place][0]: place for place in places}
        for place in sorted(last.values(), reverse=True):
            del self.failures[place]

    def _is_at(self, site: int, lines: set[int]) -> bool:
        first, last, *_ = self.sites[site]
        return any(first <= line <= last for line in lines)

    def mark(self) -> tuple[int, dict[int, int]]:
        """The state to which `take_back` returns."""
        return len(self.failures), dict(self.open)

    def reopen(self, mark: tuple[int, dict[int, int]]) -> None:
        """Forget the checks that have begun since a mark: their test was skipped."""
        self.open = dict(mark[1])

    def take_back(self, mark: tuple[int, dict[int, int]]) -> None:
        """Forget the failures since a mark: their test was expected to fail."""
        del self.failures[mark[0] :]
        self.reopen(mark)

    # What is known at the end -----------------------------------------------------------------------------------------

    def ask_noted_types(self) -> None:
        """Count the checks that prove nothing because a type of the program, which decided them, always holds."""
        for _, sites in self._values.always_holding():
            if any(sites.values()):
                self.empty += sum(sites.values())
                self.why_empty = self.why_empty or EVERYTHING

    def unfinished(self) -> int | None:
        """A check whose exception was swallowed although it was not expected, or None. One that still runs is none."""
        left = [site for site, count in self.open.items() if count > 0]
        running = running_lines() if left else set()
        return next((site for site in left if not self._is_at(site, running)), None)

    def written(self) -> int:
        """How many checks the program has, with one for each loop that left items out; those that only fail do not count."""
        return sum(not site[6] for site in self.sites) + len(self.cut_short | self._values.cut_short)

    def reached_count(self) -> int:
        """How many of these came to a result."""
        return sum(not self.sites[site][6] for site in self.reached)
