"""Records which tests of a program ran, which did not, and which of them ended badly, whoever ran them."""

from __future__ import annotations

import sys

from snipmill.sandbox.child.exceptions import line_of, message_of
from snipmill.sandbox.child.own_builtins import BUILTINS
from snipmill.sandbox.child.sites import Function

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

__builtins__ = BUILTINS  # programs may replace builtins

_NO_FAILURE = ("SkipTest", "Skipped", "GeneratorExit", "CancelledError", "_TimeUp")
_MOST_NAMES = 20  # of skipped tests, and of tests that never ran, in a report


class Problem:
    """A test that failed: what happened, the exception's type, and the program's line."""

    def __init__(self, detail: str, exception: str = "", line: int | None = None, missing: str = "") -> None:
        self.detail = detail
        self.exception = exception
        self.line = line
        self.missing = missing  # the name of a module that is not installed


def problem_of(name: str, error: BaseException) -> Problem:
    """The failure of a test by an exception."""
    kind = type(error).__name__
    missing = str(error.name) if isinstance(error, ModuleNotFoundError) and error.name else ""
    return Problem(f"{name} raised {kind}: {message_of(error)}", kind, line_of(error), missing)


class TestLog:
    """What happened to the tests.

    Attributes:
        done: names of the tests that the program or unittest ran, such as `test_f` or `TestF.test_g`; they are not run again.
        cases: names of the tests that pytest ran, with their parameters.
        count: how many tests were run, each set of parameters counted.
        skipped: `name: reason` of each skipped test.
        problems: the tests that failed under a framework.
        by_framework: whether a framework is running a test now, which judges its exceptions.
        entered: numbers of the functions that began.
    """

    def __init__(self, functions: Sequence[Function], tell: Callable[[str], None]) -> None:
        self.functions = functions
        self.done: set[str] = set()
        self.cases: set[str] = set()
        self._tell = tell
        self.count = 0
        self.skipped: list[str] = []
        self.problems: list[Problem] = []
        self.by_framework = False
        self.entered: set[int] = set()
        self._escaped: list[tuple[int, BaseException]] = []

    def begin(self, number: int, instance: Any = None) -> None:
        """A function of the tests began; `instance` is its `self`, if it is a method."""
        if number not in self.entered:
            self.entered.add(number)
            self._tell(f"b{number};")
        name, _, is_test, _ = self.functions[number]
        if not is_test or self.by_framework:
            return
        if instance is not None:
            kind = instance if isinstance(instance, type) else type(instance)
            name = f"{kind.__qualname__}.{name.rpartition('.')[2]}"
        self.count_once(name)

    def count_once(self, name: str) -> None:
        """Count a test that the program ran itself, or that needs no framework."""
        if name not in self.done:
            self.done.add(name)
            self.count += 1

    def was_run(self, name: str) -> bool:
        """Whether a test was run, with any of its parameters."""
        return name in self.done or any(case.partition("[")[0] == name for case in self.cases)

    def died(self, number: int) -> None:
        """A test ended with an exception; called while it is handled."""
        error = sys.exc_info()[1]
        if error is None or self.by_framework:
            return
        kind = type(error)
        if kind.__name__ not in _NO_FAILURE and not kind.__module__.startswith("hypothesis"):
            self._escaped.append((number, error))

    def forget(self, error: BaseException) -> None:
        """The program expected that a test ended with this exception."""
        self._escaped = [(number, other) for number, other in self._escaped if other is not error]

    def escaped(self) -> tuple[str, int, BaseException] | None:
        """Name, line and exception of a test that ended badly although the program went on."""
        if not self._escaped:
            return None
        number, error = self._escaped[0]
        name, line, *_ = self.functions[number]
        return name, line, error

    def never_ran(self) -> list[str]:
        """`name, line N` of each function of the tests that holds checks and never began, unless it was skipped."""
        skipped = {text.partition(":")[0].partition("[")[0] for text in self.skipped}
        inherited = {name.rpartition(".")[2] for name in skipped if "." in name}  # the method may be that of a base
        names = []
        # A method of a base class that was run under the name of another class was overridden there.
        ran = {case.partition("[")[0].rpartition(".")[2] for case in (*self.done, *self.cases) if "." in case}
        for number, (name, line, _, is_meant_to_run) in enumerate(self.functions):
            owner, _, method = name.rpartition(".")
            if (
                number in self.entered
                or not is_meant_to_run
                or any(f"{name}.".startswith(f"{one}.") for one in skipped)
            ):
                continue
            is_overridden = method in ran and not self.was_run(name)
            if not (owner and (method in inherited or is_overridden)):
                names.append(f"{name}, line {line}")
        return names[:_MOST_NAMES]

    def skipped_names(self) -> list[str]:
        """`name: reason` of skipped tests."""
        return self.skipped[:_MOST_NAMES]
