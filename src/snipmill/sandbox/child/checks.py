"""Records the result of each check while a program runs, and the values of the first one that failed."""

from __future__ import annotations

import operator
import sys

from snipmill.sandbox.child.instrument import Compiled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_VALUE_LIMIT = 300
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


class Checks:
    """The results of the checks so far, while the program runs."""

    def __init__(self, compiled: Compiled) -> None:
        self.codes, self.sites, self.test_functions = compiled
        self.executed = 0
        self.failed = 0
        self.first_failure: tuple[int, str] | None = None
        self.open: dict[int, int] = {}
        self.begun: set[str] = set()
        self.died: list[str] = []

    def hooks(self) -> dict[str, Any]:
        """The functions that the instrumented program calls."""
        return {
            "begin": self.begun.add,
            "compare": self.compare,
            "fail": self.fail,
            "guard": self.enter,
            "ok": self.ok,
            "truth": self.truth,
        }

    def enter(self, site: int) -> None:
        """Begin a check; it stays open until it has a result."""
        self.open[site] = self.open.get(site, 0) + 1

    def ok(self, site: int) -> None:
        """Close a check that was evaluated, and count it."""
        self.open[site] -= 1
        self.executed += 1

    def _record_failure(self, site: int, evidence: str) -> None:
        self.failed += 1
        if self.first_failure is None:
            self.first_failure = (site, evidence)

    def fail(self, site: int) -> None:
        """Record the failure of a guarded check; called while its exception is handled."""
        error = sys.exc_info()[1]
        if isinstance(error, AssertionError):
            self.open[site] -= 1
            self.executed += 1
            self._record_failure(site, show(error))

    def compare(self, site: int) -> Callable[[Any, Any], Any]:
        """Begin a comparison; the returned function takes its two sides."""
        self.enter(site)
        return lambda left, right: self._compared(site, left, right)

    def _compared(self, site: int, left: Any, right: Any) -> Any:
        symbol = self.sites[site][3]
        result = _OPERATORS[symbol](left, right)
        holds = bool(result)
        self.ok(site)
        if not holds:
            self._record_failure(site, f"left is {show(left)}, right is {show(right)}")
        elif symbol in ("==", "in") and (equals_anything(left) or equals_anything(right)):
            self._record_failure(site, "one side is equal to everything, so the comparison proves nothing")
        return result

    def truth(self, site: int) -> Callable[[Any], bool]:
        """Begin an assertion; the returned function takes its condition."""
        self.enter(site)
        return lambda value: self._held(site, value)

    def _held(self, site: int, value: Any) -> bool:
        holds = bool(value)
        self.ok(site)
        if not holds:
            self._record_failure(site, f"the condition is {show(value)}")
        return holds

    def unfinished(self) -> tuple[int, int] | None:
        """A check whose exception was swallowed although no specific exception was expected: (site, times)."""
        for site, count in self.open.items():
            if count > 0 and not self.sites[site][2]:
                return site, count
        return None


def equals_anything(value: object, depth: int = 2) -> bool:
    """Whether a value of the program's own type (or one inside a small container) claims equality with a fresh object."""
    kind = type(value)
    if kind.__module__ == "__main__" and kind.__eq__ is not object.__eq__:
        try:
            return bool(value == object())
        except BaseException:  # the program's own __eq__ may raise anything; then it is not always true
            return False
    if depth > 0 and kind in (list, tuple, set, frozenset, dict):
        items: Any = value.values() if isinstance(value, dict) else value
        return len(items) <= 100 and any(equals_anything(item, depth - 1) for item in items)
    return False
